-- Plans have versions, features have numbers and are rolled out by parts, and who does not pay may read and not write.
-- (Expands V02, V13, V16 and V18.)
alter table tenant_state add column plan_version_id uuid;
alter table tenant_state add column rollouts jsonb not null default '[]' check (jsonb_typeof(rollouts) = 'array');
alter table tenant_state add column restriction text check (restriction in ('OVERDUE', 'PAUSED'));
comment on column tenant_state.plan_version_id is 'Which version of the plan it took: its limits and features are copied beside.';
comment on column tenant_state.features is 'What the plan switches on, copied when it was taken: a key, {"key", "number"} or {"key", "meter"}.';
comment on column tenant_state.rollouts is 'Keys of the features that are rolled out to this tenant, copied from the directory.';
comment on column tenant_state.restriction is 'Why its people may read and not write; null where they may.';
alter table tenant_state no force row level security;
-- The first version of each plan has the plan''s id but for one digit: see the directory''s V12.
update tenant_state set plan_version_id = (overlay(plan_id::text placing '1' from 35 for 1))::uuid;
alter table tenant_state force row level security;
alter table tenant_state alter column plan_version_id set not null;
grant select (plan_version_id, rollouts, restriction), insert (plan_version_id),
  update (plan_version_id, rollouts, restriction) on tenant_state to tenantry_app;

-- Billing is background work, and changes the plan of a tenant that is served.
alter policy tenant_state_update on tenant_state
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING')
      or (current_app_role() = 'WORKER' and state in ('ACTIVE', 'SUSPENDED'))))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'ACTIVE')
      or (current_app_role() = 'WORKER' and state in ('ACTIVE', 'SUSPENDED'))));

alter table feature_overrides add column number bigint check (number >= 0);
comment on column feature_overrides.number is 'So much of it, whatever the plan says.';
grant select (number), insert (number), update (number) on feature_overrides to tenantry_app;

-- `enter` also notes a restriction, for whoever writes for a person: read in the same round trip. It stays `void`, since
-- processes of the version before go on calling it.
create or replace function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
  language plpgsql
  as $$
declare
  v_state       text;
  v_restriction text;
  v_role        text;
  v_session     uuid;
begin
  execute format('set local app.tenant_id = %L; set local app.user_id = %L; set local app.role = %L',
    coalesce(p_tenant::text, ''), coalesce(p_user::text, ''), p_role);
  set local app.restriction = '';

  select t.state, t.restriction, u.role, s.id into v_state, v_restriction, v_role, v_session
    from tenant_state t
    left join users u on u.tenant_id = t.tenant_id and u.id = p_user and u.status = 'ACTIVE'
    left join sessions s on s.tenant_id = t.tenant_id and s.id = p_session and s.user_id = p_user
      and s.ended_at is null and s.expires_at > now()
   where t.tenant_id = p_tenant;

  if p_role = 'PLATFORM_ADMIN' then
    return; -- It makes the tenant, so there may be none yet; the policies let it touch little else.
  end if;
  if v_state is null or v_state = 'DELETED' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
  end if;
  if v_state = 'MOVING' and p_write then
    raise exception 'the tenant is being moved' using errcode = 'TN002';
  end if;
  if p_role in ('AUTHENTICATOR', 'WORKER') then
    return; -- Sign-in tells of a suspension only to who knows the password, so it comes in and looks itself.
  end if;
  if v_state = 'CREATING' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
  end if;
  if v_state = 'SUSPENDED' then
    raise exception 'the tenant is suspended' using errcode = 'TN003';
  end if;
  if v_session is null or v_role is null then
    raise exception 'the session has ended' using errcode = 'TN004';
  end if;
  if v_role is distinct from p_role then
    raise exception 'the role has changed' using errcode = 'TN005';
  end if;
  if v_restriction is not null then
    execute format('set local app.restriction = %L', v_restriction);
  end if;
end
$$;
