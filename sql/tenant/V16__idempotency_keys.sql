-- Answers to mutations that carried a key, so that repeating one does nothing twice. Written in the transaction of the
-- mutation itself: there is no answer without its effect, and no effect without its answer.
create table idempotency_keys (
  tenant_id   uuid not null,
  user_id     uuid not null,
  key         text not null check (length(key) between 1 and 255),
  fingerprint bytea not null check (octet_length(fingerprint) = 32),
  answer      text,
  expires_at  timestamptz not null,
  primary key (tenant_id, user_id, key),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
  foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade
);
comment on table idempotency_keys is 'Answers to requests with an Idempotency-Key, for a day.';
comment on column idempotency_keys.fingerprint is 'SHA-256 of the request: the same key with another request is refused.';
comment on column idempotency_keys.answer is 'The body of the answer, in JSON. Null only inside the transaction that creates it; empty once a person was erased whom it may have named.';

create index idempotency_keys_expires_at on idempotency_keys (tenant_id, user_id, expires_at);

alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
-- Each user sees their own; the sign-in path removes those of a person who is erased.
create policy idempotency_keys_select on idempotency_keys for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- Each user stores their own.
create policy idempotency_keys_insert on idempotency_keys for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id());
-- The transaction that made the row adds the answer; the sign-in path blanks answers that may name an erased person.
create policy idempotency_keys_update on idempotency_keys for update to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and ((current_app_role() = 'AUTHENTICATOR' and answer = '')
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
-- Each user removes their own expired keys; the sign-in path those of an erased person.
create policy idempotency_keys_delete on idempotency_keys for delete to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
grant select (tenant_id, user_id, key, fingerprint, answer, expires_at),
  insert (tenant_id, user_id, key, fingerprint, expires_at),
  update (answer), delete on idempotency_keys to tenantry_app;
