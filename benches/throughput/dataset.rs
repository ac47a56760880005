//! The data set: tenants with services, customers and bookings, the same in each run.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tenantry::{
    base::{
        clock::Clock,
        ids::{ServiceId, TenantId, UserId},
    },
    core::identity::{Role, Viewer},
    db::{Access, Gate, Placement, PoolSettings, Scope, roles},
    features::{
        auth::{NewUser, PasswordCost, Passwords, SignIn, SignInLimits, TokenSettings, Tokens},
        tenants::{self, NewTenant},
    },
};

use uuid::Uuid;

use crate::deployment::Deployment;

/// How many tenants send requests, in turn.
pub(crate) const SENDERS: usize = 100;
/// Services of each tenant. Only `createBooking` books the last one.
pub(crate) const SERVICES: usize = 6;
/// Customers of each tenant.
const CUSTOMERS: usize = 20;
/// The password of the users who sign in.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// How long a token must stay valid to cover a whole run.
const RUN: SignedDuration = SignedDuration::from_hours(6);

/// A tenant that sends requests, through its administrator.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The administrator's user id.
    pub viewer: Viewer,
    /// The administrator's email.
    pub email: String,
    /// The administrator's access token.
    pub token: String,
    /// The services, oldest first.
    pub services: Vec<ServiceId>,
}

/// Writes the data set into a deployment that has only demo data, and returns the senders.
pub(crate) async fn write(deployment: &Deployment, tenants: usize, bookings: usize) -> Vec<Sender> {
    let database = deployment.superuser().await;
    let gate = Gate::try_new(&deployment.database_url(roles::APP), PoolSettings::default()).unwrap();
    let settings = TokenSettings { access_life: RUN, ..TokenSettings::default() };
    let tokens = Tokens::with_key_file(&deployment.signing_key(), settings).unwrap();
    let tokens = std::sync::Arc::new(tokens);
    let passwords = Passwords::try_new(PasswordCost::default()).unwrap();
    let sign_in = SignIn::new(gate.clone(), passwords, tokens.clone(), SignInLimits::default(), Clock::system());

    let mut ids = Vec::new();
    for number in 0..tenants {
        ids.push(found(&gate, number).await);
    }
    database.batch_execute(&bulk(tenants, bookings)).await.unwrap();
    for statement in ["vacuum analyze", "checkpoint"] {
        database.batch_execute(statement).await.unwrap();
    }

    let mut senders = Vec::new();
    for (number, id) in ids.into_iter().enumerate().take(SENDERS) {
        let (email, name) = (format!("admin@bench-{number}.test"), "Ada Administrator".to_owned());
        let new = NewUser { email: email.clone(), name, role: Role::Admin, password: PASSWORD.into() };
        sign_in.enrol(id, new).await.unwrap();
        let viewer = sign_in.trusted_session(id, &email).await.unwrap();
        let token = tokens.issue(&viewer, Timestamp::now()).unwrap().0;
        let services = "select id from shared.services where tenant_id = $1 order by name";
        let rows = database.query(services, &[&id.0]).await.unwrap();
        senders.push(Sender { viewer, email, token, services: rows.iter().map(|row| ServiceId(row.get(0))).collect() });
    }
    gate.close();
    senders
}

async fn found(gate: &Gate, number: usize) -> TenantId {
    let now = Timestamp::now();
    let public = gate.directory(Scope::directory_public(), Access::Read);
    let offer = tenants::offer(&public, "business").await.unwrap().unwrap();
    public.end_read();
    let new = NewTenant {
        id: TenantId::generate(now),
        placement: Placement::Shared,
        slug: format!("bench-{number}"),
        name: format!("Bench {number}"),
        time_zone: "Europe/Amsterdam".into(),
        currency: "EUR".parse().unwrap(),
        offer,
    };
    let directory = gate.directory(Scope::platform(None), Access::Write);
    tenants::register(&directory, &new, now).await.unwrap();
    directory.commit().await.unwrap();
    let store = gate.tenant(Scope::platform(Some(new.id)), Access::Write);
    tenants::found(&store, &new, now).await.unwrap();
    store.commit().await.unwrap();
    new.id
}

