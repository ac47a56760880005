//! Slugs: the names of tenants in URLs.

use unicode_normalization::UnicodeNormalization;

/// Names that the deployment needs for itself, or that would mislead.
const RESERVED: [&str; 24] = [
    "account", "admin", "api", "app", "assets", "auth", "billing", "blog", "cdn", "console", "docs", "graphiql",
    "graphql", "help", "login", "mail", "platform", "root", "static", "status", "support", "tenantry", "webhooks",
    "www",
];

/// A normalised slug (Unicode NFKC, lower case, trimmed): 3 to 63 letters, digits and hyphens, as in a host name (RFC
/// 1035), and not reserved. `None` when the text is not a valid slug.
pub fn checked_slug(slug: &str) -> Option<String> {
    let slug: String = slug.trim().nfkc().collect::<String>().to_lowercase();
    let fits = (3..=63).contains(&slug.len())
        && slug.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.starts_with("deleted-")
        // Punycode, which is displayed as another name.
        && !slug.starts_with("xn--");
    (fits && !RESERVED.contains(&slug.as_str())).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::checked_slug;

    #[test]
    fn a_slug_has_one_form() {
        assert_eq!(checked_slug("  Café".replace('é', "e").as_str()).as_deref(), Some("cafe"));
        assert_eq!(checked_slug("ＡＣＭＥ-2").as_deref(), Some("acme-2"));
        for bad in ["", "ab", "-abc", "abc-", "a b c", "café", "www", "Admin", "xn--caf-dma", "a.b.c", &"x".repeat(64)]
        {
            assert_eq!(checked_slug(bad), None, "{bad:?}");
        }
    }
}
