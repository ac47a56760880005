-- The terms of a plan: prices, limits and features of one version. A draft can be changed, a published version never
-- again. A tenant keeps its version until it is moved to another.
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
comment on column plan_versions.terms is 'Currency, trial, prices, limits and features; src/features/billing/terms.rs defines the format. Amounts are decimal text in units of the currency. limits: {"bookings": a calendar month, "users", "services" and "resources": at once, "api_cost": a minute}; an absent meter has no limit.';

create unique index plan_versions_one_draft on plan_versions (plan_id) where state = 'DRAFT';

alter table plan_versions enable row level security;
alter table plan_versions force row level security;
-- Published versions are public; drafts are visible to platform administrators only.
create policy plan_versions_select on plan_versions for select to tenantry_app
  using ((state = 'PUBLISHED' and current_app_role() is not null) or current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators write drafts.
create policy plan_versions_insert on plan_versions for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT');
-- Only a draft can be changed or published: a published version is final.
create policy plan_versions_update on plan_versions for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT')
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Only a draft can be dropped.
create policy plan_versions_delete on plan_versions for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DRAFT');
grant select (id, plan_id, version, state, terms, created_at, published_at),
  insert (id, plan_id, version, terms, created_at),
  update (state, terms, published_at), delete on plan_versions to tenantry_app;

-- The first version of each plan of a new deployment. Ids differ from the plan's in one digit.
alter table plan_versions no force row level security;
insert into plan_versions (id, plan_id, version, state, terms, created_at, published_at) values
  ('01900000-0000-7000-8000-000000000011', '01900000-0000-7000-8000-000000000001', 1, 'PUBLISHED', '{
    "currency": "EUR", "trial_days": 0, "prices": [], "features": [],
    "limits": {"bookings": 100, "users": 3, "services": 5, "api_cost": 300000}
  }', now(), now()),
  ('01900000-0000-7000-8000-000000000012', '01900000-0000-7000-8000-000000000002', 1, 'PUBLISHED', '{
    "currency": "EUR", "trial_days": 0, "features": ["branding", "reminders"],
    "limits": {"bookings": 2000, "users": 25, "services": 50, "api_cost": 1200000},
    "prices": [
      {"id": "01900000-0000-7000-8000-000000000022", "name": "Team", "interval": "MONTH",
       "model": {"kind": "FLAT", "amount": "29.00"}},
      {"id": "01900000-0000-7000-8000-000000000032", "name": "Team", "interval": "YEAR",
       "model": {"kind": "FLAT", "amount": "290.00"}}
    ]
  }', now(), now()),
  ('01900000-0000-7000-8000-000000000013', '01900000-0000-7000-8000-000000000003', 1, 'PUBLISHED', '{
    "currency": "EUR", "trial_days": 0, "features": ["branding", "reminders", "webhooks", "audit_export"],
    "limits": {"services": 500, "api_cost": 6000000},
    "prices": [
      {"id": "01900000-0000-7000-8000-000000000023", "name": "Business", "interval": "MONTH",
       "model": {"kind": "FLAT", "amount": "99.00"}},
      {"id": "01900000-0000-7000-8000-000000000033", "name": "Business", "interval": "YEAR",
       "model": {"kind": "FLAT", "amount": "990.00"}}
    ]
  }', now(), now());
alter table plan_versions force row level security;
