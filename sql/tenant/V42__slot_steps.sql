-- At which times a service begins. (Expands V07.)
alter table services add column slot_step_minutes integer check (slot_step_minutes between 5 and 1440);
comment on column services.slot_step_minutes is 'Customers book at so many minutes after opening, or a multiple; null: at any time, and what is offered is a duration apart.';
grant select (slot_step_minutes), insert (slot_step_minutes), update (slot_step_minutes) on services to tenantry_app;
