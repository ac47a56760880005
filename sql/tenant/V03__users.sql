-- The people of a tenant: administrators, staff and customers.
create table users (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete restrict,
  id         uuid not null,
  email      text not null check (length(email) between 3 and 320),
  name       text not null check (length(name) between 1 and 200),
  role       text not null check (role in ('ADMIN', 'STAFF', 'USER')),
  status     text not null default 'ACTIVE' check (status in ('ACTIVE', 'DEACTIVATED')),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant_id, id),
  unique (tenant_id, email)
);
comment on table users is 'The people of a tenant.';
comment on column users.email is 'Normalised: Unicode NFKC, lower case, trimmed.';

create index users_name on users (tenant_id, name, id);
alter table users enable row level security;
alter table users force row level security;
-- Staff know the customers; a customer knows only himself; sign-in and background work know whom they serve.
create policy users_select on users for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'AUTHENTICATOR', 'WORKER')
      or (current_app_role() = 'USER' and id = current_user_id())));
-- People join through the sign-in path.
create policy users_insert on users for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- An administrator corrects anybody's profile, everybody his own.
create policy users_update on users for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'ADMIN' or (current_app_role() in ('STAFF', 'USER') and id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'ADMIN' or (current_app_role() in ('STAFF', 'USER') and id = current_user_id())));
-- Role, status and e-mail are in no update grant; no delete is granted: bookings keep pointing at their customer.
grant select (tenant_id, id, email, name, role, status, created_at, updated_at),
  insert (tenant_id, id, email, name, role, created_at, updated_at),
  update (name, updated_at) on users to tenantry_app;
