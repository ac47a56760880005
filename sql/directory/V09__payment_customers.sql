-- Maps a payment provider's customer to its tenant. Written before the customer can pay, and the only way from an event
-- of the provider to a tenant: tenant data in the event itself is not trusted.
create table payment_customers (
  provider     text not null check (length(provider) between 1 and 20),
  customer_ref text not null check (length(customer_ref) between 1 and 255),
  tenant_id    uuid not null references tenants (id) on delete cascade,
  primary key (provider, customer_ref)
);
comment on table payment_customers is 'Customers of payment providers and their tenants.';

create index payment_customers_tenant on payment_customers (tenant_id);

alter table payment_customers enable row level security;
alter table payment_customers force row level security;
-- The inbox of events looks tenants up; background work of a tenant sees its own.
create policy payment_customers_select on payment_customers for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'WORKER' and tenant_id = current_tenant_id()));
-- Background work records the customer of its own tenant.
create policy payment_customers_insert on payment_customers for insert to tenantry_app
  with check (current_app_role() = 'WORKER' and tenant_id = current_tenant_id());
-- No update and no delete is granted: a row is removed with its tenant.
grant select (provider, customer_ref, tenant_id),
  insert (provider, customer_ref, tenant_id) on payment_customers to tenantry_app;
