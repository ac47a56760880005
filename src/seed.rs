//! Demo data: two tenants with people, services and bookings, created by the same rules as everything else.
//!
//! A repeated run adds only what is missing, so it completes an interrupted one.

use jiff::{SignedDuration, Timestamp, ToSpan, civil::time, tz::TimeZone};

use crate::{
    base::{
        clock::Clock,
        ids::{TenantId, UserId},
        money::{Currency, Money},
        paging::Page,
    },
    core::identity::{Caller, Origin, Role},
    db::{Access, DbError, Gate, Placement, Scope},
    features::{
        auth::{NewUser, SignIn, SignInError, operators},
        billing::payments::{
            self, PaymentProvider,
            in_process::{Card, InProcess},
        },
        bookings::{self, BookingError, BookingStatus, NewBooking},
        services::{self, Draft, Service, ServiceError, ServiceFilter},
        tenants::{self, NewTenant},
    },
};

/// The password of every demo user. Production refuses to run with demo data.
pub const DEMO_PASSWORD: &str = "demo-demo-demo";
/// The operator of the deployment.
pub const DEMO_OPERATOR: &str = "root@tenantry.test";
/// The plan of demo tenants.
const DEMO_PLAN: &str = "team";

/// A tenant of the demo data.
pub struct DemoTenant {
    /// Its name in addresses, and in its users' emails: `admin@acme.test`.
    pub slug: &'static str,
    name: &'static str,
    time_zone: &'static str,
    currency: &'static str,
    services: [DemoService; 3],
}

struct DemoService {
    name: &'static str,
    description: &'static str,
    minutes: i32,
    price_minor: i64,
    capacity: i32,
    requires_confirmation: bool,
}

/// The tenants of the demo data.
pub const DEMO_TENANTS: [DemoTenant; 2] = [
    DemoTenant {
        slug: "acme",
        name: "Acme",
        time_zone: "Europe/Amsterdam",
        currency: "EUR",
        services: [
            DemoService {
                name: "Haircut",
                description: "Wash, cut and dry.",
                minutes: 45,
                price_minor: 4_500,
                capacity: 1,
                requires_confirmation: false,
            },
            DemoService {
                name: "Massage",
                description: "A full hour for neck and back.",
                minutes: 60,
                price_minor: 8_000,
                capacity: 1,
                requires_confirmation: true,
            },
            DemoService {
                name: "Yoga class",
                description: "For beginners, in a group of twelve.",
                minutes: 75,
                price_minor: 1_500,
                capacity: 12,
                requires_confirmation: false,
            },
        ],
    },
    DemoTenant {
        slug: "globex",
        name: "Globex",
        time_zone: "America/New_York",
        currency: "USD",
        services: [
            DemoService {
                name: "Consultation",
                description: "First meeting with an adviser.",
                minutes: 30,
                price_minor: 0,
                capacity: 1,
                requires_confirmation: false,
            },
            DemoService {
                name: "Site inspection",
                description: "On your premises, with a written report.",
                minutes: 180,
                price_minor: 45_000,
                capacity: 1,
                requires_confirmation: true,
            },
            DemoService {
                name: "Workshop",
                description: "Half a day, up to eight people.",
                minutes: 240,
                price_minor: 12_000,
                capacity: 8,
                requires_confirmation: false,
            },
        ],
    },
];

/// The people of each demo tenant: the local part of the email, the name and the role.
pub const DEMO_PEOPLE: [(&str, &str, Role); 3] =
    [("admin", "Alex Admin", Role::Admin), ("staff", "Sam Staff", Role::Staff), ("user", "Uma User", Role::User)];

/// Why the demo data could not be created.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A statement failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A rule refused the demo data: a fault in the program.
    #[error("a rule refused the demo data: {0}")]
    Rule(String),
}

impl From<SignInError> for SeedError {
    fn from(error: SignInError) -> Self {
        Self::Rule(format!("{error:?}"))
    }
}

