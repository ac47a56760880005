-- The services that a tenant offers for booking. A rule that is null takes the tenant's.
create table services (
  tenant_id                 uuid not null references tenant_state (tenant_id) on delete cascade,
  id                        uuid not null,
  name                      text not null check (length(name) between 1 and 200),
  description               text check (length(description) <= 5000),
  duration_minutes          integer not null check (duration_minutes between 1 and 1440),
  price_minor               bigint not null check (price_minor >= 0),
  currency                  text not null check (currency ~ '^[A-Z]{3}$'),
  capacity                  integer not null check (capacity between 1 and 100),
  requires_confirmation     boolean not null,
  active                    boolean not null default true,
  created_at                timestamptz not null,
  updated_at                timestamptz not null,
  buffer_before_minutes     integer not null default 0 check (buffer_before_minutes between 0 and 1440),
  buffer_after_minutes      integer not null default 0 check (buffer_after_minutes between 0 and 1440),
  min_notice_minutes        integer check (min_notice_minutes between 0 and 525600),
  max_ahead_days            integer check (max_ahead_days between 1 and 732),
  cancel_notice_minutes     integer check (cancel_notice_minutes between 0 and 525600),
  reschedule_notice_minutes integer check (reschedule_notice_minutes between 0 and 525600),
  slot_step_minutes         integer check (slot_step_minutes between 5 and 1440),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
comment on table services is 'Services that can be booked.';
comment on column services.price_minor is 'Price of one booking, in minor units of the currency.';
comment on column services.capacity is 'How many bookings may exist at the same time.';
comment on column services.requires_confirmation is 'Whether a booking waits as PENDING until staff confirm it.';
comment on column services.buffer_before_minutes is 'How long before its start a booking occupies its resources.';
comment on column services.buffer_after_minutes is 'How long after its end a booking occupies its resources.';
comment on column services.min_notice_minutes is 'The latest time before its start at which a customer can book.';
comment on column services.max_ahead_days is 'How many days ahead a customer can book at most.';
comment on column services.cancel_notice_minutes is 'The latest time before its start at which a customer can cancel.';
comment on column services.reschedule_notice_minutes is 'The latest time before its start at which a customer can move it; null: as for cancelling.';
comment on column services.slot_step_minutes is 'Customers book at multiples of this many minutes after opening; null: at any time, and offered times are one duration apart.';

alter table services enable row level security;
alter table services force row level security;
-- Everyone in the tenant, including inactive services: a past booking names its service. Lists for customers omit them.
create policy services_select on services for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'WORKER'));
-- The administrator manages the list.
create policy services_insert on services for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator manages the list.
create policy services_update on services for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- The administrator manages the list; a service with bookings stays, by its foreign keys.
create policy services_delete on services for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
grant select (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity,
    requires_confirmation, active, created_at, updated_at, buffer_before_minutes, buffer_after_minutes,
    min_notice_minutes, max_ahead_days, cancel_notice_minutes, reschedule_notice_minutes, slot_step_minutes),
  insert (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation,
    created_at, updated_at, buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days,
    cancel_notice_minutes, reschedule_notice_minutes, slot_step_minutes),
  update (name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active,
    updated_at, buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes,
    reschedule_notice_minutes, slot_step_minutes), delete on services to tenantry_app;
