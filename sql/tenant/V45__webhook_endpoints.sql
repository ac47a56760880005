-- The endpoints at which a tenant's own systems receive events.
create table webhook_endpoints (
  tenant_id       uuid not null references tenant_state (tenant_id) on delete cascade,
  id              uuid not null,
  url             text not null check (length(url) between 1 and 2000),
  description     text check (length(description) <= 200),
  events          text[] not null check (cardinality(events) <= 50),
  enabled         boolean not null default true,
  disabled_reason text check (disabled_reason in ('FAILING', 'GONE')),
  failures        integer not null default 0 check (failures >= 0),
  failing_since   timestamptz,
  paused_until    timestamptz,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  primary key (tenant_id, id),
  check (disabled_reason is null or not enabled)
);
comment on table webhook_endpoints is 'Endpoints of a tenant''s own systems.';
comment on column webhook_endpoints.events is 'The events it receives; empty: all.';
comment on column webhook_endpoints.disabled_reason is 'Why it was disabled automatically; null when it was not.';
comment on column webhook_endpoints.failures is 'How many attempts have failed since the last success.';
comment on column webhook_endpoints.paused_until is 'Nothing is sent before this instant, because it has just failed.';

alter table webhook_endpoints enable row level security;
alter table webhook_endpoints force row level security;
-- The administrator manages them; background work reads them.
create policy webhook_endpoints_select on webhook_endpoints for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'));
-- The administrator adds an endpoint.
create policy webhook_endpoints_insert on webhook_endpoints for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator changes it; background work records failures and pauses.
create policy webhook_endpoints_update on webhook_endpoints for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'));
-- The administrator removes it.
create policy webhook_endpoints_delete on webhook_endpoints for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
grant select (tenant_id, id, url, description, events, enabled, disabled_reason, failures, failing_since, paused_until,
    created_at, updated_at),
  insert (tenant_id, id, url, description, events, created_at, updated_at),
  update (url, description, events, enabled, disabled_reason, failures, failing_since, paused_until, updated_at),
  delete on webhook_endpoints to tenantry_app;
