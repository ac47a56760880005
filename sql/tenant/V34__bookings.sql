-- A booking reserves a service for a customer, for one half-open interval. The resources or seats it occupies are in
-- booking_claims: its own claims, or those of its class (occurrences).
create table bookings (
  tenant_id     uuid not null references tenant_state (tenant_id) on delete cascade,
  id            uuid not null,
  service_id    uuid not null,
  customer_id   uuid not null,
  starts_at     timestamptz not null check (isfinite(starts_at)),
  ends_at       timestamptz not null check (isfinite(ends_at)),
  time_zone     text not null check (length(time_zone) between 1 and 64),
  status        text not null check (status in
                  ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  price_minor   bigint not null check (price_minor >= 0),
  currency      text not null check (currency ~ '^[A-Z]{3}$'),
  notes         text check (length(notes) <= 2000),
  version       integer not null default 1 check (version >= 1),
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  held_until    timestamptz,
  occurrence_id uuid,
  holds_seat    boolean not null default false,
  series_id     uuid,
  metered_as    uuid,
  primary key (tenant_id, id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  foreign key (tenant_id, customer_id) references users (tenant_id, id) on delete restrict,
  foreign key (tenant_id, occurrence_id) references occurrences (tenant_id, id) on delete restrict,
  foreign key (tenant_id, series_id) references booking_series (tenant_id, id) on delete restrict,
  check (starts_at < ends_at),
  constraint bookings_held_until_check check ((status = 'HELD') = (held_until is not null)),
  constraint bookings_holds_seat_check check (not holds_seat or occurrence_id is not null),
  -- A booking names its usage event, and no other booking names it: none is unmetered, none metered twice. Holds, and
  -- holds that expired or were cancelled, are not metered.
  constraint bookings_metered check (metered_as is not null or status in ('HELD', 'EXPIRED', 'CANCELLED')),
  constraint bookings_metered_once unique (tenant_id, metered_as),
  constraint bookings_metered_as_fkey
    foreign key (tenant_id, metered_as) references usage_events (tenant_id, id) on delete restrict
);
comment on table bookings is 'Bookings. starts_at and ends_at are also kept for queries: && is not leakproof, so under row-level security no range index could be used.';
comment on column bookings.time_zone is 'IANA zone in which the booking was made.';
comment on column bookings.price_minor is 'Price agreed at the time of booking, in minor units of the currency.';
comment on column bookings.version is 'Counts the changes, for compare-and-swap.';
comment on column bookings.held_until is 'When a HELD booking expires; null for all others. A constraint cannot know the time, so the next booking that needs the slot releases it.';
comment on column bookings.occurrence_id is 'The class in which it has, or last had, a seat.';
comment on column bookings.holds_seat is 'Whether it takes a seat of its class.';
comment on column bookings.series_id is 'The series it belongs to; null for a single booking.';
comment on column bookings.metered_as is 'Its usage event.';

create index bookings_starts_at on bookings (tenant_id, starts_at, id);
create index bookings_created_at on bookings (tenant_id, created_at, id);
create index bookings_customer on bookings (tenant_id, customer_id, starts_at, id);
create index bookings_service on bookings (tenant_id, service_id, starts_at, id);
-- Subscriptions poll for changes whose notification did not reach them.
create index bookings_updated_at on bookings (tenant_id, updated_at);
create index bookings_occurrence on bookings (tenant_id, occurrence_id) where occurrence_id is not null;
create index bookings_series on bookings (tenant_id, series_id, starts_at) where series_id is not null;
-- Booking releases expired holds first: this index lets it read holds instead of all bookings.
create index bookings_held on bookings (tenant_id, held_until) where status = 'HELD';

alter table bookings enable row level security;
alter table bookings force row level security;
-- Customers see their own; staff see the calendar.
create policy bookings_select on bookings for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Customers book for themselves, staff for any customer; background work only holds times to offer them.
create policy bookings_insert on bookings for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'WORKER' and status = 'HELD')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Staff change any booking; customers only cancel theirs, and move and confirm it through functions.
create policy bookings_update on bookings for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and status = 'CANCELLED')));
-- No delete policy and no delete grant: a booking is cancelled, never removed. Its service, customer and price are
-- fixed. Notes can be updated so that a person can be erased.
grant select (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency,
    notes, version, created_at, updated_at, held_until, occurrence_id, holds_seat, series_id, metered_as),
  insert (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency, notes,
    created_at, updated_at, held_until, series_id, metered_as),
  update (starts_at, ends_at, time_zone, status, notes, version, updated_at, held_until, occurrence_id, holds_seat,
    metered_as) on bookings to tenantry_app;
