-- Effects that could not be carried out for good wait for the operator. (Expands V12.)
alter table outbox add column dead_at timestamptz;
comment on column outbox.dead_at is 'When it was given up: the command line lists it and can have it tried again.';
alter policy outbox_insert on outbox
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
grant select (dead_at), update (dead_at) on outbox to tenantry_app;

-- Which of these tenants have something due: one round trip, however many they are. It looks at each in its own scope,
-- as WORKER, so it sees no more than a transaction of each would.
create function tenants_with_due_effects(p_tenants uuid[], p_now timestamptz) returns setof uuid
  language plpgsql
  as $$
declare
  v_tenant uuid;
begin
  foreach v_tenant in array p_tenants loop
    execute format('set local app.tenant_id = %L; set local app.role = ''WORKER''', v_tenant);
    if exists (select from outbox o where o.tenant_id = v_tenant and o.available_at <= p_now and o.dead_at is null) then
      return next v_tenant;
    end if;
  end loop;
  execute 'set local app.tenant_id = '''''; -- Nothing more is seen in this transaction.
end
$$;
comment on function tenants_with_due_effects is 'Those of the tenants whose outbox holds something due.';
revoke execute on function tenants_with_due_effects(uuid[], timestamptz) from public;
grant execute on function tenants_with_due_effects(uuid[], timestamptz) to tenantry_app, tenantry_platform;
