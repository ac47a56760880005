-- The steps that only a superuser can do, once for each database, after 10-roles.sql. Safe to repeat.

do $$
begin
  execute format('alter database %I owner to tenantry_owner', current_database());
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to tenantry_app, tenantry_platform', current_database());
  -- With Citus, `set local` must reach its workers; without it PostgreSQL only stores the setting.
  execute format('alter role tenantry_app in database %I set citus.propagate_set_commands = %L', current_database(), 'local');
end
$$;
revoke all on schema public from public;

-- Allows uuid and smallint equality inside a GiST exclusion constraint.
create extension if not exists btree_gist schema public;
grant usage on schema public to tenantry_owner, tenantry_app, tenantry_platform;
