-- The links in reminders that stop them: one for each mail, valid for a year. The token itself is not stored.
create table unsubscribe_links (
  tenant_id  uuid not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  user_id    uuid not null,
  created_at timestamptz not null,
  primary key (tenant_id, token_hash),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
comment on table unsubscribe_links is 'Links that stop reminders without a sign-in.';
comment on column unsubscribe_links.token_hash is 'SHA-256 of the mailed token.';

create index unsubscribe_links_created on unsubscribe_links (tenant_id, created_at);

alter table unsubscribe_links enable row level security;
alter table unsubscribe_links force row level security;
-- The sign-in path finds the user of a token; background work removes old links.
create policy unsubscribe_links_select on unsubscribe_links for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('AUTHENTICATOR', 'WORKER'));
-- Background work creates a link with its mail.
create policy unsubscribe_links_insert on unsubscribe_links for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- Background work removes old links.
create policy unsubscribe_links_delete on unsubscribe_links for delete to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() = 'WORKER');
-- No update is granted.
grant select (tenant_id, token_hash, user_id, created_at),
  insert (tenant_id, token_hash, user_id, created_at), delete on unsubscribe_links to tenantry_app;
