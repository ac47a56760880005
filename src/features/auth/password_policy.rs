//! Which passwords are good enough: NIST SP 800-63B, section 5.1.1.2. Length and a look at how soon it would be guessed; no
//! rules of composition.

use zxcvbn::{Score, zxcvbn};

/// Shortest password, in characters.
const MIN_PASSWORD_LENGTH: usize = 8;

/// Why a password is refused, for people; `None` when it is good enough.
///
/// `about` are words that an attacker tries first: the user's e-mail and name, the tenant.
pub(super) fn weakness(password: &str, about: &[&str]) -> Option<&'static str> {
    let length = password.chars().count();
    if length < MIN_PASSWORD_LENGTH {
        return Some("A password has at least 8 characters.");
    }
    if length > MAX_PASSWORD_LENGTH {
        return Some("A password has at most 256 characters.");
    }
    // Below two it is found within some million guesses: it is common, or made of little.
    (zxcvbn(password, about).score() < Score::Two).then_some("This password is too easy to guess.")
}

/// Longest password that is hashed, in characters.
pub(super) const MAX_PASSWORD_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use super::weakness;

    #[test]
    fn common_and_personal_passwords_are_weak() {
        for weak in ["", "short", "password", "12345678", "qwertyuiop", "letmein1", "aaaaaaaaaaaa", "alexadmin1"] {
            assert!(weakness(weak, &["alex@acme.test", "alexadmin"]).is_some(), "{weak}");
        }
        assert!(weakness(&"x7".repeat(200), &[]).is_some());
        for good in ["correct horse battery", "täglich frisches Brot", "9vK2-pQx7-Lm4w"] {
            assert_eq!(weakness(good, &["alex@acme.test"]), None, "{good}");
        }
    }
}
