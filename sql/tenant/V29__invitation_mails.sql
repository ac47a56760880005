-- Invitation mails are counted too, so that nobody sends mail to the world in our name. (Expands V10.)
alter table usage_counters drop constraint usage_counters_meter_check;
alter table usage_counters add constraint usage_counters_meter_check check (meter in ('bookings', 'invitation_mails'));
comment on column usage_counters.meter is 'bookings: those made in a calendar month of the tenant''s zone. invitation_mails: those of a calendar month in UTC; no plan speaks of them. What can be counted at any time, as users, has no row here.';
