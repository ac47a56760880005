-- The plans on offer. Public reference data: every caller may read it.
create table plans (
  id          uuid primary key,
  key         text not null unique check (key ~ '^[a-z][a-z0-9_]{0,39}$'),
  name        text not null check (length(name) between 1 and 100),
  price_minor bigint not null check (price_minor >= 0),
  currency    text not null check (currency ~ '^[A-Z]{3}$'),
  limits      jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
  features    jsonb not null default '[]' check (jsonb_typeof(features) = 'array'),
  position    integer not null,
  active      boolean not null default true
);
comment on table plans is 'The plans that a tenant can subscribe to.';
comment on column plans.price_minor is 'Price of one month, in minor units of the currency.';
comment on column plans.limits is 'Most of each meter: {"bookings": a calendar month, "users": at once, "services": at once}. An absent meter has no limit.';
comment on column plans.features is 'Keys of the features that the plan switches on.';
comment on column plans.position is 'Order on a price list, lowest first.';

alter table plans enable row level security;
alter table plans force row level security;
-- Everybody reads the price list, signed in or not.
create policy plans_select on plans for select to tenantry_app
  using (active and current_app_role() is not null);
-- No insert, update or delete is granted: plans come with migrations until platform administrators manage them.
grant select (id, key, name, price_minor, currency, limits, features, position, active) on plans to tenantry_app;

-- The migrating owner is bound by forced row-level security as everybody else, hence the short opening.
alter table plans no force row level security;
insert into plans (id, key, name, price_minor, currency, limits, features, position) values
  ('01900000-0000-7000-8000-000000000001', 'free', 'Free', 0, 'EUR',
    '{"bookings": 100, "users": 3, "services": 5}', '[]', 1),
  ('01900000-0000-7000-8000-000000000002', 'team', 'Team', 2900, 'EUR',
    '{"bookings": 2000, "users": 25, "services": 50}', '["branding", "reminders"]', 2),
  ('01900000-0000-7000-8000-000000000003', 'business', 'Business', 9900, 'EUR',
    '{"services": 500}', '["branding", "reminders", "webhooks", "audit_export"]', 3);
alter table plans force row level security;
