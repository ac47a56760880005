//! What a payment provider has to do, and what it tells.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use crate::base::{
    ids::{CheckoutId, InvoiceId, TenantId},
    money::Money,
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
