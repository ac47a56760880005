-- How much of a meter was used in a period. One conditional update counts it in the transaction that uses it, so a
-- quota can be neither exceeded nor lost. Any meter can have a quota.
create table usage_counters (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete cascade,
  meter        text not null check (meter ~ '^[a-z][a-z0-9_]{0,39}$'),
  period_start timestamptz not null,
  period_end   timestamptz not null check (period_end > period_start),
  used         bigint not null check (used >= 0),
  primary key (tenant_id, meter, period_start)
);
comment on table usage_counters is 'Usage by meter and period.';
comment on column usage_counters.meter is 'bookings: those made in a calendar month of the tenant''s zone. invitation_mails: those of a calendar month in UTC; no plan limits them. Objects that can be counted at any time, such as users, have no row here.';

alter table usage_counters enable row level security;
alter table usage_counters force row level security;
-- An upsert reads the row that it adds to; the API shows usage only to administrators.
create policy usage_counters_select on usage_counters for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The first use in a period creates its row.
create policy usage_counters_insert on usage_counters for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER'));
-- Each further use is added, and a use that was undone is subtracted.
create policy usage_counters_update on usage_counters for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER'));
-- No delete is granted: usage is billed.
grant select (tenant_id, meter, period_start, period_end, used),
  insert (tenant_id, meter, period_start, period_end, used),
  update (used) on usage_counters to tenantry_app;
