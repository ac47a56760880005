-- The operators of the deployment. They belong to no tenant.
create table platform_administrators (
  id            uuid primary key,
  email         text not null unique check (length(email) between 3 and 320),
  name          text not null check (length(name) between 1 and 200),
  password_hash text not null check (password_hash like '$argon2id$%'),
  created_at    timestamptz not null
);
comment on table platform_administrators is 'Operators of the deployment; their only credentials.';
comment on column platform_administrators.email is 'Normalised: Unicode NFKC, lower case, trimmed.';
comment on column platform_administrators.password_hash is 'Argon2id in PHC string format.';

alter table platform_administrators enable row level security;
alter table platform_administrators force row level security;
-- Only the sign-in path may read a hash.
create policy platform_administrators_select on platform_administrators for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
-- Created from the command line, in a platform scope.
create policy platform_administrators_insert on platform_administrators for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- No update and no delete is granted.
grant select (id, email, name, password_hash, created_at),
  insert (id, email, name, password_hash, created_at) on platform_administrators to tenantry_app;
