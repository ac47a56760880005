-- Limits how fast an account and an address may try to sign in: one bucket each (GCRA, the generic cell rate algorithm
-- of ITU-T I.371). In the database, so that several processes share it and a restart forgets nothing.
create table sign_in_throttles (
  bucket     bytea primary key check (octet_length(bucket) = 32),
  drained_at timestamptz not null
);
comment on table sign_in_throttles is 'Sign-in attempts, as token buckets.';
comment on column sign_in_throttles.bucket is 'SHA-256 of what is counted: an account, an address, or both together. The plain text is not stored.';
comment on column sign_in_throttles.drained_at is 'When the bucket will be empty again ("theoretical arrival time"). A row whose time has passed has no effect.';

create index sign_in_throttles_drained_at on sign_in_throttles (drained_at);

alter table sign_in_throttles enable row level security;
alter table sign_in_throttles force row level security;
-- Only the sign-in path counts attempts.
create policy sign_in_throttles_select on sign_in_throttles for select to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
-- The first attempt of a bucket creates its row.
create policy sign_in_throttles_insert on sign_in_throttles for insert to tenantry_app
  with check (current_app_role() = 'AUTHENTICATOR');
-- Each further attempt moves the instant at which the bucket is empty.
create policy sign_in_throttles_update on sign_in_throttles for update to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR') with check (current_app_role() = 'AUTHENTICATOR');
-- The sign-in path removes rows whose time has passed.
create policy sign_in_throttles_delete on sign_in_throttles for delete to tenantry_app
  using (current_app_role() = 'AUTHENTICATOR');
grant select (bucket, drained_at),
  insert (bucket, drained_at),
  update (drained_at), delete on sign_in_throttles to tenantry_app;
