-- Events of payment providers, as received and once each. An event is kept until it has taken effect, and is listed for
-- the platform if it never does.
create table payment_events (
  provider     text not null check (length(provider) between 1 and 20),
  event_id     text not null check (length(event_id) between 1 and 255),
  kind         text not null check (length(kind) between 1 and 100),
  body         text check (length(body) <= 1048576),
  state        text not null default 'WAITING' check (state in ('WAITING', 'DONE', 'IGNORED', 'DEAD')),
  tenant_id    uuid,
  received_at  timestamptz not null,
  available_at timestamptz not null,
  attempts     integer not null default 0 check (attempts >= 0),
  last_error   text check (length(last_error) <= 500),
  primary key (provider, event_id)
);
comment on table payment_events is 'Events of payment providers, an inbox.';
comment on column payment_events.body is 'The signed text; null once the event is done.';
comment on column payment_events.state is 'IGNORED: concerns no tenant of this deployment. DEAD: given up after the last attempt, and listed for the platform.';
comment on column payment_events.available_at is 'Not processed before this instant: a worker is processing it, or the last attempt failed.';

create index payment_events_waiting on payment_events (available_at) where state = 'WAITING';
create index payment_events_dead on payment_events (received_at) where state = 'DEAD';

alter table payment_events enable row level security;
alter table payment_events force row level security;
-- The inbox works in a platform scope, and the platform lists dead events.
create policy payment_events_select on payment_events for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- The inbox stores an event before it answers the provider.
create policy payment_events_insert on payment_events for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- The inbox records attempts and the outcome.
create policy payment_events_update on payment_events for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- Finished events are removed after some weeks.
create policy payment_events_delete on payment_events for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state in ('DONE', 'IGNORED'));
grant select (provider, event_id, kind, body, state, tenant_id, received_at, available_at, attempts, last_error),
  insert (provider, event_id, kind, body, received_at, available_at),
  update (body, state, tenant_id, available_at, attempts, last_error), delete on payment_events to tenantry_app;
