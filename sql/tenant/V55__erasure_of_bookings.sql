-- What hangs on bookings goes with its tenant, as bookings do: see V28. (Expands V45, V47, V51.)
alter table occurrences add foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade;
alter table booking_series add foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade;
alter table waitlist_entries add foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade;
