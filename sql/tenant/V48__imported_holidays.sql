-- Days that came from a calendar file are told from those set by hand: the next file takes their place. (Expands V41.)
alter table opening_overrides add column imported boolean not null default false;
comment on column opening_overrides.imported is 'Whether it came from a calendar file, and not by hand.';
grant select (imported), insert (imported) on opening_overrides to tenantry_app;
