-- A time can be held for a few minutes before it is booked. A constraint cannot know the time, so an expired hold stays
-- until background work, or the next booking that needs the slot, releases it in the name of background work.

-- Releases expired holds of these resources and services, or all (null), and returns which bookings they were, and
-- when. It checks the service as well as the claims: a class may occupy a resource that its service no longer uses.
create function expire_holds(p_tenant uuid, p_claimed uuid[], p_now timestamptz)
  returns table (booking_id uuid, starts_at timestamptz, ends_at timestamptz)
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  for booking_id, starts_at, ends_at in
    with expired as (
      update bookings b set status = 'EXPIRED', held_until = null, version = b.version + 1, updated_at = p_now
       where b.tenant_id = p_tenant and b.status = 'HELD' and b.held_until <= p_now
         and (p_claimed is null or b.service_id = any (p_claimed) or exists (
           select from booking_claims c
            where c.tenant_id = p_tenant and c.booking_id = b.id and c.active and c.claimed_id = any (p_claimed))
           or exists (
           select from booking_claims c
            where c.tenant_id = p_tenant and c.occurrence_id = b.occurrence_id and c.active
              and c.claimed_id = any (p_claimed)))
      returning b.id, b.customer_id, b.version, b.starts_at, b.ends_at
    ), released as (
      update booking_claims c set active = false from expired e
       where c.tenant_id = p_tenant and c.booking_id = e.id and c.active
    ), told as (
      insert into booking_transitions
        (tenant_id, id, booking_id, customer_id, booking_version, from_status, to_status, at)
      select p_tenant, gen_random_uuid(), e.id, e.customer_id, e.version, 'HELD', 'EXPIRED', p_now from expired e
    )
    select e.id, e.starts_at, e.ends_at from expired e
  loop
    perform leave_seat(p_tenant, booking_id);
    return next;
  end loop;
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function expire_holds is 'Releases expired holds.';
revoke execute on function expire_holds(uuid, uuid[], timestamptz) from public;
grant execute on function expire_holds(uuid, uuid[], timestamptz) to tenantry_app, tenantry_platform;

-- Confirms a hold that has not expired, for its customer or for staff. Whether the booking then waits for confirmation
-- by staff is the service's setting.
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
comment on function confirm_hold is 'Confirms a hold; false when it has expired or changed, or the caller may not confirm it.';
revoke execute on function confirm_hold(uuid, uuid, integer, text, uuid, timestamptz) from public;
grant execute on function confirm_hold(uuid, uuid, integer, text, uuid, timestamptz) to tenantry_app, tenantry_platform;
