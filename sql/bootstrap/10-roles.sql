-- The steps that only a superuser can do, once for each cluster: the three login roles and their attributes. Run by the
-- private cluster of a first run, by the tests, and by the PostgreSQL image of docker-compose, and followed by
-- 20-database.sql. Safe to repeat: every statement describes a state.

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

-- The owner migrates, and creates the databases of tenants that have one of their own. It is not a superuser, and
-- forced row-level security applies to it too.
alter role tenantry_owner nosuperuser nobypassrls nocreaterole createdb noreplication;
-- The app serves requests: it owns nothing, can bypass nothing, and has a time limit for everything.
alter role tenantry_app nosuperuser nobypassrls nocreaterole nocreatedb noreplication;
alter role tenantry_app set statement_timeout = '10s';
alter role tenantry_app set lock_timeout = '5s';
alter role tenantry_app set idle_in_transaction_session_timeout = '30s';
alter role tenantry_app set idle_session_timeout = 0;
-- The platform role moves and backs up tenants from the command line. No request ever uses it.
alter role tenantry_platform nosuperuser bypassrls nocreaterole nocreatedb noreplication;
