-- One row a tenant: what the tenant is, as its own store knows it. `enter` reads it first.
create table tenant_state (
  tenant_id  uuid primary key,
  slug       text not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  name       text not null check (length(name) between 1 and 200),
  state      text not null default 'ACTIVE' check (state in ('ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED')),
  isolation  text not null default 'SHARED' check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  time_zone  text not null check (length(time_zone) between 1 and 64),
  currency   text not null check (currency ~ '^[A-Z]{3}$'),
  plan_id    uuid not null,
  limits     jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table tenant_state is 'The tenant itself. A store that has no row for a tenant does not hold it.';
comment on column tenant_state.time_zone is 'IANA name: the zone of the tenant''s calendar.';
comment on column tenant_state.currency is 'ISO 4217 code: the currency of its prices.';
comment on column tenant_state.plan_id is 'Of the directory''s plans. No foreign key: the directory may be another database.';
comment on column tenant_state.limits is 'The plan''s limits, copied when the plan was taken, so that a quota is checked where it is counted.';

alter table tenant_state enable row level security;
alter table tenant_state force row level security;
-- Every scope of the tenant may know which tenant it is in.
create policy tenant_state_select on tenant_state for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Only a platform scope makes a tenant.
create policy tenant_state_insert on tenant_state for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
-- No update and no delete is granted yet: nothing changes a tenant.
grant select (tenant_id, slug, name, state, isolation, time_zone, currency, plan_id, limits, created_at, updated_at),
  insert (tenant_id, slug, name, time_zone, currency, plan_id, limits, created_at, updated_at)
  on tenant_state to tenantry_app;
