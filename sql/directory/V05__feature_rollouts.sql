-- Features that are rolled out to a percentage of the tenants. A hash of tenant and feature puts each tenant into one
-- of a hundred buckets; the tenant has the feature while its bucket is below the percentage. So raising the percentage
-- keeps every tenant that has the feature.
create table feature_rollouts (
  key        text primary key check (key ~ '^[a-z][a-z0-9_]{0,39}$'),
  percentage integer not null check (percentage between 0 and 100),
  epoch      bigint not null check (epoch >= 1)
);
comment on table feature_rollouts is 'How far each feature is rolled out.';
comment on column feature_rollouts.epoch is 'Counts the changes of the whole table: a tenant that has copied the highest is up to date.';

alter table feature_rollouts enable row level security;
alter table feature_rollouts force row level security;
-- Only platform administrators; a store has a copy of what applies to its tenant.
create policy feature_rollouts_select on feature_rollouts for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators roll a feature out.
create policy feature_rollouts_insert on feature_rollouts for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators change the percentage.
create policy feature_rollouts_update on feature_rollouts for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- No delete is granted: a rollout is set back to 0.
grant select (key, percentage, epoch),
  insert (key, percentage, epoch),
  update (percentage, epoch) on feature_rollouts to tenantry_app;
