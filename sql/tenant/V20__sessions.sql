-- One sign-in. `enter` checks this row for every request of its access tokens, so ending it ends them all at once.
create table sessions (
  tenant_id    uuid not null,
  id           uuid not null,
  user_id      uuid not null,
  created_at   timestamptz not null,
  expires_at   timestamptz not null,
  ended_at     timestamptz,
  end_reason   text check (end_reason in ('LOGOUT', 'REFRESH_TOKEN_REPLAYED', 'REVOKED', 'PASSWORD_CHANGED', 'PASSWORD_RESET',
                 'DEACTIVATED', 'ERASED', 'SUSPENDED', 'ADMINISTRATOR')),
  user_agent   text check (length(user_agent) <= 300),
  address      text check (length(address) <= 64),
  impersonator text check (length(impersonator) between 3 and 320),
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
  check ((ended_at is null) = (end_reason is null))
);
comment on table sessions is 'Sign-ins: active until ended or expired.';
comment on column sessions.expires_at is 'The latest instant to which a refresh can extend the session.';
comment on column sessions.end_reason is 'LOGOUT: ended by itself. REVOKED: ended from another session. PASSWORD_CHANGED: ended with all other sessions of the user. REFRESH_TOKEN_REPLAYED: a used token was presented again. DEACTIVATED, ERASED: the user was. SUSPENDED: the tenant was. ADMINISTRATOR: an administrator ended all sessions of the user.';
comment on column sessions.address is 'Network address of the sign-in, as text.';
comment on column sessions.impersonator is 'Email of the platform administrator whose session this is, acting as the user.';

create index sessions_user on sessions (tenant_id, user_id);

alter table sessions enable row level security;
alter table sessions force row level security;
-- Each user sees their own sign-ins; the sign-in path sees all.
create policy sessions_select on sessions for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- The sign-in path creates them.
create policy sessions_insert on sessions for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Each user ends their own; the sign-in path ends a family whose token was replayed.
create policy sessions_update on sessions for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- Erasing a person removes their sign-ins, in the sign-in path.
create policy sessions_delete on sessions for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Only the end can be changed: an ended session stays as a record until its person is erased.
grant select (tenant_id, id, user_id, created_at, expires_at, ended_at, end_reason, user_agent, address, impersonator),
  insert (tenant_id, id, user_id, created_at, expires_at, user_agent, address, impersonator),
  update (ended_at, end_reason), delete on sessions to tenantry_app;
