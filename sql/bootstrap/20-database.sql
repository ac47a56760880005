-- What only a superuser can do, once for each database, after 10-roles.sql. It may run again.

do $$
begin
  execute format('alter database %I owner to tenantry_owner', current_database());
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to tenantry_app, tenantry_platform', current_database());
  -- Where Citus is installed, `set local` must reach its workers; elsewhere the name is only remembered.
  execute format('alter role tenantry_app in database %I set citus.propagate_set_commands = %L', current_database(), 'local');
end
$$;
revoke all on schema public from public;

-- Equality of uuid and smallint inside a GiST exclusion constraint.
create extension if not exists btree_gist schema public;
grant usage on schema public to tenantry_owner, tenantry_app, tenantry_platform;
