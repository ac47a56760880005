-- What a class holds is claimed by its occurrence, not by any of its bookings: whoever opened it may leave. (Expands V08,
-- V35, V43, V44.)
alter table bookings add column occurrence_id uuid;
alter table bookings add column holds_seat boolean not null default false;
alter table bookings add foreign key (tenant_id, occurrence_id) references occurrences (tenant_id, id) on delete restrict;
alter table bookings add constraint bookings_holds_seat_check check (not holds_seat or occurrence_id is not null);
comment on column bookings.occurrence_id is 'The class that it is, or last was, a seat of.';
comment on column bookings.holds_seat is 'Whether it counts among the seats of its class.';
create index bookings_occurrence on bookings (tenant_id, occurrence_id) where occurrence_id is not null;
grant select (occurrence_id, holds_seat), update (occurrence_id, holds_seat) on bookings to tenantry_app;

alter table booking_claims add column occurrence_id uuid;
alter table booking_claims alter column booking_id drop not null;
alter table booking_claims alter column customer_id drop not null;
alter table booking_claims add foreign key (tenant_id, occurrence_id) references occurrences (tenant_id, id) on delete restrict;
alter table booking_claims add constraint booking_claims_holder_check
  check ((booking_id is null) <> (occurrence_id is null) and (booking_id is null) = (customer_id is null));
comment on column booking_claims.occurrence_id is 'The class that holds it, where no single booking does.';
create index booking_claims_occurrence on booking_claims (tenant_id, occurrence_id) where occurrence_id is not null;
grant select (occurrence_id), insert (occurrence_id) on booking_claims to tenantry_app;

-- Customers see who and what a class has: that is no more than its times of opening tell.
alter policy booking_claims_select on booking_claims
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and (customer_id = current_user_id() or occurrence_id is not null))));
alter policy booking_claims_insert on booking_claims
  with check (tenant_id = current_tenant_id()
    and ((current_app_role() in ('ADMIN', 'STAFF') and occurrence_id is null)
      or current_app_role() = 'WORKER'
      or (current_app_role() = 'USER' and customer_id = current_user_id())));

-- What is over its time holds nothing, whether it was released yet or not; a class holds while one of its seats does.
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
      from booking_claims c left join bookings b on b.tenant_id = c.tenant_id and b.id = c.booking_id
     where c.tenant_id = p_tenant and c.claimed_id = any (p_claimed) and c.active
       and c.blocked_from < p_to and c.blocked_from > p_from - interval '3 days 1 hour' and c.blocked_to > p_from
       and (b.held_until is null or b.held_until > p_now)
       and (c.occurrence_id is null or exists (
         select from bookings s
          where s.tenant_id = p_tenant and s.occurrence_id = c.occurrence_id and s.holds_seat
            and (s.held_until is null or s.held_until > p_now)));
  execute format('set local app.role = %L', v_role);
end
$$;

-- The classes of a service that stand in a time, with what they hold and the seats that are free in them: never whose the
-- others are.
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

-- Takes a seat of a class for a booking that whoever asks may see and that has its time; false where none is free.
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

-- Opens a class for the first booking of its time, and claims what it holds; false where any of that is taken, and then
-- whoever asked undoes what was done.
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

-- Gives a booking's seat back, of a booking that whoever asks may see; with the last seat the class ends, and what it held
-- is free.
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
comment on function leave_seat is 'Gives a booking''s seat back.';
revoke execute on function leave_seat(uuid, uuid) from public;
grant execute on function leave_seat(uuid, uuid) to tenantry_app, tenantry_platform;

-- Lets go what was held for too long, of these resources and services, or of all (null); returns which bookings that were,
-- and when.
drop function expire_holds(uuid, uuid[], timestamptz);
create function expire_holds(p_tenant uuid, p_claimed uuid[], p_now timestamptz)
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
         and (p_claimed is null or exists (
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
comment on function expire_holds is 'Lets go what was held for too long.';
revoke execute on function expire_holds(uuid, uuid[], timestamptz) from public;
grant execute on function expire_holds(uuid, uuid[], timestamptz) to tenantry_app, tenantry_platform;
