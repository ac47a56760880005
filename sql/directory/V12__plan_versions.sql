-- What a plan says: prices, limits and features of one version. A draft can be changed, a published version never again;
-- whoever took it keeps it until moved. (Takes over what V02 and V11 held in plans.)
create table plan_versions (
  id           uuid primary key,
  plan_id      uuid not null references plans (id) on delete restrict,
  version      integer not null check (version >= 1),
  state        text not null default 'DRAFT' check (state in ('DRAFT', 'PUBLISHED')),
  terms        jsonb not null check (jsonb_typeof(terms) = 'object' and jsonb_typeof(terms -> 'prices') = 'array'
                 and jsonb_typeof(terms -> 'limits') = 'object' and jsonb_typeof(terms -> 'features') = 'array'),
  created_at   timestamptz not null,
  published_at timestamptz check ((published_at is not null) = (state = 'PUBLISHED')),
  unique (plan_id, version)
);
comment on table plan_versions is 'Versions of plans. The highest published one is on offer.';
comment on column plan_versions.terms is 'Currency, trial, prices, limits and features; src/billing/terms.rs says how. Amounts are decimal text in units of the currency. limits: {"bookings": a calendar month, "users", "services" and "resources": at once, "api_cost": a minute}; an absent meter has no limit.';
create unique index plan_versions_one_draft on plan_versions (plan_id) where state = 'DRAFT';

alter table plan_versions enable row level security;
alter table plan_versions force row level security;
-- What is published is public; drafts are the platform's.
create policy plan_versions_select on plan_versions for select to tenantry_app
  using ((state = 'PUBLISHED' and current_app_role() is not null) or current_app_role() = 'PLATFORM_ADMIN');
create policy plan_versions_insert on plan_versions for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT');
-- A draft alone can be changed: published is for ever.
create policy plan_versions_update on plan_versions for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT')
  with check (current_app_role() = 'PLATFORM_ADMIN');
create policy plan_versions_delete on plan_versions for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT');
grant select (id, plan_id, version, state, terms, created_at, published_at),
  insert (id, plan_id, version, terms, created_at), update (state, terms, published_at), delete on plan_versions to tenantry_app;

-- The first version of each plan is what it was.
alter table plans no force row level security;
alter table plan_versions no force row level security;
insert into plan_versions (id, plan_id, version, state, terms, created_at, published_at)
  select (overlay(p.id::text placing '1' from 35 for 1))::uuid, p.id, 1, 'PUBLISHED', jsonb_build_object(
      'currency', p.currency, 'trial_days', 0, 'limits', p.limits, 'features', p.features,
      'prices', case when p.price_minor = 0 then '[]'::jsonb else jsonb_build_array(
        jsonb_build_object('id', (overlay(p.id::text placing '2' from 35 for 1))::uuid, 'name', p.name, 'interval', 'MONTH',
          'model', jsonb_build_object('kind', 'FLAT', 'amount', (p.price_minor::numeric / 100)::numeric(20, 2)::text)),
        jsonb_build_object('id', (overlay(p.id::text placing '3' from 35 for 1))::uuid, 'name', p.name, 'interval', 'YEAR',
          'model', jsonb_build_object('kind', 'FLAT', 'amount', (p.price_minor::numeric / 10)::numeric(20, 2)::text))) end),
    now(), now()
  from plans p;
alter table plan_versions force row level security;
alter table plans drop column price_minor, drop column currency, drop column limits, drop column features;
alter table plans force row level security;
comment on table plans is 'The plans that a tenant can subscribe to. What they say is in plan_versions.';
comment on column plans.active is 'Whether new tenants can take it; whoever has it keeps it.';

-- Platform administrators manage plans; everybody else sees what is on offer.
alter policy plans_select on plans using ((active and current_app_role() is not null) or current_app_role() = 'PLATFORM_ADMIN');
create policy plans_insert on plans for insert to tenantry_app with check (current_app_role() = 'PLATFORM_ADMIN');
create policy plans_update on plans for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- No delete is granted: somebody may have it.
grant insert (id, key, name, position, active), update (name, position, active) on plans to tenantry_app;

alter table tenants add column plan_version_id uuid references plan_versions (id) on delete restrict;
comment on column tenants.plan_version_id is 'A copy of what the store says, for the budget of its API and for lists.';
alter table tenants no force row level security;
update tenants set plan_version_id = (overlay(plan_id::text placing '1' from 35 for 1))::uuid where plan_id is not null;
alter table tenants force row level security;
grant select (plan_version_id), insert (plan_version_id), update (plan_version_id) on tenants to tenantry_app;
