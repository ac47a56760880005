-- People change their passwords, and end sessions that are not this one. (Expands V04 and V05.)

-- The sign-in path replaces a hash once it has seen the password that it belongs to.
create policy credentials_update on credentials for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
grant update (password_hash, updated_at) on credentials to tenantry_app;

alter table sessions drop constraint sessions_end_reason_check;
alter table sessions add constraint sessions_end_reason_check
  check (end_reason in ('LOGOUT', 'REFRESH_TOKEN_REPLAYED', 'REVOKED', 'PASSWORD_CHANGED'));
comment on column sessions.end_reason is 'LOGOUT: here. REVOKED: from another session. PASSWORD_CHANGED: with all others of the user. REFRESH_TOKEN_REPLAYED: a used token came again.';
