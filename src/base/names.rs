//! Names that people write and others read, also in mail to strangers: of tenants, people, services and resources.
//!
//! A name is one line in Unicode NFC without control, invisible or direction characters, and contains nothing that a
//! mail program turns into a link or an address. [`linkify`] searches for links in the name itself, in its
//! compatibility form (NFKC) and in its skeleton (UTS 39, section 4), where a character that looks like a dot or a
//! slash counts as one.

use linkify::LinkFinder;
use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// Longest name, in characters.
pub const MAX_NAME: usize = 200;

/// The rule that a text refused by [`checked`] breaks, for people.
pub const RULE: &str = "Enter a name of 1 to 200 characters without links, email addresses or invisible characters.";

/// Normalizes a name: NFC, without surrounding space. `None` when it is empty, longer than [`MAX_NAME`], or breaks the
/// rules of this module.
pub fn checked(name: &str) -> Option<String> {
    if name.len() > MAX_NAME * 16 {
        return None; // Too long in any form, so it is not processed.
    }
    let name: String = name.trim().nfc().collect();
    let length = name.chars().count();
    let fits = (1..=MAX_NAME).contains(&length) && !has_hidden(&name) && !looks_like_link(&name);
    fits.then_some(name)
}

/// Whether it contains an invisible character: control characters, and those that Unicode ignores by default (zero
/// width spaces, fillers, changes of direction, tags). The joiners that scripts such as Persian and emoji need are
/// allowed between two other characters.
fn has_hidden(name: &str) -> bool {
    let characters: Vec<char> = name.chars().collect();
    let is_visible = |at: Option<&char>| {
        at.is_some_and(|it| !it.is_whitespace() && !is_hidden(*it) && !matches!(it, '\u{200c}' | '\u{200d}'))
    };
    characters.iter().enumerate().any(|(at, it)| match *it {
        '\u{200c}' | '\u{200d}' => {
            !is_visible(at.checked_sub(1).and_then(|at| characters.get(at))) || !is_visible(characters.get(at + 1))
        }
        // Selects one of an emoji's two forms.
        '\u{fe0e}' | '\u{fe0f}' => !is_visible(at.checked_sub(1).and_then(|at| characters.get(at))),
        it => is_hidden(it),
    })
}

/// Default_Ignorable_Code_Point of Unicode (DerivedCoreProperties), controls, line and paragraph separators, private
/// use, and the Braille blank.
fn is_hidden(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{e000}'..='\u{f8ff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Whether it contains something that a mail program would turn into a link or an address.
fn looks_like_link(name: &str) -> bool {
    let mut finder = LinkFinder::new();
    finder.url_must_have_scheme(false);
    let finds = |text: &str| {
        // `//host` needs no dot, and a scheme no slashes.
        let has_scheme =
            text.contains("//") || ["mailto:", "tel:", "javascript:", "data:"].iter().any(|it| text.contains(it));
        has_scheme || text.split_whitespace().any(|it| it.starts_with("www.")) || finder.links(text).next().is_some()
    };
    let compatible: String = name.nfkc().collect();
    // The full stops of East Asian writing stand for a dot in addresses (UTS 46).
    let dotted: String =
        compatible.chars().map(|it| if matches!(it, '\u{3002}' | '\u{ff61}') { '.' } else { it }).collect();
    let looks: String = skeleton(&dotted).collect();
    [name, &dotted, &looks].into_iter().any(|it| finds(&it.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn what_a_mail_program_would_link_is_no_name() {
        for link in [
            "evil.com now",
            "evil.com?x=1",
            "//evil.com",
            "//evil",
            "evil.com:8080",
            "evil.com/",
            "mailto:a@evil.com",
            "a@evil.com",
            "support@paypal.com",
            "see https://evil.test",
            "HTTPS://EVIL.TEST",
            "evil.example/prize",
            "www.evil",
            "You won, see a.bc/c now",
            "(evil.com)",
            "evil\u{2024}com",
            "evil.com\u{2215}x",
            "evil\u{ff0e}com",
            "evil\u{3002}com",
            "http:\u{2044}\u{2044}evil.com",
            "ｅｖｉｌ.ｃｏｍ",
            "bücher.example",
            "evil.com\u{202e}",
        ] {
            assert_eq!(checked(link), None, "{link}");
        }
    }

    #[test]
    fn what_nobody_sees_is_in_no_name() {
        for it in [
            '\0',
            '\n',
            '\r',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200e}',
            '\u{202e}',
            '\u{2066}',
            '\u{2060}',
            '\u{feff}',
            '\u{3164}',
            '\u{115f}',
            '\u{ffa0}',
            '\u{2800}',
            '\u{2028}',
            '\u{e0041}',
            '\u{fffc}',
            '\u{e000}',
        ] {
            for name in [format!("Ac{it}me"), it.to_string(), format!("{it}Acme x")] {
                // White space at the ends is trimmed, even if it would break a line.
                let is_trimmed = it.is_whitespace() && !name.starts_with("Ac");
                assert!(is_trimmed || checked(&name).is_none(), "{name:?}");
            }
        }
        for joined in ["\u{200d}Acme", "Acme\u{200d}", "Ac \u{200c}me", "\u{fe0f}", "a\u{200d}\u{200d}b"] {
            assert_eq!(checked(joined), None, "{joined:?}");
        }
    }

    #[test]
    fn names_of_people_and_businesses_are_names() {
        for name in [
            "Acme Ltd.",
            "Salon A/B",
            "Dr. No",
            "24/7 Fitness",
            "St. John's",
            "www",
            "Müller & Söhne",
            "O'Neill-García",
            "B@rber Shop",
            "No. 1 Hair",
            "美容室さくら",
            "Салон красоты",
            "צלון",
            "صالون",
            "می\u{200c}خواهم",
            "👩\u{200d}🔧 Repairs",
            "❤\u{fe0f} Nails",
            "Café 3.0",
            "Rock'n'Roll: 50% off!",
            "J. R. R.",
            "A+B=C",
        ] {
            assert_eq!(checked(name).as_deref(), Some(name));
        }
        assert_eq!(checked("  Cafe\u{301} ").as_deref(), Some("Café"), "one form for what looks the same");
        assert_eq!(checked(""), None);
        assert_eq!(checked(&"x".repeat(201)), None);
        assert!(checked(&"é".repeat(200)).is_some());
        assert_eq!(checked(&"e\u{301}".repeat(200)).map(|it| it.chars().count()), Some(200));
    }
}
