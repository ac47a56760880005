//! Objects of which a list has brought the name alone, because nothing else is asked of them.

use std::borrow::Cow;

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ID, ObjectType, OutputType, Positioned, SelectionField, ServerResult,
    Value, parser::types::Field, registry::Registry, resolver_utils::resolve_container,
};

use super::ApiError;

/// An object, whole or by its name. To clients both are the same type.
pub enum Brief<T> {
    /// All of it.
    Whole(T),
    /// Id and name: only where [`asks_for_name`] says that nothing else is asked.
    Named(ID, String),
}

/// Whether nothing but id and name is asked of an object.
pub fn asks_for_name(object: &SelectionField<'_>) -> bool {
    object.selection_set().all(|it| matches!(it.name(), "id" | "name" | "__typename"))
}

impl<T: ObjectType> OutputType for Brief<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

impl<T: ObjectType> ContainerType for Brief<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let (id, name) = match self {
            Self::Whole(it) => return it.resolve_field(ctx).await,
            Self::Named(id, name) => (id, name),
        };
        match ctx.item.node.name.node.as_str() {
            "id" => Ok(Some(Value::String(id.to_string()))),
            "name" => Ok(Some(Value::String(name.clone()))),
            other => {
                let error = ApiError::Internal(format!("{other} is asked of a {} by its name", T::type_name()));
                Err(ctx.set_error_path(async_graphql::Error::from(error).into_server_error(ctx.item.pos)))
            }
        }
    }
}
