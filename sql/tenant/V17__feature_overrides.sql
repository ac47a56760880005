-- Features that a platform administrator switched on or off for one tenant, overriding its plan.
create table feature_overrides (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  key        text not null check (key ~ '^[a-z][a-z0-9_]{0,39}$'),
  enabled    boolean not null,
  expires_at timestamptz,
  updated_at timestamptz not null,
  number     bigint check (number >= 0),
  primary key (tenant_id, key)
);
comment on table feature_overrides is 'Feature flags of one tenant that override its plan.';
comment on column feature_overrides.expires_at is 'When the plan applies again; null for never.';
comment on column feature_overrides.number is 'The amount that replaces the plan''s.';

alter table feature_overrides enable row level security;
alter table feature_overrides force row level security;
-- Every scope of the tenant checks what it may use.
create policy feature_overrides_select on feature_overrides for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Only platform administrators create overrides.
create policy feature_overrides_insert on feature_overrides for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
-- Only platform administrators change them.
create policy feature_overrides_update on feature_overrides for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
-- Only platform administrators remove them.
create policy feature_overrides_delete on feature_overrides for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
grant select (tenant_id, key, enabled, expires_at, updated_at, number),
  insert (tenant_id, key, enabled, expires_at, updated_at, number),
  update (enabled, expires_at, updated_at, number), delete on feature_overrides to tenantry_app;