impl From<ServiceError> for SeedError {
    fn from(error: ServiceError) -> Self {
        Self::Rule(format!("{error:?}"))
    }
}

impl From<BookingError> for SeedError {
    fn from(error: BookingError) -> Self {
        Self::Rule(format!("{error:?}"))
    }
}

/// Adds the demo data, or the missing parts of it.
///
/// # Errors
/// When a statement fails. What was created until then stays, and the next run completes it.
pub async fn run(gate: &Gate, sign_in: &SignIn) -> Result<(), SeedError> {
    for demo in &DEMO_TENANTS {
        let tenant = make_tenant(gate, demo).await?;
        for (local_part, name, role) in DEMO_PEOPLE {
            let email = format!("{local_part}@{}.test", demo.slug);
            let new = NewUser { email, name: name.into(), role, password: DEMO_PASSWORD.into() };
            sign_in.enrol(tenant, new).await?;
        }
        fill(gate, sign_in, tenant, demo).await?;
        leave_card(gate, tenant).await?;
    }
    // Last, because its presence means that everything else is there.
    sign_in.add_trusted_operator(DEMO_OPERATOR, "Robin Root", DEMO_PASSWORD.into()).await?;
    Ok(())
}

/// Whether the database contains demo users, whose password is public.
///
/// # Errors
/// When the statement fails.
pub async fn is_present(gate: &Gate) -> Result<bool, DbError> {
    let directory = gate.directory(Scope::directory_authenticator(), Access::Read);
    let mut found = false;
    for demo in &DEMO_TENANTS {
        found |= crate::features::auth::is_login(&directory, &format!("admin@{}.test", demo.slug)).await?;
    }
    directory.end_read();
    Ok(found)
}

/// Whether all of the demo data is there.
///
/// # Errors
/// When the statement fails.
pub async fn is_complete(gate: &Gate) -> Result<bool, DbError> {
    let directory = gate.directory(Scope::directory_authenticator(), Access::Read);
    let found = operators::is_operator(&directory, DEMO_OPERATOR).await?;
    directory.end_read();
    Ok(found)
}

async fn make_tenant(gate: &Gate, demo: &DemoTenant) -> Result<TenantId, SeedError> {
    let now = Timestamp::now();
    let public = gate.directory(Scope::directory_public(), Access::Read);
    let offer = tenants::offer(&public, DEMO_PLAN).await?;
    public.end_read();
    drop(public);
    let offer = offer.ok_or_else(|| SeedError::Rule(format!("there is no plan {DEMO_PLAN}")))?;
    let mut new = NewTenant {
        id: TenantId::generate(now),
        placement: Placement::Shared,
        slug: demo.slug.into(),
        name: demo.name.into(),
        time_zone: demo.time_zone.into(),
        currency: demo.currency.parse().map_err(|()| SeedError::Rule("currency".into()))?,
        offer,
    };
    let directory = gate.directory(Scope::platform(None), Access::Write);
    new.id = tenants::register(&directory, &new, now).await?;
    directory.commit().await?;
    drop(directory);
    let store = gate.tenant(Scope::platform(Some(new.id)), Access::Write);
    tenants::found(&store, &new, now).await?;
    store.commit().await?;
    Ok(new.id)
}

/// A test card that always works: without it the demo tenant would owe its first invoice and become read-only after
/// some weeks.
async fn leave_card(gate: &Gate, tenant: TenantId) -> Result<(), SeedError> {
    let (provider, now) = (InProcess::new(String::new()), Timestamp::now());
    let (name, customer) = (provider.name(), InProcess::customer(tenant));
    payments::note_customer(gate, tenant, name, &customer, now).await?;
    let event = InProcess::card_changed(tenant, Card::Good, now);
    let received = payments::inbox::receive(gate, &provider, &event, now).await;
    received.map_err(|error| SeedError::Rule(format!("{error:?}")))
}

