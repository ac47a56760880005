-- A link that works once: to choose a new password, to confirm an email, to join. Created when its mail is written.
create table one_time_links (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  id         uuid not null,
  purpose    text not null check (purpose in ('PASSWORD_RESET', 'EMAIL_VERIFICATION', 'INVITATION', 'REGISTRATION')),
  subject_id uuid not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at    timestamptz,
  voided_at  timestamptz,
  primary key (tenant_id, id)
);
comment on table one_time_links is 'Links that were sent by mail. Valid until used, voided or expired.';
comment on column one_time_links.id is 'The id of the outbox row whose mail contains it.';
comment on column one_time_links.subject_id is 'The user, invitation or registration that it is for.';
comment on column one_time_links.voided_at is 'When a newer link for the same purpose and subject, or a change of password, made it invalid.';

create index one_time_links_subject on one_time_links (tenant_id, subject_id, purpose);

alter table one_time_links enable row level security;
alter table one_time_links force row level security;
-- Only the sign-in path sees them.
create policy one_time_links_select on one_time_links for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path creates a link with its mail.
create policy one_time_links_insert on one_time_links for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path records that a link was used or voided.
create policy one_time_links_update on one_time_links for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path removes expired links.
create policy one_time_links_delete on one_time_links for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
grant select (tenant_id, id, purpose, subject_id, created_at, expires_at, used_at, voided_at),
  insert (tenant_id, id, purpose, subject_id, created_at, expires_at),
  update (used_at, voided_at), delete on one_time_links to tenantry_app;
