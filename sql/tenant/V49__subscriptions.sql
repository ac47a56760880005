-- A tenant's subscription to a plan: one at a time, and those that were cancelled.
create table subscriptions (
  tenant_id        uuid not null references tenant_state (tenant_id) on delete cascade,
  id               uuid not null,
  version_id       uuid not null,
  billing_interval text not null check (billing_interval in ('MONTH', 'YEAR')),
  status           text not null check (status in ('TRIALING', 'ACTIVE', 'PAST_DUE', 'PAUSED', 'CANCELLED')),
  anchor           timestamptz not null,
  time_zone        text not null check (length(time_zone) between 1 and 64),
  trial_ends_at    timestamptz,
  next_version_id  uuid,
  next_interval    text check (next_interval in ('MONTH', 'YEAR')),
  cancel_at        timestamptz,
  past_due_since   timestamptz,
  ended_at         timestamptz,
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, version_id) references plan_terms (tenant_id, version_id) on delete restrict,
  foreign key (tenant_id, next_version_id) references plan_terms (tenant_id, version_id) on delete restrict,
  check ((next_version_id is null) = (next_interval is null)),
  check ((ended_at is not null) = (status = 'CANCELLED'))
);
comment on table subscriptions is 'Subscriptions of the tenant to plans. A tenant without a row has not been billed yet: its first subscription begins when the tenant was created.';
comment on column subscriptions.anchor is 'The instant from which cycles are counted, in time_zone: always from here, never from the previous cycle.';
comment on column subscriptions.time_zone is 'The tenant''s zone when it subscribed. It stays the same, so that no billed cycle moves.';
comment on column subscriptions.next_version_id is 'The version it changes to at the end of its cycle.';
comment on column subscriptions.cancel_at is 'When it ends: always the end of a cycle.';
comment on column subscriptions.past_due_since is 'Since when a payment has been overdue.';

create unique index subscriptions_one_alive on subscriptions (tenant_id) where status <> 'CANCELLED';

alter table subscriptions enable row level security;
alter table subscriptions force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy subscriptions_select on subscriptions for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Only billing creates one.
create policy subscriptions_insert on subscriptions for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- Only billing changes it.
create policy subscriptions_update on subscriptions for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted: past subscriptions are a record.
grant select (tenant_id, id, version_id, billing_interval, status, anchor, time_zone, trial_ends_at, next_version_id,
    next_interval, cancel_at, past_due_since, ended_at, created_at, updated_at),
  insert (tenant_id, id, version_id, billing_interval, status, anchor, time_zone, trial_ends_at, created_at,
    updated_at),
  update (version_id, billing_interval, status, anchor, trial_ends_at, next_version_id, next_interval, cancel_at,
    past_due_since, ended_at, updated_at) on subscriptions to tenantry_app;
