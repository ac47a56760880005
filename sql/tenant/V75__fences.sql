-- A tenant can be moved to another store while it is served. While it is copied nobody writes to it here (fence MOVING); once
-- it is elsewhere nobody enters it here at all (fence MOVED), whatever he believes of where it is. Its row stays as a mark when
-- all else of it is removed. (Expands V02, V31 and V74.)
alter table tenant_state add column fence text check (fence in ('MOVING', 'MOVED'));
comment on column tenant_state.fence is 'MOVING: it is being copied, and only read. MOVED: it is in another store, and what is here is out of force. Null: it is here. Set by moves alone, as tenantry_platform.';
grant select (fence), insert (isolation) on tenant_state to tenantry_app;

-- Whoever writes holds the lock 'move of' the tenant shared until his transaction ends, and looks at the fence after he has it:
-- a move takes the lock alone, so no write is still under way when it has set the fence. Whoever cannot have it at once, because
-- a move wants it, waits without a connection and comes again. All that needs `read committed`: a transaction with one snapshot
-- could look at the fence as it was before. (Restates V74's.)
create or replace function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
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
      raise exception 'whoever writes enters at read committed' using errcode = 'invalid_transaction_state';
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
    return; -- It makes the tenant, so there may be none yet; the policies let it touch little else.
  end if;
  if v_state is null or v_state = 'DELETED' then
    raise exception 'the tenant is not in this store' using errcode = 'TN001';
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

create or replace function fallen_sessions(p_tenants uuid[], p_users uuid[], p_sessions uuid[], p_roles text[])
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
  execute 'set local app.tenant_id = '''''; -- Nothing more is seen in this transaction.
end
$$;
