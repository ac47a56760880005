-- Whoever watches bookings looks from time to time for what no hint told him of. (Expands V08.)
create index bookings_updated_at on bookings (tenant_id, updated_at);
