-- Stores, and rows of the shared store, that no tenant uses any more: remains of a move, a target that was never used,
-- the store of an erased tenant. Background work removes them with the operator's logins once their time has passed.
create table store_leftovers (
  id           uuid primary key,
  tenant_id    uuid not null,
  isolation    text not null check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  url          text check ((url is null) = (isolation = 'SHARED')),
  remove_after timestamptz not null,
  last_error   text check (length(last_error) <= 500)
);
comment on table store_leftovers is 'Unused stores and rows that will be removed.';
comment on column store_leftovers.tenant_id is 'The former tenant. No foreign key: the tenant may be gone.';
comment on column store_leftovers.remove_after is 'When it may be removed; until then it is kept as a fallback after a move.';

create index store_leftovers_remove_after on store_leftovers (remove_after, id);

alter table store_leftovers enable row level security;
alter table store_leftovers force row level security;
-- Platform administrators see what will be removed.
create policy store_leftovers_select on store_leftovers for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- A move or an erasure, in a platform scope, records what it leaves.
create policy store_leftovers_insert on store_leftovers for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Background work records why a removal failed.
create policy store_leftovers_update on store_leftovers for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- Background work, in a platform scope, deletes the entry once it is removed.
create policy store_leftovers_delete on store_leftovers for delete to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
grant select (id, tenant_id, isolation, url, remove_after, last_error),
  insert (id, tenant_id, isolation, url, remove_after),
  update (last_error), delete on store_leftovers to tenantry_app;
