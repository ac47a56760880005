-- What an independent reader found. (Expands V08, V44, V46, V51.)
-- Whoever books lets go of what is over first: that looks at holds, and not at all bookings.
create index bookings_held on bookings (tenant_id, held_until) where status = 'HELD';

-- Of a service as well: a class may hold a resource that its service has given up since.
create or replace function expire_holds(p_tenant uuid, p_claimed uuid[], p_now timestamptz)
  returns table (booking_id uuid, starts_at timestamptz, ends_at timestamptz)
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  for booking_id, starts_at, ends_at in
    with expired as (
      update bookings b set status = 'EXPIRED', held_until = null, version = b.version + 1, updated_at = p_now
       where b.tenant_id = p_tenant and b.status = 'HELD' and b.held_until <= p_now
         and (p_claimed is null or b.service_id = any (p_claimed) or exists (
           select from booking_claims c
            where c.tenant_id = p_tenant and c.booking_id = b.id and c.active and c.claimed_id = any (p_claimed))
           or exists (
           select from booking_claims c
            where c.tenant_id = p_tenant and c.occurrence_id = b.occurrence_id and c.active
              and c.claimed_id = any (p_claimed)))
      returning b.id, b.customer_id, b.starts_at, b.ends_at
    ), released as (
      update booking_claims c set active = false from expired e
       where c.tenant_id = p_tenant and c.booking_id = e.id and c.active
    ), told as (
      insert into booking_transitions (tenant_id, id, booking_id, customer_id, from_status, to_status, at)
      select p_tenant, gen_random_uuid(), e.id, e.customer_id, 'HELD', 'EXPIRED', p_now from expired e
    )
    select e.id, e.starts_at, e.ends_at from expired e
  loop
    perform leave_seat(p_tenant, booking_id);
    return next;
  end loop;
  execute format('set local app.role = %L', v_role);
end
$$;

-- It is moved, and stays as long as it was agreed, or as long as the class that it joins.
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
  perform from bookings b
    where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before
      and (v_role in ('ADMIN', 'STAFF') or b.customer_id = current_user_id());
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  update bookings b
     set starts_at = p_starts_at, ends_at = p_ends_at, time_zone = p_time_zone, status = p_after,
         version = b.version + 1, updated_at = p_now
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before
     and (b.ends_at - b.starts_at = p_ends_at - p_starts_at or exists (
       select from occurrences o
        where o.tenant_id = p_tenant and o.service_id = b.service_id and o.active
          and o.starts_at = p_starts_at and o.ends_at = p_ends_at));
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;

-- One may wait for Anna and for Bob at the same time.
drop index waitlist_entries_waiting;
create unique index waitlist_entries_waiting on waitlist_entries (tenant_id, customer_id, service_id, starts_at, resource_id)
  nulls not distinct where left_at is null and booking_id is null;
