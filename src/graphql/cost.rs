//! Charges each document its cost, before it runs, and tells of it in `extensions.cost`.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{
    Response, ServerError, ValidationResult,
    async_trait::async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextRequest, NextValidation},
    value,
};

use super::{RequestContext, error::nowhere, rates::Charged};

/// What a document cost, and what is left.
#[derive(Clone, Copy)]
struct Bill {
    requested: usize,
    charged: Charged,
}

/// Makes a [`Meter`] for each request.
pub struct Metering;

impl ExtensionFactory for Metering {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Meter::default())
    }
}

#[derive(Default)]
struct Meter {
    bill: Mutex<Option<Bill>>,
}

#[async_trait]
impl Extension for Meter {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let response = next.run(ctx).await;
        let bill = *self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        match bill {
            Some(Bill { requested, charged }) => response.extension(
                "cost",
                value!({ "requested": requested, "budget": charged.budget, "remaining": charged.remaining }),
            ),
            None => response,
        }
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let valid = next.run(ctx).await?;
        if let Ok(request) = ctx.data::<Arc<RequestContext>>() {
            let cost = valid.complexity + request.introspection_cost();
            let charged = request.charge(cost).await.map_err(|error| vec![nowhere(error)])?;
            *self.bill.lock().unwrap_or_else(PoisonError::into_inner) = Some(Bill { requested: cost, charged });
        }
        Ok(valid)
    }
}
