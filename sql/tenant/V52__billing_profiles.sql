-- The address on a tenant's invoices. Separate from billing_accounts, because the administrator may change it.
create table billing_profiles (
  tenant_id  uuid primary key references tenant_state (tenant_id) on delete cascade,
  legal_name text check (length(legal_name) between 1 and 200),
  address    text check (length(address) between 1 and 500),
  tax_id     text check (length(tax_id) between 1 and 40),
  email      text check (length(email) between 3 and 320),
  updated_at timestamptz not null
);
comment on table billing_profiles is 'Name and address on invoices.';
comment on column billing_profiles.email is 'The recipient of invoices; null: every administrator.';

alter table billing_profiles enable row level security;
alter table billing_profiles force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy billing_profiles_select on billing_profiles for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Only the tenant's administrator.
create policy billing_profiles_insert on billing_profiles for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- Only the tenant's administrator.
create policy billing_profiles_update on billing_profiles for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No delete is granted.
grant select (tenant_id, legal_name, address, tax_id, email, updated_at),
  insert (tenant_id, legal_name, address, tax_id, email, updated_at),
  update (legal_name, address, tax_id, email, updated_at) on billing_profiles to tenantry_app;
