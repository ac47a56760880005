//! How people and tenants come in.

use crate::base::money::Currency;

/// A business that signs up, with its first administrator.
pub struct SignUp {
    /// What the business is called.
    pub tenant_name: String,
    /// Its name in addresses.
    pub slug: String,
    /// What the administrator is called.
    pub name: String,
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: String,
    /// The zone of its calendar, an IANA name.
    pub time_zone: String,
    /// The currency of its prices.
    pub currency: Currency,
}

/// A tenant that a platform administrator makes; its first administrator is invited.
pub struct TenantDraft {
    /// What the business is called.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
    /// The zone of its calendar, an IANA name.
    pub time_zone: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// Key of its plan.
    pub plan: String,
    /// Who is invited to administer it.
    pub admin_email: String,
}

/// A customer who registers himself.
pub struct Registration {
    /// The tenant's slug.
    pub tenant: String,
    /// As typed.
    pub email: String,
    /// What he is called.
    pub name: String,
    /// As typed.
    pub password: String,
}

/// Somebody who accepts an invitation.
pub struct Acceptance {
    /// From the mail.
    pub token: String,
    /// What he is called.
    pub name: String,
    /// As typed.
    pub password: String,
}
