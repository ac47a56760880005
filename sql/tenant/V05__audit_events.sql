-- Who did what, written in the transaction that did it: there is no event without its change, and no change without its
-- event.
-- The log is a hash chain: the hash of each event covers the one before, so an event that is changed, removed or
-- inserted breaks the chain. See append_audit_events.
create table audit_events (
  tenant_id    uuid not null references tenant_state (tenant_id) on delete cascade,
  id           uuid not null,
  at           timestamptz not null,
  actor_id     uuid,
  actor_role   text not null check (actor_role in ('ADMIN', 'STAFF', 'USER', 'AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN')),
  action       text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
  object_type  text not null check (object_type ~ '^[a-z_]+$'),
  object_id    uuid,
  changes      jsonb not null default '{}' check (jsonb_typeof(changes) = 'object'),
  request_id   uuid,
  address      text check (length(address) <= 64),
  seq          bigint not null,
  hash         bytea not null check (octet_length(hash) = 32),
  impersonator text check (length(impersonator) between 3 and 320),
  primary key (tenant_id, id),
  constraint audit_events_seq_key unique (tenant_id, seq)
);
comment on table audit_events is 'The audit log of a tenant.';
comment on column audit_events.action is 'Feature and verb, such as bookings.cancel.';
comment on column audit_events.changes is '{"field": {"from": …, "to": …}} of what changed. Contains no secrets.';
comment on column audit_events.seq is 'Its position in the tenant''s chain, from 1 without gaps.';
comment on column audit_events.hash is 'SHA-256 of the previous hash and this event; see audit_event_hash.';
comment on column audit_events.impersonator is 'Email of the platform administrator who acted as this person.';

create index audit_events_at on audit_events (tenant_id, at, seq);

alter table audit_events enable row level security;
alter table audit_events force row level security;
-- The administrator reads the log; background work exports it.
create policy audit_events_select on audit_events for select to tenantry_app
  using (tenant_id = current_tenant_id() and current_app_role() in ('ADMIN', 'WORKER'));
-- Every caller is logged in their own name and role; the sign-in path names the user it signed in.
create policy audit_events_insert on audit_events for insert to tenantry_app
  with check (tenant_id = current_tenant_id() and actor_role = current_app_role()
    and (current_app_role() in ('AUTHENTICATOR', 'WORKER', 'PLATFORM_ADMIN')
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and actor_id = current_user_id())));
-- No update and no delete is granted: the log only grows.
grant select (tenant_id, id, at, actor_id, actor_role, action, object_type, object_id, changes, request_id, address,
    seq, hash, impersonator),
  insert (tenant_id, id, at, actor_id, actor_role, action, object_type, object_id, changes, request_id, address, seq,
    hash, impersonator) on audit_events to tenantry_app;
