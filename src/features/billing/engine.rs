//! The billing engine: bills tenants and talks to the payment provider.

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

/// The key of the plan that tenants fall back to.
pub(super) const FALLBACK_PLAN: &str = "free";

/// Bills tenants and talks to the payment provider.
#[derive(Clone)]
pub struct Engine {
    pub(super) gate: Gate,
    pub(super) provider: Option<Arc<dyn PaymentProvider>>,
    stripe: Option<Arc<Stripe>>,
    takes_play_money: bool,
    issuer: Arc<str>,
    /// Fetches logos, from public addresses only.
    pictures: Option<WebhookClient>,
}

/// The default issuer of invoices.
pub const DEFAULT_ISSUER: &str = "Tenantry";

impl Engine {
    /// An engine without a payment provider: it issues invoices, which are paid outside of Tenantry.
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

    /// An engine that uses Stripe.
    pub fn with_stripe(gate: Gate, stripe: Stripe) -> Self {
        let stripe = Arc::new(stripe);
        Self { provider: Some(stripe.clone()), stripe: Some(stripe), ..Self::without_provider(gate) }
    }

    /// An engine with a payment provider inside this process, whose pages are below this URL. For development.
    pub fn in_process(gate: Gate, base: String) -> Self {
        let provider = Arc::new(payments::in_process::InProcess::new(base));
        Self { provider: Some(provider), takes_play_money: true, ..Self::without_provider(gate) }
    }

    /// Sets the issuer's name and address on invoices.
    pub fn issued_by(self, issuer: &str) -> Self {
        Self { issuer: issuer.into(), ..self }
    }

    /// Prints tenants' logos on invoices and fetches them with this client.
    pub fn with_pictures(self, client: WebhookClient) -> Self {
        Self { pictures: Some(client), ..self }
    }

    /// The tenant's logo; `None` when it cannot be fetched.
    async fn logo(&self, tenant: &Tenant) -> Option<Vec<u8>> {
        let (client, url) = (self.pictures.as_ref()?, tenant.branding.logo_url.as_ref()?);
        client.fetch(url, invoices::pdf::MAX_LOGO).await
    }

    /// Renders an invoice as a PDF, with the rights of background work; `None` when there is no such invoice.
    ///
    /// # Errors
    /// When a statement fails, or the file cannot be rendered.
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
        // Rendering takes some milliseconds of one core and must not delay other requests.
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
            // An unreadable logo must not prevent the invoice.
            invoices::pdf::write(&sheet)
                .or_else(|_| invoices::pdf::write(&invoices::pdf::Sheet { logo: None, ..sheet }))
        });
        match written.await {
            Ok(Ok(file)) => Ok(Some(file)),
            Ok(Err(error)) => Err(DbError::Other(error.to_string())),
            Err(busy) => Err(DbError::Unavailable(busy.to_string())),
        }
    }

    /// Stripe, if it is the provider.
    pub fn stripe(&self) -> Option<&Stripe> {
        self.stripe.as_deref()
    }

    /// Whether the pages of the in-process provider are served.
    pub fn takes_play_money(&self) -> bool {
        self.takes_play_money
    }

    /// Stores a verified event from the provider.
    ///
    /// # Errors
    /// When the event could not be stored.
    pub async fn receive(&self, body: &str, now: Timestamp) -> Result<(), payments::inbox::ReceiveError> {
        match &self.provider {
            Some(provider) => payments::inbox::receive(&self.gate, provider.as_ref(), body, now).await,
            None => Ok(()),
        }
    }

    /// Processes waiting events from the provider, and returns how many.
    pub async fn work_off_events(&self, now: Timestamp) -> Result<usize, DbError> {
        match &self.provider {
            Some(provider) => payments::inbox::work_off(&self.gate, provider.as_ref(), now).await,
            None => Ok(0),
        }
    }

    /// Collects an invoice, as far as possible now.
    ///
    /// # Errors
    /// When the caller should retry later.
    pub async fn collect(
        &self,
        tenant: TenantId,
        invoice: InvoiceId,
        at_once: bool,
        now: Timestamp,
    ) -> Result<(), String> {
        payments::collection::collect(&self.gate, self.provider.as_deref(), tenant, invoice, at_once, now).await
    }

    /// Brings a tenant's billing up to date: periods, drafts, and numbered invoices. It is safe to run twice,
    /// concurrently, and after any downtime.
    ///
    /// # Errors
    /// When a statement fails. The next run continues from there.
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

    /// The terms of a tenant that was never billed; `None` when it was billed before.
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
        // In the platform's scope: a plan that is no longer on offer remains valid for its tenants.
        let directory = self.gate.directory(Scope::platform(None), Access::Read);
        let found = plans::version(&directory, id).await?;
        directory.end_read();
        found.ok_or_else(|| DbError::Corrupt(format!("plan version {id} does not exist")))
    }

    /// The offered version of a plan.
    async fn offer(&self, key: &str) -> Result<Option<PlanVersion>, DbError> {
        let directory = self.gate.directory(Scope::directory_public(), Access::Read);
        let found = plans::on_offer(&directory).await?;
        directory.end_read();
        Ok(found.into_iter().find(|it| it.plan.key == key))
    }

    /// The terms of the plan with this key, if it is sold for this interval.
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

/// Locks the subscription and brings it up to date. A subscription that was never billed starts with `first`: at the
/// tenant's creation or, for tenants older than billing, when billing was introduced.
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
        (None, None) => return Err(DbError::Contention("the subscription was created concurrently".into())),
    };
    let subscription = standing::advance(tx, subscription, now).await?;
    Ok((tenant, subscription))
}

/// Puts a tenant on another plan from now on, on behalf of the platform; in a scope of the platform. Returns the
/// previous plan's key.
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

/// Pauses or resumes a subscription on behalf of the platform; in a scope of the platform.
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

/// Refuses an immediate change between two paid plans of different currencies, because an invoice has one currency.
pub(super) fn refuse_other_currency(present: &Agreed, wanted: &Agreed) -> Result<(), BillingError> {
    if subscriptions::is_other_currency(present, wanted) { Err(BillingError::OtherCurrency) } else { Ok(()) }
}
