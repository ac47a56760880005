//! The recipient of invoices.

use super::{error::BillingError, invoices};
use crate::core::{
    audit::{self, Changes},
    identity::{Caller, Role},
};

/// Changes the recipient of invoices. Administrators only.
///
/// # Errors
/// `Forbidden`, `Invalid`.
pub async fn update_profile(
    caller: &Caller<'_>,
    profile: invoices::Profile,
) -> Result<invoices::Profile, BillingError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(BillingError::Forbidden);
    }
    let checked = |text: Option<String>, most: usize, field, message| {
        let text = text.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let fits = text.as_ref().is_none_or(|it| it.chars().count() <= most && !it.contains('\0'));
        if fits { Ok(text) } else { Err(BillingError::Invalid(field, message)) }
    };
    let email = checked(profile.email, 320, "email", "Must have at most 320 characters.")?;
    if email.as_ref().is_some_and(|it| it.parse::<lettre::Address>().is_err()) {
        return Err(BillingError::Invalid("email", "Enter a valid email address."));
    }
    let profile = invoices::Profile {
        legal_name: checked(profile.legal_name, 200, "legalName", "Must have at most 200 characters.")?,
        address: checked(profile.address, 500, "address", "Must have at most 500 characters.")?,
        tax_id: checked(profile.tax_id, 40, "taxId", "Must have at most 40 characters.")?,
        email,
    };
    invoices::set_profile(caller.tx, &profile, caller.clock.now()).await?;
    audit::record(caller, "billing.update_profile", "tenant", Some(caller.viewer.tenant.0), Changes::default()).await?;
    Ok(profile)
}
