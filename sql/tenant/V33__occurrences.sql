-- One class at one time: a service with several seats that needs resources. All bookings with the same start share it,
-- and it occupies the resources once for all of them, so the customer who opened it may leave.
create table occurrences (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid not null,
  starts_at   timestamptz not null check (isfinite(starts_at)),
  ends_at     timestamptz not null check (isfinite(ends_at)),
  capacity    smallint not null check (capacity >= 1),
  seats_taken smallint not null check (seats_taken >= 0),
  active      boolean not null default true,
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  check (starts_at < ends_at),
  -- The final guard on seats.
  constraint occurrences_seats_check check (seats_taken <= capacity),
  check (active or seats_taken = 0)
);
comment on table occurrences is 'Classes at their times, with the number of taken seats.';
comment on column occurrences.seats_taken is 'How many bookings have a seat: bookings.holds_seat.';
comment on column occurrences.active is 'False once the last seat was given back: then its time is free again.';

create unique index occurrences_time on occurrences (tenant_id, service_id, starts_at) where active;

alter table occurrences enable row level security;
alter table occurrences force row level security;
-- Staff see the classes; customers learn times and free seats only from classes_of.
create policy occurrences_select on occurrences for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'WORKER'));
-- open_class writes as background work; no person writes here directly.
create policy occurrences_insert on occurrences for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- take_seat and leave_seat count the seats as background work.
create policy occurrences_update on occurrences for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- No delete is granted: an occurrence without seats taken becomes inactive.
grant select (tenant_id, id, service_id, starts_at, ends_at, capacity, seats_taken, active, created_at),
  insert (tenant_id, id, service_id, starts_at, ends_at, capacity, seats_taken, created_at),
  update (capacity, seats_taken, active) on occurrences to tenantry_app;
