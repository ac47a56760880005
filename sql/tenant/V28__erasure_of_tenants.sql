-- Erasing a tenant is one statement: its row in tenant_state goes, and everything else with it. Who may is said by the
-- policy there. Keys between a tenant's own tables stay as they are: a service with bookings still cannot be deleted.
-- (A function, because Citus wants one change a statement.)
do $$
declare
  v_key record;
begin
  for v_key in
    select c.conname, c.conrelid::regclass as child from pg_constraint c
     where c.contype = 'f' and c.confrelid = 'tenant_state'::regclass and c.confdeltype <> 'c'
  loop
    execute format('alter table %s drop constraint %I', v_key.child, v_key.conname);
    execute format('alter table %s add constraint %I foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade',
      v_key.child, v_key.conname);
  end loop;
end
$$;
-- Bookings and what hangs on them have no key to tenant_state of their own so far.
alter table booking_transitions add foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade;
alter table bookings add foreign key (tenant_id) references tenant_state (tenant_id) on delete cascade;
