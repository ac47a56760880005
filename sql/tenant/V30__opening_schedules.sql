-- When a tenant, a service or a resource is open, week by week, from a day on. Without a row it is always open.
create table opening_schedules (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid,
  resource_id uuid,
  valid_from  date not null check (isfinite(valid_from)),
  time_zone   text not null check (length(time_zone) between 1 and 64),
  hours       jsonb check (jsonb_typeof(hours) = 'array'),
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  unique nulls not distinct (tenant_id, service_id, resource_id, valid_from),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete cascade,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete cascade,
  check (service_id is null or resource_id is null)
);
comment on table opening_schedules is 'Weekly opening hours: of the tenant, a service or a resource. The latest one in force applies.';
comment on column opening_schedules.valid_from is 'The first day on which it applies, in its time zone.';
comment on column opening_schedules.time_zone is 'IANA zone of the opening hours.';
comment on column opening_schedules.hours is 'Spans [weekday, from, to]: ISO weekday 1 to 7, minutes of the day 0 to 1440. Empty: never. Null: always.';

alter table opening_schedules enable row level security;
alter table opening_schedules force row level security;
-- Everyone in the tenant: free times depend on them.
create policy opening_schedules_select on opening_schedules for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator sets the hours.
create policy opening_schedules_insert on opening_schedules for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator removes or replaces them.
create policy opening_schedules_delete on opening_schedules for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No update is granted: a schedule from the same day replaces this one.
grant select (tenant_id, id, service_id, resource_id, valid_from, time_zone, hours, created_at),
  insert (tenant_id, id, service_id, resource_id, valid_from, time_zone, hours, created_at),
  delete on opening_schedules to tenantry_app;
