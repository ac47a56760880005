-- A time can be held for a few minutes before it is booked. (Expands V08, V09, V35.)
alter table bookings add column held_until timestamptz;
alter table bookings add constraint bookings_held_until_check check ((status = 'HELD') = (held_until is not null));
comment on column bookings.held_until is 'When a HELD booking lets its time go; null for every other. No constraint can know the clock: whoever wants the time next releases it.';
grant select (held_until), insert (held_until), update (held_until) on bookings to tenantry_app;

-- What nobody took up is let go by background work, or by whoever wants the time next, in its name.
alter policy booking_claims_update on booking_claims
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and not active)));
alter policy booking_transitions_insert on booking_transitions
  with check (tenant_id = current_tenant_id()
    and ((current_app_role() in ('ADMIN', 'STAFF') and actor_id = current_user_id())
      or (current_app_role() = 'USER' and actor_id = current_user_id() and customer_id = current_user_id())
      or (current_app_role() = 'WORKER' and actor_id is null)));

-- Lets go what was held for too long, of these resources and services, or of all (null); returns which bookings that were.
create function expire_holds(p_tenant uuid, p_claimed uuid[], p_now timestamptz) returns setof uuid
  language plpgsql
  as $$
declare
  v_role    text := current_setting('app.role', true);
  v_expired uuid[];
begin
  execute 'set local app.role = ''WORKER''';
  with expired as (
    update bookings b set status = 'EXPIRED', held_until = null, version = b.version + 1, updated_at = p_now
     where b.tenant_id = p_tenant and b.status = 'HELD' and b.held_until <= p_now
       and (p_claimed is null or exists (
         select from booking_claims c
          where c.tenant_id = p_tenant and c.booking_id = b.id and c.active and c.claimed_id = any (p_claimed)))
    returning b.id, b.customer_id
  ), released as (
    update booking_claims c set active = false from expired e
     where c.tenant_id = p_tenant and c.booking_id = e.id and c.active
  ), told as (
    insert into booking_transitions (tenant_id, id, booking_id, customer_id, from_status, to_status, at)
    select p_tenant, gen_random_uuid(), e.id, e.customer_id, 'HELD', 'EXPIRED', p_now from expired e
  )
  select array_agg(e.id) into v_expired from expired e;
  execute format('set local app.role = %L', v_role);
  return query select unnest(v_expired);
end
$$;
comment on function expire_holds is 'Lets go what was held for too long.';
revoke execute on function expire_holds(uuid, uuid[], timestamptz) from public;
grant execute on function expire_holds(uuid, uuid[], timestamptz) to tenantry_app, tenantry_platform;

-- Takes up a hold that is still good: its customer, or staff. What becomes of it is the service's to say.
create function confirm_hold(p_tenant uuid, p_id uuid, p_version integer, p_notes text, p_now timestamptz) returns boolean
  language plpgsql
  as $$
declare
  v_role  text := current_setting('app.role', true);
  v_after text;
  v_done  boolean;
begin
  select case when s.requires_confirmation and v_role not in ('ADMIN', 'STAFF') then 'PENDING' else 'CONFIRMED' end into v_after
    from bookings b join services s on s.tenant_id = b.tenant_id and s.id = b.service_id
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = 'HELD' and b.held_until > p_now
     and (v_role in ('ADMIN', 'STAFF') or (v_role = 'USER' and b.customer_id = current_user_id()));
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  update bookings b
     set status = v_after, held_until = null, notes = coalesce(p_notes, b.notes), version = b.version + 1, updated_at = p_now
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = 'HELD';
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
comment on function confirm_hold is 'Takes up a hold that is still good; false where it is not, or is not of whoever asks.';
revoke execute on function confirm_hold(uuid, uuid, integer, text, timestamptz) from public;
grant execute on function confirm_hold(uuid, uuid, integer, text, timestamptz) to tenantry_app, tenantry_platform;

-- What is over its time holds nothing, whether it was released yet or not.
drop function claimed_times(uuid, uuid[], timestamptz, timestamptz);
create function claimed_times(p_tenant uuid, p_claimed uuid[], p_from timestamptz, p_to timestamptz, p_now timestamptz)
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
       and c.blocked_from < p_to and c.blocked_to > p_from
       and (b.held_until is null or b.held_until > p_now);
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function claimed_times is 'What is held of resources and services, and not by whom.';
revoke execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz, timestamptz) from public;
grant execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz, timestamptz) to tenantry_app, tenantry_platform;
