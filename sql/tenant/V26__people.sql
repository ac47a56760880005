-- People confirm their e-mail, can be erased, and can be impersonated by the platform. (Expands V03, V04, V05, V08, V09.)

alter table users add column email_verified_at timestamptz;
comment on column users.email_verified_at is 'When the person showed that the mailbox is his; null before.';
-- Whoever is there already was made by an operator, who knew him.
alter table users no force row level security;
update users set email_verified_at = created_at;
alter table users force row level security;
alter table users drop constraint users_status_check;
alter table users add constraint users_status_check check (status in ('ACTIVE', 'DEACTIVATED', 'ERASED'));
comment on column users.status is 'DEACTIVATED: cannot sign in, and every session is refused; bookings stay. ERASED: the same for ever, and the name and e-mail are a pseudonym.';

-- An administrator changes anybody; the sign-in path notes that an e-mail was confirmed, and takes back whom an
-- administrator invited again. Everybody else changes his own row, and can make of it nothing but what he is: the role
-- of his scope, and active.
alter policy users_update on users
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'AUTHENTICATOR')
      or (current_app_role() in ('STAFF', 'USER') and id = current_user_id()
        and role = current_app_role() and status = 'ACTIVE')));
grant select (email_verified_at), insert (email_verified_at), update (email, email_verified_at) on users to tenantry_app;

-- Erasing a person takes what proves who he is, and where he signed in from: work of the sign-in path, which alone sees
-- both.
create policy credentials_delete on credentials for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
grant delete on credentials to tenantry_app;
create policy sessions_delete on sessions for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
grant delete on sessions to tenantry_app;
-- And what he wrote. Staff change a booking's status; only an administrator its notes, by erasing them.
grant update (notes) on bookings to tenantry_app;
create policy booking_transitions_update on booking_transitions for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'ADMIN');
grant update (reason) on booking_transitions to tenantry_app;

alter table sessions drop constraint sessions_end_reason_check;
alter table sessions add constraint sessions_end_reason_check
  check (end_reason in ('LOGOUT', 'REFRESH_TOKEN_REPLAYED', 'REVOKED', 'PASSWORD_CHANGED', 'PASSWORD_RESET'));
alter table sessions add column impersonator text check (length(impersonator) between 3 and 320);
comment on column sessions.impersonator is 'E-mail of the platform administrator whose session this is, acting as the user.';
grant select (impersonator), insert (impersonator) on sessions to tenantry_app;
