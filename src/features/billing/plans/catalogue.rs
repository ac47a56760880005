//! The catalogue of plans: drafting, publishing, retiring.

use jiff::Timestamp;

use super::{
    model::{Plan, PlanError, PlanPatch, PlanVersion},
    queries,
};
use crate::{
    base::ids::{PlanId, PlanVersionId, uuid_v7},
    db::{DbError, ScopedTx},
    features::{billing::terms::Terms, entitlements::is_key},
};

/// One version, whether offered or not.
pub async fn version(directory: &ScopedTx, id: PlanVersionId) -> Result<Option<PlanVersion>, DbError> {
    queries::by_id(directory, id).await
}

/// Creates a plan. It is offered once a version of it is published.
///
/// # Errors
/// `Invalid`, `KeyTaken`.
pub async fn create(directory: &ScopedTx, key: &str, name: &str, now: Timestamp) -> Result<Plan, PlanError> {
    if !is_key(key) {
        return Err(invalid("key", "A key must have 1 to 40 letters a to z, digits or underscores."));
    }
    let plan = Plan {
        id: PlanId::generate(now),
        key: key.into(),
        name: checked_name(name)?,
        position: queries::next_position(directory).await?,
        active: true,
    };
    if queries::insert(directory, &plan).await? { Ok(plan) } else { Err(PlanError::KeyTaken) }
}

/// Changes a plan's name and position, or takes it off the price list. Subscribed tenants keep it.
///
/// # Errors
/// `NotFound`, `Invalid`.
pub async fn update(directory: &ScopedTx, key: &str, patch: PlanPatch) -> Result<Plan, PlanError> {
    let plan = queries::by_key(directory, key).await?.ok_or(PlanError::NotFound)?;
    let name = patch.name.as_deref().map(checked_name).transpose()?.unwrap_or(plan.name);
    let position = patch.position.unwrap_or(plan.position);
    if !(0..=10_000).contains(&position) {
        return Err(invalid("position", "A position must be between 0 and 10000."));
    }
    let plan = Plan { name, position, active: patch.active.unwrap_or(plan.active), ..plan };
    queries::update(directory, &plan).await?;
    Ok(plan)
}

/// Writes the draft of a plan's next version, replacing an existing draft. Every price gets a new id.
///
/// # Errors
/// `NotFound`, `Invalid`.
pub async fn draft(directory: &ScopedTx, key: &str, terms: Terms, now: Timestamp) -> Result<PlanVersion, PlanError> {
    let prices =
        terms.prices.into_iter().map(|it| crate::features::billing::terms::Price { id: uuid_v7(now), ..it }).collect();
    let terms = Terms { prices, ..terms };
    terms.check().map_err(|(field, message)| PlanError::Invalid(field, message))?;
    // Locked, so that two concurrent drafts do not get the same number.
    let plan = queries::lock(directory, key).await?.ok_or(PlanError::NotFound)?;
    let id = PlanVersionId::generate(now);
    let version = queries::upsert_draft(directory, id, &plan, &terms, now).await?;
    Ok(version)
}

/// Publishes a plan's draft. It is offered from now on and never changes again.
///
/// # Errors
/// `NotFound`, `NoDraft`.
pub async fn publish(directory: &ScopedTx, key: &str, now: Timestamp) -> Result<PlanVersion, PlanError> {
    let plan = queries::lock(directory, key).await?.ok_or(PlanError::NotFound)?;
    queries::publish(directory, &plan, now).await?.ok_or(PlanError::NoDraft)
}

fn checked_name(name: &str) -> Result<String, PlanError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return Err(invalid("name", "A name must have 1 to 100 characters."));
    }
    Ok(name.to_owned())
}

fn invalid(field: &'static str, message: &str) -> PlanError {
    PlanError::Invalid(field, message.to_owned())
}
