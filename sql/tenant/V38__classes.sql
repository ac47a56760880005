-- Classes: services with several seats that need resources. Each function reads a booking in the caller's role, changes
-- occurrences and claims as WORKER, and returns to the role that it was called in.

-- The classes of a service in a time, with the resources they occupy and their free seats, without the customers.
create function classes_of(p_tenant uuid, p_service uuid, p_from timestamptz, p_to timestamptz, p_now timestamptz)
  returns table (id uuid, starts_at timestamptz, ends_at timestamptz, seats_free integer, resource_ids uuid[])
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  return query
    select o.id, o.starts_at, o.ends_at, greatest(s.capacity - t.taken, 0)::integer,
           array(select c.resource_id from booking_claims c
                  where c.tenant_id = p_tenant and c.occurrence_id = o.id and c.active)
      from occurrences o
      join services s on s.tenant_id = o.tenant_id and s.id = o.service_id
      cross join lateral (
        select count(*) as taken from bookings b
         where b.tenant_id = p_tenant and b.occurrence_id = o.id and b.holds_seat
           and (b.held_until is null or b.held_until > p_now)) t
     where o.tenant_id = p_tenant and o.service_id = p_service and o.active
       and o.starts_at >= p_from and o.starts_at < p_to and t.taken > 0;
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function classes_of is 'Classes of a service, and their free seats.';
revoke execute on function classes_of(uuid, uuid, timestamptz, timestamptz, timestamptz) from public;
grant execute on function classes_of(uuid, uuid, timestamptz, timestamptz, timestamptz) to tenantry_app, tenantry_platform;

-- Takes a seat of a class for a booking that the caller may see and that has the time of the class; false when no seat
-- is free.
create function take_seat(p_tenant uuid, p_booking uuid, p_occurrence uuid) returns boolean
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
  v_done boolean;
begin
  perform from bookings b
    where b.tenant_id = p_tenant and b.id = p_booking and not b.holds_seat and b.status in ('HELD', 'PENDING', 'CONFIRMED')
      and (v_role in ('ADMIN', 'STAFF', 'WORKER') or b.customer_id = current_user_id());
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  with seat as (
    update occurrences o set seats_taken = o.seats_taken + 1, capacity = s.capacity
      from bookings b, services s
     where o.tenant_id = p_tenant and o.id = p_occurrence and o.active
       and b.tenant_id = p_tenant and b.id = p_booking and b.service_id = o.service_id
       and b.starts_at = o.starts_at and b.ends_at = o.ends_at
       and s.tenant_id = p_tenant and s.id = o.service_id and o.seats_taken < s.capacity
    returning o.id
  )
  update bookings b set occurrence_id = seat.id, holds_seat = true from seat
   where b.tenant_id = p_tenant and b.id = p_booking;
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
comment on function take_seat is 'Takes a seat of a class for a booking.';
revoke execute on function take_seat(uuid, uuid, uuid) from public;
grant execute on function take_seat(uuid, uuid, uuid) to tenantry_app, tenantry_platform;

-- Opens a class for the first booking of its time, and claims its resources. False when any of them is taken: the
-- caller then undoes its changes.
create function open_class(p_tenant uuid, p_booking uuid, p_id uuid, p_claims uuid[], p_resources uuid[],
    p_blocked_from timestamptz, p_blocked_to timestamptz, p_now timestamptz) returns boolean
  language plpgsql
  as $$
declare
  v_role    text := current_setting('app.role', true);
  v_service uuid;
  v_claimed integer;
  v_done    boolean;
begin
  select b.service_id into v_service from bookings b
    where b.tenant_id = p_tenant and b.id = p_booking and not b.holds_seat and b.status in ('HELD', 'PENDING', 'CONFIRMED')
      and b.starts_at >= p_blocked_from and b.ends_at <= p_blocked_to
      and (v_role in ('ADMIN', 'STAFF', 'WORKER') or b.customer_id = current_user_id());
  if not found or exists (
    select from unnest(p_resources) as r (id) where not exists (
      select from service_resources l where l.tenant_id = p_tenant and l.service_id = v_service and l.resource_id = r.id))
  then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  insert into occurrences (tenant_id, id, service_id, starts_at, ends_at, capacity, seats_taken, created_at)
    select p_tenant, p_id, s.id, b.starts_at, b.ends_at, s.capacity, 0, p_now
      from bookings b join services s on s.tenant_id = b.tenant_id and s.id = b.service_id
     where b.tenant_id = p_tenant and b.id = p_booking
    on conflict do nothing;
  v_done := found;
  if v_done then
    insert into booking_claims (tenant_id, id, occurrence_id, resource_id, lane, blocked_from, blocked_to)
      select p_tenant, c.id, p_id, c.resource_id, 0, p_blocked_from, p_blocked_to
        from unnest(p_claims, p_resources) as c (id, resource_id)
      on conflict do nothing;
    get diagnostics v_claimed = row_count;
    v_done := v_claimed = cardinality(p_resources);
  end if;
  execute format('set local app.role = %L', v_role);
  return v_done and take_seat(p_tenant, p_booking, p_id);
end
$$;
comment on function open_class is 'Opens a class for the first booking of its time.';
revoke execute on function open_class(uuid, uuid, uuid, uuid[], uuid[], timestamptz, timestamptz, timestamptz) from public;
grant execute on function open_class(uuid, uuid, uuid, uuid[], uuid[], timestamptz, timestamptz, timestamptz) to tenantry_app, tenantry_platform;

-- Gives back the seat of a booking that the caller may see. With the last seat the class ends and its resources become
-- free.
create function leave_seat(p_tenant uuid, p_booking uuid) returns void
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  perform from bookings b
    where b.tenant_id = p_tenant and b.id = p_booking and b.holds_seat
      and (v_role in ('ADMIN', 'STAFF', 'WORKER') or b.customer_id = current_user_id());
  if not found then
    return;
  end if;
  execute 'set local app.role = ''WORKER''';
  with gone as (
    update bookings b set holds_seat = false
     where b.tenant_id = p_tenant and b.id = p_booking and b.holds_seat
    returning b.occurrence_id
  ), seat as (
    update occurrences o set seats_taken = o.seats_taken - 1, active = o.seats_taken > 1
      from gone where o.tenant_id = p_tenant and o.id = gone.occurrence_id and o.active
    returning o.id, o.active
  )
  update booking_claims c set active = false from seat
   where c.tenant_id = p_tenant and c.occurrence_id = seat.id and c.active and not seat.active;
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function leave_seat is 'Gives back a booking''s seat.';
revoke execute on function leave_seat(uuid, uuid) from public;
grant execute on function leave_seat(uuid, uuid) to tenantry_app, tenantry_platform;
