-- Usage, one row per event: written once, in the transaction that causes it, together with its day's sum and its quota.
create table usage_events (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  source      text not null check (length(source) between 1 and 100),
  event_id    text not null check (length(event_id) between 1 and 200),
  meter       text not null check (meter ~ '^[a-z][a-z0-9_]{0,39}$'),
  quantity    bigint not null check (quantity between 0 and 1000000000000),
  occurred_at timestamptz not null,
  counted_at  timestamptz not null,
  recorded_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, source, event_id),
  check (counted_at >= occurred_at)
);
comment on table usage_events is 'Events of usage. Invoices are rated from them and can be rated again.';
comment on column usage_events.id is 'UUIDv5 of source and event_id: the same event has the same id, so it exists once.';
comment on column usage_events.quantity is 'Units; for the meter users, the number of users from then on.';
comment on column usage_events.counted_at is 'The instant for which it is billed: when it occurred, or, if that was already billed, the first instant that was not.';

create index usage_events_meter on usage_events (tenant_id, meter, counted_at) include (quantity);

alter table usage_events enable row level security;
alter table usage_events force row level security;
-- The API shows usage only to administrators.
create policy usage_events_select on usage_events for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- A booking or a new user is an event, so every scope that creates one writes it.
create policy usage_events_insert on usage_events for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER'));
-- No update and no delete is granted: usage is a record.
grant select (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at),
  insert (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
    on usage_events to tenantry_app;
