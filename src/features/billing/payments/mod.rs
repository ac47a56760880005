//! Payments: through a provider, never inside a transaction, and each attempt under a key of its own.
//!
//! What is to be asked of the provider is written first; its row's id is the key by which the provider knows a repetition. What
//! the provider tells goes one way, whether it comes as an answer or as an event: `apply`.

pub mod checkout;
pub mod collection;
pub mod in_process;
pub mod inbox;
mod queries;
pub mod stripe;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::invoices::{Invoice, InvoiceError, State};
use crate::{
    base::{
        ids::{CheckoutId, InvoiceId, PlanId, TenantId, uuid_v7},
        money::Money,
    },
    core::outbox::{self, Effect},
    db::{Access, DbError, Gate, Scope, ScopedTx},
};

/// Why a provider did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// It never will.
    Refused(String),
    /// It may, later: it could not be reached, or has too much to do.
    Later(String),
}

/// A tenant, as a provider is to know it.
#[derive(Clone, Debug)]
pub struct NewCustomer {
    /// Known by this; also the key of the request.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
}

/// A page on which somebody pays, or leaves a means of payment.
#[derive(Clone, Debug)]
pub struct CheckoutRequest {
    /// The row of ours, and the key of the request.
    pub checkout: CheckoutId,
    /// Of which tenant.
    pub tenant: TenantId,
    /// Who pays.
    pub customer: String,
    /// What is to be paid; with 0 only a means of payment is left.
    pub amount: Money,
    /// What for, for people.
    pub description: String,
    /// Where whoever has paid goes.
    pub success_url: String,
    /// Where whoever has not goes.
    pub cancel_url: String,
    /// When the page is there no more.
    pub expires_at: Timestamp,
}

/// Where a page is, and what the provider calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedPage {
    /// The provider's name for it.
    pub reference: String,
    /// Where.
    pub url: String,
}

/// Something to be charged without anybody being there.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// The row of ours, and the key of the request.
    pub payment: Uuid,
    /// For what.
    pub invoice: InvoiceId,
    /// Who pays.
    pub customer: String,
    /// By what.
    pub method: String,
    /// How much.
    pub amount: Money,
}

/// What became of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was paid.
    Succeeded,
    /// It was not, and why.
    Failed(String),
    /// The provider does not know yet, and will tell.
    Processing,
}

/// A charge, as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The provider's name for it; none where it was refused before it had one.
    pub reference: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Something that a provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// The provider's name for it.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// Whom it concerns, by the provider's name; `None` where it concerns nobody.
    pub customer: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened; empty for what we do not care for.
    pub facts: Vec<Fact>,
}

/// What happened at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A page was completed: with a payment, or without one where nothing was to be paid.
    CheckoutCompleted {
        /// The page.
        reference: String,
        /// The payment, and its amount in minor units.
        payment: Option<(String, i64)>,
    },
    /// A page is there no more.
    CheckoutExpired {
        /// The page.
        reference: String,
    },
    /// A payment was made.
    PaymentSucceeded {
        /// The payment.
        reference: String,
        /// The row of ours that it was asked for under, as we had told the provider: good only within the tenant whose
        /// customer it is.
        payment: Option<Uuid>,
    },
    /// A payment was not made.
    PaymentFailed {
        /// The payment.
        reference: String,
        /// Why.
        reason: String,
    },
    /// Later payments can be charged by this.
    MethodSaved {
        /// The means of payment.
        reference: String,
    },
    /// Nothing can be charged by this any more.
    MethodRemoved {
        /// The means of payment.
        reference: String,
    },
}

/// Whoever takes payments. Two: Stripe, and one in this process for development.
pub trait PaymentProvider: Send + Sync {
    /// Its name in the database.
    fn name(&self) -> &'static str;

