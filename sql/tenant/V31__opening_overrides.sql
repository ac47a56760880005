-- Days whose hours differ from the week's: closures, holidays, long evenings. An import replaces the days that came
-- from a calendar file, and keeps those set by hand.
create table opening_overrides (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid,
  resource_id uuid,
  day         date not null check (isfinite(day)),
  hours       jsonb not null check (jsonb_typeof(hours) = 'array'),
  name        text check (length(name) between 1 and 200),
  created_at  timestamptz not null,
  imported    boolean not null default false,
  primary key (tenant_id, id),
  unique nulls not distinct (tenant_id, service_id, resource_id, day),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete cascade,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete cascade,
  check (service_id is null or resource_id is null)
);
comment on table opening_overrides is 'Hours of single days, of the tenant, a service or a resource.';
comment on column opening_overrides.hours is 'Spans [from, to] in minutes of the day, in the zone of the schedule in force. Empty: closed.';
comment on column opening_overrides.name is 'Such as the name of a holiday.';
comment on column opening_overrides.imported is 'Whether it came from a calendar file instead of being set by hand.';

alter table opening_overrides enable row level security;
alter table opening_overrides force row level security;
-- Everyone in the tenant: free times depend on them.
create policy opening_overrides_select on opening_overrides for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator sets the days.
create policy opening_overrides_insert on opening_overrides for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator removes or replaces them.
create policy opening_overrides_delete on opening_overrides for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No update is granted: an override of the same day replaces this one.
grant select (tenant_id, id, service_id, resource_id, day, hours, name, created_at, imported),
  insert (tenant_id, id, service_id, resource_id, day, hours, name, created_at, imported),
  delete on opening_overrides to tenantry_app;
