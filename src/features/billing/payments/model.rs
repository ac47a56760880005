//! Payments, checkouts and what is kept of the provider's words.

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

/// Where a visit to the page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutState {
    /// The provider has not answered yet.
    Creating,
    /// The page is there.
    Open,
    /// It was paid, and the plan was taken.
    Completed,
    /// The page is there no more.
    Expired,
}

impl CheckoutState {
    /// As the database and the API spell it.
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of a checkout")))
    }
}

/// A visit to the page of a payment provider.
#[derive(Clone, Debug)]
pub struct CheckoutSession {
    /// In the tenant.
    pub id: CheckoutId,
    /// To take which plan.
    pub plan: PlanId,
    /// In which version.
    pub version: PlanVersionId,
    /// For how long at a time.
    pub interval: Interval,
    /// Where it stands.
    pub state: CheckoutState,
    /// The instant for which the amount was reckoned.
    pub priced_at: Timestamp,
    /// What is to be paid there.
    pub amount: Money,
    /// Where whoever has paid goes.
    pub success_url: String,
    /// Where whoever has not goes.
    pub cancel_url: String,
    /// Whose page.
    pub provider: String,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// When it is there no more.
    pub expires_at: Timestamp,
}

impl CheckoutSession {
    /// Whether it is just what is wished for.
    pub fn is_for(&self, wish: &CheckoutWish, agreed: &Agreed) -> bool {
        self.version == agreed.version_id
            && self.interval == wish.interval
            && self.success_url == wish.success_url
            && self.cancel_url == wish.cancel_url
    }
}

/// An event that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose.
    pub provider: String,
    /// The provider's name for it.
    pub event: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// As it came.
    pub body: String,
    /// How often it was tried.
    pub attempts: i32,
}

/// An event that was given up.
#[derive(Clone, Debug)]
pub struct DeadEvent {
    /// Whose.
    pub provider: String,
    /// The provider's name for it.
    pub event: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// When it came.
    pub received_at: Timestamp,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub last_error: String,
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
