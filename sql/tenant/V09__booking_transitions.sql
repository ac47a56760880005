-- What happened to a booking, step by step. The first step has no `from_status`.
create table booking_transitions (
  tenant_id   uuid not null,
  id          uuid not null,
  booking_id  uuid not null,
  customer_id uuid not null,
  from_status text check (from_status in
                ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  to_status   text not null check (to_status in
                ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  actor_id    uuid,
  reason      text check (length(reason) <= 500),
  at          timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict
);
comment on table booking_transitions is 'The history of every booking.';
comment on column booking_transitions.customer_id is 'The booking''s customer, repeated here because a policy looks at its own row only.';
comment on column booking_transitions.actor_id is 'The user who did it; null for background work.';

create index booking_transitions_booking on booking_transitions (tenant_id, booking_id, at, id);
alter table booking_transitions enable row level security;
alter table booking_transitions force row level security;
-- Whoever sees the booking sees its history.
create policy booking_transitions_select on booking_transitions for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- Whoever may change the booking writes its history, in his own name.
create policy booking_transitions_insert on booking_transitions for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and actor_id = current_user_id()
    and (current_app_role() in ('ADMIN', 'STAFF')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- No update and no delete is granted: history is not rewritten.
grant select (tenant_id, id, booking_id, customer_id, from_status, to_status, actor_id, reason, at),
  insert (tenant_id, id, booking_id, customer_id, from_status, to_status, actor_id, reason, at)
  on booking_transitions to tenantry_app;
