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

/// The least that is charged, in minor units, as providers want it (Stripe: half a euro or dollar): what is less is put off.
pub const LEAST_CHARGE: i64 = 50;

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its amounts are final; it has no number yet.
    Draft,
    /// To be paid.
    Open,
    /// Paid, or nothing was to be paid.
    Paid,
    /// Taken back: nothing is owed for it.
    Void,
    /// Owed, and given up.
    Uncollectible,
}

impl State {
    const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paid, Self::Void, Self::Uncollectible];

    /// As the database and the API spell it.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of an invoice")))
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fee in advance.
    Flat,
    /// Of such a fee what was not used after all.
    Credit,
    /// What was used.
    Usage,
    /// Carried to the next invoice (above 0), or from an earlier one (below).
    Balance,
}

impl Kind {
    /// As the database and the API spell it.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no kind of a line")))
    }
}

/// To whom an invoice is addressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The tenant's legal name, or its name.
    pub name: String,
    /// Lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Such as a VAT number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
}

/// What a tenant's administrator says of its invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Name on invoices.
    pub legal_name: Option<String>,
    /// Address on invoices.
    pub address: Option<String>,
    /// Such as a VAT number.
    pub tax_id: Option<String>,
    /// Where invoices go; to every administrator where there is none.
    pub email: Option<String>,
}

/// The tax on a tenant's invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// In millionths.
    pub rate_ppm: i32,
    /// What it is called.
    pub name: String,
}

impl Default for Tax {
    fn default() -> Self {
        Self { rate_ppm: 0, name: "VAT".into() }
    }
}

impl Tax {
    /// On an amount, rounded once.
    pub(super) fn on(&self, net_minor: i64) -> Result<i64, TooLarge> {
        let exact = Decimal::from(net_minor).checked_mul(Decimal::new(i64::from(self.rate_ppm), 6)).ok_or(TooLarge)?;
        let rounded = exact.round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        i64::try_from(rounded).map_err(|_| TooLarge)
    }
}

/// What a tenant is to pay.
#[derive(Clone, Debug)]
pub struct Invoice {
    /// In the tenant.
    pub id: InvoiceId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// The instant for which it is.
    pub falls_due: Timestamp,
    /// Where it stands.
    pub state: State,
    /// From 1 without a gap; a draft has none.
    pub number: Option<i64>,
    /// Of every amount.
    pub currency: Currency,
    /// Without tax, and without what was carried.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// Everything.
    pub total_minor: i64,
    /// What was paid of it.
    pub paid_minor: i64,
    /// What credit notes took off what was still owed.
    pub credited_minor: i64,
    /// On every line.
    pub tax: Tax,
    /// To whom.
    pub recipient: Recipient,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When it is to be paid at the latest.
    pub due_at: Option<Timestamp>,
    /// When it was paid, voided or given up.
    pub settled_at: Option<Timestamp>,
    /// How often a payment of it was tried.
    pub attempts: i32,
    /// When it first could not be collected.
    pub overdue_since: Option<Timestamp>,
}

impl Invoice {
    /// What is still owed.
    pub fn owed_minor(&self) -> i64 {
        match self.state {
            State::Open | State::Uncollectible => (self.total_minor - self.paid_minor - self.credited_minor).max(0),
            State::Draft | State::Paid | State::Void => 0,
        }
    }

    /// Whether it waits to be paid: it is open, and something is owed.
    pub fn is_owing(&self) -> bool {
        self.state == State::Open && self.owed_minor() > 0
    }

    /// As people read it.
    pub fn display_number(&self) -> String {
        self.number.map_or_else(|| "draft".to_owned(), |number| format!("INV-{number:06}"))
    }
}

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In the tenant.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// Of which period.
    pub period: Option<Uuid>,
    /// By which version of which plan.
    pub version: Option<PlanVersionId>,
    /// By which of its prices.
    pub price: Option<Uuid>,
    /// For people.
    pub name: String,
    /// What was used.
    pub meter: Option<String>,
    /// How much of it.
    pub quantity: Option<i64>,
    /// For which time.
    pub covers: Option<Period>,
    /// Rounded once.
    pub net_minor: i64,
    /// Rounded once.
    pub tax_minor: i64,
}

/// What the platform took off an invoice.
#[derive(Clone, Debug)]
pub struct CreditNote {
    /// In the tenant.
    pub id: CreditNoteId,
    /// Of which invoice.
    pub invoice: InvoiceId,
    /// From 1 without a gap.
    pub number: i64,
    /// With tax.
    pub amount_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// What of it comes off the next invoice.
    pub balance_minor: i64,
    /// Of the amounts.
    pub currency: Currency,
    /// Why.
    pub reason: String,
    /// When.
    pub issued_at: Timestamp,
}

/// Lines with their sums.
#[derive(Clone, Debug)]
pub struct InvoiceTotals {
    /// Every line, the balance last.
    pub lines: Vec<Line>,
    /// Without tax, and without what was carried.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// Everything.
    pub total_minor: i64,
}

/// Sort key of the list: the number, which is in the order of issue. Several can be issued in one instant.
pub type InvoiceKey = i64;

/// Why an invoice cannot be taken back, given up or credited.
#[derive(Debug)]
pub enum InvoiceError {
    /// There is no such invoice.
    NotFound,
    /// Not from the state that it is in.
    InvalidTransition(State),
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, &'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for InvoiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
