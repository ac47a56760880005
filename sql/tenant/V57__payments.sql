-- Attempts to collect an invoice. The row exists before the provider is contacted, and its id is the key by which the
-- provider recognises a repeated request: an attempt is charged once, however often it is sent.
create table payments (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete cascade,
  id           uuid not null,
  invoice_id   uuid,
  checkout_id  uuid,
  state        text not null default 'PENDING' check (state in ('PENDING', 'SUCCEEDED', 'FAILED')),
  amount_minor bigint not null check (amount_minor > 0),
  currency     text not null check (currency ~ '^[A-Z]{3}$'),
  method_ref   text check (length(method_ref) between 1 and 255),
  provider     text not null check (length(provider) between 1 and 20),
  provider_ref text check (length(provider_ref) between 1 and 255),
  provider_at  timestamptz,
  failure      text check (length(failure) <= 500),
  created_at   timestamptz not null,
  settled_at   timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, provider, provider_ref),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id) on delete restrict,
  foreign key (tenant_id, checkout_id) references checkout_sessions (tenant_id, id) on delete restrict,
  check ((invoice_id is null) <> (checkout_id is null))
);
comment on table payments is 'Attempts to collect an invoice, and payments at a checkout. An overpayment is credit.';
comment on column payments.provider_at is 'When the provider reported it: earlier reports are ignored.';

create unique index payments_one_pending on payments (tenant_id, invoice_id) where state = 'PENDING';

alter table payments enable row level security;
alter table payments force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy payments_select on payments for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Only billing creates them.
create policy payments_insert on payments for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- Billing records the outcome; a successful payment stays successful.
create policy payments_update on payments for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN') and state <> 'SUCCEEDED')
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, id, invoice_id, checkout_id, state, amount_minor, currency, method_ref, provider, provider_ref,
    provider_at, failure, created_at, settled_at),
  insert (tenant_id, id, invoice_id, checkout_id, state, amount_minor, currency, method_ref, provider, provider_ref,
    provider_at, created_at, settled_at),
  update (state, provider_ref, provider_at, failure, settled_at) on payments to tenantry_app;
