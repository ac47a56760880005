-- The mails that were sent about a booking, without their text.
create table booking_notices (
  tenant_id       uuid not null references tenant_state (tenant_id) on delete cascade,
  id              uuid not null,
  booking_id      uuid not null,
  customer_id     uuid not null,
  kind            text not null check (kind in
                    ('RECEIVED', 'CONFIRMED', 'MOVED', 'CANCELLED', 'REJECTED', 'REMINDER', 'OFFERED')),
  calendar_method text check (calendar_method in ('PUBLISH', 'REQUEST', 'CANCEL')),
  sent_at         timestamptz not null,
  primary key (tenant_id, booking_id, id),
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict
);
comment on table booking_notices is 'Mails about bookings that were handed to the mail server.';
comment on column booking_notices.id is 'The id of the outbox row whose mail it is; a mail about a series is about several bookings.';
comment on column booking_notices.customer_id is 'The booking''s customer, repeated here because a policy only sees its own row.';
comment on column booking_notices.calendar_method is 'What its calendar file asked for; null without a file.';

alter table booking_notices enable row level security;
alter table booking_notices force row level security;
-- A caller who sees the booking sees what its customer was told.
create policy booking_notices_select on booking_notices for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Background work records what it sent.
create policy booking_notices_insert on booking_notices for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- No update and no delete is granted: the log is not rewritten.
grant select (tenant_id, id, booking_id, customer_id, kind, calendar_method, sent_at),
  insert (tenant_id, id, booking_id, customer_id, kind, calendar_method, sent_at) on booking_notices to tenantry_app;
