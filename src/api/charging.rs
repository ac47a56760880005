//! Charges each document its cost before it runs, and reports it in `extensions.cost`.

use async_graphql::{Response, ServerError, ValidationResult, value};

use super::RequestContext;
use crate::{features::usage::rate_limits::Charged, graphql::nowhere};

/// The cost of a document, and the budget that remains.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    requested: usize,
    charged: Charged,
}

impl Bill {
    /// Charges the cost to the sender of the document.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub async fn charge(request: &RequestContext, valid: ValidationResult) -> Result<Self, ServerError> {
        let requested = valid.complexity + request.introspection_cost();
        let charged = request.charge(requested).await.map_err(nowhere)?;
        Ok(Self { requested, charged })
    }

    /// Adds the cost to the response.
    #[must_use]
    pub fn told_with(self, response: Response) -> Response {
        let Charged { budget, remaining, .. } = self.charged;
        response.extension("cost", value!({ "requested": self.requested, "budget": budget, "remaining": remaining }))
    }
}
