-- The plans on offer. Public reference data: every caller may read it. Prices, limits and features are in
-- plan_versions.
create table plans (
  id       uuid primary key,
  key      text not null unique check (key ~ '^[a-z][a-z0-9_]{0,39}$'),
  name     text not null check (length(name) between 1 and 100),
  position integer not null,
  active   boolean not null default true
);
comment on table plans is 'The plans that a tenant can subscribe to. Their terms are in plan_versions.';
comment on column plans.position is 'Order on a price list, lowest first.';
comment on column plans.active is 'Whether new tenants can take it; tenants that have it keep it.';

alter table plans enable row level security;
alter table plans force row level security;
-- Every caller reads the price list, signed in or not; platform administrators also see inactive plans.
create policy plans_select on plans for select to tenantry_app
  using ((active and current_app_role() is not null) or current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators manage plans.
create policy plans_insert on plans for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators rename, reorder and retire them.
create policy plans_update on plans for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- No delete is granted: a tenant may have the plan.
grant select (id, key, name, position, active),
  insert (id, key, name, position, active),
  update (name, position, active) on plans to tenantry_app;

-- The plans of a new deployment. Forced row-level security binds the migrating owner too, hence the short opening.
alter table plans no force row level security;
insert into plans (id, key, name, position) values
  ('01900000-0000-7000-8000-000000000001', 'free', 'Free', 1),
  ('01900000-0000-7000-8000-000000000002', 'team', 'Team', 2),
  ('01900000-0000-7000-8000-000000000003', 'business', 'Business', 3);
alter table plans force row level security;
