//! Operations on plans, invoices and features.

use serde_json::{Value, json};

use crate::{
    base::ids::{InvoiceId, TenantId},
    core::audit::Changes,
    db::{Access, DbError, Gate, Scope},
    features::{
        billing::{
            self,
            invoices::{self, CreditNote, Invoice, State, Tax},
            payments::{DeadEvent, inbox},
            plans::{self, Plan, PlanPatch, PlanVersion},
            terms::Terms,
        },
        entitlements::{self, Rollout, is_key},
        platform::{Listed, Operator, PlatformError},
        tenants,
    },
};

impl Operator<'_> {
    /// Every version of every plan, including drafts.
    pub async fn plan_versions(&self) -> Result<Vec<PlanVersion>, DbError> {
        let directory = self.directory();
        let found = plans::all(&directory).await?;
        directory.end_read();
        Ok(found)
    }

    /// Creates a plan. It is offered once a version of it is published.
    ///
    /// # Errors
    /// The errors of [`plans::create`].
    pub async fn create_plan(&self, key: &str, name: &str) -> Result<Plan, PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        let plan = plans::create(&directory, key, name, self.clock.now()).await?;
        self.note_in(&directory, "plans.create", json!({ "plan": plan.key })).await?;
        directory.commit().await?;
        Ok(plan)
    }

    /// Changes a plan's name and position, or takes it off the price list.
    ///
    /// # Errors
    /// The errors of [`plans::update`].
    pub async fn update_plan(&self, key: &str, patch: PlanPatch) -> Result<Plan, PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        let plan = plans::update(&directory, key, patch).await?;
        let details = json!({ "plan": plan.key, "name": plan.name, "active": plan.active });
        self.note_in(&directory, "plans.update", details).await?;
        directory.commit().await?;
        Ok(plan)
    }

    /// Writes the draft of a plan's next version.
    ///
    /// # Errors
    /// The errors of [`plans::draft`].
    pub async fn draft_plan(&self, key: &str, terms: Terms) -> Result<PlanVersion, PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        let version = plans::draft(&directory, key, terms, self.clock.now()).await?;
        let details = json!({ "plan": version.plan.key, "version": version.version });
        self.note_in(&directory, "plans.draft", details).await?;
        directory.commit().await?;
        Ok(version)
    }

    /// Publishes a plan's draft. Tenants with an older version keep it until they are moved.
    ///
    /// # Errors
    /// The errors of [`plans::publish`].
    pub async fn publish_plan(&self, key: &str) -> Result<PlanVersion, PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        let version = plans::publish(&directory, key, self.clock.now()).await?;
        let details = json!({ "plan": version.plan.key, "version": version.version });
        self.note_in(&directory, "plans.publish", details).await?;
        directory.commit().await?;
        Ok(version)
    }

    /// The rollout of each feature.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, DbError> {
        let directory = self.directory();
        let found = entitlements::rollouts(&directory).await?;
        directory.end_read();
        Ok(found)
    }

    /// Rolls a feature out to a percentage of tenants. Their stores are updated immediately; unreachable ones within a
    /// minute of becoming reachable.
    ///
    /// # Errors
    /// `Invalid`.
    pub async fn roll_out(&self, key: &str, percentage: i32) -> Result<Vec<Rollout>, PlatformError> {
        if !is_key(key) {
            return Err(PlatformError::Invalid(
                "key",
                "A key must have 1 to 40 letters a to z, digits or underscores.",
            ));
        }
        if !(0..=100).contains(&percentage) {
            return Err(PlatformError::Invalid("percentage", "Must be between 0 and 100."));
        }
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        entitlements::set_rollout(&directory, key, percentage).await?;
        self.note_in(&directory, "features.roll_out", json!({ "key": key, "percentage": percentage })).await?;
        directory.commit().await?;
        drop(directory);
        spread_rollouts(self.gate).await?;
        Ok(self.rollouts().await?)
    }

    /// Puts a tenant on another plan from now on, with its present interval if the plan is sold for it.
    ///
    /// # Errors
    /// `NotFound`, `PlanNotFound`.
    pub async fn change_plan(&self, id: TenantId, plan: &str) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        let directory = self.directory();
        let offers = plans::on_offer(&directory).await?;
        directory.end_read();
        drop(directory);
        let version = offers.into_iter().find(|it| it.plan.key == plan).ok_or(PlatformError::PlanNotFound)?;
        self.tenant(id).await?.ok_or(PlatformError::NotFound)?;
        let first = self.first_terms(id).await?;
        let (store, _) = self.enter(id, now).await?;
        let before = billing::put_on_plan(&store, first.as_ref(), &version, now).await?;
        let changes = Changes::default().field("plan", before, version.plan.key);
        self.finish(store, "tenants.change_plan", changes, now).await
    }

    /// Pauses or resumes a tenant's subscription.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`billing::set_paused`].
    pub async fn set_paused(&self, id: TenantId, paused: bool) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        self.tenant(id).await?.ok_or(PlatformError::NotFound)?;
        let first = self.first_terms(id).await?;
        let (store, _) = self.enter(id, now).await?;
        billing::set_paused(&store, first.as_ref(), paused, now).await?;
        let changes = Changes::default().field("paused", !paused, paused);
        self.finish(store, if paused { "billing.pause" } else { "billing.resume" }, changes, now).await
    }

    async fn first_terms(&self, id: TenantId) -> Result<Option<billing::subscriptions::Agreed>, PlatformError> {
        match self.billing.first_terms(id).await {
            Err(DbError::TenantNotHere) => Err(PlatformError::NotFound),
            other => Ok(other?),
        }
    }

    /// Changes the tax on a tenant's invoices, from the next one on.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn set_tax(&self, id: TenantId, tax: Tax) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        if !(0..=1_000_000).contains(&tax.rate_ppm) {
            return Err(PlatformError::Invalid("rate", "Must be between 0 and 100 percent."));
        }
        if tax.name.is_empty() || tax.name.chars().count() > 40 {
            return Err(PlatformError::Invalid("name", "A name must have 1 to 40 characters."));
        }
        let (store, _) = self.enter(id, now).await?;
        let before = invoices::tax(&store).await?;
        invoices::set_tax(&store, &tax, now).await?;
        let changes = Changes::default().field("tax_rate_ppm", before.rate_ppm, tax.rate_ppm).field(
            "tax_name",
            before.name,
            tax.name,
        );
        self.finish(store, "billing.set_tax", changes, now).await
    }

    /// Voids an invoice or writes it off.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`invoices::settle`].
    pub async fn settle_invoice(
        &self,
        id: TenantId,
        invoice: InvoiceId,
        state: State,
    ) -> Result<Invoice, PlatformError> {
        let now = self.clock.now();
        let (store, _) = self.enter(id, now).await?;
        billing::subscriptions::lock(&store).await?;
        let settled = invoices::settle(&store, invoice, state, now).await?;
        billing::review(&store, now).await?;
        let changes = Changes::default().field("invoice", Value::Null, settled.display_number()).field(
            "state",
            Value::Null,
            state.as_str(),
        );
        self.finish(store, "billing.settle_invoice", changes, now).await?;
        Ok(settled)
    }

    /// Records a payment made outside of Tenantry, such as a transfer.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`billing::payments::record_outside`].
    pub async fn record_payment(
        &self,
        id: TenantId,
        invoice: InvoiceId,
        amount_minor: i64,
        reference: &str,
    ) -> Result<Invoice, PlatformError> {
        let now = self.clock.now();
        let (store, _) = self.enter(id, now).await?;
        billing::subscriptions::lock(&store).await?;
        let paid = billing::payments::record_outside(&store, invoice, amount_minor, reference, now).await?;
        let changes = Changes::default()
            .field("invoice", Value::Null, paid.display_number())
            .field("amount_minor", Value::Null, amount_minor)
            .field("reference", Value::Null, reference);
        self.finish(store, "billing.record_payment", changes, now).await?;
        Ok(paid)
    }

    /// Credits an amount of an invoice.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`invoices::credit`].
    pub async fn credit_invoice(
        &self,
        id: TenantId,
        invoice: InvoiceId,
        amount_minor: i64,
        reason: &str,
    ) -> Result<CreditNote, PlatformError> {
        let now = self.clock.now();
        let (store, _) = self.enter(id, now).await?;
        billing::subscriptions::lock(&store).await?;
        let note = invoices::credit(&store, invoice, amount_minor, reason, now).await?;
        billing::review(&store, now).await?;
        let changes = Changes::default()
            .field("invoice", Value::Null, invoice.to_string())
            .field("amount_minor", Value::Null, note.amount_minor)
            .field("reason", Value::Null, note.reason.clone());
        self.finish(store, "billing.credit_invoice", changes, now).await?;
        Ok(note)
    }

    /// An invoice of a tenant, for a caller that is about to credit it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn invoice(&self, id: TenantId, invoice: InvoiceId) -> Result<Invoice, PlatformError> {
        self.tenant(id).await?.ok_or(PlatformError::NotFound)?;
        let store = self.gate.tenant(self.viewer.scope(Some(id)), Access::Read);
        let found = invoices::by_id(&store, invoice).await?;
        store.end_read();
        found.ok_or(PlatformError::Invoice(invoices::InvoiceError::NotFound))
    }

    /// Payment events that were given up, oldest first.
    pub async fn dead_payment_events(&self) -> Result<Vec<DeadEvent>, DbError> {
        let directory = self.directory();
        let found = inbox::dead(&directory).await?;
        directory.end_read();
        Ok(found)
    }

    /// Queues a given-up payment event again.
    ///
    /// # Errors
    /// `NoSuchEvent`.
    pub async fn retry_payment_event(&self, provider: &str, event: &str) -> Result<(), PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        if !inbox::revive(&directory, provider, event, self.clock.now()).await? {
            return Err(PlatformError::NoSuchEvent);
        }
        self.note_in(&directory, "payments.retry", json!({ "provider": provider, "event": event })).await?;
        Ok(directory.commit().await?)
    }

    /// Directory: records the administrator's action, in the transaction that performs it.
    async fn note_in(
        &self,
        directory: &crate::db::ScopedTx,
        action: &'static str,
        details: Value,
    ) -> Result<(), DbError> {
        crate::features::auth::operators::note(
            directory,
            self.viewer,
            action,
            None,
            &details,
            self.origin,
            self.clock.now(),
        )
        .await
    }
}

/// Sends the current rollouts to every tenant's store that has not seen the last change, and returns how many there
/// were.
///
/// # Errors
/// When a statement fails. The next call updates the rest.
pub async fn spread_rollouts(gate: &Gate) -> Result<usize, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let rollouts = entitlements::rollouts(&directory).await?;
    let epoch = rollouts.iter().map(|it| it.epoch).max().unwrap_or(0);
    let behind = entitlements::behind(&directory, epoch).await?;
    directory.end_read();
    drop(directory);
    for id in &behind {
        // A store that cannot be reached does not block the others.
        if let Err(error) = take_rollouts(gate, *id, &rollouts, epoch).await {
            tracing::warn!(%error, tenant.id = %id, "a tenant's rollouts could not be updated");
        }
    }
    Ok(behind.len())
}

async fn take_rollouts(gate: &Gate, id: TenantId, rollouts: &[Rollout], epoch: i64) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Write);
    if tenants::find(&store).await?.is_some() {
        entitlements::take_rollouts(&store, rollouts).await?;
    }
    store.commit().await?;
    drop(store);
    let directory = gate.directory(Scope::platform(Some(id)), Access::Write);
    entitlements::note_seen(&directory, epoch).await?;
    directory.commit().await
}
