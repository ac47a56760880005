//! Payments, checkouts and stored provider data.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::{
        ids::{CheckoutId, InvoiceId, PlanId, PlanVersionId},
        money::Money,
    },
    db::DbError,
    features::billing::{cycles::Interval, subscriptions::Agreed},
};

/// The state of a checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutState {
    /// The provider has not responded yet.
    Creating,
    /// The page is open.
    Open,
    /// Paid; the plan is active.
    Completed,
    /// The page is closed.
    Expired,
}

impl CheckoutState {
    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Open => "OPEN",
            Self::Completed => "COMPLETED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl std::str::FromStr for CheckoutState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Creating, Self::Open, Self::Completed, Self::Expired].into_iter();
        found
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a checkout state")))
    }
}

/// A checkout session on a payment provider's page.
#[derive(Clone, Debug)]
pub struct CheckoutSession {
    /// The id, unique within the tenant.
    pub id: CheckoutId,
    /// The plan.
    pub plan: PlanId,
    /// The version of the plan.
    pub version: PlanVersionId,
    /// The billing interval.
    pub interval: Interval,
    /// The state.
    pub state: CheckoutState,
    /// The instant for which the amount was calculated.
    pub priced_at: Timestamp,
    /// The amount to pay.
    pub amount: Money,
    /// Where the provider redirects after payment.
    pub success_url: String,
    /// Where the provider redirects without payment.
    pub cancel_url: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of the session.
    pub reference: Option<String>,
    /// The URL of the page.
    pub url: Option<String>,
    /// When the page closes.
    pub expires_at: Timestamp,
}

impl CheckoutSession {
    /// Whether the session matches a request exactly.
    pub fn is_for(&self, wish: &CheckoutWish, agreed: &Agreed) -> bool {
        self.version == agreed.version_id
            && self.interval == wish.interval
            && self.success_url == wish.success_url
            && self.cancel_url == wish.cancel_url
    }
}

/// A waiting event from a provider.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The provider.
    pub provider: String,
    /// The provider's id of the event.
    pub event: String,
    /// The type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// The body as received.
    pub body: String,
    /// The number of attempts.
    pub attempts: i32,
}

/// An event that was given up after too many attempts.
#[derive(Clone, Debug)]
pub struct DeadEvent {
    /// The provider.
    pub provider: String,
    /// The provider's id of the event.
    pub event: String,
    /// The type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// The number of attempts.
    pub attempts: i32,
    /// The error of the last attempt.
    pub last_error: String,
}

/// A request for a checkout.
#[derive(Clone, Debug)]
pub struct CheckoutWish {
    /// The key of the plan.
    pub plan: String,
    /// The billing interval.
    pub interval: Interval,
    /// Where the provider redirects after payment.
    pub success_url: String,
    /// Where the provider redirects without payment.
    pub cancel_url: String,
}

/// A tenant's payment account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The payment provider.
    pub provider: Option<String>,
    /// The provider's customer id of the tenant.
    pub customer: Option<String>,
    /// The provider's id of the payment method.
    pub method: Option<String>,
    /// When the provider reported the payment method.
    pub method_known_at: Option<Timestamp>,
}

/// The state of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// The outcome is not known yet.
    Pending,
    /// Paid.
    Succeeded,
    /// Not paid.
    Failed,
}

impl PaymentState {
    /// The value in the database and the API.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a payment state")))
    }
}

/// An attempt to collect an invoice, or a payment at a checkout.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The invoice.
    pub invoice: Option<InvoiceId>,
    /// The checkout.
    pub checkout: Option<CheckoutId>,
    /// The state.
    pub state: PaymentState,
    /// The amount.
    pub amount: Money,
    /// The payment method.
    pub method: Option<String>,
    /// The provider's id of the payment.
    pub reference: Option<String>,
    /// When the provider last reported on it.
    pub provider_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was started.
    pub created_at: Timestamp,
}

/// Why a fact cannot be applied yet.
#[derive(Debug)]
pub enum NotYet {
    /// It refers to something that this server does not know, or not yet.
    Unknown(&'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for NotYet {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