    /// Makes a customer, and returns the provider's name for it. Asked again it returns the same.
    fn create_customer(&self, request: NewCustomer) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Makes a page. Asked again with the same checkout it returns the same.
    fn create_checkout(&self, request: CheckoutRequest) -> BoxFuture<'_, Result<HostedPage, ProviderError>>;

    /// Where a customer sees and changes his means of payment.
    fn create_portal(&self, customer: String, return_url: String) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Charges. Asked again with the same payment it charges nothing more, and returns the same.
    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, Result<Charged, ProviderError>>;

    /// The charge that was asked for under this payment, if there is one: for when the provider has forgotten the key.
    fn find_charge(&self, customer: String, payment: Uuid) -> BoxFuture<'_, Result<Option<Charged>, ProviderError>>;

    /// What has become of a charge by now.
    fn look_up(&self, reference: String) -> BoxFuture<'_, Result<Charged, ProviderError>>;

    /// Reads an event that was verified.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read_event(&self, body: &str) -> Result<ProviderEvent, String>;
}

/// How a tenant pays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Through whom.
    pub provider: Option<String>,
    /// The provider's name for the tenant.
    pub customer: Option<String>,
    /// The provider's name for what is charged.
    pub method: Option<String>,
    /// When the provider said so.
    pub method_known_at: Option<Timestamp>,
}

/// How the tenant pays.
///
/// # Errors
/// When the statement fails.
pub async fn account(tx: &ScopedTx) -> Result<Account, DbError> {
    queries::account(tx).await
}

/// Keeps the provider's name for a tenant: first in the directory, where events find whose it is.
///
/// # Errors
/// When a statement fails.
pub async fn note_customer(
    gate: &Gate,
    tenant: TenantId,
    provider: &str,
    customer: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let directory = gate.directory(Scope::worker(tenant), Access::Write);
    queries::note_customer(&directory, provider, customer).await?;
    directory.commit().await?;
    drop(directory);
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    queries::save_customer(&tx, provider, customer, now).await?;
    tx.commit().await
}

/// The page for this plan that is not over.
///
/// # Errors
/// When the statement fails.
pub async fn open_checkout(tx: &ScopedTx, plan: PlanId) -> Result<Option<checkout::CheckoutSession>, DbError> {
    queries::open_checkout(tx, plan).await
}

/// One visit to a page.
///
/// # Errors
/// When the statement fails.
pub async fn checkout_session(tx: &ScopedTx, id: CheckoutId) -> Result<Option<checkout::CheckoutSession>, DbError> {
    queries::checkout(tx, id).await
}

/// A visit that the provider has not heard of yet.
///
/// # Errors
/// When the statement fails.
pub async fn insert_checkout(tx: &ScopedTx, session: &checkout::CheckoutSession) -> Result<(), DbError> {
    queries::insert_checkout(tx, session).await
}

/// The provider has made its page.
///
/// # Errors
/// When the statement fails.
pub async fn open_page(tx: &ScopedTx, id: CheckoutId, page: &HostedPage) -> Result<(), DbError> {
    queries::open_page(tx, id, &page.reference, &page.url).await
}

/// The page is there no more.
///
/// # Errors
/// When the statement fails.
pub async fn expire_checkout(tx: &ScopedTx, id: CheckoutId) -> Result<(), DbError> {
    queries::expire_checkout(tx, id).await
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Nobody knows yet.
    Pending,
    /// It was made.
    Succeeded,
    /// It was not.
    Failed,
}

impl PaymentState {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }
}

impl std::str::FromStr for PaymentState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Pending, Self::Succeeded, Self::Failed].into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of a payment")))
    }
}

/// An attempt to have an invoice paid, or what was paid at a checkout.
#[derive(Clone, Debug)]
pub struct Payment {
    /// In the tenant.
    pub id: Uuid,
    /// For what.
    pub invoice: Option<InvoiceId>,
    /// At which checkout.
    pub checkout: Option<CheckoutId>,
    /// Where it stands.
    pub state: PaymentState,
    /// How much.
    pub amount: Money,
    /// By what.
    pub method: Option<String>,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// When the provider last told of it.
    pub provider_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
}

