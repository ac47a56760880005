-- What each booking holds: the last word on double bookings. A booking claims one resource of each kind that its service
-- needs, or, where it needs none, a lane of the service itself: one for each seat.
create table booking_claims (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete cascade,
  id           uuid not null,
  booking_id   uuid not null,
  customer_id  uuid not null,
  resource_id  uuid,
  service_id   uuid,
  claimed_id   uuid not null generated always as (coalesce(resource_id, service_id)) stored,
  lane         smallint not null check (lane >= 0),
  blocked_from timestamptz not null check (isfinite(blocked_from)),
  blocked_to   timestamptz not null check (isfinite(blocked_to)),
  active       boolean not null default true,
  primary key (tenant_id, id),
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete restrict,
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  check ((resource_id is null) <> (service_id is null)),
  check (blocked_from < blocked_to),
  -- Bounded, not empty and half-open by the checks above; the predicate names no clock.
  constraint booking_claims_no_overlap exclude using gist
    (tenant_id with =, claimed_id with =, lane with =, tstzrange(blocked_from, blocked_to, '[)') with &&)
    where (active)
);
comment on table booking_claims is 'Time of resources, or seats of services, that bookings hold.';
comment on column booking_claims.customer_id is 'The booking''s customer, repeated here because a policy looks at its own row only.';
comment on column booking_claims.lane is 'Which of the service''s seats; 0 for a resource, which is there once.';
comment on column booking_claims.blocked_from is 'The booking''s start less the time that its service needs before.';
comment on column booking_claims.active is 'Whether it holds anything: not once the booking was called off or moved.';

create index booking_claims_booking on booking_claims (tenant_id, booking_id);
create index booking_claims_time on booking_claims (tenant_id, claimed_id, blocked_from) where active;
alter table booking_claims enable row level security;
alter table booking_claims force row level security;
-- As the bookings: customers see their own.
create policy booking_claims_select on booking_claims for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
create policy booking_claims_insert on booking_claims for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
create policy booking_claims_update on booking_claims for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and not active)));
-- A claim is let go, never changed. No delete is granted.
grant select (tenant_id, id, booking_id, customer_id, resource_id, service_id, claimed_id, lane, blocked_from, blocked_to, active),
  insert (tenant_id, id, booking_id, customer_id, resource_id, service_id, lane, blocked_from, blocked_to),
  update (active) on booking_claims to tenantry_app;

-- What is held of these resources or services in a time: never by whom. A customer sees no booking but his own, and must
-- still be told what is free; so it looks as WORKER, and goes back to the role that it was called in.
create function claimed_times(p_tenant uuid, p_claimed uuid[], p_from timestamptz, p_to timestamptz)
  returns table (claimed_id uuid, lane smallint, blocked_from timestamptz, blocked_to timestamptz)
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  return query
    select c.claimed_id, c.lane, c.blocked_from, c.blocked_to
      from booking_claims c
     where c.tenant_id = p_tenant and c.claimed_id = any (p_claimed) and c.active
       and c.blocked_from < p_to and c.blocked_to > p_from;
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function claimed_times is 'What is held of resources and services, and not by whom.';
revoke execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz) from public;
grant execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz) to tenantry_app, tenantry_platform;
