-- Deductions from an issued invoice, which itself never changes.
create table credit_notes (
  tenant_id     uuid not null references tenant_state (tenant_id) on delete cascade,
  id            uuid not null,
  invoice_id    uuid not null,
  number        bigint not null check (number >= 1),
  amount_minor  bigint not null check (amount_minor > 0),
  tax_minor     bigint not null check (tax_minor >= 0 and tax_minor <= amount_minor),
  balance_minor bigint not null check (balance_minor between 0 and amount_minor),
  currency      text not null check (currency ~ '^[A-Z]{3}$'),
  reason        text not null check (length(reason) between 1 and 500),
  issued_at     timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, number),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id) on delete restrict
);
comment on table credit_notes is 'Credit notes on invoices.';
comment on column credit_notes.number is 'From 1 without gaps.';
comment on column credit_notes.amount_minor is 'The amount including tax.';
comment on column credit_notes.tax_minor is 'The tax included in the amount.';
comment on column credit_notes.balance_minor is 'The part that was already paid, and is deducted from the next invoice; the rest is no longer owed.';

create index credit_notes_invoice on credit_notes (tenant_id, invoice_id);

alter table credit_notes enable row level security;
alter table credit_notes force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy credit_notes_select on credit_notes for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Only platform administrators issue credit notes.
create policy credit_notes_insert on credit_notes for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN');
-- No update and no delete is granted.
grant select (tenant_id, id, invoice_id, number, amount_minor, tax_minor, balance_minor, currency, reason, issued_at),
  insert (tenant_id, id, invoice_id, number, amount_minor, tax_minor, balance_minor, currency, reason, issued_at)
    on credit_notes to tenantry_app;
