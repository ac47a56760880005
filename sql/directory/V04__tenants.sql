-- Every tenant and where its store is. State, plan and plan version are copies from the tenant's own store.
create table tenants (
  id               uuid primary key,
  slug             text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  name             text not null check (length(name) between 1 and 200),
  isolation        text not null default 'SHARED' check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  url              text check ((url is null) = (isolation = 'SHARED')),
  state            text not null default 'ACTIVE' check (state in ('CREATING', 'ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED')),
  epoch            bigint not null default 1 check (epoch >= 1),
  created_at       timestamptz not null,
  plan_id          uuid references plans (id) on delete restrict,
  suspended_reason text check (length(suspended_reason) between 1 and 500),
  erase_after      timestamptz,
  changed_at       timestamptz,
  sync_wanted_at   timestamptz,
  plan_version_id  uuid references plan_versions (id) on delete restrict,
  rollout_epoch    bigint not null default 0,
  moving_since     timestamptz,
  store_ready_at   timestamptz,
  constraint tenants_erase_after_check check ((erase_after is not null) = (state = 'DELETED'))
);
comment on table tenants is 'Every tenant and its placement. Data that the tenant may change itself is in its own store.';
comment on column tenants.isolation is 'SHARED tables, a SCHEMA of its own or a DATABASE of its own.';
comment on column tenants.url is 'Where a SCHEMA or DATABASE tenant is, without logins: postgresql://host:port/database?schema=name. Omitted parts are those of the shared tables.';
comment on column tenants.state is 'A copy from the store, except CREATING: the store may not exist yet. Background work finishes or abandons a tenant that stays CREATING for long.';
comment on column tenants.epoch is 'Counts the changes of placement, so that a stale cache can be detected.';
comment on column tenants.plan_id is 'A copy from the store, for lists.';
comment on column tenants.erase_after is 'When a deleted tenant is erased permanently; until then it can be restored.';
comment on column tenants.changed_at is 'When the copied values were changed in the store, so that an older copy never replaces a newer one.';
comment on column tenants.sync_wanted_at is 'Set before the platform changes the store, and cleared once the change was copied here. Background work copies when it stays set for long.';
comment on column tenants.plan_version_id is 'A copy from the store, for the API budget and for lists.';
comment on column tenants.rollout_epoch is 'The last change of feature_rollouts that was copied to its store.';
comment on column tenants.moving_since is 'Since when its writers wait, because it is moving to another store; null while they do not.';
comment on column tenants.store_ready_at is 'When its own store was created; null for SHARED, and for a tenant whose store does not exist yet.';

create index tenants_state on tenants (state, id);
create unique index tenants_url on tenants (url) where url is not null;

alter table tenants enable row level security;
alter table tenants force row level security;
-- Sign-in finds a tenant by its slug; platform administrators and background work see all tenants.
create policy tenants_select on tenants for select to tenantry_app
  using (current_app_role() in ('AUTHENTICATOR', 'PLATFORM_ADMIN', 'WORKER'));
-- Signing up creates a tenant; only a platform scope creates one that is active at once.
create policy tenants_insert on tenants for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING'));
-- Signing up completes the tenant that it created; background work copies values from the tenant's own store.
create policy tenants_update on tenants for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING' and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()))
  with check (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state in ('ACTIVE', 'DELETED') and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()));
-- Only a deleted tenant, once its restore period has passed.
create policy tenants_delete on tenants for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DELETED' and erase_after < now());
grant select (id, slug, name, isolation, url, state, epoch, created_at, plan_id, suspended_reason, erase_after,
    changed_at, sync_wanted_at, plan_version_id, rollout_epoch, moving_since, store_ready_at),
  insert (id, slug, name, isolation, url, state, created_at, plan_id, plan_version_id),
  update (slug, name, isolation, url, state, epoch, plan_id, suspended_reason, erase_after, changed_at, sync_wanted_at,
    plan_version_id, rollout_epoch, moving_since, store_ready_at), delete on tenants to tenantry_app;
