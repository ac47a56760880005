//! What tenants subscribe to, what they use, and what they pay for it.
//!
//! Plans are in the directory; everything else is in the tenant's store. Billing is work of the platform: whoever asks for
//! something here is looked at in a scope of his own, and it is carried out as background work would.

pub mod cycles;
pub mod invoice_mail;
pub mod invoices;
mod metering;
pub mod payments;
pub mod plans;
mod self_service;
pub mod subscriptions;
pub mod terms;

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    base::{
        egress::WebhookClient,
        fault,
        ids::{InvoiceId, PlanVersionId, TenantId},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
        outbox::{self, Effect},
    },
    db::{Access, DbError, Gate, Scope, ScopedTx},
    features::{
        tenants::{self, Tenant},
        usage,
    },
};
use cycles::Interval;
use invoices::Reckoning;
use payments::{PaymentProvider, checkout::CheckoutSession, stripe::Stripe};
use plans::PlanVersion;
use subscriptions::{Agreed, BillingPeriod, Status, Subscription};

pub use metering::{Became, Rejection, UsageLine, record_usage, usage_lines, usage_series};
pub use self_service::{Biller, CheckoutWish};

/// Key of the plan that tenants fall back to.
const FALLBACK_PLAN: &str = "free";

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
    /// It is of another currency than what is paid now.
    OtherCurrency,
    /// There is no such invoice.
    InvoiceNotFound,
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

/// Bills, and talks to the payment provider.
#[derive(Clone)]
pub struct Engine {
    gate: Gate,
    provider: Option<Arc<dyn PaymentProvider>>,
    stripe: Option<Arc<Stripe>>,
    takes_play_money: bool,
    issuer: Arc<str>,
    /// Fetches logos, from public addresses alone.
    pictures: Option<WebhookClient>,
}

/// Who issues invoices, unless said.
pub const DEFAULT_ISSUER: &str = "Tenantry";

impl Engine {
    /// Without a payment provider: invoices are issued, and paid outside.
    pub fn without_provider(gate: Gate) -> Self {
        Self {
            gate,
            provider: None,
            stripe: None,
            takes_play_money: false,
            issuer: DEFAULT_ISSUER.into(),
            pictures: None,
        }
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

    /// With tenants' logos on their invoices, fetched by this.
    pub fn with_pictures(self, client: WebhookClient) -> Self {
        Self { pictures: Some(client), ..self }
    }

    /// The tenant's logo, where it can be had.
    async fn logo(&self, tenant: &Tenant) -> Option<Vec<u8>> {
        let (client, url) = (self.pictures.as_ref()?, tenant.branding.logo_url.as_ref()?);
        client.fetch(url, invoices::pdf::MAX_LOGO).await
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
        let (issuer, logo) = (self.issuer.clone(), self.logo(&tenant).await);
        // Writing takes some milliseconds of one core, which other requests need not wait for.
        let written = tokio::task::spawn_blocking(move || {
            let sheet = invoices::pdf::Sheet {
                invoice: &invoice,
                lines: &lines,
                credit_notes: &credit_notes,
                issuer: &issuer,
                branding: &tenant.branding,
                logo: logo.as_deref(),
                zone: &tenant.time_zone,
            };
            // A picture that cannot be read after all keeps nobody from his invoice.
            invoices::pdf::write(&sheet)
                .or_else(|_| invoices::pdf::write(&invoices::pdf::Sheet { logo: None, ..sheet }))
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
    pub async fn collect(
        &self,
        tenant: TenantId,
        invoice: InvoiceId,
        at_once: bool,
        now: Timestamp,
    ) -> Result<(), String> {
        payments::collection::collect(&self.gate, self.provider.as_deref(), tenant, invoice, at_once, now).await
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
                break;
            }
        }
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        subscriptions::lock(&tx).await?;
        payments::collection::resume(&tx, now).await?;
        tx.commit().await
    }

    /// What a tenant that was never billed has taken; `None` where it was billed.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn first_terms(&self, tenant: TenantId) -> Result<Option<Agreed>, DbError> {
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
        // As the platform: a plan that is off the list is still whose that have it.
        let directory = self.gate.directory(Scope::platform(None), Access::Read);
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
    pub currency: crate::base::money::Currency,
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

/// One cannot be changed into the other at one instant where both cost something: no invoice has two currencies.
fn refuse_other_currency(present: &Agreed, wanted: &Agreed) -> Result<(), BillingError> {
    let both_cost = present.terms.costs() && wanted.terms.costs();
    if both_cost && present.terms.currency != wanted.terms.currency {
        return Err(BillingError::OtherCurrency);
    }
    Ok(())
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
) -> Result<String, BillingError> {
    let (tenant, subscription) = present(tx, first, now).await?;
    let before = subscriptions::agreed(tx, subscription.version).await?;
    let agreed = Agreed::of(version);
    if subscription.is_alive() {
        refuse_other_currency(&before, &agreed)?;
    }
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
