-- Requests of a visitor in the name of an email: a new password, or a failed sign-in. The request only writes this row,
-- whether the email is known or not, so that neither its answer nor its work reveals which accounts exist. Background
-- work looks the email up later.
create table account_requests (
  id           uuid primary key,
  kind         text not null check (kind in ('PASSWORD_RESET', 'SIGN_IN_FAILED')),
  email        text not null check (length(email) <= 320),
  tenant_slug  text check (length(tenant_slug) <= 63),
  request_id   uuid,
  address      text check (length(address) <= 64),
  created_at   timestamptz not null,
  available_at timestamptz not null,
  attempts     integer not null default 0 check (attempts >= 0)
);
comment on table account_requests is 'Requests in the name of an email that wait to be processed. A row exists for seconds.';

create index account_requests_available_at on account_requests (available_at, id);

alter table account_requests enable row level security;
alter table account_requests force row level security;
-- Only the sign-in path, and the background work that continues it.
create policy account_requests_select on account_requests for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
-- The request inserts its row and does nothing else.
create policy account_requests_insert on account_requests for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR');
-- Background work schedules the next attempt.
create policy account_requests_update on account_requests for update to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR') with check (current_app_role() = 'AUTHENTICATOR');
-- Background work removes processed requests.
create policy account_requests_delete on account_requests for delete to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
grant select (id, kind, email, tenant_slug, request_id, address, created_at, available_at, attempts),
  insert (id, kind, email, tenant_slug, request_id, address, created_at, available_at),
  update (available_at, attempts), delete on account_requests to tenantry_app;
