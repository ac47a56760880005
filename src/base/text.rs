//! What texts from outside look like.

use std::str::FromStr;

use lettre::Address;

/// Without what could end a line.
pub fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Whether a name holds what a mail program would turn into a link: names stand in mail to strangers.
pub fn looks_like_link(name: &str) -> bool {
    name.contains("://")
        || name.split_whitespace().any(|word| {
            let (host, path) = word.split_once('/').unwrap_or((word, ""));
            word.to_lowercase().starts_with("www.") || (!path.is_empty() && host.trim_matches('.').contains('.'))
        })
}

/// Whether mail can be sent to this (RFC 5321, with Unicode names as in RFC 6531).
pub fn is_address(text: &str) -> bool {
    Address::from_str(text).is_ok()
}
