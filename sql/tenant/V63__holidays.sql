-- The days that calendar files close, by the named source that they came from. A day is closed while any source closes
-- it: the exception in opening_overrides follows from these rows, so that a source can be replaced by itself.
create table holidays (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid,
  resource_id uuid,
  source      text not null check (length(source) between 1 and 200),
  day         date not null check (isfinite(day)),
  name        text check (length(name) between 1 and 200),
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  unique nulls not distinct (tenant_id, service_id, resource_id, source, day),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete cascade,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete cascade,
  check (service_id is null or resource_id is null)
);
comment on table holidays is 'Days that calendar files close, of the tenant, a service or a resource, by source.';
comment on column holidays.source is 'The name of the source, such as national holidays.';
comment on column holidays.name is 'The name of the day.';

alter table holidays enable row level security;
alter table holidays force row level security;
-- The administrator imports; everyone else sees the exceptions that follow.
create policy holidays_select on holidays for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator imports.
create policy holidays_insert on holidays for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator replaces or removes a source.
create policy holidays_delete on holidays for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No update is granted: an import deletes and inserts.
grant select (tenant_id, id, service_id, resource_id, source, day, name, created_at),
  insert (tenant_id, id, service_id, resource_id, source, day, name, created_at),
  delete on holidays to tenantry_app;