/// Attempts to have an invoice paid, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn of_invoice(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Payment>, DbError> {
    queries::of_invoice(tx, id).await
}

/// Why a fact has no effect yet.
#[derive(Debug)]
pub enum NotYet {
    /// It tells of something that is not known here, or not known yet.
    Unknown(&'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for NotYet {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// A means of payment is known; an older word about it counts no more. What is owed is collected by another than before.
async fn save_method(tx: &ScopedTx, reference: &str, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    let before = queries::account(tx).await?.method;
    if queries::save_method(tx, reference, at, now).await? && before.as_deref() != Some(reference) {
        for invoice in super::invoices::open(tx).await? {
            outbox::enqueue(tx, &Effect::CollectInvoice { invoice: invoice.id.0, at_once: false }, now).await?;
        }
    }
    Ok(())
}

/// What was paid settles this invoice first, then the others in their order; the rest is credit. Nothing that is overdue any
/// more binds the tenant.
async fn settle(tx: &ScopedTx, first: Option<&Invoice>, amount: Money, now: Timestamp) -> Result<(), DbError> {
    let is_first = |it: &Invoice| first.is_some_and(|first| first.id == it.id);
    let others = super::invoices::open(tx).await?.into_iter().filter(|it| !is_first(it));
    let mut left = amount.minor;
    for invoice in first.cloned().into_iter().chain(others).filter(|it| it.currency == amount.currency) {
        let part = invoice.owed_minor().min(left);
        if part > 0 {
            left -= part;
            super::invoices::save(tx, &super::invoices::with_payment(invoice, part, now)).await?;
        }
    }
    collection::review(tx, now).await
}

/// The one way on which what a provider tells has its effect. Told again it has none, and what is older than what is known
/// is ignored. Under [`super::subscriptions::lock`].
///
/// # Errors
/// `Unknown` for what is not known here yet.
async fn apply(tx: &ScopedTx, provider: &str, fact: &Fact, at: Timestamp, now: Timestamp) -> Result<(), NotYet> {
    match fact {
        Fact::CheckoutCompleted { reference, payment } => {
            let session = queries::checkout_by_reference(tx, provider, reference).await?;
            let session = session.ok_or(NotYet::Unknown("the checkout session"))?;
            if !matches!(session.state, checkout::CheckoutState::Completed) {
                checkout::grant(tx, &session, payment.as_ref(), at, now).await?;
            }
            Ok(())
        }
        // What is not known here expires by itself.
        Fact::CheckoutExpired { reference } => match queries::checkout_by_reference(tx, provider, reference).await? {
            Some(session) => Ok(queries::expire_checkout(tx, session.id).await?),
            None => Ok(()),
        },
        Fact::PaymentSucceeded { reference, payment: asked } => {
            let known = queries::payment_by_reference(tx, provider, reference).await?;
            // One whose answer was lost has no reference yet.
            let payment = match (known, asked) {
                (None, Some(asked)) => queries::payment(tx, *asked).await?.filter(|it| it.reference.is_none()),
                (known, _) => known,
            };
            let payment = payment.ok_or(NotYet::Unknown("the payment"))?;
            Ok(conclude(tx, &payment, Some(reference), &Outcome::Succeeded, at, now).await?)
        }
        Fact::PaymentFailed { reference, reason } => {
            match queries::payment_by_reference(tx, provider, reference).await? {
                Some(payment) => {
                    Ok(conclude(tx, &payment, Some(reference), &Outcome::Failed(reason.clone()), at, now).await?)
                }
                // A card that was declined on the page, or a charge whose answer is still to come and says the same.
                None => Ok(()),
            }
        }
        Fact::MethodSaved { reference } => Ok(save_method(tx, reference, at, now).await?),
        Fact::MethodRemoved { reference } => Ok(queries::forget_method(tx, reference, at, now).await?),
    }
}

/// What became of a payment. One that was made stays made, and an older word counts no more.
async fn conclude(
    tx: &ScopedTx,
    payment: &Payment,
    reference: Option<&str>,
    outcome: &Outcome,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let is_old = payment.provider_at.is_some_and(|known| at < known) && *outcome != Outcome::Succeeded;
    if payment.state == PaymentState::Succeeded || is_old {
        return Ok(());
    }
    let (state, failure) = match outcome {
        Outcome::Succeeded => (PaymentState::Succeeded, None),
        Outcome::Failed(why) => (PaymentState::Failed, Some(why.chars().take(500).collect())),
        Outcome::Processing => (PaymentState::Pending, None),
    };
    let was = payment.state;
    let reference = reference.map(str::to_owned).or_else(|| payment.reference.clone());
    let known = Payment { state, failure, reference, provider_at: Some(at), ..payment.clone() };
    queries::update_payment(tx, &known, now).await?;
    match (outcome, payment.invoice) {
        (Outcome::Succeeded, invoice) => {
            let first = match invoice {
                Some(id) => super::invoices::by_id(tx, id).await?,
                None => None,
            };
            settle(tx, first.as_ref(), payment.amount, now).await
        }
        (Outcome::Failed(_), Some(invoice)) if was == PaymentState::Pending => {
            collection::after_failure(tx, invoice, now).await
        }
        (Outcome::Failed(_) | Outcome::Processing, _) => Ok(()),
    }
}

/// A payment that was made outside, such as by a transfer. The same reference counts once.
///
/// # Errors
/// `NotFound`, `Invalid`, `InvalidTransition`.
pub async fn record_outside(
    tx: &ScopedTx,
    id: InvoiceId,
    amount_minor: i64,
    reference: &str,
    now: Timestamp,
) -> Result<Invoice, InvoiceError> {
    let invoice = super::invoices::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
    let reference = reference.trim();
    if reference.is_empty() || reference.chars().count() > 200 {
        return Err(InvoiceError::Invalid("reference", "A reference has 1 to 200 characters."));
    }
    if amount_minor <= 0 {
        return Err(InvoiceError::Invalid("amount", "It must be above 0."));
    }
    if queries::payment_by_reference(tx, OUTSIDE, reference).await?.is_some() {
        return Ok(invoice);
    }
    if !matches!(invoice.state, State::Open | State::Uncollectible) {
        return Err(InvoiceError::InvalidTransition(invoice.state));
    }
    let amount = Money { minor: amount_minor, currency: invoice.currency };
    let payment = Payment {
        id: uuid_v7(now),
        invoice: Some(id),
        checkout: None,
        state: PaymentState::Succeeded,
        amount,
        method: None,
        reference: Some(reference.to_owned()),
        provider_at: Some(now),
        failure: None,
        created_at: now,
    };
    queries::insert_payment(tx, &payment, OUTSIDE).await?;
    settle(tx, Some(&invoice), amount, now).await?;
    super::invoices::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)
}

/// The provider's name of payments that were made outside.
const OUTSIDE: &str = "outside";

/// A new attempt, before anybody hears of it.
async fn begin(
    tx: &ScopedTx,
    invoice: &Invoice,
    provider: &str,
    method: &str,
    now: Timestamp,
) -> Result<Payment, DbError> {
    let payment = Payment {
        id: uuid_v7(now),
        invoice: Some(invoice.id),
        checkout: None,
        state: PaymentState::Pending,
        amount: Money { minor: invoice.owed_minor(), currency: invoice.currency },
        method: Some(method.to_owned()),
        reference: None,
        provider_at: None,
        failure: None,
        created_at: now,
    };
    queries::insert_payment(tx, &payment, provider).await?;
    Ok(payment)
}

/// An amount as people read it.
pub fn display(amount: Money) -> String {
    format!("{} {}", amount.currency, amount.amount())
}