/// Services, customers and bookings of all tenants `bench-…`, in one script: the API would take hours for it. Bookings
/// are half an hour each, back to back until yesterday, rotating through the services and customers; each takes a seat
/// of its service.
fn bulk(tenants: usize, bookings: usize) -> String {
    let each = bookings / tenants;
    let served = SERVICES - 1;
    format!(
        "set session_replication_role = 'replica';
         set maintenance_work_mem = '512MB';
         select setseed(0.5);
         create function pg_temp.uuid_v7(at timestamptz) returns uuid language sql volatile as $$
           select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(h, 14, 3) || '8' || substr(h, 18, 15))::uuid
             from (select md5(random()::text || at::text) as h) random $$;
         create temp table of_bench as
           select t.tenant_id, row_number() over (order by d.slug) as number
             from shared.tenant_state t join directory.tenants d on d.id = t.tenant_id where d.slug like 'bench-%';
         insert into shared.services (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation,
                                      created_at, updated_at)
         select tenant_id, pg_temp.uuid_v7(now() - interval '1 year'), 'Service ' || n, 'What is done is told here in a sentence or two.',
                case when n < {SERVICES} then 60 else 15 end, 1000 + n, 'EUR', 1, false, now(), now()
           from of_bench, generate_series(1, {SERVICES}) n;
         insert into shared.users (tenant_id, id, email, name, role, created_at, updated_at)
         select tenant_id, pg_temp.uuid_v7(now() - interval '1 year'), 'customer-' || n || '@bench.test', 'Customer ' || n, 'USER', now(), now()
           from of_bench, generate_series(1, {CUSTOMERS}) n;
         create temp table kept on commit preserve rows as
           select indexname, indexdef from pg_indexes
            where schemaname = 'shared' and tablename in ('bookings', 'booking_claims')
              and indexname not in (select conname from pg_constraint);
         do $$ declare it record; begin
           for it in select * from kept loop execute format('drop index shared.%I', it.indexname); end loop; end $$;
         alter table shared.booking_claims drop constraint booking_claims_no_overlap;
         insert into shared.bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency,
                                      created_at, updated_at, metered_as)
         select o.tenant_id, pg_temp.uuid_v7(at - interval '7 days'), s.ids[1 + n % {served}], c.ids[1 + n % {CUSTOMERS}], at, at + interval '30 minutes',
                'Europe/Amsterdam', 'COMPLETED', 1000, 'EUR', at - interval '7 days', at, gen_random_uuid()
           from of_bench o
           join (select tenant_id, array_agg(id order by name) as ids from shared.services group by 1) s using (tenant_id)
           join (select tenant_id, array_agg(id order by email) as ids from shared.users group by 1) c using (tenant_id)
           cross join lateral (select n, date_trunc('hour', now()) - interval '1 day' - (n / {served}) * interval '30 minutes' as at
                                 from generate_series(0, {each} - 1) n) history;
         insert into shared.booking_claims (tenant_id, id, booking_id, customer_id, service_id, lane, blocked_from, blocked_to)
         select b.tenant_id, b.id, b.id, b.customer_id, b.service_id, 0, b.starts_at, b.ends_at
           from shared.bookings b join of_bench using (tenant_id);
         do $$ declare it record; begin
           for it in select * from kept loop execute it.indexdef; end loop; end $$;
         alter table shared.booking_claims add constraint booking_claims_no_overlap exclude using gist
           (tenant_id with =, claimed_id with =, lane with =, tstzrange(blocked_from, blocked_to, '[)') with &&) where (active);
         reset session_replication_role"
    )
}

/// Removes pending background work, so that one measurement's leftovers do not count in the next.
pub(crate) async fn settle(deployment: &Deployment) {
    deployment.superuser().await.batch_execute("delete from shared.outbox; checkpoint").await.unwrap();
}

/// How many bookings there are.
pub(crate) async fn bookings(deployment: &Deployment) -> u64 {
    let row = deployment.superuser().await.query_one("select count(*) from shared.bookings", &[]).await.unwrap();
    u64::try_from(row.get::<_, i64>(0)).unwrap()
}

/// The services and customers of each sender's first twenty bookings, by tenant.
pub(crate) async fn booked(
    deployment: &Deployment,
    senders: &[Sender],
) -> HashMap<TenantId, (Vec<ServiceId>, Vec<UserId>)> {
    let database = deployment.superuser().await;
    let mut found = HashMap::new();
    for sender in senders {
        let row = database
            .query_one(
                "select array_agg(distinct service_id), array_agg(distinct customer_id)
                   from (select * from shared.bookings where tenant_id = $1 order by starts_at, id limit 20) first",
                &[&sender.viewer.tenant.0],
            )
            .await
            .unwrap();
        let (services, customers): (Vec<Uuid>, Vec<Uuid>) = (row.get(0), row.get(1));
        let ids = (services.into_iter().map(ServiceId).collect(), customers.into_iter().map(UserId).collect());
        found.insert(sender.viewer.tenant, ids);
    }
    found
}
