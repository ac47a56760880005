//! What texts from outside look like.

use std::str::FromStr;

use lettre::Address;

/// Without what could end a line.
pub fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Whether mail can be sent to this (RFC 5321, with Unicode names as in RFC 6531): a local part without quotes, and a domain that
/// is no literal address, since no server that mail is handed to takes those.
pub fn is_address(text: &str) -> bool {
    let Ok(address) = Address::from_str(text) else { return false };
    !address.user().contains('"') && !address.domain().starts_with('[')
}
