//! The limits of a request. Every number is a setting; see `config`.

use async_graphql::parser::types::ExecutableDocument;

use super::{INTROSPECTION_COST, input};

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Tokens of a document.
    pub tokens: usize,
    /// Depth of a document.
    pub depth: usize,
    /// Aliases of a document.
    pub aliases: usize,
    /// Root fields of an operation, with fragments expanded.
    pub root_fields: usize,
    /// Directives on one field.
    pub directives: usize,
    /// Selections of a document, with fragments expanded.
    pub selections: usize,
    /// Cost of a document. A field costs 1, multiplied in a list by the maximum number of rows. A field that runs its
    /// own statement or changes data costs more.
    pub cost: usize,
    /// Errors of a response.
    pub errors: usize,
    /// Requests in a batch; below 2, batches are off.
    pub batch: usize,
    /// Bytes of a response.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            tokens: 10_000,
            // Three times the depth of the deepest handwritten documents.
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

/// Maximum nesting of brackets of any kind: selections, arguments, directives, lists, objects and types of variables.
///
/// async-graphql-parser recurses for each of them without a limit, and 1,371 nested lists crash a release build
/// (docs/decisions: parsers of outside bytes). The deepest selections that validation accepts need less than half of
/// this.
const MAX_NESTING: usize = 64;
/// Maximum length of an alias, in bytes: a response repeats it for each row.
const MAX_ALIAS: usize = 128;
/// Maximum nesting of introspection lists: types of fields of types can be nested without end (graphql-js has the
/// same rule).
const MAX_INTROSPECTED_LISTS: usize = 2;

impl Limits {
    /// What is too large in a document's text, before it is parsed: parsing takes time and memory, and a stack frame
    /// for each nested bracket. `None` when it fits.
    pub fn refuse_text(&self, query: &str) -> Option<String> {
        let (mut tokens, mut nesting) = (0, 0_usize);
        for token in apollo_parser::Lexer::new(query) {
            match token {
                Ok(token) if is_ignored(token.kind()) => continue,
                Ok(token) if opens(token.kind()) => nesting += 1,
                Ok(token) if closes(token.kind()) => nesting = nesting.saturating_sub(1),
                Ok(_) => {}
                // No token, and no valid document. Another parser may still see brackets in it, so they count.
                Err(error) => nesting += error.data().matches(['{', '[', '(']).count(),
            }
            tokens += 1;
            if tokens > self.tokens {
                return Some(format!("The document has more than {} tokens.", self.tokens));
            }
            if nesting > MAX_NESTING {
                return Some(format!("The document has more than {MAX_NESTING} nested brackets."));
            }
        }
        None
    }

    /// What is too large in a document, before anything walks all of it. `None` when it fits.
    pub fn refuse_document(&self, document: &ExecutableDocument) -> Option<String> {
        // This comes first: everything that walks the document afterwards does this much work.
        if input::expanded_size(document) > self.selections {
            return Some(format!("The document has more than {} fields with its fragments expanded.", self.selections));
        }
        if input::count_aliases(document) > self.aliases {
            return Some(format!("The document has more than {} aliases.", self.aliases));
        }
        if input::longest_alias(document) > MAX_ALIAS {
            return Some(format!("An alias has more than {MAX_ALIAS} bytes."));
        }
        if input::deepest_introspection(document) > MAX_INTROSPECTED_LISTS {
            return Some(format!("More than {MAX_INTROSPECTED_LISTS} introspection lists are nested."));
        }
        if input::introspected_fields(document) * INTROSPECTION_COST > self.cost {
            return Some(format!("The introspection in the document exceeds a cost of {}.", self.cost));
        }
        if input::most_root_fields(document) > self.root_fields {
            return Some(format!("An operation of the document has more than {} root fields.", self.root_fields));
        }
        None
    }
}

/// Whether the specification does not count it as a token (section 2.1.7).
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
        assert_eq!(SMALL.refuse_text("{ a: \"c d e f g h i\""), None, "a string is one token");
        assert!(SMALL.refuse_text(&"{".repeat(100_000)).is_some());
        assert!(SMALL.refuse_text(&"!".repeat(7)).is_some());
        assert!(SMALL.refuse_text(&"?".repeat(7)).is_some(), "invalid tokens are counted too");
        assert_eq!(SMALL.refuse_text(&" ,\n".repeat(100_000)), None, "ignored characters cost a parser nothing");
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
            assert!(nested(open, close, MAX_NESTING / each + 1).unwrap().contains("nested"), "{open}");
        }
        // Brackets in sequence are not nested, and those in strings and comments do not count.
        assert_eq!(limits.refuse_text(&"{ a(b: [1]) }".repeat(500)), None);
        let brackets = "[".repeat(1_000);
        for text in [format!("\"{brackets}\""), format!("\"\"\"\n{brackets}\n\"\"\""), format!("# {brackets}\n{{ a }}")]
        {
            assert_eq!(limits.refuse_text(&text), None);
        }
        // Inputs that end a string or a comment for one parser and not for another.
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
        assert!(refused("{ a { b c d e } }").contains("fragments expanded"));
    }
}
