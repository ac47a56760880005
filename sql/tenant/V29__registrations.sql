-- Customers who registered and have not confirmed their email yet. Every request writes a row, whether the email is
-- known or not. It becomes a user once the owner of the mailbox presents both the mailed token and the password.
create table registrations (
  tenant_id     uuid not null references tenant_state (tenant_id) on delete cascade,
  id            uuid not null,
  email         text not null check (length(email) between 3 and 320),
  name          text not null check (length(name) between 1 and 200),
  password_hash text not null check (password_hash like '$argon2id$%'),
  created_at    timestamptz not null,
  expires_at    timestamptz not null,
  primary key (tenant_id, id)
);
comment on table registrations is 'Registrations waiting for their email to be confirmed.';

create index registrations_expires_at on registrations (tenant_id, expires_at);

alter table registrations enable row level security;
alter table registrations force row level security;
-- Only the sign-in path, because of the hash.
create policy registrations_select on registrations for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path stores a request.
create policy registrations_insert on registrations for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path removes confirmed and expired registrations.
create policy registrations_delete on registrations for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- No update is granted.
grant select (tenant_id, id, email, name, password_hash, created_at, expires_at),
  insert (tenant_id, id, email, name, password_hash, created_at, expires_at), delete on registrations to tenantry_app;
