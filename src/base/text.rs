//! Checks and clean-up of text from outside.

use std::str::FromStr;

use lettre::Address;

/// Replaces control characters by spaces, so that the text stays on one line.
pub fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Whether mail can be sent to this address (RFC 5321, with Unicode names as in RFC 6531): a local part without quotes,
/// and a domain that is not a literal address, since the mail servers in use accept neither.
pub fn is_address(text: &str) -> bool {
    let Ok(address) = Address::from_str(text) else { return false };
    !address.user().contains('"') && !address.domain().starts_with('[')
}