/// Services and bookings, in one transaction: all of them or none, so that a second run can tell.
async fn fill(gate: &Gate, sign_in: &SignIn, tenant: TenantId, demo: &DemoTenant) -> Result<(), SeedError> {
    let [admin, staff, user] = DEMO_PEOPLE.map(|(local_part, _, _)| local_part);
    let admin = sign_in.trusted_session(tenant, &format!("{admin}@{}.test", demo.slug)).await?;
    let staff = sign_in.login_owner(tenant, &format!("{staff}@{}.test", demo.slug)).await?;
    let user = sign_in.login_owner(tenant, &format!("{user}@{}.test", demo.slug)).await?;
    let tx = gate.tenant(admin.scope(), Access::Write);
    let origin = Origin::default();
    let clock = Clock::system();
    let caller = Caller { tx: &tx, viewer: admin, clock: &clock, origin: &origin };

    let any = Page { limit: 1, from_the_back: false, after: None, before: None };
    if services::list(&caller, &ServiceFilter::default(), &any).await?.rows.is_empty() {
        let mut made = Vec::new();
        for service in &demo.services {
            made.push(services::create(&caller, service.draft(demo)).await?);
        }
        add_bookings(&caller, demo, &made, [user, staff]).await?;
    }
    crate::features::auth::log_out(&caller).await?;
    tx.commit().await?;
    Ok(())
}

impl DemoService {
    fn draft(&self, demo: &DemoTenant) -> Draft {
        // Unwrap safety: the demo tenants above are in EUR and USD.
        let currency: Currency = demo.currency.parse().expect("a currency");
        Draft {
            name: self.name.into(),
            description: Some(self.description.into()),
            duration_minutes: self.minutes,
            price: Money { minor: self.price_minor, currency },
            capacity: self.capacity,
            requires_confirmation: self.requires_confirmation,
            active: true,
            rules: Default::default(),
        }
    }
}

/// Three bookings of the past week, created and settled by a clock set to that time, and six of the coming week.
async fn add_bookings(
    caller: &Caller<'_>,
    demo: &DemoTenant,
    services: &[Service],
    customers: [UserId; 2],
) -> Result<(), SeedError> {
    // Unwrap safety: the demo tenants' zones are in every time zone database.
    let zone = TimeZone::get(demo.time_zone).expect("a time zone");
    let today = Timestamp::now().to_zoned(zone.clone()).date();
    let at = |days: i64, hour: i8| -> Result<Timestamp, SeedError> {
        let day = today.checked_add(days.days()).map_err(|error| SeedError::Rule(error.to_string()))?;
        let local = day.to_datetime(time(hour, 0, 0, 0));
        Ok(local.to_zoned(zone.clone()).map_err(|error| SeedError::Rule(error.to_string()))?.timestamp())
    };
    let book = |service: &Service, customer, starts_at| NewBooking {
        service: service.id,
        starts_at,
        customer: Some(customer),
        resource: None,
        notes: None,
    };
    for (index, service) in services.iter().enumerate() {
        let starts_at = at(-7 + index as i64, 10)?;
        let before = Clock::standing_at(starts_at - SignedDuration::from_hours(48));
        let then = Caller { clock: &before, ..*caller };
        let booking = bookings::book(&then, book(service, customers[0], starts_at)).await?;
        let after = Clock::standing_at(booking.ends_at);
        let then = Caller { clock: &after, ..*caller };
        if booking.status == BookingStatus::Pending {
            bookings::set_status(&then, booking.id, BookingStatus::Confirmed, None, None).await?;
        }
        let end = if index == 1 { BookingStatus::NoShow } else { BookingStatus::Completed };
        bookings::set_status(&then, booking.id, end, None, None).await?;
    }
    for (index, service) in services.iter().enumerate() {
        for (customer, hour) in customers.into_iter().zip([9, 14]) {
            bookings::book(caller, book(service, customer, at(1 + 2 * index as i64, hour)?)).await?;
        }
    }
    Ok(())
}
