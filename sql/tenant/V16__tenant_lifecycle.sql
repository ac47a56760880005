-- Tenants are made, suspended, moved to another plan, deleted and erased. (Expands V02 and V13.)

alter table tenant_state drop constraint tenant_state_state_check;
alter table tenant_state add constraint tenant_state_state_check
  check (state in ('CREATING', 'ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED'));
alter table tenant_state add column features jsonb not null default '[]' check (jsonb_typeof(features) = 'array');
alter table tenant_state add column suspended_reason text check (length(suspended_reason) between 1 and 500);
alter table tenant_state add column erase_after timestamptz;
alter table tenant_state no force row level security;
update tenant_state set erase_after = now() + interval '30 days' where state = 'DELETED';
alter table tenant_state force row level security;
alter table tenant_state add constraint tenant_state_erase_after_check check ((erase_after is not null) = (state = 'DELETED'));
comment on column tenant_state.state is 'CREATING: without its first administrator yet, and nobody may enter. DELETED: can be restored until erase_after.';
comment on column tenant_state.features is 'Keys of the features that the plan switches on, copied when the plan was taken.';

-- A platform scope changes what a tenant is; signing up finishes what it began. What a tenant's administrator may change
-- is in tenant_settings, because a policy cannot tell one column of a row from another.
create policy tenant_state_update on tenant_state for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING')))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'ACTIVE')));
-- Only what was deleted and whose time to be restored is over. Everything of the tenant goes with this row.
create policy tenant_state_delete on tenant_state for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'PLATFORM_ADMIN'
    and state = 'DELETED' and erase_after < now());
grant select (features, suspended_reason, erase_after), insert (state, features, erase_after),
  update (state, plan_id, limits, features, suspended_reason, erase_after, updated_at), delete on tenant_state to tenantry_app;

create or replace function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
  language plpgsql
  as $$
declare
  v_state   text;
  v_role    text;
  v_session uuid;
begin
  execute format('set local app.tenant_id = %L; set local app.user_id = %L; set local app.role = %L',
    coalesce(p_tenant::text, ''), coalesce(p_user::text, ''), p_role);

  select t.state, u.role, s.id into v_state, v_role, v_session
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
end
$$;
