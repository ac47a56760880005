//! Objects of a list whose fields need no allocation each.
//!
//! async-graphql boxes each field of an object and puts it into a set that wakes each field separately. For a page of
//! objects whose fields are mostly already loaded, that was half of the work (docs/performance.md). The other steps
//! of async-graphql are done here too: fragments are expanded, and a failed field is left out.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::{
    ContextSelectionSet, Name, ObjectType, OutputType, Positioned, ServerResult, Value,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
    registry::Registry,
    resolver_utils::resolve_container,
};
use async_graphql_value::indexmap::IndexMap;
use futures_util::future::join_all;

/// An object whose fields are resolved concurrently. To clients it is the object itself.
pub struct ConcurrentFields<T>(pub T);

impl<T: ObjectType> OutputType for ConcurrentFields<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let Self(object) = self;
        let asked = asked_of::<T>(ctx);
        let keys: Vec<&Name> = asked.iter().map(|it| &it.node.response_key().node).collect();
        if keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key)) {
            // A key that is selected twice: its two results are merged.
            return Box::pin(resolve_container(ctx, object)).await;
        }
        let answers = asked.iter().map(|field| async move {
            if field.node.name.node == "__typename" {
                return Ok(Value::String(T::type_name().into_owned()));
            }
            object.resolve_field(&ctx.with_field(field)).await.map(Option::unwrap_or_default)
        });
        let answers = join_all(answers).await;
        let mut fields = IndexMap::with_capacity(asked.len());
        for (field, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(value) => {
                    fields.insert(field.node.response_key().node.clone(), value);
                }
                Err(error) => ctx.add_error(error),
            }
        }
        Ok(if fields.is_empty() { Value::Null } else { Value::Object(fields) })
    }
}

/// The selected fields of an object of this type, in order. A fragment on another type, which is possible inside a
/// fragment on a common interface, selects nothing of it.
pub(super) fn asked_of<'a, T: ObjectType>(ctx: &ContextSelectionSet<'a>) -> Vec<&'a Positioned<Field>> {
    let mut fields = Vec::with_capacity(ctx.item.node.items.len());
    let name = T::type_name();
    let interfaces = ctx.schema_env.registry.implements.get(name.as_ref());
    let is_of = |condition: &str| condition == name || interfaces.is_some_and(|it| it.contains(condition));
    collect(&ctx.item.node, &ctx.query_env.fragments, &is_of, &mut fields);
    fields
}

fn collect<'a>(
    set: &'a SelectionSet,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    is_of: &impl Fn(&str) -> bool,
    fields: &mut Vec<&'a Positioned<Field>>,
) {
    for selection in &set.items {
        let (condition, inner) = match &selection.node {
            Selection::Field(field) => {
                fields.push(field);
                continue;
            }
            Selection::InlineFragment(inline) => (inline.node.type_condition.as_ref(), &inline.node.selection_set),
            Selection::FragmentSpread(spread) => match fragments.get(&spread.node.fragment_name.node) {
                Some(fragment) => (Some(&fragment.node.type_condition), &fragment.node.selection_set),
                None => continue, // Validation rejects such a document.
            },
        };
        if condition.is_none_or(|it| is_of(it.node.on.node.as_str())) {
            collect(&inner.node, fragments, is_of, fields);
        }
    }
}
