//! The inputs of joining.

use crate::base::money::Currency;

/// A business that signs up, with its first administrator.
pub struct SignUp {
    /// The name of the business.
    pub tenant_name: String,
    /// The name in URLs.
    pub slug: String,
    /// The administrator's name.
    pub name: String,
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: String,
    /// The time zone of the calendar, an IANA name.
    pub time_zone: String,
    /// The currency of the prices.
    pub currency: Currency,
}

/// A tenant that a platform administrator creates; its first administrator is invited.
pub struct TenantDraft {
    /// The name of the business.
    pub name: String,
    /// The name in URLs.
    pub slug: String,
    /// The time zone of the calendar, an IANA name.
    pub time_zone: String,
    /// The currency of the prices.
    pub currency: Currency,
    /// The key of the plan.
    pub plan: String,
    /// The email of the person invited as its first administrator.
    pub admin_email: String,
}

/// A customer who registers.
pub struct Registration {
    /// The tenant's slug.
    pub tenant: String,
    /// As typed.
    pub email: String,
    /// The customer's name.
    pub name: String,
    /// As typed.
    pub password: String,
}

/// A person who accepts an invitation.
pub struct Acceptance {
    /// The token from the mail.
    pub token: String,
    /// The person's name.
    pub name: String,
    /// As typed.
    pub password: String,
}
