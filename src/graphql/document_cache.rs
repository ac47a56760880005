//! The document cache: documents are parsed and checked once, and kept for the next request with the same text.
//!
//! Only documents without string literals are kept, as written by clients that send values as variables. A cached
//! document therefore contains nobody's data, and the time of a response reveals nothing about what other callers
//! sent.

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

/// Approximate size of all cached documents, in bytes.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// Approximate memory of a parsed document for each byte of its text, in bytes.
const BYTES_EACH: u64 = 40;
/// Expected number of documents.
const EXPECTED: usize = 1_000;
/// Maximum number of cached validation results.
const KEPT_FINDINGS: usize = 10_000;
/// Maximum length of a request's serialized variables for which a validation result is cached, in bytes.
const LONGEST_KEY: usize = 256;
/// Maximum duration of the single statement of a brief request, including waiting.
const BRIEF: Duration = Duration::from_secs(1);

/// A document that can run, as far as its text shows.
pub struct ReadDocument {
    /// The parsed document.
    pub document: ExecutableDocument,
    /// The single root field, by its schema name; `None` when there are several.
    pub root_field: Option<String>,
    /// Number of introspection fields.
    pub introspected: usize,
    /// Whether it loads one object by its id.
    is_look_up: bool,
    /// The number of statements it runs, as far as known.
    statements: Takes,
    /// Unique to this parse.
    number: u64,
    /// Whether it is cached. A document with a string literal, which needs quotes, is not.
    is_kept: bool,
}

/// The number of statements that a document ran. Once it ran several, or took long, it is never again treated as one
/// that runs a single statement.
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
    /// It cannot be parsed.
    Syntax(String),
    /// It exceeds a limit.
    TooLarge(String),
    /// It contains a value that no argument accepts.
    Unfit(Unfit),
}

/// Weighs a document by its size.
#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Arc<ReadDocument>> for Size {
    fn weight(&self, text: &Box<str>, _: &Arc<ReadDocument>) -> u64 {
        (text.len() as u64 + 100) * BYTES_EACH
    }
}

/// The cached documents.
pub struct DocumentCache {
    limits: Limits,
    kept: Cache<Box<str>, Arc<ReadDocument>, Size>,
}

impl DocumentCache {
    /// Refuses documents beyond these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Cache::with_weighter(EXPECTED, KEPT_BYTES, Size) }
    }

    /// Parses and checks a document, or returns it from the cache.
    ///
    /// # Errors
    /// The reason why it cannot run.
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

    /// Whether it loads one object by its id, and has run a single, quick statement on every execution.
    pub fn is_brief(&self) -> bool {
        self.is_look_up && self.statements.is_one()
    }

    /// Records how many statements it ran, and how long it took.
    pub fn note_statements(&self, taken: usize, time: Duration) {
        self.statements.note(if time > BRIEF { usize::MAX } else { taken });
    }

    /// The key shared by all requests with the same validation result: this document, with variables that differ only
    /// in strings for variables declared as `ID` or `String`, which accept any string. `None` when the key would be
    /// too long, or the document is not cached.
    pub fn finding_key(&self, variables: &Variables) -> Option<FindingKey> {
        if !self.is_kept {
            return None;
        }
        // Validation checks all operations, with the variables of each.
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

/// Cached validation results: the costs of valid documents.
pub struct ValidationCache(Cache<FindingKey, ValidationResult>);

impl Default for ValidationCache {
    fn default() -> Self {
        Self(Cache::new(KEPT_FINDINGS))
    }
}

impl ValidationCache {
    /// The cached result, if any.
    pub fn find(&self, key: &FindingKey) -> Option<ValidationResult> {
        self.0.get(key)
    }

    /// Caches a result.
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
        // A document that cannot run is checked every time.
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
        // A string may be no valid value of another type.
        assert_ne!(of(json!({ "at": "2026-01-01T00:00:00Z" })), of(json!({ "at": "x" })));
        assert_eq!(key(&read, json!({ "n": "x".repeat(300) })), None, "too long to be cached");
        let named = reader.read("query Named($n: Int) { a(n: $n) }").unwrap();
        assert_eq!(key(&named, json!({ "n": 1 })), key(&named, json!({ "n": 1 })));
        assert!(key(&named, json!({ "n": 1 })).is_some(), "the form that nearly all clients use");
        let several = reader.read("query A { a } query B { b }").unwrap();
        assert_eq!(key(&several, json!({})), None);
        let with_text = reader.read("{ a(id: \"x\") }").unwrap();
        assert_eq!(key(&with_text, json!({})), None, "it would never be reused");
    }
}
