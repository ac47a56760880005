//! Documents as they are read: parsed and looked at once, and kept for the next request with the same text.
//!
//! Kept are those that hold no text of their own, as clients write them that send values as variables. So what is kept is
//! nobody's data, whoever's request it came with, and how long an answer takes tells nothing of what others have asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_graphql::{
    ValidationResult, Variables,
    parser::{
        parse_query,
        types::{BaseType, ExecutableDocument},
    },
};
use async_graphql_value::ConstValue;
use quick_cache::{Weighter, sync::Cache};

use super::{
    Limits,
    input::{self, Unfit},
};

/// Bytes that all kept documents may take, about.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// What a parsed document takes for each byte of its text, about.
const BYTES_EACH: u64 = 40;
/// How many documents are expected.
const EXPECTED: usize = 1_000;
/// How many findings of validation are kept.
const KEPT_FINDINGS: usize = 10_000;
/// Longest spelling of a request's variables with which a finding is kept, in bytes.
const LONGEST_KEY: usize = 256;
/// For how long one statement may take a request that is brief, waiting included.
const BRIEF: Duration = Duration::from_secs(1);

/// A document that can be run, as far as its own text tells.
pub struct ReadDocument {
    /// Parsed.
    pub document: ExecutableDocument,
    /// The one field of the root, as the schema has it; `None` where there are others.
    pub root_field: Option<String>,
    /// How many fields of the schema itself it asks for.
    pub introspected: usize,
    /// Whether it asks for one thing by its id.
    is_look_up: bool,
    /// How many statements it takes, as far as is known.
    statements: Takes,
    /// Of this reading alone.
    number: u64,
    /// Whether it is kept for others, as what holds no text of its own is: such a text would stand between quotes.
    is_kept: bool,
}

/// How many statements a document took. Once it took several, or long, it is never again one that takes one.
#[derive(Default)]
struct Takes(AtomicU8);

impl Takes {
    const ONE: u8 = 1;
    const SEVERAL: u8 = 2;

    fn is_one(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ONE
    }

    fn note(&self, taken: usize) {
        let taken = match taken {
            0 => return,
            1 => Self::ONE,
            _ => Self::SEVERAL,
        };
        if self.0.load(Ordering::Relaxed) < taken {
            self.0.fetch_max(taken, Ordering::Relaxed);
        }
    }
}

/// Why a document cannot be run.
#[derive(Debug)]
pub enum Unreadable {
    /// It does not parse.
    Syntax(String),
    /// It is too large in some way.
    TooLarge(String),
    /// It holds a value that no argument can take.
    Unfit(Unfit),
}

/// Counts what a document takes.
#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Arc<ReadDocument>> for Size {
    fn weight(&self, text: &Box<str>, _: &Arc<ReadDocument>) -> u64 {
        (text.len() as u64 + 100) * BYTES_EACH
    }
}

/// The documents that are kept.
pub struct DocumentCache {
    limits: Limits,
    kept: Cache<Box<str>, Arc<ReadDocument>, Size>,
}

impl DocumentCache {
    /// Refuses what goes beyond these.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Cache::with_weighter(EXPECTED, KEPT_BYTES, Size) }
    }

    /// Reads a document, unless it was read before.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub fn read(&self, text: &str) -> Result<Arc<ReadDocument>, Unreadable> {
        if let Some(kept) = self.kept.get(text) {
            return Ok(kept);
        }
        let read = Arc::new(ReadDocument::read(text, &self.limits)?);
        if read.is_kept {
            self.kept.insert(text.into(), read.clone());
        }
        Ok(read)
    }
}

impl ReadDocument {
    fn read(text: &str, limits: &Limits) -> Result<Self, Unreadable> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(message) = limits.refuse_text(text) {
            return Err(Unreadable::TooLarge(message));
        }
        let document = parse_query(text).map_err(|error| Unreadable::Syntax(error.to_string()))?;
        if let Some(message) = limits.refuse_document(&document) {
            return Err(Unreadable::TooLarge(message));
        }
        if let Some(unfit) = input::find_unfit(&document) {
            return Err(Unreadable::Unfit(unfit));
        }
        let root_field = match input::root_fields(&document).as_slice() {
            [field] => Some((*field).to_owned()),
            _ => None,
        };
        let introspected = input::introspected_fields(&document);
        let (number, is_kept) = (NEXT.fetch_add(1, Ordering::Relaxed), !text.contains('"'));
        let (is_look_up, statements) = (input::is_look_up(&document), Takes::default());
        Ok(Self { document, root_field, introspected, is_look_up, statements, number, is_kept })
    }

    /// Whether it looks one thing up by its id, and took one statement each time that it was executed, and not long.
    pub fn is_brief(&self) -> bool {
        self.is_look_up && self.statements.is_one()
    }

    /// Notes how many statements it took, and how long.
    pub fn note_statements(&self, taken: usize, time: Duration) {
        self.statements.note(if time > BRIEF { usize::MAX } else { taken });
    }

    /// Of all requests that validation must find the same of: this document's, with variables that differ in nothing but texts
    /// where it declares `ID` or `String`, which take any. `None` where that is not told in short, or the next reading is another.
    pub fn finding_key(&self, variables: &Variables) -> Option<FindingKey> {
        if !self.is_kept {
            return None;
        }
        // Validation looks at all operations, with the variables of each.
        let operation = input::only_operation(&self.document)?;
        let mut spelled = BTreeMap::new();
        for definition in &operation.variable_definitions {
            let (name, declared) = (definition.node.name.node.as_str(), &definition.node.var_type.node.base);
            let takes_any = matches!(declared, BaseType::Named(name) if matches!(name.as_str(), "ID" | "String"));
            let spelling = match variables.get(name) {
                None => continue,
                Some(ConstValue::String(_)) if takes_any => "text".to_owned(),
                Some(other) => other.to_string(),
            };
            spelled.insert(name, spelling);
        }
        let key = if spelled.is_empty() { String::new() } else { serde_json::to_string(&spelled).ok()? };
        (key.len() <= LONGEST_KEY).then(|| FindingKey(self.number, key.into()))
    }
}

