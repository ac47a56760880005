-- Administrators change roles and let people go. (Expands V03: role and status come into the update grant, so the policy
-- has to say who may make what of a row.)

-- An administrator changes anybody. Everybody else changes his own row, and can make of it nothing but what he is: the
-- role of his scope, and active.
alter policy users_update on users
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'ADMIN' or (current_app_role() in ('STAFF', 'USER') and id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() = 'ADMIN'
      or (current_app_role() in ('STAFF', 'USER') and id = current_user_id()
        and role = current_app_role() and status = 'ACTIVE')));
grant update (role, status) on users to tenantry_app;
comment on column users.status is 'DEACTIVATED: cannot sign in, and every session is refused; bookings stay.';
