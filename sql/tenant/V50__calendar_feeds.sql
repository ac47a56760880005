-- The secret address under which a user's calendar program reads his bookings.
create table calendar_feeds (
  tenant_id  uuid not null,
  user_id    uuid not null,
  token_hash bytea not null check (octet_length(token_hash) = 32),
  created_at timestamptz not null,
  primary key (tenant_id, user_id),
  unique (tenant_id, token_hash),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
comment on table calendar_feeds is 'Addresses of calendar feeds, one for each user at most.';
comment on column calendar_feeds.token_hash is 'SHA-256 of the address''s token, which is kept nowhere.';

alter table calendar_feeds enable row level security;
alter table calendar_feeds force row level security;
-- Everybody has his own; the sign-in path looks whose a token is.
create policy calendar_feeds_select on calendar_feeds for select to tenantry_app
  using (tenant_id = current_tenant_id()
    and (current_app_role() = 'AUTHENTICATOR'
      or (current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id())));
create policy calendar_feeds_insert on calendar_feeds for insert to tenantry_app
  with check (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id());
create policy calendar_feeds_delete on calendar_feeds for delete to tenantry_app
  using (tenant_id = current_tenant_id()
    and current_app_role() in ('ADMIN', 'STAFF', 'USER') and user_id = current_user_id());
-- No update: another one takes its place.
grant select (tenant_id, user_id, token_hash, created_at), insert (tenant_id, user_id, token_hash, created_at),
  delete on calendar_feeds to tenantry_app;

-- Goes on, in a transaction of the sign-in path, as the user whose feed has this token: with no more rights than he has.
-- Null, and nothing changes, where there is no such feed, its user may not sign in, or the tenant is not served.
create function enter_feed(p_tenant uuid, p_token_hash bytea) returns uuid
  language plpgsql
  as $$
declare
  v_user uuid;
  v_role text;
begin
  select u.id, u.role into v_user, v_role
    from calendar_feeds f
    join users u on u.tenant_id = f.tenant_id and u.id = f.user_id and u.status = 'ACTIVE'
    join tenant_state t on t.tenant_id = f.tenant_id and t.state in ('ACTIVE', 'MOVING')
   where f.tenant_id = p_tenant and f.token_hash = p_token_hash and current_app_role() = 'AUTHENTICATOR';
  if found then
    execute format('set local app.user_id = %L; set local app.role = %L', v_user, v_role);
  end if;
  return v_user;
end
$$;
comment on function enter_feed is 'Goes on as the user whose calendar feed has this token.';
revoke execute on function enter_feed(uuid, bytea) from public;
grant execute on function enter_feed(uuid, bytea) to tenantry_app, tenantry_platform;
