//! The settings that a tenant's administrators may change.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    Tenant,
    model::{Branding, Locale, MAX_AHEAD_DAYS},
    queries,
};
use crate::base::{names, text::is_address};
use crate::{
    base::money::Currency,
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
        outbox::{self, Effect},
    },
    db::{DbError, ScopedTx},
};

/// Maximum length of a logo's URL, in characters.
const MAX_URL: usize = 500;
/// Maximum of a notice period, in minutes: one year.
const MAX_NOTICE_MINUTES: i32 = 525_600;
/// Maximum time between a reminder and its booking, in minutes: thirty days.
const MAX_REMINDER_MINUTES: i32 = 43_200;

/// Maximum number of lines of an address.
const MAX_ADDRESS_LINES: usize = 6;
/// Maximum of a limit of moves.
const MAX_MOVES: i32 = 100;

/// A change of settings. An omitted field stays; an inner `None` removes the value.
#[derive(Clone, Debug, Default)]
pub struct SettingsPatch {
    /// 1 to 200 characters.
    pub name: Option<String>,
    /// The time zone of the calendar from now on.
    pub time_zone: Option<TimeZone>,
    /// The currency of new prices; services keep theirs.
    pub currency: Option<Currency>,
    /// The language of its mail.
    pub locale: Option<Locale>,
    /// See [`Branding`].
    pub logo_url: Option<Option<String>>,
    /// See [`Branding`].
    pub primary_color: Option<Option<String>>,
    /// See [`Branding`].
    pub accent_color: Option<Option<String>>,
    /// See [`Contact`](super::Contact).
    pub contact_email: Option<Option<String>>,
    /// See [`Contact`](super::Contact).
    pub contact_phone: Option<Option<String>>,
    /// See [`Contact`](super::Contact).
    pub contact_address: Option<Option<String>>,
    /// Whether customers may register themselves.
    pub open_registration: Option<bool>,
    /// See [`BookingRules`](super::BookingRules).
    pub min_notice_minutes: Option<i32>,
    /// See [`BookingRules`](super::BookingRules).
    pub max_ahead_days: Option<i32>,
    /// See [`BookingRules`](super::BookingRules).
    pub cancel_notice_minutes: Option<i32>,
    /// See [`BookingRules`](super::BookingRules).
    pub reminder_minutes: Option<i32>,
    /// See [`BookingRules`](super::BookingRules). `Some(None)` removes the limit.
    pub max_moves: Option<Option<i32>>,
}

