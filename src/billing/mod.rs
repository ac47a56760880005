//! What tenants subscribe to, what they use, and what they pay for it.
//!
//! Plans are in the directory; everything else is in the tenant's store. Billing is work of the platform: whoever asks for
//! something here is looked at in a scope of his own, and it is carried out as background work would.

pub mod announcing;
pub mod cycles;
pub mod graphql;
pub mod invoices;
pub mod payments;
pub mod plans;
pub mod subscriptions;
pub mod terms;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date};

use crate::{
    audit::{self, Changes},
    auth::{Caller, Origin, Role, Viewer},
    clock::Clock,
    db::{Access, DbError, Gate, Scope, ScopedTx},
    fault,
    ids::{CheckoutId, InvoiceId, PlanVersionId, TenantId},
    money::Money,
    outbox::{self, Effect},
    resources, services,
    tenants::{self, Tenant},
    usage::{self, Period, Recorded},
    users,
};
use cycles::Interval;
use invoices::Reckoning;
use payments::{
    CheckoutRequest, NewCustomer, PaymentProvider, ProviderError,
    checkout::{self, CheckoutSession, CheckoutState},
    stripe::Stripe,
};
use plans::PlanVersion;
use subscriptions::{Agreed, BillingPeriod, Status, Subscription};

/// Key of the plan that tenants fall back to.
const FALLBACK_PLAN: &str = "free";
/// Most events of one `recordUsage`.
pub const MAX_EVENTS: usize = 500;
/// How old an event of usage may be.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How far ahead of our clock the sender's may be.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Most days of one series.
const MAX_DAYS: i32 = 400;

/// Why something of billing could not be done.
#[derive(Debug)]
pub enum BillingError {
    /// Only administrators.
    Forbidden,
    /// There is no such plan on offer.
    PlanNotFound,
    /// The plan is not sold by this interval.
    NotOffered,
    /// It has it already.
    SamePlan,
    /// Something is to be paid, and nothing can be charged: there has to be a checkout.
    CheckoutRequired,
    /// The page for this plan is open: there it is.
    CheckoutOpen(Box<CheckoutSession>),
    /// There is no customer of a payment provider yet.
    NoCustomer,
    /// Not from the status that it has.
    InvalidTransition(Status),
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, &'static str),
    /// This deployment takes no payments.
    NoProvider,
    /// The payment provider cannot do it now.
    Provider(String),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for BillingError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// How much of a meter was used in a period.
#[derive(Clone, Debug)]
pub struct UsageLine {
    /// Its name.
    pub meter: String,
    /// So much.
    pub used: i64,
    /// Of at most so much.
    pub limit: Option<i64>,
    /// Counted over this; what can be counted at any time is counted now.
    pub period: Period,
}

/// Bills, and talks to the payment provider.
#[derive(Clone)]
pub struct Engine {
    gate: Gate,
    provider: Option<Arc<dyn PaymentProvider>>,
    stripe: Option<Arc<Stripe>>,
    takes_play_money: bool,
    issuer: Arc<str>,
}

/// Who issues invoices, unless said.
pub const DEFAULT_ISSUER: &str = "Tenantry";

impl Engine {
    /// Without a payment provider: invoices are issued, and paid outside.
    pub fn without_provider(gate: Gate) -> Self {
        Self { gate, provider: None, stripe: None, takes_play_money: false, issuer: DEFAULT_ISSUER.into() }
    }

    /// With Stripe.
    pub fn with_stripe(gate: Gate, stripe: Stripe) -> Self {
        let stripe = Arc::new(stripe);
        Self { provider: Some(stripe.clone()), stripe: Some(stripe), ..Self::without_provider(gate) }
    }

    /// With a provider in this process, whose pages are below this address. For development.
    pub fn in_process(gate: Gate, base: String) -> Self {
        let provider = Arc::new(payments::in_process::InProcess::new(base));
        Self { provider: Some(provider), takes_play_money: true, ..Self::without_provider(gate) }
    }

    /// With this name and address on invoices.
    pub fn issued_by(self, issuer: &str) -> Self {
        Self { issuer: issuer.into(), ..self }
    }

