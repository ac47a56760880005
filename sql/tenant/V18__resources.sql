-- The resources that bookings need: staff, rooms, equipment.
create table resources (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  id         uuid not null,
  kind       text not null check (kind in ('STAFF', 'ROOM', 'EQUIPMENT')),
  name       text not null check (length(name) between 1 and 200),
  user_id    uuid,
  active     boolean not null default true,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, name),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete restrict,
  check (user_id is null or kind = 'STAFF')
);
comment on table resources is 'Staff, rooms and equipment. Each can be used once at a time.';
comment on column resources.user_id is 'The user whom a STAFF resource represents, if any.';
comment on column resources.active is 'Whether it can be booked. Existing bookings stay.';

alter table resources enable row level security;
alter table resources force row level security;
-- Everyone in the tenant: customers choose among them, and a past booking still names them.
create policy resources_select on resources for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator manages the list.
create policy resources_insert on resources for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator manages the list.
create policy resources_update on resources for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator manages the list; a resource with bookings stays, by its foreign keys.
create policy resources_delete on resources for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The kind of a resource is fixed.
grant select (tenant_id, id, kind, name, user_id, active, created_at, updated_at),
  insert (tenant_id, id, kind, name, user_id, active, created_at, updated_at),
  update (name, user_id, active, updated_at), delete on resources to tenantry_app;
