-- Maps an email to tenant and user: the first step of sign-in. Contains no password, no name, and no other personal
-- data.
create table logins (
  email     text not null check (length(email) between 3 and 320),
  tenant_id uuid not null references tenants (id) on delete restrict,
  user_id   uuid not null,
  verified  boolean not null default true,
  primary key (email, tenant_id),
  unique (tenant_id, user_id)
);
comment on table logins is 'Which tenants an email can sign in to. Contains no password: credentials are in the tenant''s own store.';
comment on column logins.email is 'Normalised: Unicode NFKC, lower case, trimmed.';
comment on column logins.verified is 'Whether the user has proved that they own the mailbox.';

alter table logins enable row level security;
alter table logins force row level security;
-- Sign-in looks up which tenants an email belongs to; other scopes see one tenant.
create policy logins_select on logins for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR'
    or (current_app_role() in ('WORKER', 'PLATFORM_ADMIN') and tenant_id = current_tenant_id()));
-- The sign-in path adds a login when a person joins a tenant.
create policy logins_insert on logins for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id());
-- The sign-in path records that the mailbox was verified.
create policy logins_update on logins for update to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id())
  with check (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id());
-- Erasing a person, and erasing or abandoning a tenant, removes its logins.
create policy logins_delete on logins for delete to tenantry_app
  using (current_app_role() in ('AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN') and tenant_id = current_tenant_id());
-- A person who signs up has a login before they have verified the mailbox. Until then it counts only where the tenant
-- is named, so that a stranger who uses an email does not affect sign-in elsewhere.
grant select (email, tenant_id, user_id, verified),
  insert (email, tenant_id, user_id, verified),
  update (verified), delete on logins to tenantry_app;
