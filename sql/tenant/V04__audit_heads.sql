-- The head of each tenant's audit chain. Appending an event locks this row, as the last step before the commit.
create table audit_heads (
  tenant_id uuid primary key references tenant_state (tenant_id) on delete cascade,
  seq       bigint not null check (seq >= 0),
  hash      bytea not null check (octet_length(hash) = 32)
);
comment on table audit_heads is 'How many audit events a tenant has, and the hash of the last one.';

alter table audit_heads enable row level security;
alter table audit_heads force row level security;
-- Every scope whose actions are logged appends, and reads where the chain ends.
create policy audit_heads_select on audit_heads for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- The first event of a tenant creates its row.
create policy audit_heads_insert on audit_heads for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Each event moves the head.
create policy audit_heads_update on audit_heads for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, seq, hash), insert (tenant_id, seq, hash), update (seq, hash) on audit_heads to tenantry_app;