    /// An invoice as a file, as background work sees it; `None` where there is none.
    ///
    /// # Errors
    /// When a statement fails, or the file cannot be written.
    pub async fn pdf(&self, tenant: TenantId, id: InvoiceId) -> Result<Option<Vec<u8>>, DbError> {
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Read);
        let read = async {
            let Some(invoice) = invoices::by_id(&tx, id).await? else { return Ok(None) };
            let (lines, notes) = (invoices::lines(&tx, id).await?, invoices::credit_notes(&tx, id).await?);
            Ok::<_, DbError>(Some((invoice, lines, notes, tenants::current(&tx).await?)))
        };
        let found = read.await;
        tx.end_read();
        let Some((invoice, lines, credit_notes, tenant)) = found? else { return Ok(None) };
        let issuer = self.issuer.clone();
        // Writing takes some milliseconds of one core, which other requests need not wait for.
        let written = tokio::task::spawn_blocking(move || {
            invoices::pdf::write(&invoices::pdf::Sheet {
                invoice: &invoice,
                lines: &lines,
                credit_notes: &credit_notes,
                issuer: &issuer,
                branding: &tenant.branding,
                zone: &tenant.time_zone,
            })
        });
        match written.await {
            Ok(Ok(file)) => Ok(Some(file)),
            Ok(Err(error)) => Err(DbError::Other(error.to_string())),
            Err(error) => Err(DbError::Other(error.to_string())),
        }
    }

    /// Stripe, if that is the provider.
    pub fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_deref()
    }

    /// Whether the pages of the provider in this process are served.
    pub fn takes_play_money(&self) -> bool {
        self.takes_play_money
    }

    /// Takes an event of the provider that was verified.
    ///
    /// # Errors
    /// Where it could not be kept.
    pub async fn receive(&self, body: &str, now: Timestamp) -> Result<(), payments::inbox::ReceiveError> {
        match &self.provider {
            Some(provider) => payments::inbox::receive(&self.gate, provider.as_ref(), body, now).await,
            None => Ok(()),
        }
    }

    /// Carries out events of the provider that wait, and returns how many.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn work_off_events(&self, now: Timestamp) -> Result<usize, DbError> {
        match &self.provider {
            Some(provider) => payments::inbox::work_off(&self.gate, provider.as_ref(), now).await,
            None => Ok(0),
        }
    }

    /// Has an invoice paid, as far as that can be done now.
    ///
    /// # Errors
    /// When it is to be tried again.
    pub async fn collect(&self, tenant: TenantId, invoice: InvoiceId, now: Timestamp) -> Result<(), String> {
        payments::collecting::collect(&self.gate, self.provider.as_deref(), tenant, invoice, now).await
    }

    /// Brings a tenant's billing to the present: periods, drafts, and invoices with their numbers. Safe to run twice, by
    /// several at once, and after any standstill.
    ///
    /// # Errors
    /// When a statement fails; the next run goes on from there.
    pub async fn run(&self, tenant: TenantId, now: Timestamp) -> Result<(), DbError> {
        let first = self.first_terms(tenant).await?;
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        let (of, _) = present(&tx, first.as_ref(), now).await?;
        invoices::draft_due(&tx, &of, now).await?;
        schedule(&tx, now).await?;
        tx.commit().await?;
        drop(tx);
        fault::point("billing.drafted");
        loop {
            let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
            subscriptions::lock(&tx).await?;
            let issued = invoices::issue_next(&tx, now).await?;
            fault::point("billing.uncommitted");
            tx.commit().await?;
            fault::point("billing.issued");
            if issued.is_none() {
                return Ok(());
            }
        }
    }

    /// What a tenant that was never billed has taken; `None` where it was billed.
    async fn first_terms(&self, tenant: TenantId) -> Result<Option<Agreed>, DbError> {
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Read);
        let (known, of) = futures_util::join!(subscriptions::current(&tx), tenants::current(&tx));
        tx.end_read();
        drop(tx);
        if known?.is_some() {
            return Ok(None);
        }
        let version = self.version(of?.plan_version).await?;
        Ok(Some(Agreed::of(&version)))
    }

    async fn version(&self, id: PlanVersionId) -> Result<PlanVersion, DbError> {
        let directory = self.gate.directory(Scope::directory_public(), Access::Read);
        let found = plans::version(&directory, id).await?;
        directory.end_read();
        found.ok_or_else(|| DbError::Corrupt(format!("there is no {id}")))
    }

    /// The version of a plan that is on offer.
    async fn offer(&self, key: &str) -> Result<Option<PlanVersion>, DbError> {
        let directory = self.gate.directory(Scope::directory_public(), Access::Read);
        let found = plans::on_offer(&directory).await?;
        directory.end_read();
        Ok(found.into_iter().find(|it| it.plan.key == key))
    }

    /// A plan of this key, sold by this interval.
    async fn sold(&self, key: &str, interval: Interval) -> Result<Agreed, BillingError> {
        let version = self.offer(key).await?.ok_or(BillingError::PlanNotFound)?;
        if version.terms.is_offered(interval) { Ok(Agreed::of(&version)) } else { Err(BillingError::NotOffered) }
    }

    async fn fallback(&self) -> Result<Option<Agreed>, DbError> {
        Ok(self.offer(FALLBACK_PLAN).await?.as_ref().map(Agreed::of))
    }

    fn provider(&self) -> Result<&dyn PaymentProvider, BillingError> {
        self.provider.as_deref().ok_or(BillingError::NoProvider)
    }
}

