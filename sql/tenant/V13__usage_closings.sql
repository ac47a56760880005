-- The instant up to which usage was billed. A later event for an earlier time is counted at this instant.
create table usage_closings (
  tenant_id    uuid primary key references tenant_state (tenant_id) on delete cascade,
  closed_until timestamptz not null
);
comment on table usage_closings is 'The instant up to which a tenant''s usage was billed.';

alter table usage_closings enable row level security;
alter table usage_closings force row level security;
-- Recording an event checks whether its time was billed.
create policy usage_closings_select on usage_closings for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- Only billing closes a period.
create policy usage_closings_insert on usage_closings for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- Only billing moves the instant.
create policy usage_closings_update on usage_closings for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, closed_until),
  insert (tenant_id, closed_until),
  update (closed_until) on usage_closings to tenantry_app;
