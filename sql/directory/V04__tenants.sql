-- Every tenant and where its store is. State, plan and plan version are copies of what the tenant's own store says.
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
comment on table tenants is 'Every tenant and its placement. What the tenant may change itself is in its own store, in tenant_state.';
comment on column tenants.isolation is 'SHARED tables, a SCHEMA of its own or a DATABASE of its own.';
comment on column tenants.url is 'Where a SCHEMA or DATABASE tenant is, without logins: postgresql://host:port/database?schema=name. What it leaves out is as for the shared tables.';
comment on column tenants.state is 'A copy of what the store says, but for CREATING: the store may not hold it yet. Whoever finds it so for long finishes or abandons it.';
comment on column tenants.epoch is 'Counts the changes of placement, so that a stale cache can be told.';
comment on column tenants.plan_id is 'A copy of what the store says, for lists.';
comment on column tenants.erase_after is 'When a deleted tenant is erased for good; until then it can be restored.';
comment on column tenants.changed_at is 'When what was copied was changed in the store, so that an older copy never replaces a newer one.';
comment on column tenants.sync_wanted_at is 'Set before the platform changes the store, and taken away once the change was copied here: whoever finds it set for long copies.';
comment on column tenants.plan_version_id is 'A copy of what the store says, for the budget of its API and for lists.';
comment on column tenants.rollout_epoch is 'Up to which change of feature_rollouts its store has a copy.';
comment on column tenants.moving_since is 'Since when its writers wait, because it is about to be in another store; null while nobody waits.';
comment on column tenants.store_ready_at is 'When its own store was made; null for SHARED, and for a tenant whose store is still to be made.';

create index tenants_state on tenants (state, id);
create unique index tenants_url on tenants (url) where url is not null;

alter table tenants enable row level security;
alter table tenants force row level security;
-- Sign-in finds a tenant by its slug; platform administrators and background work see all tenants.
create policy tenants_select on tenants for select to tenantry_app
  using (current_app_role() in ('AUTHENTICATOR', 'PLATFORM_ADMIN', 'WORKER'));
-- Signing up starts a tenant; only a platform scope makes one that is active at once.
create policy tenants_insert on tenants for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING'));
-- Signing up finishes what it started; background work copies what the tenant's own store says.
create policy tenants_update on tenants for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING' and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()))
  with check (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state in ('ACTIVE', 'DELETED') and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()));
-- Only a deleted tenant, once its time to be restored has passed.
create policy tenants_delete on tenants for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DELETED' and erase_after < now());
grant select (id, slug, name, isolation, url, state, epoch, created_at, plan_id, suspended_reason, erase_after,
    changed_at, sync_wanted_at, plan_version_id, rollout_epoch, moving_since, store_ready_at),
  insert (id, slug, name, isolation, url, state, created_at, plan_id, plan_version_id),
  update (slug, name, isolation, url, state, epoch, plan_id, suspended_reason, erase_after, changed_at, sync_wanted_at,
    plan_version_id, rollout_epoch, moving_since, store_ready_at), delete on tenants to tenantry_app;
