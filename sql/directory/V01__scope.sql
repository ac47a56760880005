-- Who is asking. Set by `enter` for one transaction; without it every helper is null and no policy lets a row pass.
-- `stable`, never `immutable`: a cached generic plan would keep the first caller's tenant.

create function current_tenant_id() returns uuid
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;
comment on function current_tenant_id() is 'The tenant of this transaction, or null outside one.';

create function current_app_role() returns text
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.role', true), '') $$;
comment on function current_app_role() is 'The scope''s role in this transaction, or null outside one.';

-- The directory's `enter` has the shape of the tenant store's, so that one kind of transaction serves both.
-- It checks nothing: whom the directory shows what is the policies' work.
create function enter(p_tenant uuid, p_user uuid, p_role text, p_session uuid, p_write boolean) returns void
  language plpgsql
  as $$
begin
  execute format('set local app.tenant_id = %L; set local app.user_id = %L; set local app.role = %L',
    coalesce(p_tenant::text, ''), coalesce(p_user::text, ''), p_role);
end
$$;
revoke execute on function enter(uuid, uuid, text, uuid, boolean) from public;
grant execute on function enter(uuid, uuid, text, uuid, boolean) to tenantry_app, tenantry_platform;
