-- The door of every transaction: says who is asking, and lets nobody in who may not come in any more.
--
-- `set local` by execute, because set_config() does not reach the workers of a Citus cluster. The checks run under the
-- policies of the scope just set, so they see what that scope may see: its tenant, its own session, its own user.
-- Each refusal has an SQLSTATE of ours; src/db/error.rs gives them their meaning.
create function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
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
comment on function enter(uuid, uuid, text, uuid, boolean) is 'Sets the scope of this transaction and checks that it still holds.';
revoke execute on function enter(uuid, uuid, text, uuid, boolean) from public;
grant execute on function enter(uuid, uuid, text, uuid, boolean) to tenantry_app, tenantry_platform;
