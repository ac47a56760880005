-- What only a superuser can do, once for each database: the three login roles and what they may do at all.
-- Run by the private cluster of a first run, by the tests, and by the PostgreSQL image of docker-compose.
-- It may run again: every statement describes a state.

do $$
declare
  login text;
begin
  foreach login in array array['tenantry_owner', 'tenantry_app', 'tenantry_platform'] loop
    if not exists (select from pg_roles where rolname = login) then
      execute format('create role %I login', login);
    end if;
  end loop;
end
$$;

-- The owner migrates. It is no superuser, and forced row-level security binds it too.
alter role tenantry_owner nosuperuser nobypassrls nocreaterole nocreatedb noreplication;
-- The app serves requests: it owns nothing, may bypass nothing, and may not wait for ever.
alter role tenantry_app nosuperuser nobypassrls nocreaterole nocreatedb noreplication;
alter role tenantry_app set statement_timeout = '10s';
alter role tenantry_app set lock_timeout = '5s';
alter role tenantry_app set idle_in_transaction_session_timeout = '30s';
alter role tenantry_app set idle_session_timeout = 0;
-- The platform role moves and backs up tenants from the command line. No request ever uses it.
alter role tenantry_platform nosuperuser bypassrls nocreaterole nocreatedb noreplication;

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
