-- A customer moves his own booking, and can still make nothing of its status but CANCELLED by himself: a policy cannot
-- tell the row before from the row after, so this function does. It looks at the booking as whoever calls it, and changes
-- it as WORKER, which may.
alter policy bookings_update on bookings
  using (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id())))
  with check (tenant_id = current_tenant_id()
    and (current_app_role() in ('ADMIN', 'STAFF', 'WORKER')
      or (current_app_role() = 'USER' and customer_id = current_user_id() and status = 'CANCELLED')));

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
   where b.tenant_id = p_tenant and b.id = p_id and b.version = p_version and b.status = p_before;
  v_done := found;
  execute format('set local app.role = %L', v_role);
  return v_done;
end
$$;
comment on function move_booking is 'Moves a booking that is still as it was read; false where it is not, or may not be moved by whoever asks.';
revoke execute on function move_booking(uuid, uuid, integer, text, timestamptz, timestamptz, text, text, timestamptz) from public;
grant execute on function move_booking(uuid, uuid, integer, text, timestamptz, timestamptz, text, text, timestamptz) to tenantry_app, tenantry_platform;
