-- Messages to endpoints, and their outcome. Kept for thirty days.
create table webhook_deliveries (
  tenant_id       uuid not null,
  id              uuid not null,
  endpoint_id     uuid not null,
  event           text not null check (event ~ '^[a-z_]+\.[a-z_]+$'),
  body            text not null,
  status          text not null default 'PENDING' check (status in ('PENDING', 'DELIVERED', 'FAILED')),
  attempts        integer not null default 0 check (attempts >= 0),
  last_attempt_at timestamptz,
  last_outcome    text check (length(last_outcome) <= 500),
  created_at      timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, endpoint_id) references webhook_endpoints (tenant_id, id) on delete cascade
);
comment on table webhook_deliveries is 'Messages to endpoints of a tenant''s own systems.';
comment on column webhook_deliveries.body is 'The text as signed and sent. Ids and times: no personal data.';
comment on column webhook_deliveries.last_outcome is 'The status of the last answer, or why there was none.';

create index webhook_deliveries_endpoint on webhook_deliveries (tenant_id, endpoint_id, created_at, id);
create index webhook_deliveries_created_at on webhook_deliveries (tenant_id, created_at);

alter table webhook_deliveries enable row level security;
alter table webhook_deliveries force row level security;
-- The administrator reads; background work sends.
create policy webhook_deliveries_select on webhook_deliveries for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'));
-- Background work creates them.
create policy webhook_deliveries_insert on webhook_deliveries for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Background work records the outcome; the administrator may only schedule a message to be sent again.
create policy webhook_deliveries_update on webhook_deliveries for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'WORKER' or (current_app_role() = 'ADMIN' and status = 'PENDING')));
-- Background work removes old ones.
create policy webhook_deliveries_delete on webhook_deliveries for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
grant select (tenant_id, id, endpoint_id, event, body, status, attempts, last_attempt_at, last_outcome, created_at),
  insert (tenant_id, id, endpoint_id, event, body, created_at),
  update (status, attempts, last_attempt_at, last_outcome), delete on webhook_deliveries to tenantry_app;
