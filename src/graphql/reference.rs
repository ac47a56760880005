//! Objects of which a list has loaded only the name, because the document selects nothing else.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, ID, ObjectType, OutputType, Positioned, SelectionField, ServerResult, Value,
    parser::types::Field, registry::Registry,
};
use async_graphql_value::indexmap::IndexMap;

use super::{ApiError, concurrent_fields::asked_of};

/// An object, or only its id and name. To clients both are the same type.
pub enum Reference<T> {
    /// The whole object.
    Whole(T),
    /// Id and name: only when [`asks_for_name`] confirms that nothing else is selected.
    Named(ID, String),
}

/// Whether only id and name of an object are selected.
pub fn asks_for_name(object: &SelectionField<'_>) -> bool {
    object.selection_set().all(|it| matches!(it.name(), "id" | "name" | "__typename"))
}

impl<T: ObjectType> OutputType for Reference<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Self::Whole(it) => it.resolve(ctx, field).await,
            // Resolved synchronously: a page has two of these for each row, and async-graphql creates a future for
            // each field.
            Self::Named(id, name) => {
                let asked = asked_of::<T>(ctx);
                let mut fields = IndexMap::with_capacity(asked.len());
                for asked in asked {
                    let value = match asked.node.name.node.as_str() {
                        "id" => id.to_string(),
                        "name" => name.clone(),
                        "__typename" => T::type_name().into_owned(),
                        other => {
                            let error =
                                format!("{other} is selected on a {} that was loaded by name only", T::type_name());
                            let error = async_graphql::Error::from(ApiError::Internal(error));
                            return Err(ctx.set_error_path(error.into_server_error(field.pos)));
                        }
                    };
                    fields.insert(asked.node.response_key().node.clone(), Value::String(value));
                }
                Ok(if fields.is_empty() { Value::Null } else { Value::Object(fields) })
            }
        }
    }
}
