-- Which of these tenants have a due effect: one round trip for any number of tenants. It checks each tenant in that
-- tenant's scope, as WORKER, so it sees no more than one transaction per tenant would.
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
  execute 'set local app.tenant_id = '''''; -- The rest of the transaction sees nothing.
end
$$;
comment on function tenants_with_due_effects is 'The tenants among these whose outbox contains a due effect.';
revoke execute on function tenants_with_due_effects(uuid[], timestamptz) from public;
grant execute on function tenants_with_due_effects(uuid[], timestamptz) to tenantry_app, tenantry_platform;
