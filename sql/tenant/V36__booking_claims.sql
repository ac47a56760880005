-- What each booking occupies: the final guard against double bookings. A booking claims one resource of each kind that
-- its service needs, or, if it needs none, a lane of the service itself: one for each seat. The claims of a class
-- belong to its occurrence, not to any of its bookings.
create table booking_claims (
  tenant_id     uuid not null references tenant_state (tenant_id) on delete cascade,
  id            uuid not null,
  booking_id    uuid,
  customer_id   uuid,
  resource_id   uuid,
  service_id    uuid,
  claimed_id    uuid not null generated always as (coalesce(resource_id, service_id)) stored,
  lane          smallint not null check (lane >= 0),
  blocked_from  timestamptz not null check (isfinite(blocked_from)),
  blocked_to    timestamptz not null check (isfinite(blocked_to)),
  active        boolean not null default true,
  occurrence_id uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete restrict,
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  foreign key (tenant_id, occurrence_id) references occurrences (tenant_id, id) on delete restrict,
  check ((resource_id is null) <> (service_id is null)),
  check (blocked_from < blocked_to),
  -- A resource exists once: it has no second lane.
  constraint booking_claims_lane_check1 check (resource_id is null or lane = 0),
  constraint booking_claims_holder_check
    check ((booking_id is null) <> (occurrence_id is null) and (booking_id is null) = (customer_id is null)),
  -- The checks above make the range bounded, not empty and half-open. The predicate does not depend on the time, so it
  -- means the same at every instant.
  constraint booking_claims_no_overlap exclude using gist
    (tenant_id with =, claimed_id with =, lane with =, tstzrange(blocked_from, blocked_to, '[)') with &&)
    where (active)
);
comment on table booking_claims is 'Time of resources, or seats of services, that bookings occupy.';
comment on column booking_claims.customer_id is 'The booking''s customer, repeated here because a policy only sees its own row.';
comment on column booking_claims.lane is 'Which of the service''s seats; 0 for a resource, which exists once.';
comment on column booking_claims.blocked_from is 'The booking''s start minus the service''s buffer before.';
comment on column booking_claims.active is 'Whether it is in force: false once the booking was cancelled or moved.';
comment on column booking_claims.occurrence_id is 'The class that it belongs to, if it belongs to no single booking.';

create index booking_claims_booking on booking_claims (tenant_id, booking_id);
create index booking_claims_time on booking_claims (tenant_id, claimed_id, blocked_from) where active;
create index booking_claims_occurrence on booking_claims (tenant_id, occurrence_id) where occurrence_id is not null;

alter table booking_claims enable row level security;
alter table booking_claims force row level security;
-- Customers see their own claims and those of classes, which reveal no more than free times do.
create policy booking_claims_select on booking_claims for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and (customer_id = current_user_id() or occurrence_id is not null))));
-- Customers claim for their own bookings, staff for any; only background work claims for a class.
create policy booking_claims_insert on booking_claims for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and ((current_app_role() in ('ADMIN', 'STAFF') and occurrence_id is null)
      or current_app_role() = 'WORKER'
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- A claim is released, by customers for their own bookings; background work also releases what expired.
create policy booking_claims_update on booking_claims for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and not active)));
-- Only the release can be recorded, and no delete is granted.
grant select (tenant_id, id, booking_id, customer_id, resource_id, service_id, claimed_id, lane, blocked_from,
    blocked_to, active, occurrence_id),
  insert (tenant_id, id, booking_id, customer_id, resource_id, service_id, lane, blocked_from, blocked_to,
    occurrence_id),
  update (active) on booking_claims to tenantry_app;
