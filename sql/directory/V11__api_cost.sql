-- How much a tenant may ask of the API in a minute, by plan. (Expands V02.)
comment on column plans.limits is 'Most of each meter: {"bookings": a calendar month, "users": at once, "services": at once, "api_cost": a minute}. An absent meter has no limit.';
alter table plans no force row level security;
update plans set limits = limits || '{"api_cost": 300000}' where key = 'free';
update plans set limits = limits || '{"api_cost": 1200000}' where key = 'team';
update plans set limits = limits || '{"api_cost": 6000000}' where key = 'business';
alter table plans force row level security;
