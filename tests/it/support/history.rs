//! A long history of bookings, written without the API: for costs that must not grow with it.

use super::TestTenant;

impl TestTenant {
    /// Adds past bookings of the tenant's first service, half an hour each, rotating through these resources, and
    /// updates the planner's statistics.
    pub(crate) async fn add_history(&self, resources: &[String], count: usize) {
        let resources: Vec<String> =
            resources.iter().map(|it| it.parse::<tenantry::base::ids::ResourceId>().unwrap().0.to_string()).collect();
        let service = self.service.parse::<tenantry::base::ids::ServiceId>().unwrap().0;
        let (tenant, customer, lanes, list) = (self.id.0, self.user.id.0, resources.len(), resources.join("','"));
        let now = self.app.clock.now();
        self.app
            .by_hand(&format!(
                "-- Row by row the constraint would take most of the time: it is made anew, and so looks at all of it.
                 alter table shared.booking_claims drop constraint booking_claims_no_overlap;
                 set session_replication_role = 'replica';
                 insert into shared.bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor,
                   currency, created_at, updated_at, metered_as)
                 select '{tenant}', gen_random_uuid(), '{service}', '{customer}', at, at + interval '30 minutes', 'UTC', 'COMPLETED', 0,
                   'EUR', at, at, gen_random_uuid()
                   from (select n, '{now}'::timestamptz - interval '1 day' - (n / {lanes}) * interval '30 minutes' as at
                           from generate_series(0, {count} - 1) n) history;
                 insert into shared.booking_claims (tenant_id, id, booking_id, customer_id, resource_id, lane, blocked_from, blocked_to)
                 select '{tenant}', gen_random_uuid(), b.id, b.customer_id,
                        (array['{list}']::uuid[])[row_number() over (partition by b.starts_at order by b.id)], 0, b.starts_at, b.ends_at
                   from shared.bookings b where b.tenant_id = '{tenant}' and b.status = 'COMPLETED';
                 alter table shared.booking_claims add constraint booking_claims_no_overlap exclude using gist
                   (tenant_id with =, claimed_id with =, lane with =, tstzrange(blocked_from, blocked_to, '[)') with &&)
                   where (active);
                 analyze shared.bookings; analyze shared.booking_claims"
            ))
            .await;
    }
}