/// Takes the lock and brings the subscription to the present; one that was never billed begins with `first`, when its tenant
/// was made, or where it was already there when billing came, when that was.
async fn present(tx: &ScopedTx, first: Option<&Agreed>, now: Timestamp) -> Result<(Tenant, Subscription), DbError> {
    subscriptions::lock(tx).await?;
    let tenant = tenants::current(tx).await?;
    let subscription = match (subscriptions::current(tx).await?, first) {
        (Some(known), _) => known,
        (None, Some(first)) => {
            let from = usage::closed_until(tx).await?.unwrap_or(tenant.created_at).min(now);
            subscriptions::begin(tx, &tenant, first, Interval::Month, from, now).await?
        }
        (None, None) => return Err(DbError::Contention("the subscription has just been made".into())),
    };
    let subscription = subscriptions::advance(tx, subscription, now).await?;
    Ok((tenant, subscription))
}

/// Has billing run when the present period ends.
///
/// # Errors
/// When a statement fails.
pub async fn schedule(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    let Some(subscription) = subscriptions::current(tx).await?.filter(Subscription::is_alive) else { return Ok(()) };
    let at = subscriptions::last_period(tx, subscription.id).await?.ends_at;
    let effect = outbox::derived_id(subscription.id.0, &format!("billing at {at}"));
    outbox::enqueue_as_at(tx, effect, &Effect::RunBilling, at, now).await
}

/// When a change of plan takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once, by the part of the cycle that is left.
    Now,
    /// When the cycle ends.
    PeriodEnd,
}

/// What a change of plan costs.
#[derive(Clone, Debug)]
pub struct Preview {
    /// When it takes effect.
    pub takes_effect_at: Timestamp,
    /// What falls due then, with the usage so far.
    pub reckoning: Reckoning,
    /// Of the amounts.
    pub currency: crate::money::Currency,
}

/// A subscription with what was agreed and the period that goes on.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The subscription.
    pub subscription: Subscription,
    /// What was agreed.
    pub agreed: Agreed,
    /// What it changes to.
    pub next: Option<Agreed>,
    /// The period that goes on, or the last one.
    pub period: BillingPeriod,
}

/// Where the tenant's subscription stands. In the scope of its administrator; [`Biller::ensure`] has made it.
///
/// # Errors
/// When a statement fails.
pub async fn standing(tx: &ScopedTx) -> Result<Standing, DbError> {
    let found = subscriptions::current(tx).await?;
    let subscription = found.ok_or_else(|| DbError::Corrupt("the tenant has no subscription".into()))?;
    let agreed = subscriptions::agreed(tx, subscription.version).await?;
    let next = match subscription.next {
        Some((version, _)) => Some(subscriptions::agreed(tx, version).await?),
        None => None,
    };
    let period = subscriptions::last_period(tx, subscription.id).await?;
    Ok(Standing { subscription, agreed, next, period })
}

/// Every meter that the plan limits or prices, in the present calendar month.
///
/// # Errors
/// When a statement fails.
pub async fn usage_lines(tx: &ScopedTx, now: Timestamp) -> Result<Vec<UsageLine>, DbError> {
    let tenant = tenants::current(tx).await?;
    let period = Period::month_of(now, &tenant.time_zone);
    let (used, services, resources, users) = futures_util::join!(
        usage::used_of_all(tx, period),
        services::count_active(tx),
        resources::count_active(tx),
        users::count_active(tx)
    );
    let used = used?;
    let line = |meter: &str, used| UsageLine { meter: meter.to_owned(), used, limit: tenant.limits.of(meter), period };
    let counted = |meter: &str| used.get(meter).copied().unwrap_or(0);
    let mut lines = vec![
        line(usage::BOOKINGS, counted(usage::BOOKINGS)),
        line("resources", resources?),
        line("services", services?),
        line(usage::USERS, users?),
    ];
    let known = ["resources", "services", usage::USERS, usage::BOOKINGS, usage::API_COST];
    let others = used
        .keys()
        .chain(tenant.limits.meters())
        .filter(|it| !known.contains(&it.as_str()) && *it != "invitation_mails");
    let others: std::collections::BTreeSet<&String> = others.collect();
    lines.extend(others.into_iter().map(|it| line(it, counted(it))));
    Ok(lines)
}

