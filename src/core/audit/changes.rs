//! The changes in an audit entry. Personal values are stored separately so that they can be erased.

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::base::random;

/// What changed: `{"field": {"from": …, "to": …}}`. Never contains a secret.
///
/// Personal data is stored separately: the event contains a salted digest of it, so that a person can be erased while
/// the chain of events stays valid.
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) fields: Map<String, Value>,
    pub(super) personal: Vec<PersonalValue>,
}

/// A value of the log that can be erased.
#[derive(Debug)]
pub(super) struct PersonalValue {
    pub(super) digest: Vec<u8>,
    pub(super) subject: Uuid,
    pub(super) salt: [u8; 16],
    pub(super) value: String,
}

impl Changes {
    /// Adds a field when its value differs. A new object's fields come from null.
    pub fn field(mut self, name: &str, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let (from, to) = (from.into(), to.into());
        if from != to {
            self.fields.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
        self
    }

    /// The differences between two states of an object. `facts` returns the same fields in the same order for each.
    pub fn between<T, const N: usize>(
        before: Option<&T>,
        after: &T,
        facts: impl Fn(&T) -> [(&'static str, Value); N],
    ) -> Self {
        let old = before.map(&facts);
        facts(after).into_iter().enumerate().fold(Self::default(), |changes, (index, (name, new))| {
            let from = old.as_ref().map_or(Value::Null, |old| old[index].1.clone());
            changes.field(name, from, new)
        })
    }

    /// Adds a field with personal data of this subject: a user, an invitation or a registration.
    pub fn personal(mut self, subject: Uuid, name: &str, from: Option<&str>, to: Option<&str>) -> Self {
        if from != to {
            let (from, to) = (self.set_apart(subject, from), self.set_apart(subject, to));
            self.fields.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
        self
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn set_apart(&mut self, subject: Uuid, value: Option<&str>) -> Value {
        let Some(value) = value else { return Value::Null };
        let salt = random::bytes();
        let digest = personal_digest(&salt, value);
        let named = json!({ "digest": hex(&digest) });
        self.personal.push(PersonalValue { digest, subject, salt, value: value.to_owned() });
        named
    }
}

fn personal_digest(salt: &[u8], value: &str) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(salt);
    hash.update(value.as_bytes());
    hash.finish().as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
