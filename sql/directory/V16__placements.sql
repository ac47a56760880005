-- Tenants are made in schemas and databases of their own, and moved from one store to another. (Expands V03, V07.)
alter table tenants add column moving_since timestamptz;
alter table tenants add column store_ready_at timestamptz;
comment on column tenants.url is 'Where a SCHEMA or DATABASE tenant is, without logins: postgresql://host:port/database?schema=name. What it leaves out is as for the shared tables.';
comment on column tenants.moving_since is 'Since when its writers wait, because it is about to be in another store; null while nobody waits.';
comment on column tenants.store_ready_at is 'When its own store was made; null for SHARED, and for a tenant whose store is still to be made.';
grant select (moving_since, store_ready_at), insert (isolation, url),
  update (isolation, url, epoch, moving_since, store_ready_at) on tenants to tenantry_app;
create unique index tenants_url on tenants (url) where url is not null;
