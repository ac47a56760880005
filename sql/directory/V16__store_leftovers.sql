-- Stores, and rows of the shared store, that no tenant uses any more: what a move left behind, a target that was never
-- used, the store of an erased tenant. Background work removes them with the operator's logins once their time has
-- passed.
create table store_leftovers (
  id           uuid primary key,
  tenant_id    uuid not null,
  isolation    text not null check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  url          text check ((url is null) = (isolation = 'SHARED')),
  remove_after timestamptz not null,
  last_error   text check (length(last_error) <= 500)
);
comment on table store_leftovers is 'What is to be removed of stores that are out of use.';
comment on column store_leftovers.tenant_id is 'Whose it was. No foreign key: the tenant may be gone.';
comment on column store_leftovers.remove_after is 'Until then it is kept, as the last way back after a move.';

create index store_leftovers_remove_after on store_leftovers (remove_after, id);

alter table store_leftovers enable row level security;
alter table store_leftovers force row level security;
-- Platform administrators see what is to be removed.
create policy store_leftovers_select on store_leftovers for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- A move or an erasure, in a platform scope, notes what it leaves.
create policy store_leftovers_insert on store_leftovers for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Background work notes why a removal failed.
create policy store_leftovers_update on store_leftovers for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- Background work, in a platform scope, forgets what it has removed.
create policy store_leftovers_delete on store_leftovers for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
grant select (id, tenant_id, isolation, url, remove_after, last_error),
  insert (id, tenant_id, isolation, url, remove_after),
  update (last_error), delete on store_leftovers to tenantry_app;
