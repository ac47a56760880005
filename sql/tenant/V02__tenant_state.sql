-- One row per tenant: its state, as its own store knows it. `enter` reads it first. Every other table references it, so
-- erasing a tenant is one statement: deleting its row deletes everything else of the tenant. Values that the tenant's
-- administrator may change are in tenant_settings, because a policy cannot distinguish the columns of a row.
create table tenant_state (
  tenant_id        uuid primary key,
  slug             text not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  name             text not null check (length(name) between 1 and 200),
  state            text not null default 'ACTIVE' check (state in ('CREATING', 'ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED')),
  isolation        text not null default 'SHARED' check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  time_zone        text not null check (length(time_zone) between 1 and 64),
  currency         text not null check (currency ~ '^[A-Z]{3}$'),
  plan_id          uuid not null,
  limits           jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  features         jsonb not null default '[]' check (jsonb_typeof(features) = 'array'),
  suspended_reason text check (length(suspended_reason) between 1 and 500),
  erase_after      timestamptz,
  plan_version_id  uuid not null,
  rollouts         jsonb not null default '[]' check (jsonb_typeof(rollouts) = 'array'),
  restriction      text check (restriction in ('OVERDUE', 'PAUSED')),
  fence            text check (fence in ('MOVING', 'MOVED')),
  constraint tenant_state_erase_after_check check ((erase_after is not null) = (state = 'DELETED'))
);
comment on table tenant_state is 'The tenant itself. A store without a row for a tenant does not contain that tenant.';
comment on column tenant_state.state is 'CREATING: it has no administrator yet, and nobody may enter. DELETED: can be restored until erase_after.';
comment on column tenant_state.time_zone is 'IANA name: the zone of the tenant''s calendar.';
comment on column tenant_state.currency is 'ISO 4217 code: the currency of its prices.';
comment on column tenant_state.plan_id is 'A plan of the directory. No foreign key: the directory may be another database.';
comment on column tenant_state.limits is 'The plan''s limits, copied when the plan was taken, so that a quota is checked where it is counted.';
comment on column tenant_state.features is 'The features of the plan, copied when it was taken: a key, {"key", "number"} or {"key", "meter"}.';
comment on column tenant_state.plan_version_id is 'The version of the plan that it took; limits and features are copied from it.';
comment on column tenant_state.rollouts is 'Keys of the features that are rolled out to this tenant, copied from the directory.';
comment on column tenant_state.restriction is 'Why its users may read but not write; null when they may write.';
comment on column tenant_state.fence is 'MOVING: it is being copied and read-only. MOVED: it is in another store, and this copy is obsolete. Null: it is here. Set only by moves, as tenantry_platform.';

alter table tenant_state enable row level security;
alter table tenant_state force row level security;
-- Every scope of the tenant may read its state.
create policy tenant_state_select on tenant_state for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Only a platform scope creates a tenant.
create policy tenant_state_insert on tenant_state for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
-- A platform scope changes a tenant, signing up completes it, and billing, as background work, changes its plan.
create policy tenant_state_update on tenant_state for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING')
      or (current_app_role() = 'WORKER' and state in ('ACTIVE', 'SUSPENDED'))))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'ACTIVE')
      or (current_app_role() = 'WORKER' and state in ('ACTIVE', 'SUSPENDED'))));
-- Only a deleted tenant, once its restore period has passed.
create policy tenant_state_delete on tenant_state for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN'
    and state = 'DELETED' and erase_after < now());
-- The fence is in no insert or update grant: only moves set it, as tenantry_platform.
grant select (tenant_id, slug, name, state, isolation, time_zone, currency, plan_id, limits, created_at, updated_at,
    features, suspended_reason, erase_after, plan_version_id, rollouts, restriction, fence),
  insert (tenant_id, slug, name, state, isolation, time_zone, currency, plan_id, limits, created_at, updated_at,
    features, erase_after, plan_version_id),
  update (state, plan_id, limits, updated_at, features, suspended_reason, erase_after, plan_version_id, rollouts,
    restriction), delete on tenant_state to tenantry_app;
