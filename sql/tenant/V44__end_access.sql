-- Permanently ends all access that a person was given: sessions with their refresh tokens, the calendar feed, and links
-- for a new password. A deactivated person who is reactivated must sign in again, and so must everyone in a tenant that
-- was suspended.

-- Ends the access of one user, or of every user of the tenant (null), and returns how many sessions that ended. For
-- administrators, the platform and the sign-in path. It reads and writes as the sign-in path, since an administrator
-- sees no other person's sessions.
create function end_access(p_tenant uuid, p_user uuid, p_reason text, p_now timestamptz) returns integer
  language plpgsql
  as $$
declare
  v_role  text := current_setting('app.role', true);
  v_count integer;
begin
  if v_role is null or v_role not in ('ADMIN', 'PLATFORM_ADMIN', 'AUTHENTICATOR') then
    raise exception 'this role may not end access' using errcode = 'insufficient_privilege';
  end if;
  execute 'set local app.role = ''AUTHENTICATOR''';
  update sessions s set ended_at = p_now, end_reason = p_reason
   where s.tenant_id = p_tenant and (p_user is null or s.user_id = p_user) and s.ended_at is null;
  get diagnostics v_count = row_count;
  delete from calendar_feeds f where f.tenant_id = p_tenant and (p_user is null or f.user_id = p_user);
  update one_time_links l set voided_at = p_now
   where l.tenant_id = p_tenant and l.purpose = 'PASSWORD_RESET' and (p_user is null or l.subject_id = p_user)
     and l.used_at is null and l.voided_at is null;
  execute format('set local app.role = %L', v_role);
  return v_count;
end
$$;
comment on function end_access is 'Ends sessions, calendar feeds and links for a new password of one user, or of all.';
revoke execute on function end_access(uuid, uuid, text, timestamptz) from public;
grant execute on function end_access(uuid, uuid, text, timestamptz) to tenantry_app, tenantry_platform;
