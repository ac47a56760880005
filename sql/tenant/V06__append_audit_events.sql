-- The text of a jsonb value is canonical: equal values have sorted keys, and numbers and spaces in one form.
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

-- Appends events in order. A transaction calls it once with everything it logged, as its last statement before the
-- commit: writers of one tenant wait for each other's commit and for nothing else.
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
comment on function append_audit_events is 'Appends events, an ordered JSON array, to the tenant''s chain.';
revoke execute on function append_audit_events(uuid, jsonb) from public;
grant execute on function append_audit_events(uuid, jsonb) to tenantry_app, tenantry_platform;
