-- How a tenant pays: values that the platform sets, and those that the payment provider reported.
create table billing_accounts (
  tenant_id               uuid primary key references tenant_state (tenant_id) on delete cascade,
  tax_rate_ppm            integer not null default 0 check (tax_rate_ppm between 0 and 1000000),
  tax_name                text not null default 'VAT' check (length(tax_name) between 1 and 40),
  next_invoice_number     bigint not null default 1 check (next_invoice_number >= 1),
  next_credit_note_number bigint not null default 1 check (next_credit_note_number >= 1),
  provider                text check (length(provider) between 1 and 20),
  customer_ref            text check (length(customer_ref) between 1 and 255),
  method_ref              text check (length(method_ref) between 1 and 255),
  method_known_at         timestamptz,
  updated_at              timestamptz not null,
  check ((provider is null) = (customer_ref is null))
);
comment on table billing_accounts is 'How a tenant pays.';
comment on column billing_accounts.tax_rate_ppm is 'Tax on every line, in millionths: 210000 is 21 %.';
comment on column billing_accounts.next_invoice_number is 'Counted up in the transaction that issues an invoice, so that numbers have no gaps.';
comment on column billing_accounts.customer_ref is 'The payment provider''s reference for the tenant.';
comment on column billing_accounts.method_ref is 'The payment provider''s reference for the payment method.';
comment on column billing_accounts.method_known_at is 'When the provider reported it: earlier reports are ignored.';

alter table billing_accounts enable row level security;
alter table billing_accounts force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy billing_accounts_select on billing_accounts for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Billing creates the row.
create policy billing_accounts_insert on billing_accounts for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- Only billing changes it.
create policy billing_accounts_update on billing_accounts for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, tax_rate_ppm, tax_name, next_invoice_number, next_credit_note_number, provider, customer_ref,
    method_ref, method_known_at, updated_at),
  insert (tenant_id, updated_at),
  update (tax_rate_ppm, tax_name, next_invoice_number, next_credit_note_number, provider, customer_ref, method_ref,
    method_known_at, updated_at) on billing_accounts to tenantry_app;
