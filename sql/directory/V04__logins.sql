-- E-mail to tenant and user: what sign-in asks first. No password, no name, nothing else of a person.
create table logins (
  email     text not null check (length(email) between 3 and 320),
  tenant_id uuid not null references tenants (id) on delete restrict,
  user_id   uuid not null,
  primary key (email, tenant_id),
  unique (tenant_id, user_id)
);
comment on table logins is 'Which tenants an e-mail can sign in to. Holds no password: credentials are in the tenant''s own store.';
comment on column logins.email is 'Normalised: Unicode NFKC, lower case, trimmed.';

alter table logins enable row level security;
alter table logins force row level security;
-- Only the sign-in path may ask who belongs to which tenant.
create policy logins_select on logins for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
-- The sign-in path adds a login when somebody joins a tenant.
create policy logins_insert on logins for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id());
-- No update and no delete is granted yet: an e-mail is changed by joining under the new one.
grant select (email, tenant_id, user_id), insert (email, tenant_id, user_id) on logins to tenantry_app;
