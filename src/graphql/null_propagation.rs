//! Completes a response as the GraphQL specification requires, where async-graphql 7.2 does not.
//!
//! - Fields come in the order of the document (section 7.2.2), not in the order in which they were resolved.
//! - When a non-null field fails, its parent becomes null, and so on up to the next nullable one (section 6.4.4),
//!   instead of an object that lacks a promised field. There is one exception: a failed root field of a mutation is
//!   left out, so that the response still reports the other root fields, each of which is kept or rolled back on its
//!   own.

use std::{collections::HashMap, sync::LazyLock};

use async_graphql::{
    Name, PathSegment, Response, Value,
    indexmap::IndexMap,
    parser::{
        parse_schema,
        types::{
            BaseType, DocumentOperations, ExecutableDocument, OperationType, Selection, SelectionSet, Type, TypeKind,
            TypeSystemDefinition,
        },
    },
};

/// The type of every field of every object and interface of a schema.
#[derive(Debug, Default)]
pub struct FieldTypes(HashMap<String, HashMap<String, Type>>);

impl FieldTypes {
    /// The field types of this schema; empty when it cannot be parsed.
    pub fn of(sdl: &str) -> Self {
        let Ok(schema) = parse_schema(sdl) else { return Self::default() };
        let types = schema.definitions.into_iter().filter_map(|it| match it {
            TypeSystemDefinition::Type(it) => Some(it.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        let fields = types
            .filter_map(|it| {
                let fields = match it.kind {
                    TypeKind::Object(object) => object.fields,
                    TypeKind::Interface(interface) => interface.fields,
                    _ => return None,
                };
                let fields = fields.into_iter().map(|it| (it.node.name.node.to_string(), it.node.ty.node));
                Some((it.name.node.to_string(), fields.collect()))
            })
            .collect();
        Self(fields)
    }

    /// The type of a field; for an interface, the type in one of its implementations. `None` for introspection.
    fn find(&self, type_name: &str, field: &str) -> Option<&Type> {
        let own = self.0.get(type_name)?.get(field);
        own.or_else(|| self.0.values().find_map(|fields| fields.get(field)))
    }
}

/// The fields of a selection and of everything below it, in the order of the document.
#[derive(Default)]
struct Shape<'a>(Vec<Entry<'a>>);

struct Entry<'a> {
    /// The key in the response.
    key: &'a str,
    /// The name in the schema.
    field: &'a str,
    below: Shape<'a>,
}

/// A null value of a non-null type: its parent must become null.
struct MustBeNull;

/// Applies null propagation to a response to the selected operation. The document must have been validated.
pub fn complete(
    response: &mut Response,
    document: &ExecutableDocument,
    operation_name: Option<&str>,
    types: &LazyLock<FieldTypes>,
) {
    let operation = match (&document.operations, operation_name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) => operations.values().next(),
    };
    let Some(operation) = operation.map(|it| &it.node) else { return };
    let mut shape = Shape::default();
    shape.add(&operation.selection_set.node, document);
    if response.errors.is_empty() {
        shape.order(&mut response.data);
        return;
    }
    let failed: Vec<&[PathSegment]> = response.errors.iter().map(|it| it.path.as_slice()).collect();
    let walk = Walk { types, failed: &failed, root_keeps_others: operation.ty == OperationType::Mutation };
    let root = match operation.ty {
        OperationType::Mutation => "Mutation",
        OperationType::Query | OperationType::Subscription => "Query",
    };
    if walk.object(&mut response.data, root, &shape, &mut Vec::new()).is_err() {
        response.data = Value::Null;
    }
}

impl<'a> Shape<'a> {
    fn add(&mut self, selections: &'a SelectionSet, document: &'a ExecutableDocument) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let entry = self.entry(field.response_key().node.as_str(), field.name.node.as_str());
                    entry.below.add(&field.selection_set.node, document);
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

    fn entry(&mut self, key: &'a str, field: &'a str) -> &mut Entry<'a> {
        let at = self.place(key).unwrap_or_else(|| {
            self.0.push(Entry { key, field, below: Self::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Puts the fields of a value without failures in this order.
    fn order(&self, value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(|it| self.order(it)),
            Value::Object(fields) => {
                self.sort(fields);
                for (key, value) in fields {
                    if matches!(value, Value::List(_) | Value::Object(_))
                        && let Some(at) = self.place(key)
                    {
                        self.0[at].below.order(value);
                    }
                }
            }
            _ => {}
        }
    }

    /// Sorts the fields of one object, if needed. Some may be missing, because of a directive or a fragment's type.
    fn sort(&self, fields: &mut IndexMap<Name, Value>) {
        let mut places = self.0.iter();
        let is_sorted = fields.keys().all(|key| places.any(|it| it.key == key.as_str()));
        if !is_sorted {
            fields.sort_by_cached_key(|key, _| self.place(key.as_str()));
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.key == key)
    }
}

struct Walk<'a> {
    types: &'a FieldTypes,
    failed: &'a [&'a [PathSegment]],
    root_keeps_others: bool,
}

impl Walk<'_> {
    fn value(
        &self,
        value: &mut Value,
        ty: Option<&Type>,
        shape: &Shape<'_>,
        path: &mut Vec<PathSegment>,
    ) -> Result<(), MustBeNull> {
        let below = match (&mut *value, ty.map(|it| &it.base)) {
            (Value::List(items), Some(BaseType::List(inner))) => self.items(items, Some(inner), shape, path),
            (Value::List(items), _) => self.items(items, None, shape, path),
            (Value::Object(_), Some(BaseType::Named(name))) => self.object(value, name, shape, path),
            (Value::Object(_), _) => self.object(value, "", shape, path),
            _ => Ok(()),
        };
        if below.is_err() {
            *value = Value::Null;
        }
        let may_be_null = ty.is_none_or(|it| it.nullable);
        if *value == Value::Null && !may_be_null { Err(MustBeNull) } else { Ok(()) }
    }

    fn items(
        &self,
        items: &mut [Value],
        ty: Option<&Type>,
        shape: &Shape<'_>,
        path: &mut Vec<PathSegment>,
    ) -> Result<(), MustBeNull> {
        items.iter_mut().enumerate().try_for_each(|(at, item)| {
            path.push(PathSegment::Index(at));
            let result = self.value(item, ty, shape, path);
            path.pop();
            result
        })
    }

    fn object(
        &self,
        value: &mut Value,
        type_name: &str,
        shape: &Shape<'_>,
        path: &mut Vec<PathSegment>,
    ) -> Result<(), MustBeNull> {
        let Value::Object(fields) = value else { return Ok(()) };
        let keeps_others = path.is_empty() && self.root_keeps_others;
        for entry in &shape.0 {
            let ty = self.types.find(type_name, entry.field);
            path.push(PathSegment::Field(entry.key.to_owned()));
            let result = match fields.get_mut(entry.key) {
                Some(value) => self.value(value, ty, &entry.below, path),
                // Skipped by a directive or a fragment's type, unless an error says otherwise.
                None if self.failed.contains(&path.as_slice()) => Err(MustBeNull),
                None => Ok(()),
            };
            path.pop();
            match result {
                Ok(()) => {}
                Err(MustBeNull) if keeps_others => drop(fields.shift_remove(entry.key)),
                Err(MustBeNull) => return Err(MustBeNull),
            }
        }
        shape.sort(fields);
        Ok(())
    }
}
