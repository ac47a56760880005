//! Which passwords are good enough: NIST SP 800-63B, section 5.1.1.2. Length and a look at how soon it would be guessed; no
//! rules of composition.

use zxcvbn::{Score, zxcvbn};

/// Shortest password, in characters.
const MIN_PASSWORD_LENGTH: usize = 8;

/// How much of a password is looked at for how soon it would be guessed, in characters. What zxcvbn does grows with the square of
/// it and faster where many characters stand for letters: 100 characters took 250 to 800 ms, these take about as long as a hash.
const JUDGED_LENGTH: usize = 32;

/// Why a password is refused for its length, for people; `None` when it has one that passwords may have. Costs nothing.
pub(super) fn unfit_length(password: &str) -> Option<&'static str> {
    let length = password.chars().take(MAX_PASSWORD_LENGTH + 1).count();
    if length < MIN_PASSWORD_LENGTH {
        return Some("A password has at least 8 characters.");
    }
    (length > MAX_PASSWORD_LENGTH).then_some("A password has at most 256 characters.")
}

/// Why a password is refused, for people; `None` when it is good enough. Takes some 30 ms of one core, so [`Passwords`] alone
/// asks it, where hashes are made.
///
/// `about` are words that an attacker tries first: the user's e-mail and name, the tenant.
///
/// [`Passwords`]: super::Passwords
pub(super) fn weakness(password: &str, about: &[String]) -> Option<&'static str> {
    if let Some(why) = unfit_length(password) {
        return Some(why);
    }
    let judged = password.char_indices().nth(JUDGED_LENGTH).map_or(password, |(end, _)| &password[..end]);
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    // Below two it is found within some million guesses: it is common, or made of little.
    (zxcvbn(judged, &about).score() < Score::Two).then_some("This password is too easy to guess.")
}

/// Longest password that is hashed, in characters.
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
