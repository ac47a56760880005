-- Sign-ins of platform administrators. Every request of theirs meets this row in `enter`.
create function current_user_id() returns uuid
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.user_id', true), '')::uuid $$;
comment on function current_user_id() is 'The platform administrator of this transaction, or null where none is.';

create table platform_sessions (
  id               uuid primary key,
  administrator_id uuid not null references platform_administrators (id) on delete cascade,
  created_at       timestamptz not null,
  expires_at       timestamptz not null,
  ended_at         timestamptz,
  user_agent       text check (length(user_agent) <= 300),
  address          text check (length(address) <= 64)
);
comment on table platform_sessions is 'Sign-ins of platform administrators: alive while not ended and not expired.';
create index platform_sessions_administrator on platform_sessions (administrator_id);

alter table platform_sessions enable row level security;
alter table platform_sessions force row level security;
-- Each administrator his own; the sign-in path makes them.
create policy platform_sessions_select on platform_sessions for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR'
    or (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id()));
create policy platform_sessions_insert on platform_sessions for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR');
create policy platform_sessions_update on platform_sessions for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id())
  with check (current_app_role() = 'PLATFORM_ADMIN' and administrator_id = current_user_id());
-- No delete is granted: an ended session stays as a record.
grant select (id, administrator_id, created_at, expires_at, ended_at, user_agent, address),
  insert (id, administrator_id, created_at, expires_at, user_agent, address),
  update (ended_at) on platform_sessions to tenantry_app;

-- As in the tenant store, a platform administrator's session is looked at in every transaction. Without one it is the
-- command line, or background work, that acts.
create or replace function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
  language plpgsql
  as $$
begin
  execute format('set local app.tenant_id = %L; set local app.user_id = %L; set local app.role = %L',
    coalesce(p_tenant::text, ''), coalesce(p_user::text, ''), p_role);
  if p_role = 'PLATFORM_ADMIN' and p_session is not null and not exists (
    select from platform_sessions s
     where s.id = p_session and s.administrator_id = p_user and s.ended_at is null and s.expires_at > now()
  ) then
    raise exception 'the session has ended' using errcode = 'TN004';
  end if;
end
$$;
