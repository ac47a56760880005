-- Which tenants there are and where their store is.
create table tenants (
  id         uuid primary key,
  slug       text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  name       text not null check (length(name) between 1 and 200),
  isolation  text not null default 'SHARED' check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  url        text check ((url is null) = (isolation = 'SHARED')),
  state      text not null default 'ACTIVE' check (state in ('ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED')),
  epoch      bigint not null default 1 check (epoch >= 1),
  created_at timestamptz not null
);
comment on table tenants is 'Every tenant and its placement. What the tenant may change itself is in its own store, in tenant_state.';
comment on column tenants.isolation is 'SHARED tables, a SCHEMA of its own or a DATABASE of its own.';
comment on column tenants.url is 'Where a SCHEMA or DATABASE tenant is; null for SHARED.';
comment on column tenants.epoch is 'Counts the changes of placement, so that a stale cache can be told.';

alter table tenants enable row level security;
alter table tenants force row level security;
-- Sign-in finds a tenant by its slug; platform administrators see them all. Nobody else reads the directory.
create policy tenants_select on tenants for select to tenantry_app
  using (current_app_role() in ('AUTHENTICATOR', 'PLATFORM_ADMIN'));
-- Only a platform scope makes tenants.
create policy tenants_insert on tenants for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- No update and no delete is granted: a tenant never disappears from under its data.
grant select (id, slug, name, isolation, url, state, epoch, created_at),
  insert (id, slug, name, created_at) on tenants to tenantry_app;
