-- What a service asks for beside its duration. Null takes the tenant's rule. (Expands V07.)
alter table services add column buffer_before_minutes integer not null default 0 check (buffer_before_minutes between 0 and 1440);
alter table services add column buffer_after_minutes integer not null default 0 check (buffer_after_minutes between 0 and 1440);
alter table services add column min_notice_minutes integer check (min_notice_minutes between 0 and 525600);
alter table services add column max_ahead_days integer check (max_ahead_days between 1 and 732);
alter table services add column cancel_notice_minutes integer check (cancel_notice_minutes between 0 and 525600);
alter table services add column reschedule_notice_minutes integer check (reschedule_notice_minutes between 0 and 525600);
comment on column services.buffer_before_minutes is 'How long before its start a booking holds its resources.';
comment on column services.buffer_after_minutes is 'How long after its end a booking holds its resources.';
comment on column services.min_notice_minutes is 'How long before its start a customer can book at the latest.';
comment on column services.max_ahead_days is 'How many days ahead a customer can book at most.';
comment on column services.cancel_notice_minutes is 'How long before its start a customer can cancel at the latest.';
comment on column services.reschedule_notice_minutes is 'How long before its start a customer can move it at the latest; null: as for cancelling.';
grant select (buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes, reschedule_notice_minutes),
  insert (buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes, reschedule_notice_minutes),
  update (buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes, reschedule_notice_minutes)
  on services to tenantry_app;
