-- What must happen outside once the transaction has committed: mail, webhooks, notifications. Written in the
-- transaction, carried out by background work, at least once.
create table outbox (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete restrict,
  id           uuid not null,
  kind         text not null check (kind ~ '^[a-z_]+\.[a-z_]+$'),
  payload      jsonb not null check (jsonb_typeof(payload) = 'object'),
  created_at   timestamptz not null,
  available_at timestamptz not null,
  attempts     integer not null default 0 check (attempts >= 0),
  last_error   text check (length(last_error) <= 2000),
  primary key (tenant_id, id)
);
comment on table outbox is 'Effects that wait to be carried out.';
comment on column outbox.payload is 'Ids and parameters of the effect. Holds no secrets.';
comment on column outbox.available_at is 'Not before this instant: the next attempt after a failure.';

create index outbox_available_at on outbox (tenant_id, available_at, id);
alter table outbox enable row level security;
alter table outbox force row level security;
-- Only background work reads it, notes a failure and takes out what is done.
create policy outbox_select on outbox for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
create policy outbox_update on outbox for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
create policy outbox_delete on outbox for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Whatever can change something can cause an effect.
create policy outbox_insert on outbox for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER'));
grant select (tenant_id, id, kind, payload, created_at, available_at, attempts, last_error),
  insert (tenant_id, id, kind, payload, created_at, available_at),
  update (available_at, attempts, last_error), delete on outbox to tenantry_app;