/// Why settings could not be changed.
#[derive(Debug)]
pub enum SettingsError {
    /// The caller's role does not allow it.
    Forbidden,
    /// The plan does not include branding.
    NoBranding,
    /// A value is out of range: the field and the message.
    Invalid(&'static str, &'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for SettingsError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// The feature that a tenant needs for its own logo and colours.
pub const BRANDING: &str = "branding";

/// Changes the caller's tenant. Administrators only. `may_brand` says whether the tenant has the feature [`BRANDING`].
///
/// # Errors
/// See [`SettingsError`]; nothing is written then.
pub async fn update(caller: &Caller<'_>, patch: SettingsPatch, may_brand: bool) -> Result<Tenant, SettingsError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(SettingsError::Forbidden);
    }
    let (tenant, changes) = apply(caller.tx, patch, may_brand, caller.clock.now()).await?;
    if !changes.is_empty() {
        audit::record(caller, "tenants.update", "tenant", Some(tenant.id.0), changes).await?;
    }
    Ok(tenant)
}

/// Changes the tenant of the transaction's scope, and returns it with the changes. The caller checks permission and
/// writes the audit log. `may_brand` says whether the tenant has the feature [`BRANDING`].
///
/// # Errors
/// See [`SettingsError`]; nothing is written then.
pub async fn apply(
    tx: &ScopedTx,
    patch: SettingsPatch,
    may_brand: bool,
    now: Timestamp,
) -> Result<(Tenant, Changes), SettingsError> {
    queries::lock_settings(tx).await?;
    let before = queries::current(tx).await?;
    let mut after = before.clone();
    patch.apply(&mut after)?;
    let has_more_branding = after.branding != before.branding && after.branding != Branding::default();
    if has_more_branding && !may_brand {
        return Err(SettingsError::NoBranding);
    }
    let changes = changes(&before, &after);
    if !changes.is_empty() {
        queries::upsert_settings(tx, &after, now).await?;
    }
    if before.name != after.name {
        outbox::enqueue(tx, &Effect::SyncTenant, now).await?;
    }
    Ok((after, changes))
}

impl SettingsPatch {
    fn apply(self, tenant: &mut Tenant) -> Result<(), SettingsError> {
        use SettingsError::Invalid;
        if let Some(name) = self.name {
            tenant.name = checked_name(&name).ok_or(Invalid("name", names::RULE))?;
        }
        tenant.time_zone = self.time_zone.unwrap_or_else(|| tenant.time_zone.clone());
        tenant.currency = self.currency.unwrap_or(tenant.currency);
        tenant.locale = self.locale.unwrap_or(tenant.locale);
        tenant.open_registration = self.open_registration.unwrap_or(tenant.open_registration);
        let rules = &mut tenant.booking_rules;
        rules.min_notice_minutes = self.min_notice_minutes.unwrap_or(rules.min_notice_minutes);
        rules.max_ahead_days = self.max_ahead_days.unwrap_or(rules.max_ahead_days);
        rules.cancel_notice_minutes = self.cancel_notice_minutes.unwrap_or(rules.cancel_notice_minutes);
        rules.reminder_minutes = self.reminder_minutes.unwrap_or(rules.reminder_minutes);
        rules.max_moves = self.max_moves.unwrap_or(rules.max_moves);
        if rules.max_moves.is_some_and(|it| !(0..=MAX_MOVES).contains(&it)) {
            return Err(Invalid("bookingRules.maxMoves", "Must be between 0 and 100."));
        }
        if !(0..=MAX_REMINDER_MINUTES).contains(&rules.reminder_minutes) {
            return Err(Invalid("bookingRules.reminderMinutes", "Must be between 0 and 43200."));
        }
        if !(0..=MAX_NOTICE_MINUTES).contains(&rules.min_notice_minutes) {
            return Err(Invalid("bookingRules.minNoticeMinutes", "Must be between 0 and 525600."));
        }
        if !(0..=MAX_NOTICE_MINUTES).contains(&rules.cancel_notice_minutes) {
            return Err(Invalid("bookingRules.cancelNoticeMinutes", "Must be between 0 and 525600."));
        }
        if !(1..=MAX_AHEAD_DAYS).contains(&rules.max_ahead_days) {
            return Err(Invalid("bookingRules.maxAheadDays", "Must be between 1 and 732."));
        }
        let contact = &mut tenant.contact;
        if let Some(email) = self.contact_email {
            let email = email.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
            let fits = email.as_ref().is_none_or(|it| it.len() <= 320 && is_address(it));
            contact.email =
                if fits { email } else { return Err(Invalid("contact.email", "Enter a valid email address.")) };
        }
        if let Some(phone) = self.contact_phone {
            let phone = phone.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
            let fits = phone.as_deref().is_none_or(is_phone);
            contact.phone =
                if fits { phone } else { return Err(Invalid("contact.phone", "Enter a valid phone number.")) };
        }
        if let Some(address) = self.contact_address {
            let message = "Enter at most 6 lines without links or email addresses.";
            let address = address.filter(|it| !it.trim().is_empty());
            let checked = address.map(|it| checked_address(&it).ok_or(Invalid("contact.address", message)));
            contact.address = checked.transpose()?;
        }
        let branding = &mut tenant.branding;
        if let Some(url) = self.logo_url {
            let fits = url.as_deref().is_none_or(is_https_url);
            let message = "Must be a URL that starts with https:// and has at most 500 characters.";
            branding.logo_url = if fits { url } else { return Err(Invalid("branding.logoUrl", message)) };
        }
        let message = "Write a color as #rrggbb.";
        if let Some(color) = self.primary_color {
            branding.primary_color = checked_color(color).ok_or(Invalid("branding.primaryColor", message))?;
        }
        if let Some(color) = self.accent_color {
            branding.accent_color = checked_color(color).ok_or(Invalid("branding.accentColor", message))?;
        }
        Ok(())
    }
}

/// A tenant's trimmed name; `None` when it is empty or too long.
pub fn checked_name(name: &str) -> Option<String> {
    names::checked(name)
}

/// A postal address: a few lines, each as a name.
fn checked_address(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    if !(1..=MAX_ADDRESS_LINES).contains(&lines.len()) || lines.iter().any(|it| it.chars().count() > 99) {
        return None;
    }
    Some(lines.into_iter().map(names::checked).collect::<Option<Vec<_>>>()?.join("\n"))
}

/// Whether people can dial it: digits, and what separates them.
fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let fits = text.chars().all(|it| it.is_ascii_digit() || matches!(it, '+' | ' ' | '-' | '(' | ')' | '/' | '.'));
    fits && (3..=20).contains(&digits) && text.len() <= 40
}

