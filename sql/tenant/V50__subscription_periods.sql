-- The time of a subscription, cut where the charge changes: at the end of a cycle, a change of plan, the end of a
-- trial, a pause. Periods are half-open and contiguous: no two overlap, and each but the first begins where another
-- ends.
create table subscription_periods (
  tenant_id         uuid not null references tenant_state (tenant_id) on delete cascade,
  id                uuid not null,
  subscription_id   uuid not null,
  version_id        uuid not null,
  billing_interval  text not null check (billing_interval in ('MONTH', 'YEAR')),
  mode              text not null check (mode in ('BILLED', 'TRIAL', 'PAUSED')),
  starts_at         timestamptz not null,
  ends_at           timestamptz not null,
  cycle_start       timestamptz not null,
  cycle_end         timestamptz not null,
  follows           timestamptz,
  flat_billed_until timestamptz,
  usage_billed_at   timestamptz,
  primary key (tenant_id, id),
  constraint subscription_periods_not_empty check (starts_at < ends_at),
  constraint subscription_periods_within_cycle check (cycle_start <= starts_at and ends_at <= cycle_end),
  constraint subscription_periods_follow check (follows = starts_at),
  constraint subscription_periods_starts unique (tenant_id, subscription_id, starts_at),
  constraint subscription_periods_ends unique (tenant_id, subscription_id, ends_at),
  constraint subscription_periods_no_gap foreign key (tenant_id, subscription_id, follows)
    references subscription_periods (tenant_id, subscription_id, ends_at) on delete restrict,
  constraint subscription_periods_no_overlap exclude using gist (tenant_id with =, tstzrange(starts_at, ends_at, '[)') with &&),
  foreign key (tenant_id, subscription_id) references subscriptions (tenant_id, id) on delete restrict,
  foreign key (tenant_id, version_id) references plan_terms (tenant_id, version_id) on delete restrict
);
comment on table subscription_periods is 'Periods of subscriptions, without gaps or overlaps.';
comment on column subscription_periods.cycle_start is 'The whole month or year that it is a part of: a flat fee covers that, and is prorated by a period''s length.';
comment on column subscription_periods.follows is 'The end of the previous period, where this one begins; null only for the first.';
comment on column subscription_periods.flat_billed_until is 'The instant up to which the flat fee was billed; the part beyond ends_at is credited.';
comment on column subscription_periods.usage_billed_at is 'When its usage was billed.';

create unique index subscription_periods_one_first on subscription_periods (tenant_id, subscription_id) where follows is null;
create index subscription_periods_unbilled on subscription_periods (tenant_id, starts_at) where usage_billed_at is null;

alter table subscription_periods enable row level security;
alter table subscription_periods force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy subscription_periods_select on subscription_periods for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Billing adds the next period.
create policy subscription_periods_insert on subscription_periods for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- A change shortens the last one; billing records what was billed.
create policy subscription_periods_update on subscription_periods for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, id, subscription_id, version_id, billing_interval, mode, starts_at, ends_at, cycle_start,
    cycle_end, follows, flat_billed_until, usage_billed_at),
  insert (tenant_id, id, subscription_id, version_id, billing_interval, mode, starts_at, ends_at, cycle_start,
    cycle_end, follows),
  update (ends_at, flat_billed_until, usage_billed_at) on subscription_periods to tenantry_app;