/// See [`ReadDocument::finding_key`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FindingKey(u64, Box<str>);

/// What validation has found good, and what it costs.
pub struct ValidationCache(Cache<FindingKey, ValidationResult>);

impl Default for ValidationCache {
    fn default() -> Self {
        Self(Cache::new(KEPT_FINDINGS))
    }
}

impl ValidationCache {
    /// What was found before.
    pub fn find(&self, key: &FindingKey) -> Option<ValidationResult> {
        self.0.get(key)
    }

    /// Keeps what was found.
    pub fn keep(&self, key: FindingKey, found: ValidationResult) {
        self.0.insert(key, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(read: &ReadDocument, variables: serde_json::Value) -> Option<FindingKey> {
        read.finding_key(&Variables::from_json(variables))
    }

    #[test]
    fn what_holds_a_text_is_nobody_elses() {
        let reader = DocumentCache::new(Limits::default());
        let twice = |text: &str| (reader.read(text).unwrap().number, reader.read(text).unwrap().number);
        let (first, second) = twice("query($id: ID!) { service(id: $id) { id } }");
        assert_eq!(first, second);
        for text in
            ["{ service(id: \"svc_1\") { id } }", "{ services(filter: { search: \"\"\"x\"\"\" }) { nodes { id } } }"]
        {
            let (first, second) = twice(text);
            assert_ne!(first, second, "{text}");
        }
        // What cannot be run is looked at each time.
        for text in ["{", "{ a(b: 5000000000) }", &"{ a ".repeat(20_000)] {
            assert!(reader.read(text).is_err() && reader.read(text).is_err());
        }
    }

    #[test]
    fn what_took_several_statements_once_never_takes_one() {
        let reader = DocumentCache::new(Limits::default());
        let read = reader.read("query($id: ID!) { a(id: $id) { b } }").unwrap();
        let takes = |taken: usize| {
            read.note_statements(taken, Duration::ZERO);
            read.is_brief()
        };
        assert!(!read.is_brief());
        assert_eq!([0, 1, 0, 1, 2, 1].map(takes), [false, true, true, true, false, false]);
        let slow = reader.read("query($id: ID!) { slow(id: $id) { b } }").unwrap();
        for time in [Duration::from_secs(2), Duration::ZERO] {
            slow.note_statements(1, time);
            assert!(!slow.is_brief());
        }
        for longer in [
            "{ a { b } }",
            "query($id: ID!) { a(id: $id, first: 1) { b } }",
            "query($id: ID!) { a(id: $id) { b } c }",
            "query($id: ID!) { ...F } fragment F on Query { a(id: $id) { b } }",
            "query A($id: ID!) { a(id: $id) { b } } query B { b }",
        ] {
            let read = reader.read(longer).unwrap();
            read.note_statements(1, Duration::ZERO);
            assert!(!read.is_brief(), "{longer}");
        }
    }

    #[test]
    fn findings_are_of_all_texts_and_of_each_other_value() {
        let reader = DocumentCache::new(Limits::default());
        let read = reader.read("query($id: ID!, $n: Int, $at: DateTime) { a(id: $id, n: $n, at: $at) }").unwrap();
        let of = |variables| key(&read, variables).unwrap();
        assert_eq!(of(json!({ "id": "a", "n": 1 })), of(json!({ "id": "b", "n": 1, "unknown": 2 })));
        for other in [
            json!({ "id": "a" }),
            json!({ "id": "a", "n": null }),
            json!({ "id": "a", "n": 2 }),
            json!({ "id": "a", "n": "1" }),
            json!({ "id": 1, "n": 1 }),
            json!({ "id": null, "n": 1 }),
            json!({ "id": ["text"], "n": 1 }),
            json!({ "id": "a", "n": 1, "at": "text" }),
        ] {
            assert_ne!(of(json!({ "id": "a", "n": 1 })), of(other.clone()), "{other}");
        }
        // Another type's text may be none of its values.
        assert_ne!(of(json!({ "at": "2026-01-01T00:00:00Z" })), of(json!({ "at": "x" })));
        assert_eq!(key(&read, json!({ "n": "x".repeat(300) })), None, "too long to be kept");
        let named = reader.read("query Named($n: Int) { a(n: $n) }").unwrap();
        assert_eq!(key(&named, json!({ "n": 1 })), key(&named, json!({ "n": 1 })));
        assert!(key(&named, json!({ "n": 1 })).is_some(), "as clients write nearly all of them");
        let several = reader.read("query A { a } query B { b }").unwrap();
        assert_eq!(key(&several, json!({})), None);
        let with_text = reader.read("{ a(id: \"x\") }").unwrap();
        assert_eq!(key(&with_text, json!({})), None, "nobody would ask for it");
    }
}
