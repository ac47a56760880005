//! Invoices, their lines and credit notes.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    base::{
        ids::{CreditNoteId, InvoiceId, PlanVersionId, SubscriptionId},
        money::Currency,
    },
    db::DbError,
    features::{billing::terms::TooLarge, usage::Period},
};

/// The minimum charge in minor units, as providers require (Stripe: half a euro or dollar). Smaller amounts are carried
/// over.
pub const LEAST_CHARGE: i64 = 50;

/// The state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The amounts are final; it has no number yet.
    Draft,
    /// Issued and unpaid.
    Open,
    /// Paid, or nothing had to be paid.
    Paid,
    /// Voided: nothing is owed.
    Void,
    /// Owed, but written off.
    Uncollectible,
}

impl State {
    const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paid, Self::Void, Self::Uncollectible];

    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Open => "OPEN",
            Self::Paid => "PAID",
            Self::Void => "VOID",
            Self::Uncollectible => "UNCOLLECTIBLE",
        }
    }
}

impl std::str::FromStr for State {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not an invoice state")))
    }
}

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fee in advance.
    Flat,
    /// A refund of the unused part of such a fee.
    Credit,
    /// Usage.
    Usage,
    /// Carried to the next invoice (above 0) or from an earlier one (below 0).
    Balance,
}

impl Kind {
    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "FLAT",
            Self::Credit => "CREDIT",
            Self::Usage => "USAGE",
            Self::Balance => "BALANCE",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Flat, Self::Credit, Self::Usage, Self::Balance].into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a line kind")))
    }
}

/// The recipient of an invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The tenant's legal name, or its name.
    pub name: String,
    /// The address, with line breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A tax id, such as a VAT number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
}

/// The invoice settings of a tenant's administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name on invoices.
    pub legal_name: Option<String>,
    /// The address on invoices.
    pub address: Option<String>,
    /// A tax id, such as a VAT number.
    pub tax_id: Option<String>,
    /// The address that receives invoices; without one every administrator receives them.
    pub email: Option<String>,
}

/// The tax on a tenant's invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// The rate in millionths.
    pub rate_ppm: i32,
    /// The name of the tax.
    pub name: String,
}

impl Default for Tax {
    fn default() -> Self {
        Self { rate_ppm: 0, name: "VAT".into() }
    }
}

impl Tax {
    /// The tax on an amount, rounded once.
    pub(super) fn on(&self, net_minor: i64) -> Result<i64, TooLarge> {
        let exact = Decimal::from(net_minor).checked_mul(Decimal::new(i64::from(self.rate_ppm), 6)).ok_or(TooLarge)?;
        let rounded = exact.round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        i64::try_from(rounded).map_err(|_| TooLarge)
    }
}

/// An invoice to a tenant.
#[derive(Clone, Debug)]
pub struct Invoice {
    /// The id, unique within the tenant.
    pub id: InvoiceId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The instant at which its items fell due.
    pub falls_due: Timestamp,
    /// The state.
    pub state: State,
    /// The number, from 1 without gaps; `None` for a draft.
    pub number: Option<i64>,
    /// The currency of every amount.
    pub currency: Currency,
    /// The net amount, without carried balances.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// The total to pay.
    pub total_minor: i64,
    /// The amount paid.
    pub paid_minor: i64,
    /// The amount that credit notes took off the debt.
    pub credited_minor: i64,
    /// The tax on every line.
    pub tax: Tax,
    /// The recipient.
    pub recipient: Recipient,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When payment is due.
    pub due_at: Option<Timestamp>,
    /// When it was paid, voided or written off.
    pub settled_at: Option<Timestamp>,
    /// The number of payment attempts.
    pub attempts: i32,
    /// When collection first failed.
    pub overdue_since: Option<Timestamp>,
}

impl Invoice {
    /// The amount still owed.
    pub fn owed_minor(&self) -> i64 {
        match self.state {
            State::Open | State::Uncollectible => (self.total_minor - self.paid_minor - self.credited_minor).max(0),
            State::Draft | State::Paid | State::Void => 0,
        }
    }

    /// Whether it is open and something is owed.
    pub fn is_owing(&self) -> bool {
        self.state == State::Open && self.owed_minor() > 0
    }

    /// The number as displayed.
    pub fn display_number(&self) -> String {
        self.number.map_or_else(|| "draft".to_owned(), |number| format!("INV-{number:06}"))
    }
}

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The kind.
    pub kind: Kind,
    /// The billing period.
    pub period: Option<Uuid>,
    /// The plan version that it is charged by.
    pub version: Option<PlanVersionId>,
    /// The price in that version.
    pub price: Option<Uuid>,
    /// The description.
    pub name: String,
    /// The meter.
    pub meter: Option<String>,
    /// The quantity.
    pub quantity: Option<i64>,
    /// The time it covers.
    pub covers: Option<Period>,
    /// The net amount, rounded once.
    pub net_minor: i64,
    /// The tax, rounded once.
    pub tax_minor: i64,
}

/// A credit note of the platform for an invoice.
#[derive(Clone, Debug)]
pub struct CreditNote {
    /// The id, unique within the tenant.
    pub id: CreditNoteId,
    /// The invoice.
    pub invoice: InvoiceId,
    /// The number, from 1 without gaps.
    pub number: i64,
    /// The amount including tax.
    pub amount_minor: i64,
    /// The tax included.
    pub tax_minor: i64,
    /// The part that is credited to the next invoice.
    pub balance_minor: i64,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The reason.
    pub reason: String,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// Invoice lines and their totals.
#[derive(Clone, Debug)]
pub struct InvoiceTotals {
    /// Every line; the balance comes last.
    pub lines: Vec<Line>,
    /// The net amount, without carried balances.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// The total to pay.
    pub total_minor: i64,
}

/// Sort key of the list: the number, which follows the order of issue. Several invoices can be issued at one instant.
pub type InvoiceKey = i64;

/// Why an invoice cannot be voided, written off or credited.
#[derive(Debug)]
pub enum InvoiceError {
    /// There is no such invoice.
    NotFound,
    /// The invoice's state does not allow this.
    InvalidTransition(State),
    /// A value is out of range: the field and the message.
    Invalid(&'static str, &'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for InvoiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
