-- Which resources can serve a service. A booking takes one of each linked kind.
create table service_resources (
  tenant_id   uuid not null,
  service_id  uuid not null,
  resource_id uuid not null,
  priority    smallint not null default 0 check (priority between 0 and 100),
  primary key (tenant_id, service_id, resource_id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete cascade,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete cascade
);
comment on table service_resources is 'Resources that can serve a service.';
comment on column service_resources.priority is 'Higher priority is taken first; among equals the least loaded.';

create index service_resources_resource on service_resources (tenant_id, resource_id);

alter table service_resources enable row level security;
alter table service_resources force row level security;
-- Everyone in the tenant: customers choose among them.
create policy service_resources_select on service_resources for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator manages the list.
create policy service_resources_insert on service_resources for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator manages the list.
create policy service_resources_delete on service_resources for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No update is granted: a link is removed and added again.
grant select (tenant_id, service_id, resource_id, priority),
  insert (tenant_id, service_id, resource_id, priority), delete on service_resources to tenantry_app;
