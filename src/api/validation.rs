//! Two copies of the schema: one validates documents and executes none of them; the other executes validated documents.
//!
//! async-graphql validates before each execution, and calls its extensions for every field. The result of validating
//! a document is cached ([`ValidationCache`]), and the executing schema has no extension: validation and extensions together
//! were a quarter of the server's work for a list.

use std::sync::{Arc, LazyLock};

use async_graphql::{
    Request, Response, Schema, ServerError, ValidationMode, ValidationResult, Variables,
    async_trait::async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation},
    parser::types::ExecutableDocument,
};
use futures_util::stream::BoxStream;
use parking_lot::Mutex;

use super::{
    savepoints::InSavepoints,
    schema::{Mutation, Query, Subscription, builder, sdl},
};
use crate::graphql::{
    FindingKey, Limits, ValidationCache,
    null_propagation::{self, FieldTypes},
};

type Built = Schema<Query, InSavepoints<Mutation>, Subscription>;

/// The schema: one copy validates requests, the other executes them.
pub struct ApiSchema {
    validating: Built,
    executing: Built,
    findings: ValidationCache,
}

impl ApiSchema {
    /// Builds both copies. They hold no data: what a request needs travels with the request.
    ///
    /// With `introspects`, clients may query the schema itself.
    pub fn new(limits: Limits, introspects: bool) -> Self {
        let validating = builder(introspects)
            .limit_depth(limits.depth)
            .limit_complexity(limits.cost)
            .limit_directives(limits.directives)
            .extension(Validating);
        let executing = builder(introspects).validation_mode(ValidationMode::Fast);
        Self { validating: validating.finish(), executing: executing.finish(), findings: ValidationCache::default() }
    }

    /// The cost of executing a document, if it is valid. With a key, it is validated only once.
    ///
    /// # Errors
    /// Every rule that it violates.
    pub async fn validate(
        &self,
        document: &ExecutableDocument,
        operation: Option<&str>,
        variables: &Variables,
        key: Option<&FindingKey>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        if let Some(found) = key.and_then(|it| self.findings.find(it)) {
            return Ok(found);
        }
        let found = Arc::<Found>::default();
        let mut request = Request::new("").variables(variables.clone()).data(found.clone());
        request.operation_name = operation.map(str::to_owned);
        request.set_parsed_query(document.clone());
        // Boxed: validation is rare, and would otherwise enlarge every request's future.
        let response = Box::pin(self.validating.execute(request)).await;
        let found = found.0.lock().take().ok_or(response.errors)?;
        if let Some(key) = key {
            self.findings.keep(key.clone(), found);
        }
        Ok(found)
    }

    /// Executes a validated query or mutation.
    pub async fn execute(&self, request: Request) -> Response {
        self.executing.execute(request).await
    }

    /// Applies null propagation to a response to the selected operation. The document must have been validated.
    pub fn complete(response: &mut Response, document: &ExecutableDocument, operation: Option<&str>) {
        /// Built when a field first fails.
        static FIELD_TYPES: LazyLock<FieldTypes> = LazyLock::new(|| FieldTypes::of(&sdl()));
        null_propagation::complete(response, document, operation, &FIELD_TYPES);
    }

    /// Executes a validated subscription.
    pub fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.executing.execute_stream(request)
    }
}

/// The validation result of one request.
#[derive(Default)]
struct Found(Mutex<Option<ValidationResult>>);

/// Records the validation result, and stops before execution.
struct Validating;

impl ExtensionFactory for Validating {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Validating {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        if let Ok(found) = ctx.data::<Arc<Found>>() {
            *found.0.lock() = Some(result);
        }
        Err(Vec::new()) // Stops before execution.
    }
}
