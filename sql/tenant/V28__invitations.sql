-- Invitations to join a tenant in a role. The mailed token is in one_time_link_tokens, as a hash.
create table invitations (
  tenant_id   uuid not null references tenant_state (tenant_id) on delete cascade,
  id          uuid not null,
  email       text not null check (length(email) between 3 and 320),
  role        text not null check (role in ('ADMIN', 'STAFF', 'USER')),
  status      text not null default 'PENDING' check (status in ('PENDING', 'ACCEPTED', 'REVOKED')),
  invited_by  uuid,
  created_at  timestamptz not null,
  expires_at  timestamptz not null,
  settled_at  timestamptz,
  primary key (tenant_id, id),
  check ((status = 'PENDING') = (settled_at is null))
);
comment on table invitations is 'Invitations to join a tenant.';
comment on column invitations.email is 'Normalised. Only the owner of this mailbox can accept.';
comment on column invitations.invited_by is 'The user who invited; null for a platform administrator.';

-- One pending invitation for each email.
create unique index invitations_pending on invitations (tenant_id, email) where status = 'PENDING';
create index invitations_created_at on invitations (tenant_id, created_at, id);

alter table invitations enable row level security;
alter table invitations force row level security;
-- Administrators see them; sign-in and background work process them.
create policy invitations_select on invitations for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'AUTHENTICATOR', 'WORKER'));
-- Administrators invite; creating a tenant invites its first administrator.
create policy invitations_insert on invitations for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'AUTHENTICATOR'));
-- Administrators revoke and extend; the sign-in path accepts.
create policy invitations_update on invitations for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'AUTHENTICATOR'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'AUTHENTICATOR'));
-- No delete is granted. The email can be changed so that a person can be erased.
grant select (tenant_id, id, email, role, status, invited_by, created_at, expires_at, settled_at),
  insert (tenant_id, id, email, role, invited_by, created_at, expires_at),
  update (email, status, expires_at, settled_at) on invitations to tenantry_app;
