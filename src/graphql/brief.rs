//! Objects of which a list has brought the name alone, because nothing else is asked of them.

use std::{borrow::Cow, marker::PhantomData};

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ID, ObjectType, OutputType, Positioned, SelectionField, ServerResult,
    Value, parser::types::Field, registry::Registry, resolver_utils::resolve_container,
};

use super::ApiError;

/// An object, whole or by its name. To clients both are the same type.
pub enum Brief<T> {
    /// All of it.
    Whole(T),
    /// Only what [`asks_for_name`] lets through.
    Named(Named<T>),
}

/// Id and name of an object.
pub struct Named<T> {
    id: ID,
    name: String,
    of: PhantomData<fn() -> T>,
}

impl<T> Brief<T> {
    /// An object of this id and name.
    pub fn named(id: ID, name: String) -> Self {
        Self::Named(Named { id, name, of: PhantomData })
    }
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

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Self::Whole(it) => it.resolve(ctx, field).await,
            Self::Named(it) => resolve_container(ctx, it).await,
        }
    }
}

impl<T: ObjectType> OutputType for Named<T> {
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

impl<T: ObjectType> ContainerType for Named<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        match ctx.item.node.name.node.as_str() {
            "id" => Ok(Some(Value::String(self.id.to_string()))),
            "name" => Ok(Some(Value::String(self.name.clone()))),
            other => {
                let error = ApiError::Internal(format!("{other} is asked of a {} by its name", T::type_name()));
                Err(ctx.set_error_path(async_graphql::Error::from(error).into_server_error(ctx.item.pos)))
            }
        }
    }
}
