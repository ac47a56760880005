-- Records events of usage, in the order of meters and ids, so that no two transactions wait for each other in a ring. Each with its quota and its day in the one statement that calls this: what was counted is there,
-- and what is there was counted. The events are a JSON array of {"id", "source", "event_id", "meter", "quantity",
-- "occurred_at", "day", "level", "most", "period_start", "period_end"}; a level is how many there are from then on, and an
-- event without a period has no quota. Who may not see events (customers, staff) only records what cannot be there yet.
-- Returns what became of each: ACCEPTED, DUPLICATE (the same was there), DIFFERS (the
-- same id was there with other content) or QUOTA (its period has no room for it).
create function record_usage(p_tenant uuid, p_events jsonb, p_now timestamptz) returns text[]
  language plpgsql
  as $$
declare
  v_results text[] := '{}';
  v_closed  timestamptz;
  v_event   record;
  v_same    boolean;
begin
  -- Billing takes it alone: what is recorded is either in what it closes, or counted after that.
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
      -- Somebody else has just recorded it: what it took of the quota is given back.
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
comment on function record_usage is 'Records events of usage with their quotas and days, and returns what became of each.';
revoke execute on function record_usage(uuid, jsonb, timestamptz) from public;
grant execute on function record_usage(uuid, jsonb, timestamptz) to tenantry_app, tenantry_platform;

-- A booking cannot be there unmetered, nor be metered twice: it names its event, and no other booking names it. Holds, and
-- what became of holds that nobody took up, are not metered. (Expands V08, V43.)
alter table bookings add column metered_as uuid;
comment on column bookings.metered_as is 'Its event of usage.';
alter table bookings no force row level security;
alter table users no force row level security;
alter table usage_events no force row level security;
alter table usage_closings no force row level security;
alter table tenant_state no force row level security;
insert into usage_events (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
  select tenant_id, id, 'tenantry', 'booking:' || id, 'bookings', 1, created_at, created_at, now()
    from bookings where status not in ('HELD', 'EXPIRED', 'CANCELLED');
update bookings set metered_as = id where status not in ('HELD', 'EXPIRED', 'CANCELLED');
insert into usage_events (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
  select tenant_id, gen_random_uuid(), 'tenantry', 'users:before', 'users', count(*), now(), now(), now()
    from users where status = 'ACTIVE' group by tenant_id;
-- Whoever is here already is billed from now on.
insert into usage_closings (tenant_id, closed_until) select tenant_id, now() from tenant_state where state <> 'CREATING';
alter table bookings force row level security;
alter table users force row level security;
alter table usage_events force row level security;
alter table usage_closings force row level security;
alter table tenant_state force row level security;
alter table bookings add constraint bookings_metered
  check (metered_as is not null or status in ('HELD', 'EXPIRED', 'CANCELLED'));
alter table bookings add constraint bookings_metered_once unique (tenant_id, metered_as);
alter table bookings add constraint bookings_metered_as_fkey
  foreign key (tenant_id, metered_as) references usage_events (tenant_id, id) on delete restrict;
grant select (metered_as), insert (metered_as), update (metered_as) on bookings to tenantry_app;

drop function confirm_hold(uuid, uuid, integer, text, timestamptz);
create function confirm_hold(
  p_tenant uuid, p_id uuid, p_version integer, p_notes text, p_metered_as uuid, p_now timestamptz
) returns boolean
  language plpgsql
  as $$
declare
  v_role  text := current_setting('app.role', true);
  v_after text;
  v_done  boolean;
begin
  select case when s.requires_confirmation and v_role not in ('ADMIN', 'STAFF') then 'PENDING' else 'CONFIRMED' end into v_after
    from bookings b join services s on s.tenant_id = b.tenant_id and s.id = b.service_id
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = 'HELD' and b.held_until > p_now
     and (v_role in ('ADMIN', 'STAFF') or (v_role = 'USER' and b.customer_id = current_user_id()));
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  update bookings b
     set status = v_after, held_until = null, notes = coalesce(p_notes, b.notes), version = b.version + 1, updated_at = p_now,
         metered_as = p_metered_as
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = 'HELD';
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
comment on function confirm_hold is 'Takes up a hold that is still good; false where it is not, or is not of whoever asks.';
revoke execute on function confirm_hold(uuid, uuid, integer, text, uuid, timestamptz) from public;
grant execute on function confirm_hold(uuid, uuid, integer, text, uuid, timestamptz) to tenantry_app, tenantry_platform;