fn is_https_url(text: &str) -> bool {
    let host = text.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // Characters that could end an attribute or a line of a mail are not allowed in a URL.
    let plain = text.chars().all(|it| it.is_ascii_graphic() && !matches!(it, '"' | '\'' | '<' | '>' | '\\' | '`'));
    text.len() <= MAX_URL && plain && host.is_some_and(|it| !it.is_empty() && !it.contains('@'))
}

fn checked_color(color: Option<String>) -> Option<Option<String>> {
    let Some(color) = color else { return Some(None) };
    let digits = color.strip_prefix('#')?;
    let fits = digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit());
    fits.then(|| Some(color.to_ascii_lowercase()))
}

fn changes(before: &Tenant, after: &Tenant) -> Changes {
    let zone = |it: &Tenant| Value::from(it.time_zone.iana_name());
    let rules = |it: &Tenant| it.booking_rules;
    Changes::default()
        .field("name", before.name.clone(), after.name.clone())
        .field("time_zone", zone(before), zone(after))
        .field("currency", before.currency.code(), after.currency.code())
        .field("locale", before.locale.as_str(), after.locale.as_str())
        .field("logo_url", before.branding.logo_url.clone(), after.branding.logo_url.clone())
        .field("primary_color", before.branding.primary_color.clone(), after.branding.primary_color.clone())
        .field("accent_color", before.branding.accent_color.clone(), after.branding.accent_color.clone())
        .field("contact_email", before.contact.email.clone(), after.contact.email.clone())
        .field("contact_phone", before.contact.phone.clone(), after.contact.phone.clone())
        .field("contact_address", before.contact.address.clone(), after.contact.address.clone())
        .field("open_registration", before.open_registration, after.open_registration)
        .field("min_notice_minutes", rules(before).min_notice_minutes, rules(after).min_notice_minutes)
        .field("max_ahead_days", rules(before).max_ahead_days, rules(after).max_ahead_days)
        .field("cancel_notice_minutes", rules(before).cancel_notice_minutes, rules(after).cancel_notice_minutes)
        .field("reminder_minutes", rules(before).reminder_minutes, rules(after).reminder_minutes)
        .field("max_moves", rules(before).max_moves, rules(after).max_moves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_an_https_address_that_can_stand_in_a_mail() {
        for good in ["https://acme.test/logo.png", "https://cdn.acme.test/a?b=c&d=%20"] {
            assert!(is_https_url(good), "{good}");
        }
        for bad in [
            "http://acme.test/logo.png",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "https://user@acme.test/",
            "https://acme.test/\"onload=\"x",
            "https://acme.test/a b",
            "https://acme.test/\n",
        ] {
            assert!(!is_https_url(bad), "{bad}");
        }
        assert!(!is_https_url(&format!("https://acme.test/{}", "x".repeat(500))));
    }

    #[test]
    fn a_color_has_six_digits() {
        assert_eq!(checked_color(Some("#A0b1C2".into())), Some(Some("#a0b1c2".into())));
        assert_eq!(checked_color(None), Some(None));
        for bad in ["red", "#fff", "#12345g", "a0b1c2", "#a0b1c2;"] {
            assert_eq!(checked_color(Some(bad.into())), None, "{bad}");
        }
    }
}
