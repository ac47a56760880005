//! Personal values: shown with the entry while they are stored, and gone once they are erased.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{changes::hex, model::Entry, queries};
use crate::db::{DbError, ScopedTx};

/// What an erased value reads as.
const ERASED: &str = "[erased]";

/// Replaces digests by their values where those are still stored.
pub(super) async fn put_personal_values_back(tx: &ScopedTx, entries: &mut [Entry]) -> Result<(), DbError> {
    let mut digests = Vec::new();
    for side in entries.iter_mut().flat_map(|it| sides(&mut it.changes)) {
        digests.extend(side["digest"].as_str().and_then(unhex));
    }
    if digests.is_empty() {
        return Ok(());
    }
    let values: HashMap<String, String> =
        queries::personal_values(tx, &digests).await?.into_iter().map(|it| (hex(&it.digest), it.value)).collect();
    for side in entries.iter_mut().flat_map(|it| sides(&mut it.changes)) {
        if let Some(digest) = side["digest"].as_str() {
            *side = values.get(digest).map_or(ERASED, String::as_str).into();
        }
    }
    Ok(())
}

/// Both sides of every change.
fn sides(changes: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    changes.values_mut().filter_map(Value::as_object_mut).flat_map(|it| it.values_mut()).filter(|it| it.is_object())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
