-- What an independent reader found. (Expands V35, V39, V43.)
-- A resource is there once: it has no second lane.
alter table booking_claims add constraint booking_claims_lane_check1 check (resource_id is null or lane = 0);

-- A booking lasts a day at most, and each buffer too: so a claim that reaches into a time began less than three days before
-- it, and the index bounds the look at both ends, however long the history is.
create or replace function claimed_times(p_tenant uuid, p_claimed uuid[], p_from timestamptz, p_to timestamptz, p_now timestamptz)
  returns table (claimed_id uuid, lane smallint, blocked_from timestamptz, blocked_to timestamptz)
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  return query
    select c.claimed_id, c.lane, c.blocked_from, c.blocked_to
      from booking_claims c join bookings b on b.tenant_id = c.tenant_id and b.id = c.booking_id
     where c.tenant_id = p_tenant and c.claimed_id = any (p_claimed) and c.active
       and c.blocked_from < p_to and c.blocked_from > p_from - interval '3 days 1 hour' and c.blocked_to > p_from
       and (b.held_until is null or b.held_until > p_now);
  execute format('set local app.role = %L', v_role);
end
$$;

create or replace function move_booking(p_tenant uuid, p_id uuid, p_version integer, p_before text, p_starts_at timestamptz,
    p_ends_at timestamptz, p_time_zone text, p_after text, p_now timestamptz) returns boolean
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
  v_done boolean;
begin
  if v_role = 'USER' and p_after not in (p_before, 'PENDING') then
    return false;
  end if;
  if p_before not in ('PENDING', 'CONFIRMED') or p_after not in ('PENDING', 'CONFIRMED') then
    return false;
  end if;
  -- It is moved, and stays as long as it was agreed.
  perform from bookings b
    where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before
      and b.ends_at - b.starts_at = p_ends_at - p_starts_at
      and (v_role in ('ADMIN', 'STAFF') or b.customer_id = current_user_id());
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  update bookings b
     set starts_at = p_starts_at, ends_at = p_ends_at, time_zone = p_time_zone, status = p_after,
         version = b.version + 1, updated_at = p_now
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before;
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
