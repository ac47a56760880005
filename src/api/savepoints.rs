//! Runs each root field of a mutation inside a savepoint, without any code in the resolvers.

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry, resolver_utils::resolve_container_serial,
};
use std::borrow::Cow;

use super::context::ContextExt;
use crate::graphql::ApiError;

/// The merged mutations of all features, each field in a savepoint of its own.
pub struct InSavepoints<M>(pub M);

impl<M: ObjectType> OutputType for InSavepoints<M> {
    fn type_name() -> Cow<'static, str> {
        M::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        M::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container_serial(ctx, self).await
    }
}

impl<M: ObjectType> ContainerType for InSavepoints<M> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let failed = |error: ApiError| {
            let error = async_graphql::Error::from(error).into_server_error(ctx.item.pos);
            ctx.set_error_path(error)
        };
        // Boxed: otherwise its space is reserved twice, where it is passed and where it is awaited.
        let field = Box::pin(self.0.resolve_field(ctx));
        ctx.request().mutation_field(ctx.field().name(), field).await.map_err(failed)?
    }
}

impl<M: ObjectType> ObjectType for InSavepoints<M> {}
