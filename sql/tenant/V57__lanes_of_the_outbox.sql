-- Each lane of the outbox is looked through by itself: however much waits for endpoints of webhooks, mail is found at once.
-- (Expands V12, V27.)
create index outbox_usual on outbox (tenant_id, available_at, id) where dead_at is null and kind <> 'webhooks.send';
create index outbox_webhooks on outbox (tenant_id, available_at, id) where dead_at is null and kind = 'webhooks.send';
