-- Sets the scope of a transaction. It has the signature of the tenant store's `enter`, so that one kind of transaction
-- serves both. A platform administrator's session is checked in every transaction. Without a session the command line
-- or background work acts. All other access is decided by the policies.
create function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
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
revoke execute on function enter(uuid, uuid, text, uuid, boolean) from public;
grant execute on function enter(uuid, uuid, text, uuid, boolean) to tenantry_app, tenantry_platform;
