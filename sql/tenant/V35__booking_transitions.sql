-- The history of a booking, step by step. The first step has no `from_status`.
create table booking_transitions (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  booking_id  uuid not null,
  customer_id uuid not null,
  booking_version integer not null check (booking_version > 0),
  from_status text check (from_status in
                ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  to_status   text not null check (to_status in
                ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED', 'REJECTED', 'EXPIRED')),
  actor_id    uuid,
  reason      text check (length(reason) <= 500),
  at          timestamptz not null,
  moved_from  timestamptz,
  moved_to    timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, booking_id) references bookings (tenant_id, id) on delete restrict
);
comment on table booking_transitions is 'The history of every booking.';
comment on column booking_transitions.customer_id is 'The booking''s customer, repeated here because a policy only sees its own row.';
comment on column booking_transitions.booking_version is 'The booking version that this step created; it orders the steps.';
comment on column booking_transitions.actor_id is 'The user who did it; null for background work.';
comment on column booking_transitions.moved_from is 'The start before it was moved; null for a step that moved nothing.';

create unique index booking_transitions_booking on booking_transitions (tenant_id, booking_id, booking_version);

alter table booking_transitions enable row level security;
alter table booking_transitions force row level security;
-- A caller who sees the booking sees its history.
create policy booking_transitions_select on booking_transitions for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())));
-- A caller who may change the booking writes its history in their own name; background work writes without a name.
create policy booking_transitions_insert on booking_transitions for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and ((current_app_role() in ('ADMIN', 'STAFF') and actor_id = current_user_id())
      or (current_app_role() = 'USER' and actor_id = current_user_id() and customer_id = current_user_id())
      or (current_app_role() = 'WORKER' and actor_id is null)));
-- An administrator erases a reason that an erased person wrote.
create policy booking_transitions_update on booking_transitions for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- Only the reason can be updated, and no delete is granted: history is not rewritten.
grant select (tenant_id, id, booking_id, customer_id, booking_version, from_status, to_status, actor_id, reason, at,
    moved_from, moved_to),
  insert (tenant_id, id, booking_id, customer_id, booking_version, from_status, to_status, actor_id, reason, at,
    moved_from, moved_to),
  update (reason) on booking_transitions to tenantry_app;
