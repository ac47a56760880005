//! How large a request may be. Every number is a setting; see `config`.

use async_graphql::parser::types::ExecutableDocument;

use super::{INTROSPECTION_COST, input};

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Levels of a document.
    pub depth: usize,
    /// Aliases of a document.
    pub aliases: usize,
    /// Fields of an operation's root, its fragments spread.
    pub root_fields: usize,
    /// Directives of one field.
    pub directives: usize,
    /// Selections of a document, its fragments spread.
    pub selections: usize,
    /// Cost of a document. A field costs 1, in a list as often as the list may have rows; one that runs a statement of its
    /// own or changes something costs more.
    pub cost: usize,
    /// Errors of a response.
    pub errors: usize,
    /// Requests of a batch; fewer than two is none.
    pub batch: usize,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            tokens: 10_000,
            // Three times the deepest that a person would write.
            depth: 15,
            aliases: 200,
            root_fields: 100,
            directives: 10,
            selections: 5_000,
            cost: 20_000,
            errors: 20,
            batch: 0,
            answer_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Most brackets of any kind within each other: selections, arguments, directives, lists, objects and types of variables.
///
/// async-graphql-parser calls itself for each of them without a limit of its own, and 1,371 lists end a release build's process
/// (docs/decisions: parsers of outside bytes). A document of the deepest selections that validation lets pass has less than half
/// as many.
const MAX_NESTING: usize = 64;
/// Longest alias, in bytes: an answer repeats it for each row.
const MAX_ALIAS: usize = 128;
/// Most lists of the schema within each other: types of fields of types know no end (as graphql-js has it).
const MAX_INTROSPECTED_LISTS: usize = 2;

impl Limits {
    /// What is too large about a document's text, before it is parsed: what a parser does with it takes time and memory, and a
    /// level of the stack for each bracket within another.
    pub fn refuse_text(&self, query: &str) -> Option<String> {
        let (mut tokens, mut nesting) = (0, 0_usize);
        for token in apollo_parser::Lexer::new(query) {
            match token {
                Ok(token) if is_ignored(token.kind()) => continue,
                Ok(token) if opens(token.kind()) => nesting += 1,
                Ok(token) if closes(token.kind()) => nesting = nesting.saturating_sub(1),
                Ok(_) => {}
                // No token, and no document. Where another parser sees brackets in it all the same, they count.
                Err(error) => nesting += error.data().matches(['{', '[', '(']).count(),
            }
            tokens += 1;
            if tokens > self.tokens {
                return Some(format!("The document has more than {} tokens.", self.tokens));
            }
            if nesting > MAX_NESTING {
                return Some(format!("The document has more than {MAX_NESTING} brackets within each other."));
            }
        }
        None
    }

    /// What is too large about a document, before anything walks it whole.
    pub fn refuse_document(&self, document: &ExecutableDocument) -> Option<String> {
        // First of all: whatever walks the document from here on walks as much as this.
        if input::expanded_size(document) > self.selections {
            return Some(format!(
                "The document has more than {} fields once its fragments are spread.",
                self.selections
            ));
        }
        if input::count_aliases(document) > self.aliases {
            return Some(format!("The document has more than {} aliases.", self.aliases));
        }
        if input::longest_alias(document) > MAX_ALIAS {
            return Some(format!("An alias has more than {MAX_ALIAS} bytes."));
        }
        if input::deepest_introspection(document) > MAX_INTROSPECTED_LISTS {
            return Some(format!("More than {MAX_INTROSPECTED_LISTS} lists of the schema are within each other."));
        }
        if input::introspected_fields(document) * INTROSPECTION_COST > self.cost {
            return Some(format!("The document asks for more of the schema than a cost of {} allows.", self.cost));
        }
        if input::most_root_fields(document) > self.root_fields {
            return Some(format!("An operation of the document has more than {} fields.", self.root_fields));
        }
        None
    }
}

