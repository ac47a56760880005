-- Customers are reminded of their bookings. (Expands V17.)
alter table tenant_settings add column reminder_minutes integer not null default 1440 check (reminder_minutes between 0 and 43200);
comment on column tenant_settings.reminder_minutes is 'How long before its start a customer is reminded of a booking; 0: not at all.';
grant select (reminder_minutes), insert (reminder_minutes), update (reminder_minutes) on tenant_settings to tenantry_app;
