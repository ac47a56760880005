-- Moves of tenants between stores: requested by platform administrators, carried out step by step by background work
-- with the operator's logins. Each step is recorded here before the next one begins. The process that carries out a
-- move holds the session's advisory lock 'move ' || id, so another process finds an unfinished move at once and
-- continues it.
create table tenant_moves (
  id             uuid primary key,
  tenant_id      uuid not null references tenants (id) on delete cascade,
  from_isolation text not null check (from_isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  from_url       text check ((from_url is null) = (from_isolation = 'SHARED')),
  to_isolation   text not null check (to_isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
  to_url         text check ((to_url is null) = (to_isolation = 'SHARED')),
  state          text not null default 'WAITING'
    check (state in ('WAITING', 'PREPARING', 'COPYING', 'FLIPPING', 'DONE', 'ABORTED', 'FAILED')),
  abort_wanted   boolean not null default false,
  rows_total     bigint check (rows_total >= 0),
  rows_copied    bigint not null default 0 check (rows_copied >= 0),
  attempts       integer not null default 0 check (attempts >= 0),
  last_error     text check (length(last_error) <= 500),
  requested_by   uuid,
  created_at     timestamptz not null,
  fenced_at      timestamptz,
  flipped_at     timestamptz,
  ended_at       timestamptz check ((ended_at is not null) = (state in ('DONE', 'ABORTED', 'FAILED')))
);
comment on table tenant_moves is 'Moves of tenants between stores.';
comment on column tenant_moves.state is 'WAITING, PREPARING (the target is created), COPYING (writers wait), FLIPPING (can no longer be aborted), or an end state.';
comment on column tenant_moves.requested_by is 'The platform administrator; null for the command line.';
comment on column tenant_moves.fenced_at is 'Since when writers waited, in the last attempt; until flipped_at.';

create unique index tenant_moves_one_open on tenant_moves (tenant_id) where ended_at is null;
create index tenant_moves_created_at on tenant_moves (created_at, id);

alter table tenant_moves enable row level security;
alter table tenant_moves force row level security;
-- Platform administrators see all moves.
create policy tenant_moves_select on tenant_moves for select to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN');
-- Platform administrators request a move.
create policy tenant_moves_insert on tenant_moves for insert to tenantry_app
  with check (current_app_role() = 'PLATFORM_ADMIN');
-- Background work records each step, in a platform scope; an administrator requests an abort.
create policy tenant_moves_update on tenant_moves for update to tenantry_app
  using (current_app_role() = 'PLATFORM_ADMIN') with check (current_app_role() = 'PLATFORM_ADMIN');
-- No delete is granted: finished moves stay listed as long as their tenant exists.
grant select (id, tenant_id, from_isolation, from_url, to_isolation, to_url, state, abort_wanted, rows_total,
    rows_copied, attempts, last_error, requested_by, created_at, fenced_at, flipped_at, ended_at),
  insert (id, tenant_id, from_isolation, from_url, to_isolation, to_url, requested_by, created_at),
  update (state, abort_wanted, rows_total, rows_copied, attempts, last_error, fenced_at, flipped_at, ended_at)
    on tenant_moves to tenantry_app;
