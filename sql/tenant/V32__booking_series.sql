-- Bookings that were made together by a rule: every week, every second month. Bookings reference it, so its migration
-- comes before theirs.
create table booking_series (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid not null,
  customer_id uuid not null,
  rule        jsonb not null check (jsonb_typeof(rule) = 'object'),
  time_zone   text not null check (length(time_zone) between 1 and 64),
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  foreign key (tenant_id, customer_id) references users (tenant_id, id) on delete restrict
);
comment on table booking_series is 'Bookings that were made together. Each of them is independent.';
comment on column booking_series.rule is 'As requested: frequency, interval, weekdays, first day, time of day, count or last day.';
comment on column booking_series.time_zone is 'IANA zone in which the rule was expanded.';

create index booking_series_customer on booking_series (tenant_id, customer_id);

alter table booking_series enable row level security;
alter table booking_series force row level security;
-- As for bookings: customers see their own.
create policy booking_series_select on booking_series for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Customers book for themselves; staff for any customer.
create policy booking_series_insert on booking_series for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- No update and no delete is granted: a change of a series is a change of its bookings.
grant select (tenant_id, id, service_id, customer_id, rule, time_zone, created_at),
  insert (tenant_id, id, service_id, customer_id, rule, time_zone, created_at) on booking_series to tenantry_app;
