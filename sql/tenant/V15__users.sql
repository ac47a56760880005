-- The people of a tenant: administrators, staff and customers.
create table users (
  tenant_id         uuid not null references tenant_state (tenant_id) on delete cascade,
  id                uuid not null,
  email             text not null check (length(email) between 3 and 320),
  name              text not null check (length(name) between 1 and 200),
  role              text not null check (role in ('ADMIN', 'STAFF', 'USER')),
  status            text not null default 'ACTIVE' check (status in ('ACTIVE', 'DEACTIVATED', 'ERASED')),
  created_at        timestamptz not null,
  updated_at        timestamptz not null,
  email_verified_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, email)
);
comment on table users is 'The people of a tenant.';
comment on column users.email is 'Normalised: Unicode NFKC, lower case, trimmed.';
comment on column users.status is 'DEACTIVATED: cannot sign in, and every session is refused; bookings stay. ERASED: the same permanently, and name and email are pseudonyms.';
comment on column users.email_verified_at is 'When the user proved that they own the mailbox; null before.';

create index users_name on users (tenant_id, name, id);

alter table users enable row level security;
alter table users force row level security;
-- Staff see the customers; customers see only themselves; sign-in and background work see all users.
create policy users_select on users for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'AUTHENTICATOR', 'WORKER')
      or (current_app_role() = 'USER' and id = current_user_id())));
-- People join through the sign-in path.
create policy users_insert on users for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Administrators and sign-in change any user; others change their own row, and cannot change their status or role.
create policy users_update on users for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and id = current_user_id()
        and role = current_app_role() and status = 'ACTIVE')));
-- The sign-in path updates users to record a verified email, and to reactivate a user whom an administrator invited
-- again. No delete is granted: bookings keep referencing their customer.
grant select (tenant_id, id, email, name, role, status, created_at, updated_at, email_verified_at),
  insert (tenant_id, id, email, name, role, created_at, updated_at, email_verified_at),
  update (email, name, role, status, updated_at, email_verified_at) on users to tenantry_app;
