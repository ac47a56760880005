-- Usage by day, for charts. The statement that records an event keeps it up to date.
create table usage_days (
  tenant_id uuid not null references tenant_state (tenant_id) on delete cascade,
  meter     text not null check (meter ~ '^[a-z][a-z0-9_]{0,39}$'),
  day       date not null,
  quantity  bigint not null check (quantity >= 0),
  events    bigint not null check (events >= 1),
  primary key (tenant_id, meter, day)
);
comment on table usage_days is 'Usage by meter and day.';
comment on column usage_days.day is 'The day on which it occurred, in the tenant''s zone at that time.';
comment on column usage_days.quantity is 'The sum; for the meter users, the maximum.';

alter table usage_days enable row level security;
alter table usage_days force row level security;
-- An upsert reads the row that it adds to; the API shows usage only to administrators.
create policy usage_days_select on usage_days for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- The first event of a day creates its row.
create policy usage_days_insert on usage_days for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER'));
-- Each further event adds to it.
create policy usage_days_update on usage_days for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER'))
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER'));
-- No delete is granted.
grant select (tenant_id, meter, day, quantity, events),
  insert (tenant_id, meter, day, quantity, events),
  update (quantity, events) on usage_days to tenantry_app;
