-- Records usage events, each with its quota and its day, within the statement that calls this: an event exists exactly
-- when it was counted. The caller sorts the events by meter and id, so that transactions cannot deadlock. The events
-- are a JSON array of {"id", "source", "event_id", "meter", "quantity", "occurred_at", "day", "level", "most",
-- "period_start", "period_end"}. A level states how many there are from then on. An event without a period has no
-- quota. A role that may not read events (customers, staff) only records events that cannot exist yet. Returns one
-- result per event: ACCEPTED, DUPLICATE (the same event exists), DIFFERS (the id exists with other content) or QUOTA
-- (its period has no room for it).
create function record_usage(p_tenant uuid, p_events jsonb, p_now timestamptz) returns text[]
  language plpgsql
  as $$
declare
  v_results text[] := '{}';
  v_closed  timestamptz;
  v_event   record;
  v_same    boolean;
begin
  -- Billing takes this lock exclusively: an event is either in the period that it closes, or counted after it.
  perform pg_advisory_xact_lock_shared(hashtextextended('usage of ' || p_tenant, 0));
  select c.closed_until into v_closed from usage_closings c where c.tenant_id = p_tenant;
  for v_event in
    select * from jsonb_to_recordset(p_events) as e (id uuid, source text, event_id text, meter text, quantity bigint,
      occurred_at timestamptz, day date, level boolean, most bigint, period_start timestamptz, period_end timestamptz)
  loop
    select (u.meter, u.quantity, u.occurred_at) is not distinct from (v_event.meter, v_event.quantity, v_event.occurred_at)
      into v_same from usage_events u where u.tenant_id = p_tenant and u.id = v_event.id;
    if found then
      v_results := v_results || case when v_same then 'DUPLICATE' else 'DIFFERS' end;
      continue;
    end if;
    if v_event.period_start is not null then
      insert into usage_counters as c (tenant_id, meter, period_start, period_end, used)
        select p_tenant, v_event.meter, v_event.period_start, v_event.period_end, v_event.quantity
         where v_event.most is null or v_event.quantity <= v_event.most
        on conflict (tenant_id, meter, period_start) do update set used = c.used + v_event.quantity
         where v_event.most is null or c.used + v_event.quantity <= v_event.most;
      if not found then
        v_results := v_results || 'QUOTA'::text;
        continue;
      end if;
    end if;
    insert into usage_events (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
      values (p_tenant, v_event.id, v_event.source, v_event.event_id, v_event.meter, v_event.quantity, v_event.occurred_at,
        greatest(v_event.occurred_at, v_closed), p_now)
      on conflict do nothing;
    if not found then
      -- Another transaction has just recorded it: its share of the quota is returned.
      update usage_counters c set used = c.used - v_event.quantity
       where c.tenant_id = p_tenant and c.meter = v_event.meter and c.period_start = v_event.period_start;
      select (u.meter, u.quantity, u.occurred_at) is not distinct from (v_event.meter, v_event.quantity, v_event.occurred_at)
        into v_same from usage_events u where u.tenant_id = p_tenant and u.id = v_event.id;
      v_results := v_results || case when v_same then 'DUPLICATE' else 'DIFFERS' end;
      continue;
    end if;
    insert into usage_days as d (tenant_id, meter, day, quantity, events)
      values (p_tenant, v_event.meter, v_event.day, v_event.quantity, 1)
      on conflict (tenant_id, meter, day) do update set events = d.events + 1,
        quantity = case when v_event.level then greatest(d.quantity, v_event.quantity) else d.quantity + v_event.quantity end;
    v_results := v_results || 'ACCEPTED'::text;
  end loop;
  return v_results;
end
$$;
comment on function record_usage is 'Records usage events with their quotas and days, and returns a result for each.';
revoke execute on function record_usage(uuid, jsonb, timestamptz) from public;
grant execute on function record_usage(uuid, jsonb, timestamptz) to tenantry_app, tenantry_platform;
