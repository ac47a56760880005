-- The audit log becomes a hash chain: each event's hash covers the one before, so no event can be changed, taken out or
-- put in without the chain telling. (Expands V11.)

alter table audit_events add column seq bigint;
alter table audit_events add column hash bytea check (octet_length(hash) = 32);
alter table audit_events add column impersonator text check (length(impersonator) between 3 and 320);
comment on column audit_events.seq is 'Its place in the tenant''s chain, from 1 without a gap.';
comment on column audit_events.hash is 'SHA-256 of the hash before and this event; see audit_event_hash.';
comment on column audit_events.impersonator is 'E-mail of the platform administrator who acted as this person.';

-- jsonb's text is the same for the same value: keys sorted, numbers and spaces in one form.
create function audit_event_hash(
  p_previous bytea, p_seq bigint, p_id uuid, p_at timestamptz, p_actor_id uuid, p_actor_role text, p_impersonator text,
  p_action text, p_object_type text, p_object_id uuid, p_changes jsonb, p_request_id uuid, p_address text
) returns bytea
  language sql stable parallel safe
  as $$
    select sha256(p_previous || convert_to(jsonb_build_array(
      p_seq, p_id, (extract(epoch from p_at) * 1000000)::bigint, p_actor_id, p_actor_role, p_impersonator, p_action,
      p_object_type, p_object_id, p_changes, p_request_id, p_address
    )::text, 'UTF8'))
  $$;
comment on function audit_event_hash is 'The hash of one event of the chain. The first event''s previous hash is 32 zero bytes.';

-- Appends events in their order. Called with everything that a transaction logged, as its last statement but the commit:
-- writers of one tenant wait for each other's commit and for nothing else.
create function append_audit_events(p_tenant uuid, p_events jsonb) returns void
  language plpgsql
  as $$
declare
  v_seq   bigint;
  v_hash  bytea;
  v_event jsonb;
begin
  insert into audit_heads (tenant_id, seq, hash) values (p_tenant, 0, decode(repeat('00', 32), 'hex'))
    on conflict do nothing;
  select h.seq, h.hash into strict v_seq, v_hash from audit_heads h where h.tenant_id = p_tenant for update;
  for v_event in select * from jsonb_array_elements(p_events) loop
    v_seq := v_seq + 1;
    v_hash := audit_event_hash(v_hash, v_seq, (v_event ->> 'id')::uuid, (v_event ->> 'at')::timestamptz,
      (v_event ->> 'actor_id')::uuid, current_app_role(), v_event ->> 'impersonator', v_event ->> 'action',
      v_event ->> 'object_type', (v_event ->> 'object_id')::uuid, v_event -> 'changes',
      (v_event ->> 'request_id')::uuid, v_event ->> 'address');
    insert into audit_events (tenant_id, id, at, actor_id, actor_role, impersonator, action, object_type, object_id,
        changes, request_id, address, seq, hash)
      values (p_tenant, (v_event ->> 'id')::uuid, (v_event ->> 'at')::timestamptz, (v_event ->> 'actor_id')::uuid,
        current_app_role(), v_event ->> 'impersonator', v_event ->> 'action', v_event ->> 'object_type',
        (v_event ->> 'object_id')::uuid, v_event -> 'changes', (v_event ->> 'request_id')::uuid,
        v_event ->> 'address', v_seq, v_hash);
  end loop;
  update audit_heads set seq = v_seq, hash = v_hash where tenant_id = p_tenant;
end
$$;
comment on function append_audit_events is 'Adds events, a JSON array in their order, to the end of the tenant''s chain.';
revoke execute on function append_audit_events(uuid, jsonb) from public;
grant execute on function append_audit_events(uuid, jsonb) to tenantry_app, tenantry_platform;

-- What was logged before the chain is its beginning. (The owner is bound by forced row-level security, hence the opening.)
alter table audit_events no force row level security;
alter table audit_heads no force row level security;
-- Names cannot be erased once they are in the chain, so those of before are left out of it.
update audit_events set changes = changes || '{"name": {"from": "[not kept]", "to": "[not kept]"}}'
 where action = 'users.update' and changes ? 'name';
do $$
declare
  v_event  record;
  v_tenant uuid;
  v_seq    bigint;
  v_hash   bytea;
begin
  for v_event in select * from audit_events order by tenant_id, at, id loop
    if v_tenant is distinct from v_event.tenant_id then
      v_tenant := v_event.tenant_id;
      v_seq := 0;
      v_hash := decode(repeat('00', 32), 'hex');
    end if;
    v_seq := v_seq + 1;
    v_hash := audit_event_hash(v_hash, v_seq, v_event.id, v_event.at, v_event.actor_id, v_event.actor_role,
      v_event.impersonator, v_event.action, v_event.object_type, v_event.object_id, v_event.changes,
      v_event.request_id, v_event.address);
    update audit_events set seq = v_seq, hash = v_hash where tenant_id = v_tenant and id = v_event.id;
    insert into audit_heads (tenant_id, seq, hash) values (v_tenant, v_seq, v_hash)
      on conflict (tenant_id) do update set seq = excluded.seq, hash = excluded.hash;
  end loop;
end
$$;
alter table audit_events force row level security;
alter table audit_heads force row level security;

alter table audit_events alter column seq set not null;
alter table audit_events alter column hash set not null;
alter table audit_events add constraint audit_events_seq_key unique (tenant_id, seq);
grant select (seq, hash, impersonator), insert (seq, hash, impersonator) on audit_events to tenantry_app;
