//! Why a billing operation failed.

use super::{payments::CheckoutSession, subscriptions::Status};
use crate::db::DbError;

/// Why a billing operation failed.
#[derive(Debug)]
pub enum BillingError {
    /// The caller is not an administrator.
    Forbidden,
    /// No such plan is on offer.
    PlanNotFound,
    /// The plan is not sold for this interval.
    NotOffered,
    /// The tenant already has this plan.
    SamePlan,
    /// The plan's currency differs from the currency of the current plan.
    OtherCurrency,
    /// There is no such invoice.
    InvoiceNotFound,
    /// A payment is needed and no payment method is on file: a checkout is required.
    CheckoutRequired,
    /// A checkout for this plan is already open.
    CheckoutOpen(Box<CheckoutSession>),
    /// The tenant is not a customer of a payment provider yet.
    NoCustomer,
    /// The subscription's status does not allow this.
    InvalidTransition(Status),
    /// A value is out of range: the field and the message.
    Invalid(&'static str, &'static str),
    /// This deployment has no payment provider.
    NoProvider,
    /// The payment provider is unavailable or refused the request.
    Provider(String),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for BillingError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
