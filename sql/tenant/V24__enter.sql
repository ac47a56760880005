-- Every transaction starts here: it sets the scope, and refuses a caller whose access has ended. Each refusal has its
-- own SQLSTATE; src/db/error.rs defines their meaning. The checks run under the policies of the scope just set, so they
-- see only what that scope may see: its tenant, its own session, its own user. They look up tenant, session and user
-- one by one, each by its key: three short plans cost less than one join (docs/performance.md). The scope is set
-- without parsing a statement, except on Citus: `set_config` does not reach its workers, `set local` does. A writing
-- transaction holds the lock 'move of' the tenant in shared mode until it ends, and reads the fence after it has the
-- lock. A move takes the lock exclusively, so no write is still running when the move has set the fence. A writer that
-- cannot get the lock at once, because a move is waiting for it, waits without a connection and retries. All this needs
-- `read committed`: a transaction with one snapshot could see the fence as it was before. A restriction is stored for
-- the code that writes for a person, in the same round trip.
create function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
  language plpgsql
  as $$
declare
  v_state       text;
  v_restriction text;
  v_fence       text;
  v_role        text;
  v_session     uuid;
  v_set         text;
begin
  if current_setting('citus.shard_count', true) is null then
    v_set := set_config('app.tenant_id', coalesce(p_tenant::text, ''), true)
          || set_config('app.user_id', coalesce(p_user::text, ''), true)
          || set_config('app.role', p_role, true)
          || set_config('app.restriction', '', true);
  else
    execute format('set local app.tenant_id = %L; set local app.user_id = %L; set local app.role = %L; set local app.restriction = %L',
      coalesce(p_tenant::text, ''), coalesce(p_user::text, ''), p_role, '');
  end if;

  if p_write then
    if current_setting('transaction_isolation') <> 'read committed' then
      raise exception 'a writing transaction must use read committed' using errcode = 'invalid_transaction_state';
    end if;
    if not pg_try_advisory_xact_lock_shared(hashtextextended('move of ' || p_tenant, 0)) then
      raise exception 'the tenant is being moved' using errcode = 'TN002';
    end if;
  end if;
  select t.state, t.restriction, t.fence into v_state, v_restriction, v_fence from tenant_state t where t.tenant_id = p_tenant;
  if v_fence = 'MOVED' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
  end if;
  if v_fence = 'MOVING' and p_write then
    raise exception 'the tenant is being moved' using errcode = 'TN002';
  end if;
  if p_role = 'PLATFORM_ADMIN' then
    return; -- It creates the tenant, so there may be none yet; the policies allow it little else.
  end if;
  if v_state is null or v_state = 'DELETED' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
  end if;
  if p_role in ('AUTHENTICATOR', 'WORKER') then
    return; -- Sign-in reveals a suspension only to a caller who knows the password, so it enters and checks itself.
  end if;
  if v_state = 'CREATING' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
  end if;
  if v_state = 'SUSPENDED' then
    raise exception 'the tenant is suspended' using errcode = 'TN003';
  end if;

  select s.id into v_session from sessions s
   where s.tenant_id = p_tenant and s.id = p_session and s.user_id = p_user
     and s.ended_at is null and s.expires_at > now();
  select u.role into v_role from users u
   where u.tenant_id = p_tenant and u.id = p_user and u.status = 'ACTIVE';
  if v_session is null or v_role is null then
    raise exception 'the session has ended' using errcode = 'TN004';
  end if;
  if v_role is distinct from p_role then
    raise exception 'the role has changed' using errcode = 'TN005';
  end if;
  if v_restriction is not null then
    if current_setting('citus.shard_count', true) is null then
      v_set := set_config('app.restriction', v_restriction, true);
    else
      execute format('set local app.restriction = %L', v_restriction);
    end if;
  end if;
end
$$;
comment on function enter(uuid, uuid, text, uuid, boolean) is 'Sets the scope of this transaction and checks that it still holds.';
revoke execute on function enter(uuid, uuid, text, uuid, boolean) from public;
grant execute on function enter(uuid, uuid, text, uuid, boolean) to tenantry_app, tenantry_platform;
