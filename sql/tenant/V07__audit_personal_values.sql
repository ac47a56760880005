-- Names and emails in audit events. The log itself contains a salted digest of each, so that a person can be erased and
-- the chain stays valid.
create table audit_personal_values (
  tenant_id  uuid not null references tenant_state (tenant_id) on delete cascade,
  digest     bytea not null check (octet_length(digest) = 32),
  subject_id uuid not null,
  salt       bytea not null check (octet_length(salt) = 16),
  value      text not null check (length(value) <= 1000),
  primary key (tenant_id, digest)
);
comment on table audit_personal_values is 'Personal data of the audit log, stored separately.';
comment on column audit_personal_values.digest is 'SHA-256 of salt and value, as in the event.';
comment on column audit_personal_values.subject_id is 'The person, or the invitation or registration, that the value belongs to.';

create index audit_personal_values_subject on audit_personal_values (tenant_id, subject_id);

alter table audit_personal_values enable row level security;
alter table audit_personal_values force row level security;
-- The roles that read the log read these too.
create policy audit_personal_values_select on audit_personal_values for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'));
-- Every scope whose actions are logged.
create policy audit_personal_values_insert on audit_personal_values for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN'));
-- An administrator erases people.
create policy audit_personal_values_delete on audit_personal_values for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
-- No update is granted.
grant select (tenant_id, digest, subject_id, salt, value),
  insert (tenant_id, digest, subject_id, salt, value), delete on audit_personal_values to tenantry_app;
