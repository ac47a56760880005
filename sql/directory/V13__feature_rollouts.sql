-- Features that are rolled out to a part of the tenants: each tenant falls into one of a hundred parts of each feature, by a
-- hash of both, and has the feature while its part is below the percentage. A rise keeps all who have it.
create table feature_rollouts (
  key        text primary key check (key ~ '^[a-z][a-z0-9_]{0,39}$'),
  percentage integer not null check (percentage between 0 and 100),
  epoch      bigint not null check (epoch >= 1)
);
comment on table feature_rollouts is 'How far each feature is rolled out.';
comment on column feature_rollouts.epoch is 'Counts the changes of the whole table: a tenant that has seen the highest is up to date.';

alter table feature_rollouts enable row level security;
alter table feature_rollouts force row level security;
create policy feature_rollouts_select on feature_rollouts for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
create policy feature_rollouts_insert on feature_rollouts for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
create policy feature_rollouts_update on feature_rollouts for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- No delete is granted: what was rolled out is taken back to 0.
grant select (key, percentage, epoch), insert (key, percentage, epoch), update (percentage, epoch)
  on feature_rollouts to tenantry_app;

alter table tenants add column rollout_epoch bigint not null default 0;
comment on column tenants.rollout_epoch is 'Up to which change of feature_rollouts its store has a copy.';
grant select (rollout_epoch), update (rollout_epoch) on tenants to tenantry_app;
