-- The history tells of a booking that was moved, too. (Expands V09.)
alter table booking_transitions add column moved_from timestamptz;
alter table booking_transitions add column moved_to timestamptz;
comment on column booking_transitions.moved_from is 'When it was to start before it was moved; null for a step that moved nothing.';
grant select (moved_from, moved_to), insert (moved_from, moved_to) on booking_transitions to tenantry_app;