/// How much of a meter was used on each day from one to another.
///
/// # Errors
/// `Invalid` for days in the wrong order, or too many.
pub async fn usage_series(tx: &ScopedTx, meter: &str, from: Date, to: Date) -> Result<Vec<usage::Day>, BillingError> {
    let most = from.checked_add(MAX_DAYS.days()).unwrap_or(Date::MAX);
    if from > to || to > most {
        return Err(BillingError::Invalid("to", "It must not be before `from`, nor 400 days after it."));
    }
    Ok(usage::days(tx, meter, from, to).await?)
}

/// What became of an event of usage, or why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is there and counted.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It was refused.
    Rejected(Rejection),
}

/// Why an event of usage was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another one of the same source and id is there, with other content.
    Differs,
    /// Its quota has no room for it.
    QuotaExceeded,
    /// Neither a price nor a limit nor a feature of the plan speaks of the meter.
    UnknownMeter,
    /// Tenantry meters it itself.
    OwnMeter,
    /// The quantity is not from 1 to a million million.
    InvalidQuantity,
    /// Source or id is empty or too long.
    InvalidId,
    /// It is older than 90 days.
    TooOld,
    /// It is of the future.
    InTheFuture,
}

/// Records usage that the tenant's own systems tell of, each event once. Returns what became of each, in their order.
///
/// # Errors
/// `Forbidden`, `Invalid` for too many at once.
pub async fn record_usage(caller: &Caller<'_>, events: &[usage::Event]) -> Result<Vec<Became>, BillingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    if !caller.is_at_least(Role::Admin) {
        return Err(BillingError::Forbidden);
    }
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(BillingError::Invalid("events", "There are 1 to 500 events at once."));
    }
    let tenant = tenants::current(tx).await?;
    let subscription = subscriptions::current(tx).await?;
    let agreed = match &subscription {
        Some(subscription) => Some(subscriptions::agreed(tx, subscription.version).await?),
        None => None,
    };
    let knows = |meter: &str| {
        agreed.as_ref().is_some_and(|it| it.terms.knows_meter(meter)) || tenant.limits.of(meter).is_some()
    };
    let refused = |it: &usage::Event| {
        let fits = |text: &str, most: usize| !text.is_empty() && text.chars().count() <= most && !text.contains('\0');
        if !fits(&it.source, 100) || !fits(&it.event_id, 200) {
            Some(Rejection::InvalidId)
        } else if usage::is_own(it) {
            Some(Rejection::OwnMeter)
        } else if !(1..=1_000_000_000_000).contains(&it.quantity) {
            Some(Rejection::InvalidQuantity)
        } else if it.occurred_at > now + MAX_AHEAD {
            Some(Rejection::InTheFuture)
        } else if it.occurred_at < now - MAX_AGE {
            Some(Rejection::TooOld)
        } else if !knows(&it.meter) {
            Some(Rejection::UnknownMeter)
        } else {
            None
        }
    };
    let refusals: Vec<Option<Rejection>> = events.iter().map(refused).collect();
    let good: Vec<usage::Event> =
        events.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(it, _)| it.clone()).collect();
    let recorded = if good.is_empty() { vec![] } else { usage::record(tx, &good, &tenant, now).await? };
    // One line for a batch: the events themselves are kept.
    let accepted = recorded.iter().filter(|it| **it == Recorded::Accepted).count();
    if accepted > 0 {
        let changes = Changes::default().field("accepted", serde_json::Value::Null, accepted);
        audit::record(caller, "usage.record", "usage", None, changes).await?;
    }
    let mut recorded = recorded.into_iter();
    Ok(refusals
        .into_iter()
        .map(|refusal| match (refusal, refusal.is_none().then(|| recorded.next()).flatten()) {
            (Some(refusal), _) => Became::Rejected(refusal),
            (None, Some(Recorded::Duplicate)) => Became::Duplicate,
            (None, Some(Recorded::Differs)) => Became::Rejected(Rejection::Differs),
            (None, Some(Recorded::QuotaExceeded)) => Became::Rejected(Rejection::QuotaExceeded),
            (None, Some(Recorded::Accepted) | None) => Became::Accepted,
        })
        .collect())
}

