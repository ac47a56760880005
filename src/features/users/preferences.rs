//! How users want the tenant's mail.

use icu_locale_core::LanguageIdentifier;

use super::{
    model::{MailPreferences, UserError, UserStatus},
    queries,
};
use crate::{
    base::ids::UserId,
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::tenants::Locale,
};

/// Changes a user's preferences; omitted ones stay. Users change their own, administrators anyone's.
///
/// # Errors
/// `NotFound` for any user whom the caller may not change; `InvalidLocale`.
pub async fn set_mail_preferences(
    caller: &Caller<'_>,
    id: UserId,
    locale: Option<Option<&str>>,
    reminders: Option<bool>,
) -> Result<MailPreferences, UserError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let user = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(UserError::NotFound)?;
    let is_other = id != caller.viewer.user;
    if user.status == UserStatus::Erased || (is_other && !caller.is_at_least(Role::Admin)) {
        return Err(UserError::NotFound);
    }
    // An operator who acts as a user changes nobody else.
    if caller.viewer.impersonated && is_other {
        return Err(UserError::Impersonated);
    }
    let before = mail_preferences(tx, id).await?;
    let locale = match locale {
        None => before.locale.clone(),
        Some(None) => None,
        Some(Some(tag)) => Some(checked_tag(tag).ok_or(UserError::InvalidLocale)?),
    };
    let after = MailPreferences { locale, reminders: reminders.unwrap_or(before.reminders) };
    if after != before {
        queries::upsert_mail_preferences(tx, id, &after, now).await?;
        let changes = Changes::default().field("locale", before.locale.clone(), after.locale.clone()).field(
            "reminders",
            before.reminders,
            after.reminders,
        );
        audit::record(caller, "users.update_mail_preferences", "user", Some(id.0), changes).await?;
    }
    Ok(after)
}

/// A user's preferences.
pub async fn mail_preferences(tx: &ScopedTx, id: UserId) -> Result<MailPreferences, DbError> {
    Ok(queries::mail_preferences_of(tx, &[id]).await?.remove(&id).unwrap_or_default())
}

/// The canonical form of a BCP 47 tag in a language that mail is written in.
fn checked_tag(tag: &str) -> Option<String> {
    let tag: LanguageIdentifier = tag.trim().parse().ok()?;
    let text = tag.to_string();
    (text.len() <= 35 && Locale::of_tag(&text).is_some()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_canonical_and_in_a_language_of_mail() {
        for (tag, expected) in
            [("de-at", "de-AT"), ("EN", "en"), ("nl-BE", "nl-BE"), (" en-US ", "en-US"), ("de-Latn-CH", "de-Latn-CH")]
        {
            assert_eq!(checked_tag(tag).as_deref(), Some(expected), "{tag}");
        }
        for bad in ["", "fr", "de_at!", "deu", "klingon", "en-US-u-ca-buddhist", "und"] {
            assert_eq!(checked_tag(bad), None, "{bad}");
        }
    }
}
