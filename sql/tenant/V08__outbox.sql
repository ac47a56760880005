-- Effects outside the database: mail, webhooks, notifications. Written in the transaction that causes them, and carried
-- out by background work after the commit, at least once. An effect that failed for good stays as a dead letter for the
-- operator.
create table outbox (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete cascade,
  id           uuid not null,
  kind         text not null check (kind ~ '^[a-z_]+\.[a-z_]+$'),
  payload      jsonb not null check (jsonb_typeof(payload) = 'object'),
  created_at   timestamptz not null,
  available_at timestamptz not null,
  attempts     integer not null default 0 check (attempts >= 0),
  last_error   text check (length(last_error) <= 2000),
  dead_at      timestamptz,
  primary key (tenant_id, id)
);
comment on table outbox is 'Effects waiting to be carried out.';
comment on column outbox.payload is 'Ids and parameters of the effect. Contains no secrets.';
comment on column outbox.available_at is 'When it is due: later after a failed attempt.';
comment on column outbox.dead_at is 'When it was given up: the command line lists it and can schedule it again.';

create index outbox_available_at on outbox (tenant_id, available_at, id);
-- Each lane has its own index: mail is found at once, however many webhooks wait.
create index outbox_usual on outbox (tenant_id, available_at, id) where dead_at is null and kind <> 'webhooks.send';
create index outbox_webhooks on outbox (tenant_id, available_at, id) where dead_at is null and kind = 'webhooks.send';

alter table outbox enable row level security;
alter table outbox force row level security;
-- Only background work reads it.
create policy outbox_select on outbox for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Every scope that can change something can cause an effect.
create policy outbox_insert on outbox for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Background work records a failure, and when to retry.
create policy outbox_update on outbox for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Background work removes finished effects.
create policy outbox_delete on outbox for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
grant select (tenant_id, id, kind, payload, created_at, available_at, attempts, last_error, dead_at),
  insert (tenant_id, id, kind, payload, created_at, available_at),
  update (available_at, attempts, last_error, dead_at), delete on outbox to tenantry_app;
