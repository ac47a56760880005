//! Billing operations of a tenant's administrator.

use super::{
    BillingError, Engine, Preview, When,
    cycles::Interval,
    engine::{FALLBACK_PLAN, present, refuse_other_currency},
    invoices::{self, Invoice},
    payments::{
        self, CheckoutRequest, CheckoutSession, CheckoutState, CheckoutWish, NewCustomer, PaymentProvider,
        ProviderError, checkout,
    },
    schedule, standing,
    subscriptions::{self, Agreed, Status, Subscription},
};
use crate::{
    base::{
        clock::Clock,
        fault,
        ids::{CheckoutId, InvoiceId},
        money::Money,
    },
    core::{
        audit::{self, Changes},
        identity::{Origin, Role, Viewer},
        outbox::{self, Effect},
    },
    db::{Access, Scope, ScopedTx},
    features::tenants::{self, Tenant},
};

/// A tenant's administrator who manages the subscription.
#[derive(Clone, Copy)]
pub struct SelfService<'a> {
    /// The billing engine.
    pub engine: &'a Engine,
    /// The administrator.
    pub viewer: Viewer,
    /// The current time.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
}

impl SelfService<'_> {
    /// Checks the administrator's session and role in a separate transaction, as every request does.
    async fn check(&self) -> Result<(), BillingError> {
        let tx = self.engine.gate.tenant(self.viewer.scope(), Access::Read);
        let seen = tenants::current(&tx).await;
        tx.end_read();
        seen?;
        if self.viewer.role == Role::Admin { Ok(()) } else { Err(BillingError::Forbidden) }
    }

    /// Starts a transaction that may change billing, with the subscription locked and up to date.
    async fn enter(&self) -> Result<(ScopedTx, Tenant, Subscription), BillingError> {
        self.check().await?;
        let (tenant, now) = (self.viewer.tenant, self.clock.now());
        let first = self.engine.first_terms(tenant).await?;
        let tx = self.engine.gate.tenant(Scope::worker(tenant), Access::Write);
        let (tenant, subscription) = present(&tx, first.as_ref(), now).await?;
        Ok((tx, tenant, subscription))
    }

    /// Creates the subscription of a tenant that was never billed.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn ensure(&self) -> Result<(), BillingError> {
        self.check().await?;
        if self.engine.first_terms(self.viewer.tenant).await?.is_some() {
            let (tx, _, _) = self.enter().await?;
            schedule(&tx, self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Records the action, issues what has fallen due, and commits.
    async fn finish(
        &self,
        tx: ScopedTx,
        tenant: &Tenant,
        action: &'static str,
        changes: Changes,
    ) -> Result<(), BillingError> {
        let now = self.clock.now();
        invoices::draft_due(&tx, tenant, now).await?;
        while invoices::issue_next(&tx, now).await?.is_some() {}
        schedule(&tx, now).await?;
        let event = audit::Event::of_sign_in(self.viewer.user, action, "subscription", None).with(changes);
        audit::record_as(&tx, event, now, self.origin).await?;
        fault::point("billing.changing");
        Ok(tx.commit().await?)
    }

    /// The cost of a plan change and when it takes effect.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`.
    pub async fn preview(&self, plan: &str, interval: Interval, when: When) -> Result<Preview, BillingError> {
        let agreed = self.engine.sold(plan, interval).await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let preview = self.previewed(&tx, &tenant, &subscription, &agreed, interval, when).await?;
        // Commits only what bringing the subscription up to date has changed.
        tx.commit().await?;
        Ok(preview)
    }

    async fn previewed(
        &self,
        tx: &ScopedTx,
        tenant: &Tenant,
        subscription: &Subscription,
        agreed: &Agreed,
        interval: Interval,
        when: When,
    ) -> Result<Preview, BillingError> {
        let now = subscriptions::in_micros(self.clock.now());
        refuse_same(subscription, agreed, interval)?;
        if subscription.is_alive() {
            refuse_other_currency(&subscriptions::agreed(tx, subscription.version).await?, agreed)?;
        }
        let currency = agreed.terms.currency()?;
        let (at, totals) = match when {
            When::Now => {
                let changed = if subscription.is_alive() {
                    subscriptions::changed(tx, subscription.clone(), agreed, interval, now).await?
                } else {
                    subscriptions::new(tx, tenant, agreed, interval, now, now).await?
                };
                (now, invoices::preview(tx, subscription, &changed, agreed, now).await?)
            }
            When::PeriodEnd => {
                let last = subscriptions::last_period(tx, subscription.id).await?;
                let next = Some((agreed.version_id, interval));
                let changed = Subscription { next, cancel_at: None, ..subscription.clone() };
                let totals = invoices::preview_at_end(tx, &changed, agreed, &last).await?;
                (last.cycle_end, totals)
            }
        };
        Ok(Preview { takes_effect_at: at, totals, currency })
    }

    /// Changes the plan. If the plan can cost anything, a payment method is required.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`, `CheckoutRequired`, `InvalidTransition`.
    pub async fn change_plan(&self, plan: &str, interval: Interval, when: When) -> Result<Preview, BillingError> {
        let now = self.clock.now();
        let agreed = self.engine.sold(plan, interval).await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let preview = self.previewed(&tx, &tenant, &subscription, &agreed, interval, when).await?;
        if !subscription.is_alive() && when == When::PeriodEnd {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let can_be_charged = payments::account(&tx).await?.method.is_some() || self.engine.provider.is_none();
        if agreed.terms.costs() && !can_be_charged {
            return Err(BillingError::CheckoutRequired);
        }
        let before = subscriptions::agreed(&tx, subscription.version).await?;
        match when {
            When::PeriodEnd => {
                subscriptions::change_at_end(&tx, subscription, &agreed, interval, now).await?;
            }
            When::Now if subscription.is_alive() => {
                standing::reviewed(
                    &tx,
                    subscriptions::change_now(&tx, subscription, &agreed, interval, now, now).await?,
                    now,
                )
                .await?;
            }
            When::Now => {
                let from = subscription.ended_at.map_or(now, |it| it.max(now));
                standing::reviewed(&tx, subscriptions::begin(&tx, &tenant, &agreed, interval, from, now).await?, now)
                    .await?;
            }
        }
        let changes = Changes::default().field("plan", before.plan_key, agreed.plan_key).field(
            "takes_effect_at",
            serde_json::Value::Null,
            preview.takes_effect_at.to_string(),
        );
        self.finish(tx, &tenant, "billing.change_plan", changes).await?;
        Ok(preview)
    }

    /// Revokes a change of plan or a cancellation scheduled for the end of the cycle.
    ///
    /// # Errors
    /// `InvalidTransition` when nothing is scheduled.
    pub async fn keep_plan(&self) -> Result<(), BillingError> {
        let now = self.clock.now();
        let (tx, tenant, subscription) = self.enter().await?;
        if !subscription.is_alive() || (subscription.next.is_none() && subscription.cancel_at.is_none()) {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let (agreed, interval) = (subscriptions::agreed(&tx, subscription.version).await?, subscription.interval);
        subscriptions::change_at_end(&tx, subscription, &agreed, interval, now).await?;
        self.finish(tx, &tenant, "billing.keep_plan", Changes::default()).await
    }

    /// Cancels the subscription; the tenant then falls back to the free plan.
    ///
    /// # Errors
    /// `InvalidTransition` when the subscription has ended, or is the free plan.
    pub async fn cancel(&self, when: When) -> Result<(), BillingError> {
        let now = self.clock.now();
        let fallback = self.engine.fallback().await?;
        let (tx, tenant, subscription) = self.enter().await?;
        let agreed = subscriptions::agreed(&tx, subscription.version).await?;
        if !subscription.is_alive() || agreed.plan_key == FALLBACK_PLAN {
            return Err(BillingError::InvalidTransition(subscription.status));
        }
        let cancelled = match when {
            When::PeriodEnd => subscriptions::cancel_at_end(&tx, subscription, fallback.as_ref(), now).await?,
            When::Now => {
                standing::reviewed(
                    &tx,
                    subscriptions::cancel_now(&tx, subscription, fallback.as_ref(), now).await?,
                    now,
                )
                .await?
            }
        };
        let at = cancelled.cancel_at.map(|it| it.to_string());
        let changes = Changes::default().field("cancel_at", serde_json::Value::Null, at);
        self.finish(tx, &tenant, "billing.cancel", changes).await
    }

    /// Opens the provider's checkout page for a plan. The session is stored first, and its id is the provider's
    /// idempotency key: a repetition after a crash gets the same page.
    ///
    /// # Errors
    /// `PlanNotFound`, `NotOffered`, `SamePlan`, `CheckoutOpen`, `Invalid`, `NoProvider`, `Provider`.
    pub async fn check_out(&self, wish: CheckoutWish) -> Result<CheckoutSession, BillingError> {
        let provider = self.engine.provider()?;
        checked_url("successUrl", &wish.success_url)?;
        checked_url("cancelUrl", &wish.cancel_url)?;
        let agreed = self.engine.sold(&wish.plan, wish.interval).await?;
        let session = self.begin_checkout(&wish, &agreed, provider.name()).await?;
        fault::point("checkout.begun");
        let customer = self.customer(provider).await?;
        fault::point("checkout.customer");
        let request = CheckoutRequest {
            checkout: session.id,
            tenant: self.viewer.tenant,
            customer,
            amount: session.amount,
            description: agreed.plan_name.clone(),
            success_url: session.success_url.clone(),
            cancel_url: session.cancel_url.clone(),
            expires_at: session.expires_at,
        };
        let page = match provider.create_checkout(request).await {
            Ok(page) => page,
            Err(ProviderError::Later(why)) => return Err(BillingError::Provider(why)),
            Err(ProviderError::Refused(why)) => {
                // The provider would refuse the same session again, so the next attempt uses a new one.
                let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
                payments::expire_checkout(&tx, session.id).await?;
                tx.commit().await?;
                return Err(BillingError::Provider(why));
            }
        };
        fault::point("checkout.created");
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
        payments::open_page(&tx, session.id, &page).await?;
        let opened = payments::checkout_session(&tx, session.id).await?;
        tx.commit().await?;
        // A concurrent checkout for something else may have replaced this one.
        let is_open = |it: &CheckoutSession| matches!(it.state, CheckoutState::Open | CheckoutState::Completed);
        opened.filter(is_open).ok_or_else(|| BillingError::Provider("another checkout has replaced this one".into()))
    }

    async fn begin_checkout(
        &self,
        wish: &CheckoutWish,
        agreed: &Agreed,
        provider: &str,
    ) -> Result<CheckoutSession, BillingError> {
        let now = subscriptions::in_micros(self.clock.now());
        let (tx, tenant, subscription) = self.enter().await?;
        let found = match payments::open_checkout(&tx, agreed.plan).await? {
            // Left by a request that did not reach the provider or did not get its answer: the request is repeated.
            Some(begun)
                if begun.state == CheckoutState::Creating
                    && now + checkout::LEAST_LIFE < begun.expires_at
                    && begun.is_for(wish, agreed) =>
            {
                begun
            }
            Some(open) if open.state == CheckoutState::Open && now < open.expires_at => {
                return Err(BillingError::CheckoutOpen(Box::new(open)));
            }
            over => {
                if let Some(over) = over {
                    payments::expire_checkout(&tx, over.id).await?;
                }
                let has_method = payments::account(&tx).await?.method.is_some();
                if has_method {
                    refuse_same(&subscription, agreed, wish.interval)?;
                }
                let is_same = refuse_same(&subscription, agreed, wish.interval).is_err();
                let amount = if is_same {
                    // Only the payment method is missing.
                    Money { minor: 0, currency: agreed.terms.currency()? }
                } else {
                    let preview = self.previewed(&tx, &tenant, &subscription, agreed, wish.interval, When::Now).await?;
                    Money { minor: preview.totals.total_minor, currency: preview.currency }
                };
                let session = CheckoutSession {
                    id: CheckoutId::generate(now),
                    plan: agreed.plan,
                    version: agreed.version_id,
                    interval: wish.interval,
                    state: CheckoutState::Creating,
                    priced_at: now,
                    amount,
                    success_url: wish.success_url.clone(),
                    cancel_url: wish.cancel_url.clone(),
                    provider: provider.to_owned(),
                    reference: None,
                    url: None,
                    expires_at: now + checkout::LIFE,
                };
                subscriptions::keep_terms(&tx, agreed, now).await?;
                payments::insert_checkout(&tx, &session).await?;
                session
            }
        };
        let changes = Changes::default().field("plan", serde_json::Value::Null, agreed.plan_key.clone());
        self.finish(tx, &tenant, "billing.checkout", changes).await?;
        Ok(found)
    }

    /// The provider's customer id of the tenant, created when there is none. The directory stores it before the tenant
    /// can pay.
    async fn customer(&self, provider: &dyn PaymentProvider) -> Result<String, BillingError> {
        let (gate, id, now) = (&self.engine.gate, self.viewer.tenant, self.clock.now());
        let tx = gate.tenant(Scope::worker(id), Access::Read);
        let (account, tenant) = futures_util::join!(payments::account(&tx), tenants::current(&tx));
        tx.end_read();
        drop(tx);
        let (account, tenant) = (account?, tenant?);
        if let (Some(customer), true) = (account.customer, account.provider.as_deref() == Some(provider.name())) {
            return Ok(customer);
        }
        let made = provider.create_customer(NewCustomer { tenant: id, name: tenant.slug }).await;
        let customer = made.map_err(|error| match error {
            ProviderError::Refused(why) | ProviderError::Later(why) => BillingError::Provider(why),
        })?;
        payments::note_customer(gate, id, provider.name(), &customer, now).await?;
        Ok(customer)
    }

    /// Collects an invoice now, regardless of the schedule.
    ///
    /// # Errors
    /// `InvoiceNotFound` when there is no such open invoice.
    pub async fn pay(&self, id: InvoiceId) -> Result<(), BillingError> {
        let now = self.clock.now();
        let (tx, tenant, _) = self.enter().await?;
        let open = invoices::by_id(&tx, id).await?.filter(Invoice::is_owing);
        let invoice = open.ok_or(BillingError::InvoiceNotFound)?;
        if payments::account(&tx).await?.method.is_none() {
            return Err(BillingError::CheckoutRequired);
        }
        // Two requests before the collection starts cause one collection.
        let effect = outbox::derived_id(id.0, "asked for");
        outbox::enqueue_as(&tx, effect, &Effect::CollectInvoice { invoice: id.0, at_once: true }, now).await?;
        let changes = Changes::default().field("invoice", serde_json::Value::Null, invoice.display_number());
        self.finish(tx, &tenant, "billing.pay", changes).await
    }

    /// Opens the provider's page where payment methods are managed.
    ///
    /// # Errors
    /// `NoCustomer` before the first checkout, `Invalid`, `NoProvider`, `Provider`.
    pub async fn open_portal(&self, return_url: &str) -> Result<String, BillingError> {
        let provider = self.engine.provider()?;
        checked_url("returnUrl", return_url)?;
        self.check().await?;
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Read);
        let account = payments::account(&tx).await?;
        tx.end_read();
        drop(tx);
        let is_ours = account.provider.as_deref() == Some(provider.name());
        let customer = account.customer.filter(|_| is_ours).ok_or(BillingError::NoCustomer)?;
        let tx = self.engine.gate.tenant(Scope::worker(self.viewer.tenant), Access::Write);
        let event = audit::Event::of_sign_in(self.viewer.user, "billing.portal", "subscription", None);
        audit::record_as(&tx, event, self.clock.now(), self.origin).await?;
        tx.commit().await?;
        drop(tx);
        provider.create_portal(customer, return_url.to_owned()).await.map_err(|error| match error {
            ProviderError::Refused(why) | ProviderError::Later(why) => BillingError::Provider(why),
        })
    }
}

/// Refuses a plan and interval that the subscription already has and keeps.
fn refuse_same(subscription: &Subscription, agreed: &Agreed, interval: Interval) -> Result<(), BillingError> {
    let has_it = subscription.is_alive()
        && subscription.status != Status::Paused
        && subscription.version == agreed.version_id
        && subscription.interval == interval
        && subscription.next.is_none()
        && subscription.cancel_at.is_none();
    if has_it { Err(BillingError::SamePlan) } else { Ok(()) }
}

/// Accepts a URL that a browser can be redirected to.
fn checked_url(field: &'static str, url: &str) -> Result<(), BillingError> {
    // The parser leaves white space and control characters out, and then they would be sent on as they came.
    let is_plain = !url.chars().any(|it| it.is_control() || it.is_whitespace());
    let parsed = reqwest::Url::parse(url)
        .ok()
        .filter(|_| is_plain)
        .filter(|it| matches!(it.scheme(), "https" | "http") && it.has_host());
    match parsed {
        Some(_) if url.len() <= 2_000 => Ok(()),
        _ => Err(BillingError::Invalid(field, "Must be a URL that starts with https:// or http://.")),
    }
}
