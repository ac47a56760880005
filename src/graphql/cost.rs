//! Charges each document its cost, before it runs, and tells of it in `extensions.cost`. What validation has found of a
//! document is not looked for again.

use std::sync::Arc;

use async_graphql::{
    Response, ServerError, ValidationResult,
    async_trait::async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextRequest, NextValidation},
    value,
};
use parking_lot::Mutex;

use super::{RequestContext, error::nowhere, rates::Charged, reading::Findings};

/// What a document cost, and what is left.
#[derive(Clone, Copy)]
struct Bill {
    requested: usize,
    charged: Charged,
}

/// Makes a [`Meter`] for each request, and keeps what validation has found.
#[derive(Default)]
pub struct Metering(Arc<Findings>);

impl ExtensionFactory for Metering {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Meter { findings: self.0.clone(), bill: Mutex::default() })
    }
}

struct Meter {
    findings: Arc<Findings>,
    bill: Mutex<Option<Bill>>,
}

#[async_trait]
impl Extension for Meter {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let response = next.run(ctx).await;
        let bill = *self.bill.lock();
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
        let request = ctx.data::<Arc<RequestContext>>().ok();
        let key = request.and_then(|it| it.finding_key());
        let valid = match key.and_then(|it| self.findings.find(it)) {
            Some(found) => found,
            None => {
                let found = next.run(ctx).await?;
                if let Some(key) = key {
                    self.findings.keep(key.clone(), found);
                }
                found
            }
        };
        if let Some(request) = request {
            let cost = valid.complexity + request.introspection_cost();
            let charged = request.charge(cost).await.map_err(|error| vec![nowhere(error)])?;
            *self.bill.lock() = Some(Bill { requested: cost, charged });
        }
        Ok(valid)
    }
}
