-- The lines of an invoice. Each names the price and version it was rated by, and the time it covers, so it can be rated
-- again. Nothing is billed twice: a period has one line per kind and price.
create table invoice_lines (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  id         uuid not null,
  invoice_id uuid not null,
  position   integer not null check (position >= 1),
  kind       text not null check (kind in ('FLAT', 'CREDIT', 'USAGE', 'BALANCE')),
  period_id  uuid,
  version_id uuid,
  price_id   uuid,
  name       text not null check (length(name) between 1 and 300),
  meter      text,
  quantity   bigint,
  covers_from timestamptz,
  covers_to   timestamptz,
  net_minor  bigint not null,
  tax_minor  bigint not null,
  primary key (tenant_id, id),
  unique (tenant_id, invoice_id, position),
  constraint invoice_lines_once unique (tenant_id, period_id, price_id, kind),
  foreign key (tenant_id, invoice_id) references invoices (tenant_id, id) on delete restrict,
  foreign key (tenant_id, period_id) references subscription_periods (tenant_id, id) on delete restrict,
  foreign key (tenant_id, version_id) references plan_terms (tenant_id, version_id) on delete restrict,
  check ((kind = 'BALANCE') = (period_id is null)),
  check ((period_id is null) = (price_id is null) and (period_id is null) = (version_id is null)
    and (period_id is null) = (covers_from is null) and (covers_from is null) = (covers_to is null)),
  check ((kind = 'USAGE') = (meter is not null) and (kind = 'USAGE') = (quantity is not null)),
  check (kind <> 'BALANCE' or tax_minor = 0)
);
comment on table invoice_lines is 'Lines of invoices.';
comment on column invoice_lines.kind is 'FLAT: a fee in advance. CREDIT: the unused part of such a fee. USAGE: metered usage. BALANCE: carried to the next invoice (above 0) or from the one before (below).';
comment on column invoice_lines.net_minor is 'Rounded once, here.';
comment on column invoice_lines.tax_minor is 'Rounded once, here.';

alter table invoice_lines enable row level security;
alter table invoice_lines force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy invoice_lines_select on invoice_lines for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Billing writes the lines with their invoice.
create policy invoice_lines_insert on invoice_lines for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No update and no delete is granted.
grant select (tenant_id, id, invoice_id, position, kind, period_id, version_id, price_id, name, meter, quantity,
    covers_from, covers_to, net_minor, tax_minor),
  insert (tenant_id, id, invoice_id, position, kind, period_id, version_id, price_id, name, meter, quantity,
    covers_from, covers_to, net_minor, tax_minor) on invoice_lines to tenantry_app;
