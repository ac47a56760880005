-- Which events of payment providers have taken effect. Written in the transaction of the effect, so that an event that
-- is received again, or by several processes at once, takes effect once.
create table handled_payment_events (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  provider   text not null check (length(provider) between 1 and 20),
  event_id   text not null check (length(event_id) between 1 and 255),
  handled_at timestamptz not null,
  primary key (tenant_id, provider, event_id)
);
comment on table handled_payment_events is 'Events of payment providers that have taken effect.';

alter table handled_payment_events enable row level security;
alter table handled_payment_events force row level security;
-- Only background work.
create policy handled_payment_events_select on handled_payment_events for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Background work, with the effect.
create policy handled_payment_events_insert on handled_payment_events for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- No update and no delete is granted.
grant select (tenant_id, provider, event_id, handled_at),
  insert (tenant_id, provider, event_id, handled_at) on handled_payment_events to tenantry_app;
