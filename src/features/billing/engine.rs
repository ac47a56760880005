//! Bills, and talks to the payment provider.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    cycles::Interval,
    error::BillingError,
    invoices,
    payments::{self, PaymentProvider, stripe::Stripe},
    plans::{self, PlanVersion},
    schedule::schedule,
    standing,
    subscriptions::{self, Agreed, Status, Subscription},
};
use crate::base::cpu;
use crate::{
    base::{
        egress::WebhookClient,
        fault,
        ids::{InvoiceId, PlanVersionId, TenantId},
    },
    db::{Access, DbError, Gate, Scope, ScopedTx},
    features::{
        tenants::{self, Tenant, TenantStatus},
        usage,
    },
};

/// Key of the plan that tenants fall back to.
pub(super) const FALLBACK_PLAN: &str = "free";

/// Bills, and talks to the payment provider.
#[derive(Clone)]
pub struct Engine {
    pub(super) gate: Gate,
    pub(super) provider: Option<Arc<dyn PaymentProvider>>,
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
        // A link that was made before the tenant was suspended opens no more than its sessions do.
        if matches!(tenant.status, TenantStatus::Suspended | TenantStatus::Deleted) {
            return Ok(None);
        }
        let (issuer, logo) = (self.issuer.clone(), self.logo(&tenant).await);
        // Writing takes some milliseconds of one core, which other requests need not wait for.
        let written = cpu::run(tenant.id, move || {
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
            Err(busy) => Err(DbError::Unavailable(busy.to_string())),
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
    pub(super) async fn sold(&self, key: &str, interval: Interval) -> Result<Agreed, BillingError> {
        let version = self.offer(key).await?.ok_or(BillingError::PlanNotFound)?;
        if version.terms.is_offered(interval) { Ok(Agreed::of(&version)) } else { Err(BillingError::NotOffered) }
    }

    pub(super) async fn fallback(&self) -> Result<Option<Agreed>, DbError> {
        Ok(self.offer(FALLBACK_PLAN).await?.as_ref().map(Agreed::of))
    }

    pub(super) fn provider(&self) -> Result<&dyn PaymentProvider, BillingError> {
        self.provider.as_deref().ok_or(BillingError::NoProvider)
    }
}

/// Takes the lock and brings the subscription to the present; one that was never billed begins with `first`, when its tenant
/// was made, or where it was already there when billing came, when that was.
pub(super) async fn present(
    tx: &ScopedTx,
    first: Option<&Agreed>,
    now: Timestamp,
) -> Result<(Tenant, Subscription), DbError> {
    subscriptions::lock(tx).await?;
    let tenant = tenants::current(tx).await?;
    let subscription = match (subscriptions::current(tx).await?, first) {
        (Some(known), _) => known,
        (None, Some(first)) => {
            let from = usage::closed_until(tx).await?.unwrap_or(tenant.created_at).min(now);
            standing::reviewed(tx, subscriptions::begin(tx, &tenant, first, Interval::Month, from, now).await?, now)
                .await?
        }
        (None, None) => return Err(DbError::Contention("the subscription has just been made".into())),
    };
    let subscription = standing::advance(tx, subscription, now).await?;
    Ok((tenant, subscription))
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
        standing::reviewed(tx, subscriptions::change_now(tx, subscription, &agreed, interval, now, now).await?, now)
            .await?;
    } else {
        let from = subscription.ended_at.map_or(now, |it| it.max(now));
        standing::reviewed(tx, subscriptions::begin(tx, &tenant, &agreed, interval, from, now).await?, now).await?;
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
            standing::reviewed(tx, subscriptions::pause(tx, subscription, now).await?, now).await?;
        }
        (Status::Paused, false) => {
            standing::reviewed(tx, subscriptions::resume(tx, subscription, now).await?, now).await?;
        }
        (_, false) => return Err(BillingError::InvalidTransition(subscription.status)),
    }
    invoices::draft_due(tx, &tenant, now).await?;
    while invoices::issue_next(tx, now).await?.is_some() {}
    Ok(schedule(tx, now).await?)
}

/// One cannot be changed into the other at one instant where both cost something: no invoice has two currencies.
pub(super) fn refuse_other_currency(present: &Agreed, wanted: &Agreed) -> Result<(), BillingError> {
    if subscriptions::is_other_currency(present, wanted) { Err(BillingError::OtherCurrency) } else { Ok(()) }
}
