//! Puts the fields of a response in the order of the document, as the GraphQL specification asks (section 7.2.2).
//!
//! async-graphql 7.2 lists the fields of an object in the order in which they were resolved, which differs from run to
//! run.

use async_graphql::{
    Value,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};

/// The fields of one selection, each with those below it, in the document's order.
#[derive(Default)]
struct Shape<'a>(Vec<(&'a str, Shape<'a>)>);

/// Orders a response's data. The document must have been validated: fragments may not spread themselves.
pub fn restore(data: &mut Value, document: &ExecutableDocument, operation_name: Option<&str>) {
    let mut operations = document.operations.iter();
    let operation = match operation_name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|it| it.as_str() == wanted)),
        None => operations.next(),
    };
    if let Some((_, operation)) = operation {
        let mut shape = Shape::default();
        shape.add(&operation.node.selection_set.node, document);
        shape.apply(data);
    }
}

impl<'a> Shape<'a> {
    fn add(&mut self, selections: &'a SelectionSet, document: &'a ExecutableDocument) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let below = self.field(field.node.response_key().node.as_str());
                    below.add(&field.node.selection_set.node, document);
                }
                Selection::InlineFragment(fragment) => self.add(&fragment.node.selection_set.node, document),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        self.add(&fragment.node.selection_set.node, document);
                    }
                }
            }
        }
    }

    fn field(&mut self, key: &'a str) -> &mut Self {
        let at = self.0.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
            self.0.push((key, Self::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn apply(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let place = |key: &str| self.0.iter().position(|(name, _)| *name == key);
                fields.sort_by_cached_key(|key, _| place(key.as_str()));
                for (key, value) in fields {
                    if let Some(at) = place(key.as_str()) {
                        self.0[at].1.apply(value);
                    }
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            _ => {}
        }
    }
}
