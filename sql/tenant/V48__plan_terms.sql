-- The terms of each plan version that the tenant has ever taken, copied from the directory. So the agreed terms are
-- available even when the directory is not, and lines of invoices reference them.
create table plan_terms (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  version_id uuid not null,
  plan_id    uuid not null,
  plan_key   text not null check (length(plan_key) between 1 and 40),
  plan_name  text not null check (length(plan_name) between 1 and 100),
  version    integer not null check (version >= 1),
  terms      jsonb not null check (jsonb_typeof(terms) = 'object'),
  taken_at   timestamptz not null,
  primary key (tenant_id, version_id)
);
comment on table plan_terms is 'Versions of plans that the tenant has taken. A version never changes, so neither does its copy.';
comment on column plan_terms.terms is 'As in the directory''s plan_versions.';

alter table plan_terms enable row level security;
alter table plan_terms force row level security;
-- The tenant's administrators see what they pay for; billing runs as background work or in a platform scope.
create policy plan_terms_select on plan_terms for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Billing copies a version when the tenant takes it.
create policy plan_terms_insert on plan_terms for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No update and no delete is granted.
grant select (tenant_id, version_id, plan_id, plan_key, plan_name, version, terms, taken_at),
  insert (tenant_id, version_id, plan_id, plan_key, plan_name, version, terms, taken_at) on plan_terms to tenantry_app;
