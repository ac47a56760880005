-- How a user wants the tenant's mail. Without a row: in the tenant's language, with reminders.
create table mail_preferences (
  tenant_id  uuid not null,
  user_id    uuid not null,
  locale     text check (length(locale) between 2 and 35 and locale ~ '^[a-z]{2}(-[A-Za-z0-9]+)*$'),
  reminders  boolean not null,
  updated_at timestamptz not null,
  primary key (tenant_id, user_id),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
comment on table mail_preferences is 'How users want mail about their bookings.';
comment on column mail_preferences.locale is 'BCP 47 tag of their language, and of how they write dates; null: the tenant''s.';
comment on column mail_preferences.reminders is 'Whether they want reminders of their bookings.';

alter table mail_preferences enable row level security;
alter table mail_preferences force row level security;
-- Each user sees their own; staff see how to write to a customer; background work writes the mail.
create policy mail_preferences_select on mail_preferences for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'AUTHENTICATOR', 'WORKER')
      or (current_app_role() = 'USER' and user_id = current_user_id())));
-- Each user sets their own, an administrator anyone's; the sign-in path stops reminders by a link.
create policy mail_preferences_insert on mail_preferences for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and user_id = current_user_id())));
-- The same for changes.
create policy mail_preferences_update on mail_preferences for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and user_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and user_id = current_user_id())));
-- No delete is granted.
grant select (tenant_id, user_id, locale, reminders, updated_at),
  insert (tenant_id, user_id, locale, reminders, updated_at),
  update (locale, reminders, updated_at) on mail_preferences to tenantry_app;
