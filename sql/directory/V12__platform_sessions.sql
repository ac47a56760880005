-- Sign-ins of platform administrators. `enter` checks this row in each of their transactions.
create table platform_sessions (
  id               uuid primary key,
  administrator_id uuid not null references platform_administrators (id) on delete cascade,
  created_at       timestamptz not null,
  expires_at       timestamptz not null,
  ended_at         timestamptz,
  user_agent       text check (length(user_agent) <= 300),
  address          text check (length(address) <= 64)
);
comment on table platform_sessions is 'Sign-ins of platform administrators: active until ended or expired.';

create index platform_sessions_administrator on platform_sessions (administrator_id);

alter table platform_sessions enable row level security;
alter table platform_sessions force row level security;
-- Each administrator sees their own; the sign-in path sees all.
create policy platform_sessions_select on platform_sessions for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR'
    or (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id()));
-- The sign-in path creates them.
create policy platform_sessions_insert on platform_sessions for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR');
-- Each administrator ends their own.
create policy platform_sessions_update on platform_sessions for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id())
  with check (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id());
-- No delete is granted: an ended session stays as a record.
grant select (id, administrator_id, created_at, expires_at, ended_at, user_agent, address),
  insert (id, administrator_id, created_at, expires_at, user_agent, address),
  update (ended_at) on platform_sessions to tenantry_app;
