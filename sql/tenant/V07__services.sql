-- What a tenant offers for booking.
create table services (
  tenant_id             uuid not null references tenant_state (tenant_id) on delete restrict,
  id                    uuid not null,
  name                  text not null check (length(name) between 1 and 200),
  description           text check (length(description) <= 5000),
  duration_minutes      integer not null check (duration_minutes between 1 and 1440),
  price_minor           bigint not null check (price_minor >= 0),
  currency              text not null check (currency ~ '^[A-Z]{3}$'),
  capacity              integer not null check (capacity between 1 and 100),
  requires_confirmation boolean not null,
  active                boolean not null default true,
  created_at            timestamptz not null,
  updated_at            timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
comment on table services is 'What can be booked.';
comment on column services.price_minor is 'Price of one booking, in minor units of the currency.';
comment on column services.capacity is 'How many bookings may stand at the same time.';
comment on column services.requires_confirmation is 'Whether a booking waits as PENDING until staff confirm it.';

alter table services enable row level security;
alter table services force row level security;
-- Everybody of the tenant, inactive ones too: a past booking still names its service. Lists leave them out for customers.
create policy services_select on services for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator keeps the list.
create policy services_insert on services for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
create policy services_update on services for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
create policy services_delete on services for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
grant select (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, created_at, updated_at),
  insert (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, created_at, updated_at),
  update (name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, updated_at),
  delete on services to tenantry_app;
