-- Tenants are made, suspended, deleted and erased. (Expands V03 and V04.)

alter table tenants drop constraint tenants_state_check;
alter table tenants add constraint tenants_state_check
  check (state in ('CREATING', 'ACTIVE', 'SUSPENDED', 'MOVING', 'DELETED'));
alter table tenants add column plan_id uuid references plans (id) on delete restrict;
alter table tenants add column suspended_reason text check (length(suspended_reason) between 1 and 500);
alter table tenants add column erase_after timestamptz;
alter table tenants add column changed_at timestamptz;
alter table tenants add column sync_wanted_at timestamptz;
alter table tenants no force row level security;
update tenants set erase_after = now() + interval '30 days' where state = 'DELETED';
alter table tenants force row level security;
alter table tenants add constraint tenants_erase_after_check check ((erase_after is not null) = (state = 'DELETED'));
comment on column tenants.state is 'A copy of what the store says, but for CREATING: the store may not hold it yet. Whoever finds it so for long finishes or abandons it.';
comment on column tenants.plan_id is 'A copy of what the store says, for lists.';
comment on column tenants.sync_wanted_at is 'Set before the platform changes the store, and taken away once the change was copied here: whoever finds it set for long copies.';
comment on column tenants.changed_at is 'When what was copied was changed in the store, so that an older copy never replaces a newer one.';
comment on column tenants.erase_after is 'When a deleted tenant is erased for good; until then it can be restored.';
create index tenants_state on tenants (state, id);

-- Sign-in finds a tenant by its slug; platform administrators and background work see them all.
alter policy tenants_select on tenants
  using (current_app_role() in ('AUTHENTICATOR', 'PLATFORM_ADMIN', 'WORKER'));
-- Whoever signs up begins a tenant; only a platform scope makes one that is there at once.
alter policy tenants_insert on tenants
  with check (current_app_role() = 'PLATFORM_ADMIN' or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING'));
-- Signing up finishes what it began; background work copies what the tenant's own store says.
create policy tenants_update on tenants for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state = 'CREATING' and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()))
  with check (current_app_role() = 'PLATFORM_ADMIN'
    or (current_app_role() = 'AUTHENTICATOR' and state in ('ACTIVE', 'DELETED') and id = current_tenant_id())
    or (current_app_role() = 'WORKER' and id = current_tenant_id()));
-- Only what was deleted, and whose time to be restored is over.
create policy tenants_delete on tenants for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN' and state = 'DELETED' and erase_after < now());
grant select (plan_id, suspended_reason, erase_after, changed_at, sync_wanted_at), insert (state, plan_id),
  update (slug, name, state, plan_id, suspended_reason, erase_after, changed_at, sync_wanted_at), delete on tenants to tenantry_app;

-- Whoever signs up has a login for an e-mail that he has not shown to be his. Until then it counts only where the tenant
-- is named, so that nobody's sign-in elsewhere depends on what a stranger did with his e-mail.
alter table logins add column verified boolean not null default true;
comment on column logins.verified is 'Whether the mailbox was shown to be the user''s.';
create policy logins_update on logins for update to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id())
  with check (current_app_role() = 'AUTHENTICATOR' and tenant_id = current_tenant_id());
grant select (verified), insert (verified), update (verified) on logins to tenantry_app;

-- A person who was erased, or a tenant that was never finished or is erased, leaves no login behind.
create policy logins_delete on logins for delete to tenantry_app
  using (current_app_role() in ('AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN') and tenant_id = current_tenant_id());
alter policy logins_select on logins
  using (current_app_role() = 'AUTHENTICATOR'
    or (current_app_role() in ('WORKER', 'PLATFORM_ADMIN') and tenant_id = current_tenant_id()));
grant delete on logins to tenantry_app;
