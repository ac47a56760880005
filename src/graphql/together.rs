//! Objects of a list, each of whose fields takes no allocation of its own.
//!
//! async-graphql boxes each field of an object and puts it into a set that wakes each field by itself. Of a page of objects,
//! most fields of which are there already, that was half of the work (docs/performance.md). What it does besides is done here
//! too: fragments are opened, an error leaves its field out.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::{
    ContextSelectionSet, Name, ObjectType, OutputType, Positioned, ServerResult, Value,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
    registry::Registry,
    resolver_utils::resolve_container,
};
use async_graphql_value::indexmap::IndexMap;
use futures_util::future::join_all;

/// An object whose fields are asked side by side. To clients it is the object.
pub struct Together<T>(pub T);

impl<T: ObjectType> OutputType for Together<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        let Self(object) = self;
        let mut asked = Vec::with_capacity(ctx.item.node.items.len());
        if !collect(&ctx.item.node, &ctx.query_env.fragments, &mut asked) {
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

/// The fields that are asked of an object, its fragments opened: whichever a validated document has here are for its type.
/// `false` where one is asked for twice, so that two answers would have to become one.
fn collect<'a>(
    set: &'a SelectionSet,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    fields: &mut Vec<&'a Positioned<Field>>,
) -> bool {
    set.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => {
            let key = &field.node.response_key().node;
            let is_first = fields.iter().all(|it| it.node.response_key().node != *key);
            fields.push(field);
            is_first
        }
        Selection::InlineFragment(inline) => collect(&inline.node.selection_set.node, fragments, fields),
        Selection::FragmentSpread(spread) => match fragments.get(&spread.node.fragment_name.node) {
            Some(fragment) => collect(&fragment.node.selection_set.node, fragments, fields),
            None => true,
        },
    })
}