/// Whether the specification counts it as no token (section 2.1.7).
fn is_ignored(kind: apollo_parser::TokenKind) -> bool {
    use apollo_parser::TokenKind::{Comma, Comment, Eof, Whitespace};
    matches!(kind, Whitespace | Comment | Comma | Eof)
}

fn opens(kind: apollo_parser::TokenKind) -> bool {
    use apollo_parser::TokenKind::{LBracket, LCurly, LParen};
    matches!(kind, LBracket | LCurly | LParen)
}

fn closes(kind: apollo_parser::TokenKind) -> bool {
    use apollo_parser::TokenKind::{RBracket, RCurly, RParen};
    matches!(kind, RBracket | RCurly | RParen)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    const SMALL: Limits = Limits {
        body_bytes: 1,
        tokens: 6,
        depth: 1,
        aliases: 2,
        root_fields: 2,
        directives: 1,
        selections: 4,
        cost: 1,
        errors: 1,
        batch: 0,
        answer_bytes: 1,
    };

    #[test]
    fn tokens_are_counted_as_the_specification_does() {
        assert_eq!(SMALL.refuse_text("{ a b, c d } # e f g"), None);
        assert!(SMALL.refuse_text("{ a b c d e }").is_some());
        assert_eq!(SMALL.refuse_text("{ a: \"c d e f g h i\""), None, "a text is one token");
        assert!(SMALL.refuse_text(&"{".repeat(100_000)).is_some());
        assert!(SMALL.refuse_text(&"!".repeat(7)).is_some());
        assert!(SMALL.refuse_text(&"?".repeat(7)).is_some(), "what is no token at all is counted too");
        assert_eq!(SMALL.refuse_text(&" ,\n".repeat(100_000)), None, "what is no token costs a parser nothing");
    }

    #[test]
    fn brackets_of_every_kind_count_as_levels() {
        let limits = Limits::default();
        let nested = |open: &str, close: &str, levels: usize| {
            limits.refuse_text(&format!("{}{}", open.repeat(levels), close.repeat(levels)))
        };
        for (open, close) in [("{ a ", "}"), ("[", "]"), ("{a:", "}"), ("(a:", ")"), ("@a(b:[{c:", "}])")] {
            let each = open.matches(['{', '[', '(']).count();
            assert_eq!(nested(open, close, MAX_NESTING / each), None, "{open}");
            assert!(nested(open, close, MAX_NESTING / each + 1).unwrap().contains("within each other"), "{open}");
        }
        // Beside each other they are no levels, and in texts and comments no brackets.
        assert_eq!(limits.refuse_text(&"{ a(b: [1]) }".repeat(500)), None);
        let brackets = "[".repeat(1_000);
        for text in [format!("\"{brackets}\""), format!("\"\"\"\n{brackets}\n\"\"\""), format!("# {brackets}\n{{ a }}")]
        {
            assert_eq!(limits.refuse_text(&text), None);
        }
        // Whatever ends a text or a comment for one parser and not for another.
        for text in [
            format!("\"\n{brackets}"),
            format!("\"\"\"{brackets}"),
            format!("#\r{brackets}"),
            format!("\"\\q{brackets}\""),
        ] {
            assert!(limits.refuse_text(&text).is_some(), "{text:.20}");
        }
    }

    #[test]
    fn aliases_and_root_fields_are_counted_through_fragments() {
        let refused = |query: &str| SMALL.refuse_document(&parse_query(query).unwrap()).unwrap_or_default();
        assert_eq!(refused("{ x: a y: b }"), "");
        assert!(refused("{ a { x: a y: b z: c } }").contains("aliases"));
        assert!(refused("{ ...F x: a } fragment F on Query { y: b z: c }").contains("aliases"));
        assert!(refused("{ a b c }").contains("An operation"));
        assert!(refused("{ ...F } fragment F on Query { a b c }").contains("An operation"));
        assert!(refused("{ ... on Query { a b } c }").contains("An operation"));
        assert_eq!(refused("{ a b }"), "");
        assert!(refused("{ a { b c d e } }").contains("fragments are spread"));
    }
}