/// What is wanted of a checkout.
#[derive(Clone, Debug)]
pub struct CheckoutWish {
    /// Key of the plan.
    pub plan: String,
    /// For how long at a time.
    pub interval: Interval,
    /// Where whoever has paid goes.
    pub success_url: String,
    /// Where whoever has not goes.
    pub cancel_url: String,
}

/// A tenant's administrator at work on its billing.
#[derive(Clone, Copy)]
pub struct Biller<'a> {
    /// Bills.
    pub engine: &'a Engine,
    /// Who he is.
    pub viewer: Viewer,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
}

impl Biller<'_> {
    /// Looks at his session and role, as every request does, in a transaction of his own.
    async fn check(&self) -> Result<(), BillingError> {
        let tx = self.engine.gate.tenant(self.viewer.scope(), Access::Read);
        let seen = tenants::current(&tx).await;
        tx.end_read();
        seen?;
        if self.viewer.role == Role::Admin { Ok(()) } else { Err(BillingError::Forbidden) }
    }

    /// A transaction in which billing is changed, and the present in it. Nobody else changes it meanwhile.
    async fn enter(&self) -> Result<(ScopedTx, Tenant, Subscription), BillingError> {
        self.check().await?;
        let (tenant, now) = (self.viewer.tenant, self.clock.now());
        let first = self.engine.first_terms(tenant).await?;
        let tx = self.engine.gate.tenant(Scope::worker(tenant), Access::Write);
        let (tenant, subscription) = present(&tx, first.as_ref(), now).await?;
        Ok((tx, tenant, subscription))
    }

    /// Makes the subscription of a tenant that was never billed.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn ensure(&self) -> Result<(), BillingError> {
        self.check().await?;
        if self.engine.first_terms(self.viewer.tenant).await?.is_some() {
            let (tx, _, _) = self.enter().await?;
            schedule(&tx, self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Records what he did, settles what has fallen due, and commits.
    async fn finish(
        &self,
        tx: ScopedTx,
        tenant: &Tenant,
        action: &'static str,
        changes: Changes,
    ) -> Result<(), BillingError> {
        let now = self.clock.now();
        invoices::draft_due(&tx, tenant, now).await?;
        while invoices::issue_next(&tx, now).await?.is_some() {}
        schedule(&tx, now).await?;
        let event = audit::Event::of_sign_in(self.viewer.user, action, "subscription", None).with(changes);
        audit::record_as(&tx, event, now, self.origin).await?;
        fault::point("billing.changing");
        Ok(tx.commit().await?)
    }

    /// What a change of plan would cost, and when.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`.
    pub async fn preview(&self, plan: &str, interval: Interval, when: When) -> Result<Preview, BillingError> {
        let agreed = self.engine.sold(plan, interval).await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let preview = self.previewed(&tx, &tenant, &subscription, &agreed, interval, when).await?;
        // Nothing was changed that would not have been anyway.
        tx.commit().await?;
        Ok(preview)
    }

    async fn previewed(
        &self,
        tx: &ScopedTx,
        tenant: &Tenant,
        subscription: &Subscription,
        agreed: &Agreed,
        interval: Interval,
        when: When,
    ) -> Result<Preview, BillingError> {
        let now = subscriptions::in_micros(self.clock.now());
        refuse_same(subscription, agreed, interval)?;
        let currency = agreed.terms.currency()?;
        let (at, reckoning) = match when {
            When::Now => {
                let changed = if subscription.is_alive() {
                    subscriptions::changed(tx, subscription.clone(), agreed, interval, now).await?
                } else {
                    subscriptions::new(tx, tenant, agreed, interval, now, now).await?
                };
                (now, invoices::preview(tx, subscription, &changed, agreed, now).await?)
            }
            When::PeriodEnd => {
                let last = subscriptions::last_period(tx, subscription.id).await?;
                let next = Some((agreed.version_id, interval));
                let changed = Subscription { next, cancel_at: None, ..subscription.clone() };
                let reckoning = invoices::preview_at_end(tx, &changed, agreed, &last).await?;
                (last.cycle_end, reckoning)
            }
        };
        Ok(Preview { takes_effect_at: at, reckoning, currency })
    }

    /// Changes the plan. At once it needs a means of payment, where anything can fall due for the plan.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`, `CheckoutRequired`, `InvalidTransition`.
    pub async fn change_plan(&self, plan: &str, interval: Interval, when: When) -> Result<Preview, BillingError> {
        let now = self.clock.now();
        let agreed = self.engine.sold(plan, interval).await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let preview = self.previewed(&tx, &tenant, &subscription, &agreed, interval, when).await?;
        if !subscription.is_alive() && when == When::PeriodEnd {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let can_be_charged = payments::account(&tx).await?.method.is_some() || self.engine.provider.is_none();
        if agreed.terms.costs() && !can_be_charged {
            return Err(BillingError::CheckoutRequired);
        }
        let before = subscriptions::agreed(&tx, subscription.version).await?;
        match when {
            When::PeriodEnd => {
                subscriptions::change_at_end(&tx, subscription, &agreed, interval, now).await?;
            }
            When::Now if subscription.is_alive() => {
                subscriptions::change_now(&tx, subscription, &agreed, interval, now, now).await?;
            }
            When::Now => {
                let from = subscription.ended_at.map_or(now, |it| it.max(now));
                subscriptions::begin(&tx, &tenant, &agreed, interval, from, now).await?;
            }
        }
        let changes = Changes::default().field("plan", before.plan_key, agreed.plan_key).field(
            "takes_effect_at",
            serde_json::Value::Null,
            preview.takes_effect_at.to_string(),
        );
        self.finish(tx, &tenant, "billing.change_plan", changes).await?;
        Ok(preview)
    }

    /// Takes back what was to happen at the end of the cycle: a change of plan, or the end.
    ///
    /// # Errors
    /// `InvalidTransition` where nothing is to happen.
    pub async fn keep_plan(&self) -> Result<(), BillingError> {
        let now = self.clock.now();
        let (tx, tenant, subscription) = self.enter().await?;
        if !subscription.is_alive() || (subscription.next.is_none() && subscription.cancel_at.is_none()) {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let (agreed, interval) = (subscriptions::agreed(&tx, subscription.version).await?, subscription.interval);
        subscriptions::change_at_end(&tx, subscription, &agreed, interval, now).await?;
        self.finish(tx, &tenant, "billing.keep_plan", Changes::default()).await
    }

    /// Ends the subscription; the tenant has the free plan then.
    ///
    /// # Errors
    /// `InvalidTransition` where it is over, or is the free plan.
    pub async fn cancel(&self, when: When) -> Result<(), BillingError> {
        let now = self.clock.now();
        let fallback = self.engine.fallback().await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let agreed = subscriptions::agreed(&tx, subscription.version).await?;
        if !subscription.is_alive() || agreed.plan_key == FALLBACK_PLAN {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let cancelled = match when {
            When::PeriodEnd => subscriptions::cancel_at_end(&tx, subscription, fallback.as_ref(), now).await?,
            When::Now => subscriptions::cancel_now(&tx, subscription, fallback.as_ref(), now).await?,
        };
        let at = cancelled.cancel_at.map(|it| it.to_string());
        let changes = Changes::default().field("cancel_at", serde_json::Value::Null, at);
        self.finish(tx, &tenant, "billing.cancel", changes).await
    }

    /// Opens the provider's page on which a plan is taken. The row is there first, and its id is the provider's key: asked
    /// again after a crash, it is the same page.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`, `CheckoutOpen`, `Invalid`, `NoProvider`, `Provider`.
    pub async fn check_out(&self, wish: CheckoutWish) -> Result<CheckoutSession, BillingError> {
        let provider = self.engine.provider()?;
        checked_url("successUrl", &wish.success_url)?;
        checked_url("cancelUrl", &wish.cancel_url)?;
        let agreed = self.engine.sold(&wish.plan, wish.interval).await?;
        let session = self.begin_checkout(&wish, &agreed, provider.name()).await?;
        fault::point("checkout.begun");
        let customer = self.customer(provider).await?;
        fault::point("checkout.customer");
        let request = CheckoutRequest {
            checkout: session.id,
            tenant: self.viewer.tenant,
            customer,
            amount: session.amount,
            description: agreed.plan_name.clone(),
            success_url: session.success_url.clone(),
            cancel_url: session.cancel_url.clone(),
            expires_at: session.expires_at,
        };
        let page = match provider.create_checkout(request).await {
            Ok(page) => page,
            Err(ProviderError::Later(why)) => return Err(BillingError::Provider(why)),
            Err(ProviderError::Refused(why)) => {
                // It would be refused again: the next attempt is another.
                let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
                payments::expire_checkout(&tx, session.id).await?;
                tx.commit().await?;
                return Err(BillingError::Provider(why));
            }
        };
        fault::point("checkout.created");
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
        payments::open_page(&tx, session.id, &page).await?;
        tx.commit().await?;
        let (reference, url) = (Some(page.reference), Some(page.url));
        Ok(CheckoutSession { state: CheckoutState::Open, reference, url, ..session })
    }

    async fn begin_checkout(
        &self,
        wish: &CheckoutWish,
        agreed: &Agreed,
        provider: &str,
    ) -> Result<CheckoutSession, BillingError> {
        let now = subscriptions::in_micros(self.clock.now());
        let (tx, tenant, subscription) = self.enter().await?;
        let found = match payments::open_checkout(&tx, agreed.plan).await? {
            // Made by somebody who did not come to ask the provider, or to hear of it: it is asked again.
            Some(begun) if begun.state == CheckoutState::Creating && now + checkout::LEAST_LIFE < begun.expires_at => {
                begun
            }
            Some(open) if open.state == CheckoutState::Open && now < open.expires_at => {
                return Err(BillingError::CheckoutOpen(Box::new(open)));
            }
            over => {
                if let Some(over) = over {
                    payments::expire_checkout(&tx, over.id).await?;
                }
                let has_method = payments::account(&tx).await?.method.is_some();
                if has_method {
                    refuse_same(&subscription, agreed, wish.interval)?;
                }
                let is_same = refuse_same(&subscription, agreed, wish.interval).is_err();
                let amount = if is_same {
                    // Only a means of payment is missing.
                    Money { minor: 0, currency: agreed.terms.currency()? }
                } else {
                    let preview = self.previewed(&tx, &tenant, &subscription, agreed, wish.interval, When::Now).await?;
                    Money { minor: preview.reckoning.total_minor, currency: preview.currency }
                };
                let session = CheckoutSession {
                    id: CheckoutId::generate(now),
                    plan: agreed.plan,
                    version: agreed.version_id,
                    interval: wish.interval,
                    state: CheckoutState::Creating,
                    priced_at: now,
                    amount,
                    success_url: wish.success_url.clone(),
                    cancel_url: wish.cancel_url.clone(),
                    provider: provider.to_owned(),
                    reference: None,
                    url: None,
                    expires_at: now + checkout::LIFE,
                };
                subscriptions::keep_terms(&tx, agreed, now).await?;
                payments::insert_checkout(&tx, &session).await?;
                session
            }
        };
        let changes = Changes::default().field("plan", serde_json::Value::Null, agreed.plan_key.clone());
        self.finish(tx, &tenant, "billing.checkout", changes).await?;
        Ok(found)
    }

    /// The provider's name for the tenant, made where there is none. The directory knows whose it is before it can pay.
    async fn customer(&self, provider: &dyn PaymentProvider) -> Result<String, BillingError> {
        let (gate, id, now) = (&self.engine.gate, self.viewer.tenant, self.clock.now());
        let tx = gate.tenant(Scope::worker(id), Access::Read);
        let (account, tenant) = futures_util::join!(payments::account(&tx), tenants::current(&tx));
        tx.end_read();
        drop(tx);
        let (account, tenant) = (account?, tenant?);
        if let (Some(customer), true) = (account.customer, account.provider.as_deref() == Some(provider.name())) {
            return Ok(customer);
        }
        let made = provider.create_customer(NewCustomer { tenant: id, name: tenant.slug }).await;
        let customer = made.map_err(|error| match error {
            ProviderError::Refused(why) | ProviderError::Later(why) => BillingError::Provider(why),
        })?;
        payments::note_customer(gate, id, provider.name(), &customer, now).await?;
        Ok(customer)
    }

    /// Where the tenant's means of payment are seen and changed.
    ///
    /// # Errors
    /// `NoCustomer` before the first checkout, `Invalid`, `NoProvider`, `Provider`.
    pub async fn open_portal(&self, return_url: &str) -> Result<String, BillingError> {
        let provider = self.engine.provider()?;
        checked_url("returnUrl", return_url)?;
        self.check().await?;
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Read);
        let account = payments::account(&tx).await?;
        tx.end_read();
        drop(tx);
        let is_ours = account.provider.as_deref() == Some(provider.name());
        let customer = account.customer.filter(|_| is_ours).ok_or(BillingError::NoCustomer)?;
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
        let event = audit::Event::of_sign_in(self.viewer.user, "billing.portal", "subscription", None);
        audit::record_as(&tx, event, self.clock.now(), self.origin).await?;
        tx.commit().await?;
        drop(tx);
        provider.create_portal(customer, return_url.to_owned()).await.map_err(|error| match error {
            ProviderError::Refused(why) | ProviderError::Later(why) => BillingError::Provider(why),
        })
    }
}

/// Whether the subscription has this plan by this interval already, and goes on having it.
fn refuse_same(subscription: &Subscription, agreed: &Agreed, interval: Interval) -> Result<(), BillingError> {
    let has_it = subscription.is_alive()
        && subscription.status != Status::Paused
        && subscription.version == agreed.version_id
        && subscription.interval == interval
        && subscription.next.is_none()
        && subscription.cancel_at.is_none();
    if has_it { Err(BillingError::SamePlan) } else { Ok(()) }
}

/// An address that a person's browser can be sent to.
fn checked_url(field: &'static str, url: &str) -> Result<(), BillingError> {
    let parsed = reqwest::Url::parse(url).ok().filter(|it| matches!(it.scheme(), "https" | "http") && it.has_host());
    match parsed {
        Some(_) if url.len() <= 2_000 => Ok(()),
        _ => Err(BillingError::Invalid(field, "It must be an address that begins with https:// or http://.")),
    }
}

/// The platform puts a tenant on another plan, from now on; in a scope of the platform. Returns the plan before.
///
/// # Errors
/// When a statement fails.
pub async fn put_on_plan(
    tx: &ScopedTx,
    first: Option<&Agreed>,
    version: &PlanVersion,
    now: Timestamp,
) -> Result<String, DbError> {
    let (tenant, subscription) = present(tx, first, now).await?;
    let before = subscriptions::agreed(tx, subscription.version).await?;
    let agreed = Agreed::of(version);
    let interval = if agreed.terms.is_offered(subscription.interval) { subscription.interval } else { Interval::Month };
    let interval = if agreed.terms.is_offered(interval) { interval } else { Interval::Year };
    if subscription.is_alive() {
        subscriptions::change_now(tx, subscription, &agreed, interval, now, now).await?;
    } else {
        let from = subscription.ended_at.map_or(now, |it| it.max(now));
        subscriptions::begin(tx, &tenant, &agreed, interval, from, now).await?;
    }
    invoices::draft_due(tx, &tenant, now).await?;
    while invoices::issue_next(tx, now).await?.is_some() {}
    schedule(tx, now).await?;
    Ok(before.plan_key)
}

/// The platform pauses a subscription, or has it go on; in a scope of the platform.
///
/// # Errors
/// `InvalidTransition`.
pub async fn set_paused(
    tx: &ScopedTx,
    first: Option<&Agreed>,
    paused: bool,
    now: Timestamp,
) -> Result<(), BillingError> {
    let (tenant, subscription) = present(tx, first, now).await?;
    match (subscription.status, paused) {
        (Status::Cancelled, _) | (Status::Paused, true) => {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        (_, true) => {
            subscriptions::pause(tx, subscription, now).await?;
        }
        (Status::Paused, false) => {
            subscriptions::resume(tx, subscription, now).await?;
        }
        (_, false) => return Err(BillingError::InvalidTransition(subscription.status)),
    }
    invoices::draft_due(tx, &tenant, now).await?;
    while invoices::issue_next(tx, now).await?.is_some() {}
    Ok(schedule(tx, now).await?)
}

impl Engine {
    /// As [`first_terms`](Self::first_terms), for the platform's own changes.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn terms_to_begin_with(&self, tenant: TenantId) -> Result<Option<Agreed>, DbError> {
        self.first_terms(tenant).await
    }
}

/// Changes to whom invoices are addressed. Administrators only.
///
/// # Errors
/// `Forbidden`, `Invalid`.
pub async fn update_profile(
    caller: &Caller<'_>,
    profile: invoices::Profile,
) -> Result<invoices::Profile, BillingError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(BillingError::Forbidden);
    }
    let checked = |text: Option<String>, most: usize, field, message| {
        let text = text.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let fits = text.as_ref().is_none_or(|it| it.chars().count() <= most && !it.contains('\0'));
        if fits { Ok(text) } else { Err(BillingError::Invalid(field, message)) }
    };
    let email = checked(profile.email, 320, "email", "It has at most 320 characters.")?;
    if email.as_ref().is_some_and(|it| it.parse::<lettre::Address>().is_err()) {
        return Err(BillingError::Invalid("email", "It must be an e-mail address."));
    }
    let profile = invoices::Profile {
        legal_name: checked(profile.legal_name, 200, "legalName", "It has at most 200 characters.")?,
        address: checked(profile.address, 500, "address", "It has at most 500 characters.")?,
        tax_id: checked(profile.tax_id, 40, "taxId", "It has at most 40 characters.")?,
        email,
    };
    invoices::set_profile(caller.tx, &profile, caller.clock.now()).await?;
    audit::record(caller, "billing.update_profile", "tenant", Some(caller.viewer.tenant.0), Changes::default()).await?;
    Ok(profile)
}
