-- The scope of a transaction, in settings that `enter` makes. Outside a scope every helper is null, and no policy lets
-- a row pass. The helpers are `stable`, never `immutable`: a cached generic plan would keep the first caller's tenant.

create function current_tenant_id() returns uuid
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$;
comment on function current_tenant_id() is 'The tenant of this transaction, or null outside one.';

create function current_user_id() returns uuid
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.user_id', true), '')::uuid $$;
comment on function current_user_id() is 'The platform administrator of this transaction, or null when there is none.';

create function current_app_role() returns text
  language sql stable parallel safe
  as $$ select nullif(current_setting('app.role', true), '') $$;
comment on function current_app_role() is 'The scope''s role in this transaction, or null outside one.';
