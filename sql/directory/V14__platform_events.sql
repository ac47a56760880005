-- Actions of platform administrators, and failed attempts to sign in as one. Actions on a tenant are in that tenant's
-- own log too.
create table platform_events (
  id               uuid primary key,
  at               timestamptz not null,
  administrator_id uuid,
  action           text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
  tenant_id        uuid,
  details          jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
  request_id       uuid,
  address          text check (length(address) <= 64)
);
comment on table platform_events is 'The audit log of the platform. Contains no secrets.';
comment on column platform_events.administrator_id is 'Who acted; null for the command line and for failed sign-ins with an unknown email. No foreign key: the log outlives its people.';

create index platform_events_at on platform_events (at, id);

alter table platform_events enable row level security;
alter table platform_events force row level security;
-- Platform administrators read the log.
create policy platform_events_select on platform_events for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- The sign-in path logs sign-ins; every other action is logged in its administrator's name.
create policy platform_events_insert on platform_events for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR'
    or (current_app_role() = 'PLATFORM_ADMIN' and administrator_id is not distinct from current_user_id()));
-- No update and no delete is granted: the log only grows.
grant select (id, at, administrator_id, action, tenant_id, details, request_id, address),
  insert (id, at, administrator_id, action, tenant_id, details, request_id, address) on platform_events to tenantry_app;
