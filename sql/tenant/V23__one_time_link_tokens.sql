-- The tokens of a link: one for each time its mail was sent. A mail whose sending was not acknowledged is sent again,
-- and the token itself is not stored anywhere.
create table one_time_link_tokens (
  tenant_id  uuid not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  link_id    uuid not null,
  primary key (tenant_id, token_hash),
  foreign key (tenant_id, link_id) references one_time_links (tenant_id, id) on delete cascade
);
comment on table one_time_link_tokens is 'SHA-256 of mailed tokens.';

create index one_time_link_tokens_link on one_time_link_tokens (tenant_id, link_id);

alter table one_time_link_tokens enable row level security;
alter table one_time_link_tokens force row level security;
-- Only the sign-in path sees them.
create policy one_time_link_tokens_select on one_time_link_tokens for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- The sign-in path creates a token for each sending.
create policy one_time_link_tokens_insert on one_time_link_tokens for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'AUTHENTICATOR');
-- No update and no delete is granted: a token is removed with its link.
grant select (tenant_id, token_hash, link_id),
  insert (tenant_id, token_hash, link_id) on one_time_link_tokens to tenantry_app;
