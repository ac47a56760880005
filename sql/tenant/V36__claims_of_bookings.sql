-- Bookings of before hold seats of their services as claims too; the seat and its constraint go. (Contracts V08.)
alter table bookings no force row level security;
alter table booking_claims no force row level security;
insert into booking_claims (tenant_id, id, booking_id, customer_id, service_id, lane, blocked_from, blocked_to, active)
  select tenant_id, id, id, customer_id, service_id, seat, starts_at, ends_at,
         status in ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW')
    from bookings;
alter table bookings drop constraint bookings_no_overlap;
alter table bookings drop column seat;
alter table bookings force row level security;
alter table booking_claims force row level security;
-- A booking can be moved: its times change with its claims.
grant update (starts_at, ends_at, time_zone) on bookings to tenantry_app;
