-- Moves a booking. A customer may move their own, but the policy lets them change its status only to CANCELLED, since
-- it cannot compare the row before with the row after. So this function compares: it reads the booking in the caller's
-- role, and changes it as WORKER. The booking keeps its agreed length, or takes that of the class that it joins.
create function move_booking(p_tenant uuid, p_id uuid, p_version integer, p_before text, p_starts_at timestamptz,
    p_ends_at timestamptz, p_time_zone text, p_after text, p_now timestamptz) returns boolean
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
  v_done boolean;
begin
  if v_role = 'USER' and p_after not in (p_before, 'PENDING') then
    return false;
  end if;
  if p_before not in ('PENDING', 'CONFIRMED') or p_after not in ('PENDING', 'CONFIRMED') then
    return false;
  end if;
  perform from bookings b
    where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before
      and (v_role in ('ADMIN', 'STAFF') or b.customer_id = current_user_id());
  if not found then
    return false;
  end if;
  execute 'set local app.role = ''WORKER''';
  update bookings b
     set starts_at = p_starts_at, ends_at = p_ends_at, time_zone = p_time_zone, status = p_after,
         version = b.version + 1, updated_at = p_now
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before
     and (b.ends_at - b.starts_at = p_ends_at - p_starts_at or exists (
       select from occurrences o
        where o.tenant_id = p_tenant and o.service_id = b.service_id and o.active
          and o.starts_at = p_starts_at and o.ends_at = p_ends_at));
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
comment on function move_booking is 'Moves a booking that has not changed since it was read; false when it has, or when the caller may not move it.';
revoke execute on function move_booking(uuid, uuid, integer, text, timestamptz, timestamptz, text, text, timestamptz) from public;
grant execute on function move_booking(uuid, uuid, integer, text, timestamptz, timestamptz, text, text, timestamptz) to tenantry_app, tenantry_platform;
