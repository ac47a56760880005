-- Visits to the page of a payment provider. The row exists before the provider is contacted, and its id is the key by
-- which the provider recognises a repeated request.
create table checkout_sessions (
  tenant_id        uuid not null references tenant_state (tenant_id) on delete cascade,
  id               uuid not null,
  plan_id          uuid not null,
  version_id       uuid not null,
  billing_interval text not null check (billing_interval in ('MONTH', 'YEAR')),
  state            text not null default 'CREATING' check (state in ('CREATING', 'OPEN', 'COMPLETED', 'EXPIRED')),
  priced_at        timestamptz not null,
  amount_minor     bigint not null check (amount_minor >= 0),
  currency         text not null check (currency ~ '^[A-Z]{3}$'),
  success_url      text not null check (length(success_url) between 1 and 2000),
  cancel_url       text not null check (length(cancel_url) between 1 and 2000),
  provider         text not null check (length(provider) between 1 and 20),
  provider_ref     text check (length(provider_ref) between 1 and 255),
  url              text check (length(url) between 1 and 5000),
  expires_at       timestamptz not null,
  completed_at     timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, provider, provider_ref),
  foreign key (tenant_id, version_id) references plan_terms (tenant_id, version_id) on delete restrict,
  check (state <> 'OPEN' or (provider_ref is not null and url is not null)),
  check ((completed_at is not null) = (state = 'COMPLETED'))
);
comment on table checkout_sessions is 'Visits to the page of a payment provider, to take a plan.';
comment on column checkout_sessions.priced_at is 'The instant for which the amount was calculated, and from which the plan applies once it is paid.';
comment on column checkout_sessions.amount_minor is 'The amount to pay there; 0 when only a payment method is saved.';

create unique index checkout_sessions_one_open on checkout_sessions (tenant_id, plan_id) where state in ('CREATING', 'OPEN');

alter table checkout_sessions enable row level security;
alter table checkout_sessions force row level security;
-- The tenant's administrators see them; billing runs as background work or in a platform scope.
create policy checkout_sessions_select on checkout_sessions for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER', 'PLATFORM_ADMIN'));
-- Only billing creates them.
create policy checkout_sessions_insert on checkout_sessions for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- Billing records what the provider reported.
create policy checkout_sessions_update on checkout_sessions for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('WORKER', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, id, plan_id, version_id, billing_interval, state, priced_at, amount_minor, currency,
    success_url, cancel_url, provider, provider_ref, url, expires_at, completed_at),
  insert (tenant_id, id, plan_id, version_id, billing_interval, priced_at, amount_minor, currency, success_url,
    cancel_url, provider, expires_at),
  update (state, provider_ref, url, expires_at, completed_at) on checkout_sessions to tenantry_app;
