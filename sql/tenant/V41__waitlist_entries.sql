-- Customers who wait for a time that is taken.
create table waitlist_entries (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  service_id  uuid not null,
  customer_id uuid not null,
  resource_id uuid,
  starts_at   timestamptz not null check (isfinite(starts_at)),
  created_at  timestamptz not null,
  left_at     timestamptz,
  booking_id  uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete cascade,
  foreign key (tenant_id, customer_id) references users (tenant_id, id) on delete cascade,
  foreign key (tenant_id, resource_id) references resources (tenant_id, id) on delete cascade,
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict
);
comment on table waitlist_entries is 'Customers waiting for a time, ordered by created_at.';
comment on column waitlist_entries.resource_id is 'Only with this resource; null for any.';
comment on column waitlist_entries.left_at is 'When the customer left the list.';
comment on column waitlist_entries.booking_id is 'The hold that offers the time. Its status is the status of the offer.';

-- Once for the same time and resource: a customer may wait for Anna and for Bob.
create unique index waitlist_entries_waiting
  on waitlist_entries (tenant_id, customer_id, service_id, starts_at, resource_id)
  nulls not distinct where left_at is null and booking_id is null;
create index waitlist_entries_line on waitlist_entries (tenant_id, starts_at) where left_at is null and booking_id is null;
create index waitlist_entries_created_at on waitlist_entries (tenant_id, created_at, id);

alter table waitlist_entries enable row level security;
alter table waitlist_entries force row level security;
-- As for bookings: customers see their own.
create policy waitlist_entries_select on waitlist_entries for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Customers join for themselves; staff add any customer.
create policy waitlist_entries_insert on waitlist_entries for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and booking_id is null
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Customers leave the list; background work records what it has offered.
create policy waitlist_entries_update on waitlist_entries for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and left_at is not null)));
-- No delete is granted.
grant select (tenant_id, id, service_id, customer_id, resource_id, starts_at, created_at, left_at, booking_id),
  insert (tenant_id, id, service_id, customer_id, resource_id, starts_at, created_at),
  update (left_at, booking_id) on waitlist_entries to tenantry_app;
