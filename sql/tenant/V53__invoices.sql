-- What a tenant owes: one invoice for each instant at which a charge is due. Amounts are set when it is created and
-- never change; its number is assigned when it is issued.
create table invoices (
  tenant_id       uuid not null references tenant_state (tenant_id) on delete cascade,
  id              uuid not null,
  subscription_id uuid not null,
  falls_due       timestamptz not null,
  state           text not null default 'DRAFT' check (state in ('DRAFT', 'OPEN', 'PAID', 'VOID', 'UNCOLLECTIBLE')),
  number          bigint check (number >= 1),
  currency        text not null check (currency ~ '^[A-Z]{3}$'),
  net_minor       bigint not null,
  tax_minor       bigint not null,
  total_minor     bigint not null check (total_minor >= 0),
  paid_minor      bigint not null default 0 check (paid_minor >= 0),
  credited_minor  bigint not null default 0 check (credited_minor >= 0),
  tax_rate_ppm    integer not null,
  tax_name        text not null,
  recipient       jsonb not null check (jsonb_typeof(recipient) = 'object'),
  created_at      timestamptz not null,
  issued_at       timestamptz,
  due_at          timestamptz,
  settled_at      timestamptz,
  attempts        integer not null default 0 check (attempts >= 0),
  overdue_since   timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, number),
  unique (tenant_id, subscription_id, falls_due),
  foreign key (tenant_id, subscription_id) references subscriptions (tenant_id, id) on delete restrict,
  check ((number is null) = (state = 'DRAFT')),
  check ((issued_at is null) = (state = 'DRAFT')),
  check ((due_at is null) = (state = 'DRAFT'))
);
comment on table invoices is 'Invoices of the platform to the tenant.';
comment on column invoices.falls_due is 'The instant that it is for: flat fees from then on, usage until then.';
comment on column invoices.number is 'From 1 without gaps, in the order of issue.';
comment on column invoices.net_minor is 'The sum of its lines without tax, and without amounts carried from or to another invoice.';
comment on column invoices.total_minor is 'The sum of all its lines with tax.';
comment on column invoices.credited_minor is 'The amount that credit notes deducted before it was paid.';
comment on column invoices.recipient is 'Name, address and tax id at that time.';
comment on column invoices.due_at is 'The payment deadline.';
comment on column invoices.attempts is 'How many payments were attempted.';
comment on column invoices.overdue_since is 'When it first could not be collected: retries and the grace period are counted from then.';

alter table invoices enable row level security;
alter table invoices force row level security;
-- The tenant's administrators see issued invoices; billing runs as background work or in a platform scope.
create policy invoices_select on invoices for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('WORKER', 'PLATFORM_ADMIN') or (current_app_role() = 'ADMIN' and state <> 'DRAFT')));
-- Billing creates drafts.
create policy invoices_insert on invoices for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN') and state = 'DRAFT');
-- A paid or void invoice stays so, and no issued one becomes a draft again.
create policy invoices_update on invoices for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN')
    and state in ('DRAFT', 'OPEN', 'UNCOLLECTIBLE'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN') and state <> 'DRAFT');
-- No delete is granted, and amounts cannot be updated.
grant select (tenant_id, id, subscription_id, falls_due, state, number, currency, net_minor, tax_minor, total_minor,
    paid_minor, credited_minor, tax_rate_ppm, tax_name, recipient, created_at, issued_at, due_at, settled_at, attempts,
    overdue_since),
  insert (tenant_id, id, subscription_id, falls_due, currency, net_minor, tax_minor, total_minor, tax_rate_ppm,
    tax_name, recipient, created_at),
  update (state, number, paid_minor, credited_minor, issued_at, due_at, settled_at, attempts, overdue_since)
    on invoices to tenantry_app;
