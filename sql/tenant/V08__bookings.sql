-- A booking holds one seat of one service for one half-open interval.
create table bookings (
  tenant_id   uuid not null,
  id          uuid not null,
  service_id  uuid not null,
  customer_id uuid not null,
  seat        smallint not null check (seat >= 0),
  starts_at   timestamptz not null check (isfinite(starts_at)),
  ends_at     timestamptz not null check (isfinite(ends_at)),
  time_zone   text not null check (length(time_zone) between 1 and 64),
  status      text not null check (status in
                ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  price_minor bigint not null check (price_minor >= 0),
  currency    text not null check (currency ~ '^[A-Z]{3}$'),
  notes       text check (length(notes) <= 2000),
  version     integer not null default 1 check (version >= 1),
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, service_id) references services (tenant_id, id) on delete restrict,
  foreign key (tenant_id, customer_id) references users (tenant_id, id) on delete restrict,
  check (starts_at < ends_at),
  -- The last word on double bookings. Bounded, not empty and half-open by the checks above; the predicate names no
  -- clock, so it means the same at every instant.
  constraint bookings_no_overlap exclude using gist
    (tenant_id with =, service_id with =, seat with =, tstzrange(starts_at, ends_at, '[)') with &&)
    where (status in ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW'))
);
comment on table bookings is 'Bookings. starts_at and ends_at are also kept for queries: && is not leakproof, so under row-level security no range index would serve them.';
comment on column bookings.seat is 'Which of the service''s seats it holds, from 0 to capacity - 1.';
comment on column bookings.time_zone is 'IANA zone in which the booking was made.';
comment on column bookings.price_minor is 'Price agreed at the time of booking, in minor units of the currency.';
comment on column bookings.version is 'Counts the changes, for compare-and-swap.';

create index bookings_starts_at on bookings (tenant_id, starts_at, id);
create index bookings_created_at on bookings (tenant_id, created_at, id);
create index bookings_customer on bookings (tenant_id, customer_id, starts_at, id);
create index bookings_service on bookings (tenant_id, service_id, starts_at, id);
alter table bookings enable row level security;
alter table bookings force row level security;
-- Customers see their own; staff see the calendar.
create policy bookings_select on bookings for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Customers book for themselves; staff for anybody.
create policy bookings_insert on bookings for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Staff move a booking through its states; all that a customer can make of his own is a cancelled one.
create policy bookings_update on bookings for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and status = 'CANCELLED')));
-- No delete policy and no delete grant: a booking is cancelled, never removed. Its time, service and price are fixed.
grant select (tenant_id, id, service_id, customer_id, seat, starts_at, ends_at, time_zone, status, price_minor, currency, notes, version, created_at, updated_at),
  insert (tenant_id, id, service_id, customer_id, seat, starts_at, ends_at, time_zone, status, price_minor, currency, notes, created_at, updated_at),
  update (status, version, updated_at) on bookings to tenantry_app;
