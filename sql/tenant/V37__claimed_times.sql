-- The claimed times of these resources or services, without the customer. A customer sees only their own bookings but
-- must learn which times are free, so the function reads as WORKER and returns to the role that it was called in. An
-- expired hold occupies nothing, whether it was released yet or not; a class occupies its resources while one of its
-- seats is taken. A booking lasts a day at most, and so does each buffer. So a claim that reaches into a time began
-- less than three days before it, and the index bounds the search at both ends, however long the history is.
create function claimed_times(p_tenant uuid, p_claimed uuid[], p_from timestamptz, p_to timestamptz, p_now timestamptz)
  returns table (claimed_id uuid, lane smallint, blocked_from timestamptz, blocked_to timestamptz)
  language plpgsql
  as $$
declare
  v_role text := current_setting('app.role', true);
begin
  execute 'set local app.role = ''WORKER''';
  return query
    select c.claimed_id, c.lane, c.blocked_from, c.blocked_to
      from booking_claims c left join bookings b on b.tenant_id = c.tenant_id and b.id = c.booking_id
     where c.tenant_id = p_tenant and c.claimed_id = any (p_claimed) and c.active
       and c.blocked_from < p_to and c.blocked_from > p_from - interval '3 days 1 hour' and c.blocked_to > p_from
       and (b.held_until is null or b.held_until > p_now)
       and (c.occurrence_id is null or exists (
         select from bookings s
          where s.tenant_id = p_tenant and s.occurrence_id = c.occurrence_id and s.holds_seat
            and (s.held_until is null or s.held_until > p_now)));
  execute format('set local app.role = %L', v_role);
end
$$;
comment on function claimed_times is 'Claimed times of resources and services, without the customer.';
revoke execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz, timestamptz) from public;
grant execute on function claimed_times(uuid, uuid[], timestamptz, timestamptz, timestamptz) to tenantry_app, tenantry_platform;
