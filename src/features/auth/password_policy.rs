//! Password strength after NIST SP 800-63B, section 5.1.1.2: length and an estimate of guessability; no composition
//! rules.

use zxcvbn::{Score, zxcvbn};

/// Minimum length of a password, in characters.
const MIN_PASSWORD_LENGTH: usize = 8;

/// How many characters of a password the strength estimate reads. The cost of zxcvbn grows with their square, and
/// faster where many characters are substitutes for letters: 100 characters took 250 to 800 ms, 32 take about as long
/// as a hash.
const JUDGED_LENGTH: usize = 32;

/// The message for a password whose length is not allowed; `None` when the length is fine. This check is cheap.
pub(super) fn unfit_length(password: &str) -> Option<&'static str> {
    let length = password.chars().take(MAX_PASSWORD_LENGTH + 1).count();
    if length < MIN_PASSWORD_LENGTH {
        return Some("A password must have at least 8 characters.");
    }
    (length > MAX_PASSWORD_LENGTH).then_some("A password must have at most 256 characters.")
}

/// The message for a password that is too weak; `None` when it is strong enough. The check takes about 30 ms of one
/// core, so only [`Passwords`] calls it, where hashes are computed.
///
/// `about` lists words that an attacker tries first: the user's email and name, the tenant.
///
/// [`Passwords`]: super::Passwords
pub(super) fn weakness(password: &str, about: &[String]) -> Option<&'static str> {
    if let Some(why) = unfit_length(password) {
        return Some(why);
    }
    let judged = password.char_indices().nth(JUDGED_LENGTH).map_or(password, |(end, _)| &password[..end]);
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    // A score below two means that about a million guesses find it: it is common or too simple.
    (zxcvbn(judged, &about).score() < Score::Two).then_some("This password is too easy to guess.")
}

/// Maximum length of a password that is hashed, in characters.
pub(super) const MAX_PASSWORD_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use super::weakness;

    #[test]
    fn common_and_personal_passwords_are_weak() {
        for weak in ["", "short", "password", "12345678", "qwertyuiop", "letmein1", "aaaaaaaaaaaa", "alexadmin1"] {
            assert!(weakness(weak, &["alex@acme.test".into(), "alexadmin".into()]).is_some(), "{weak}");
        }
        assert!(weakness(&"x7".repeat(200), &[]).is_some());
        for good in ["correct horse battery", "täglich frisches Brot", "9vK2-pQx7-Lm4w"] {
            assert_eq!(weakness(good, &["alex@acme.test".into()]), None, "{good}");
        }
    }
}
