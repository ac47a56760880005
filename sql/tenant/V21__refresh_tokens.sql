-- The refresh tokens of a session, one row for each refresh: a family in the sense of RFC 9700, 4.14.2.
create table refresh_tokens (
  tenant_id  uuid not null,
  id         uuid not null,
  session_id uuid not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  issued_at  timestamptz not null,
  expires_at timestamptz not null,
  used_at    timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, token_hash),
  foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade
);
comment on table refresh_tokens is 'Refresh tokens: each can be used once. A second use, after a short grace period, ends the session.';
comment on column refresh_tokens.token_hash is 'SHA-256 of the token. The token itself is never stored.';

create index refresh_tokens_session on refresh_tokens (tenant_id, session_id);

alter table refresh_tokens enable row level security;
alter table refresh_tokens force row level security;
-- Only the sign-in path sees them.
create policy refresh_tokens_select on refresh_tokens for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Signing in and each refresh create one.
create policy refresh_tokens_insert on refresh_tokens for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- A refresh records that the token was used.
create policy refresh_tokens_update on refresh_tokens for update to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR')
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- Only the use can be recorded, and no delete is granted: a used token must be recognised when it is replayed.
grant select (tenant_id, id, session_id, token_hash, issued_at, expires_at, used_at),
  insert (tenant_id, id, session_id, token_hash, issued_at, expires_at),
  update (used_at) on refresh_tokens to tenantry_app;
