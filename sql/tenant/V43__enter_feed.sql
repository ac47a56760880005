-- Continues a transaction of the sign-in path as the user whose feed has this token, with that user's rights and no
-- more. Returns null, without a change, when there is no such feed, its user may not sign in, or the tenant is not
-- served.
create function enter_feed(p_tenant uuid, p_token_hash bytea) returns uuid
  language plpgsql
  as $$
declare
  v_user uuid;
  v_role text;
begin
  select u.id, u.role into v_user, v_role
    from calendar_feeds f
    join users u on u.tenant_id = f.tenant_id and u.id = f.user_id and u.status = 'ACTIVE'
    join tenant_state t on t.tenant_id = f.tenant_id and t.state in ('ACTIVE', 'MOVING')
   where f.tenant_id = p_tenant and f.token_hash = p_token_hash and current_app_role() = 'AUTHENTICATOR';
  if found then
    execute format('set local app.user_id = %L; set local app.role = %L', v_user, v_role);
  end if;
  return v_user;
end
$$;
comment on function enter_feed is 'Continues as the user whose calendar feed has this token.';
revoke execute on function enter_feed(uuid, bytea) from public;
grant execute on function enter_feed(uuid, bytea) to tenantry_app, tenantry_platform;
