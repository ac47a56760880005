-- Password hashes. A separate table, so that no query on users can include a hash.
create table credentials (
  tenant_id     uuid not null,
  user_id       uuid not null,
  password_hash text not null check (password_hash like '$argon2id$%'),
  updated_at    timestamptz not null,
  primary key (tenant_id, user_id),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
comment on table credentials is 'Password hashes, visible only to the sign-in path.';
comment on column credentials.password_hash is 'Argon2id in PHC string format.';

alter table credentials enable row level security;
alter table credentials force row level security;
-- Not even an administrator of the tenant may see a hash.
create policy credentials_select on credentials for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path stores the first hash of a user.
create policy credentials_insert on credentials for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path replaces a hash once it has checked the password that it belongs to.
create policy credentials_update on credentials for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Erasing a person removes it, in the sign-in path, the only scope that sees it.
create policy credentials_delete on credentials for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
grant select (tenant_id, user_id, password_hash, updated_at),
  insert (tenant_id, user_id, password_hash, updated_at),
  update (password_hash, updated_at), delete on credentials to tenantry_app;
