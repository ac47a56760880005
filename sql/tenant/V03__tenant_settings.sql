-- The settings that a tenant's administrator may change. A tenant without a row has the defaults, and the name, zone
-- and currency that it was created with.
create table tenant_settings (
  tenant_id             uuid primary key references tenant_state (tenant_id) on delete cascade,
  name                  text check (length(name) between 1 and 200),
  time_zone             text check (length(time_zone) between 1 and 64),
  currency              text check (currency ~ '^[A-Z]{3}$'),
  locale                text not null default 'en' check (locale ~ '^[a-z]{2}$'),
  logo_url              text check (length(logo_url) <= 500 and logo_url ~ '^https://'),
  primary_color         text check (primary_color ~ '^#[0-9a-f]{6}$'),
  accent_color          text check (accent_color ~ '^#[0-9a-f]{6}$'),
  open_registration     boolean not null default false,
  min_notice_minutes    integer not null default 0 check (min_notice_minutes between 0 and 525600),
  max_ahead_days        integer not null default 732 check (max_ahead_days between 1 and 732),
  cancel_notice_minutes integer not null default 0 check (cancel_notice_minutes between 0 and 525600),
  updated_at            timestamptz not null,
  reminder_minutes      integer not null default 1440 check (reminder_minutes between 0 and 43200),
  max_moves             integer check (max_moves between 0 and 100),
  contact_email         text check (length(contact_email) between 3 and 320),
  contact_phone         text check (length(contact_phone) between 3 and 40),
  contact_address       text check (length(contact_address) between 1 and 600)
);
comment on table tenant_settings is 'Settings of a tenant: name, calendar, branding, registration, booking rules.';
comment on column tenant_settings.name is 'Null: the value in tenant_state. The same holds for time_zone and currency.';
comment on column tenant_settings.locale is 'ISO 639-1 code: the language of its mail.';
comment on column tenant_settings.min_notice_minutes is 'The latest time before its start at which a customer can book.';
comment on column tenant_settings.max_ahead_days is 'How many days ahead a customer can book at most.';
comment on column tenant_settings.cancel_notice_minutes is 'The latest time before its start at which a customer can cancel.';
comment on column tenant_settings.contact_email is 'Where customers reach it: replies to its mail go there.';
comment on column tenant_settings.contact_phone is 'Its phone number, at the foot of its mail.';
comment on column tenant_settings.contact_address is 'Its postal address in lines, at the foot of its mail.';
comment on column tenant_settings.max_moves is 'How often a customer can move a booking; null: as often as they like.';
comment on column tenant_settings.reminder_minutes is 'How long before its start a customer is reminded of a booking; 0: never.';

alter table tenant_settings enable row level security;
alter table tenant_settings force row level security;
-- Every scope of the tenant reads its settings.
create policy tenant_settings_select on tenant_settings for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- The tenant's administrator and platform administrators.
create policy tenant_settings_insert on tenant_settings for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'PLATFORM_ADMIN'));
-- The tenant's administrator and platform administrators.
create policy tenant_settings_update on tenant_settings for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'PLATFORM_ADMIN'))
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'PLATFORM_ADMIN'));
-- No delete is granted.
grant select (tenant_id, name, time_zone, currency, locale, logo_url, primary_color, accent_color, open_registration,
    min_notice_minutes, max_ahead_days, cancel_notice_minutes, updated_at, reminder_minutes, max_moves,
    contact_email, contact_phone, contact_address),
  insert (tenant_id, name, time_zone, currency, locale, logo_url, primary_color, accent_color, open_registration,
    min_notice_minutes, max_ahead_days, cancel_notice_minutes, updated_at, reminder_minutes, max_moves,
    contact_email, contact_phone, contact_address),
  update (name, time_zone, currency, locale, logo_url, primary_color, accent_color, open_registration,
    min_notice_minutes, max_ahead_days, cancel_notice_minutes, updated_at, reminder_minutes, max_moves,
    contact_email, contact_phone, contact_address)
    on tenant_settings to tenantry_app;
