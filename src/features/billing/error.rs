//! Why something of billing could not be done.

use super::{payments::CheckoutSession, subscriptions::Status};
use crate::db::DbError;

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
