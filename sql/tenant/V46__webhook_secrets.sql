-- The secrets that sign the messages to an endpoint. The newest one signs, and for a day the earlier ones as well, so
-- that the receiver can switch.
create table webhook_secrets (
  tenant_id   uuid not null,
  id          uuid not null,
  endpoint_id uuid not null,
  secret      bytea not null check (octet_length(secret) between 24 and 64),
  created_at  timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, endpoint_id) references webhook_endpoints (tenant_id, id) on delete cascade
);
comment on table webhook_secrets is 'Signing secrets. Shown once, when they are created.';

create index webhook_secrets_endpoint on webhook_secrets (tenant_id, endpoint_id, created_at);

alter table webhook_secrets enable row level security;
alter table webhook_secrets force row level security;
-- Only background work, which signs: not even the administrator who created a secret can read it again.
create policy webhook_secrets_select on webhook_secrets for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- The administrator creates them.
create policy webhook_secrets_insert on webhook_secrets for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- Background work removes those that no longer sign.
create policy webhook_secrets_delete on webhook_secrets for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
grant select (tenant_id, id, endpoint_id, secret, created_at),
  insert (tenant_id, id, endpoint_id, secret, created_at), delete on webhook_secrets to tenantry_app;
