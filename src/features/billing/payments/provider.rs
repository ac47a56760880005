//! The interface of payment providers, and the reports they send.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use crate::base::{
    ids::{CheckoutId, InvoiceId, TenantId},
    money::Money,
};

/// Why a provider did not fulfil a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// The provider refused; a retry will not help.
    Refused(String),
    /// The provider could not be reached, or is overloaded; a retry may help.
    Later(String),
}

/// A tenant to register with a provider.
#[derive(Clone, Debug)]
pub struct NewCustomer {
    /// The tenant; also the idempotency key of the request.
    pub tenant: TenantId,
    /// The name to display.
    pub name: String,
}

/// A request for a page on which a person pays or saves a payment method.
#[derive(Clone, Debug)]
pub struct CheckoutRequest {
    /// The id of our row, and the idempotency key of the request.
    pub checkout: CheckoutId,
    /// The tenant.
    pub tenant: TenantId,
    /// The provider's customer id.
    pub customer: String,
    /// The amount to pay; with 0 the page only saves a payment method.
    pub amount: Money,
    /// A description to display.
    pub description: String,
    /// Where the provider redirects after payment.
    pub success_url: String,
    /// Where the provider redirects without payment.
    pub cancel_url: String,
    /// When the page closes.
    pub expires_at: Timestamp,
}

/// A page of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedPage {
    /// The provider's id of the page.
    pub reference: String,
    /// The URL.
    pub url: String,
}

/// A charge without a person present.
#[derive(Clone, Debug)]
pub struct ChargeRequest {
    /// The id of our row, and the idempotency key of the request.
    pub payment: Uuid,
    /// The invoice.
    pub invoice: InvoiceId,
    /// The provider's customer id.
    pub customer: String,
    /// The payment method.
    pub method: String,
    /// The amount.
    pub amount: Money,
}

/// The outcome of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was paid.
    Succeeded,
    /// Not paid, with the reason.
    Failed(String),
    /// The provider does not know yet and will report it.
    Processing,
}

/// A charge, as the provider reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The provider's id of the charge; `None` when it was refused before it got one.
    pub reference: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
}

/// An event from a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEvent {
    /// The provider's id of the event.
    pub id: String,
    /// The type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// The provider's id of the customer; `None` when the event concerns none.
    pub customer: Option<String>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened; empty for events that Tenantry ignores.
    pub facts: Vec<Fact>,
}

/// What happened at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A page was completed, with a payment or, when nothing was due, without one.
    CheckoutCompleted {
        /// The page.
        reference: String,
        /// The payment, and its amount in minor units.
        payment: Option<(String, i64)>,
    },
    /// A page was closed.
    CheckoutExpired {
        /// The page.
        reference: String,
    },
    /// A payment was made.
    PaymentSucceeded {
        /// The payment.
        reference: String,
        /// The id of our row, as sent to the provider with the request. It is valid only within the tenant of the
        /// event's customer.
        payment: Option<Uuid>,
    },
    /// A payment failed.
    PaymentFailed {
        /// The payment.
        reference: String,
        /// The reason.
        reason: String,
    },
    /// A payment method for later payments was saved.
    MethodSaved {
        /// The payment method.
        reference: String,
    },
    /// A payment method was removed.
    MethodRemoved {
        /// The payment method.
        reference: String,
    },
}

/// A payment provider. There are two: Stripe, and one inside this process for development.
pub trait PaymentProvider: Send + Sync {
    /// The provider's name in the database.
    fn name(&self) -> &'static str;

    /// Creates a customer and returns the provider's id. A repeated request returns the same.
    fn create_customer(&self, request: NewCustomer) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Creates a page. A repeated request for the same checkout returns the same page.
    fn create_checkout(&self, request: CheckoutRequest) -> BoxFuture<'_, Result<HostedPage, ProviderError>>;

    /// The URL of a page where a customer manages their payment methods.
    fn create_portal(&self, customer: String, return_url: String) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Charges. A repeated request for the same payment charges nothing more and returns the same.
    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, Result<Charged, ProviderError>>;

    /// The charge that was requested for this payment, if there is one: for when the provider has forgotten the
    /// idempotency key.
    fn find_charge(&self, customer: String, payment: Uuid) -> BoxFuture<'_, Result<Option<Charged>, ProviderError>>;

    /// The current outcome of a charge.
    fn look_up(&self, reference: String) -> BoxFuture<'_, Result<Charged, ProviderError>>;

    /// Parses a verified event.
    ///
    /// # Errors
    /// What is wrong with the event.
    fn read_event(&self, body: &str) -> Result<ProviderEvent, String>;
}
