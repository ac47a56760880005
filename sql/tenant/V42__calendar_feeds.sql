-- The secret address from which a user's calendar program reads their bookings.
create table calendar_feeds (
  tenant_id  uuid not null,
  user_id    uuid not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  created_at timestamptz not null,
  primary key (tenant_id, user_id),
  unique (tenant_id, token_hash),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
comment on table calendar_feeds is 'Addresses of calendar feeds, at most one per user.';
comment on column calendar_feeds.token_hash is 'SHA-256 of the address''s token, which is not stored.';

alter table calendar_feeds enable row level security;
alter table calendar_feeds force row level security;
-- Each user sees their own; the sign-in path finds the user of a token.
create policy calendar_feeds_select on calendar_feeds for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- Each user creates their own.
create policy calendar_feeds_insert on calendar_feeds for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id());
-- Each user removes their own.
create policy calendar_feeds_delete on calendar_feeds for delete to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- No update is granted: a new address replaces the old one.
grant select (tenant_id, user_id, token_hash, created_at),
  insert (tenant_id, user_id, token_hash, created_at), delete on calendar_feeds to tenantry_app;
