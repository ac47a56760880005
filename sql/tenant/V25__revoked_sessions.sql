-- Whether people with an open socket still have access: every process asks twice a second, in one round trip for all of
-- them, whatever their tenants. It checks each in the sign-in path's scope of their tenant. The four arrays belong
-- together. The result lists those who have lost access, by their position in the arrays, with the reason that `enter`
-- would give and their current role.
create function revoked_sessions(p_tenants uuid[], p_users uuid[], p_sessions uuid[], p_roles text[])
  returns table (place integer, reason text, present_role text)
  language plpgsql
  as $$
declare
  v_state   text;
  v_fence   text;
  v_session uuid;
begin
  for v_place in 1 .. coalesce(array_length(p_tenants, 1), 0) loop
    place := v_place;
    if place = 1 or p_tenants[place] <> p_tenants[place - 1] then
      execute format('set local app.tenant_id = %L; set local app.role = ''AUTHENTICATOR''', p_tenants[place]);
    end if;
    select t.state, t.fence, u.role, s.id into v_state, v_fence, present_role, v_session
      from tenant_state t
      left join users u on u.tenant_id = t.tenant_id and u.id = p_users[place] and u.status = 'ACTIVE'
      left join sessions s on s.tenant_id = t.tenant_id and s.id = p_sessions[place] and s.user_id = p_users[place]
        and s.ended_at is null and s.expires_at > now()
     where t.tenant_id = p_tenants[place];
    reason := case
      when v_state is null or v_state in ('DELETED', 'CREATING') or v_fence = 'MOVED' then 'TN001'
      when v_state = 'SUSPENDED' then 'TN003'
      when v_session is null or present_role is null then 'TN004'
      when present_role <> p_roles[place] then 'TN005'
    end;
    if reason is not null then
      return next;
    end if;
  end loop;
  execute 'set local app.tenant_id = '''''; -- The rest of the transaction sees nothing.
end
$$;
comment on function revoked_sessions is 'The sessions among these that have lost access, and why.';
revoke execute on function revoked_sessions(uuid[], uuid[], uuid[], text[]) from public;
grant execute on function revoked_sessions(uuid[], uuid[], uuid[], text[]) to tenantry_app, tenantry_platform;
