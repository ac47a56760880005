//! Background work, in turns.

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use super::{
    failure::Failure,
    queue::{Line, join_all},
};
use crate::{
    base::{
        clock::Clock,
        egress::WebhookClient,
        fault,
        ids::{BookingId, InvoiceId, ServiceId, TenantId, UserId},
    },
    core::{
        outbox::{self, ClaimedEffect, Effect, Lane},
        telemetry,
    },
    db::{Access, DbError, Gate, Scope, ScopedTx},
    features::{
        auth::SignIn,
        billing::{self, Engine},
        bookings::{self, BookingEvent, Happened},
        mail::{Letter, Mailer},
        notices, platform, tenants,
        usage::rate_limits::Rates,
        waitlist::{self, Freed, Pass},
        webhooks,
    },
};

/// How often everything is looked through for work that nobody rang for: of another process, or due by now.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// How often what was left half-done is settled, and what has expired erased.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How often what has expired is removed.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

/// How many effects of a tenant are carried out before it is another's turn: few enough that all are done, each in its
/// longest time, before the first one's lease ends.
const TURN: i64 = 3;

/// How many tenants are worked for at the same time, in each lane.
const AT_ONCE: usize = 4;

/// A sweep looks at every tenant of the shared store, and at one of so many parts of those with a store of their own.
const OWN_PARTS: u128 = 4;

/// How many tenants one statement asks about.
const SWEEP_PART: usize = 500;

/// Carries background work out.
#[derive(Clone)]
pub struct Worker {
    gate: Gate,
    sign_in: Arc<SignIn>,
    mailer: Arc<Mailer>,
    webhooks: WebhookClient,
    billing: Engine,
    rates: Arc<Rates>,
    clock: Clock,
    /// Held while stores of tenants' own are looked at.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// What a worker needs.
pub struct WorkerParts {
    /// Opens transactions.
    pub gate: Gate,
    /// The sign-in path.
    pub sign_in: Arc<SignIn>,
    /// Sends mail.
    pub mailer: Arc<Mailer>,
    /// Sends to endpoints of tenants.
    pub webhooks: WebhookClient,
    /// Bills.
    pub billing: Engine,
    /// Knows what requests cost.
    pub rates: Arc<Rates>,
    /// What time it is.
    pub clock: Clock,
}

impl Worker {
    /// From its parts.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { gate, sign_in, mailer, webhooks, billing, rates, clock } = parts;
        Self { gate, sign_in, mailer, webhooks, billing, rates, clock, looking: Arc::default() }
    }

    /// Works until it is told to stop. What it is at then is finished: at most one effect of each tenant that has its turn.
    pub fn start(self, stop: watch::Receiver<Option<String>>) -> JoinHandle<()> {
        tokio::spawn(async move {
            // Each by itself, so that none waits for another.
            tokio::join!(self.serve_tenants(stop.clone()), self.serve_requests(stop.clone()), self.keep_tidy(stop));
        })
    }

    async fn serve_requests(&self, mut stop: watch::Receiver<Option<String>>) {
        loop {
            self.look_into_requests().await;
            self.look_into_payments().await;
            self.rates.costs.record(&self.gate, self.clock.now()).await;
            let stops = tokio::select! {
                _ = stop.wait_for(Option::is_some) => true,
                () = self.gate.wakeups().directory() => false,
                () = tokio::time::sleep(SWEEP_EVERY) => false,
            };
            if stops {
                return self.rates.costs.record(&self.gate, self.clock.now()).await;
            }
        }
    }

    async fn keep_tidy(&self, mut stop: watch::Receiver<Option<String>>) {
        let mut next_purge = Instant::now();
        loop {
            self.tidy().await;
            if Instant::now() >= next_purge {
                self.purge().await;
                next_purge = Instant::now() + PURGE_EVERY;
            }
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => return,
                () = tokio::time::sleep(TIDY_EVERY) => {}
            }
        }
    }

    /// Every tenant that has something due gets a turn, some at a time; who has more comes again behind all others. In two
    /// lanes that do not wait for each other.
    async fn serve_tenants(&self, mut stop: watch::Receiver<Option<String>>) {
        let (mut lines, mut running) = ([Line::default(), Line::default()], [0; 2]);
        let (mut next_sweep, mut part) = (Instant::now(), 0);
        let (found, mut finds) = mpsc::unbounded_channel();
        let mut turns: JoinSet<(Lane, TenantId, bool)> = JoinSet::new();
        while stop.borrow().is_none() {
            if Instant::now() >= next_sweep {
                let due = self.sweep(Some(part), &found).await;
                part = (part + 1) % OWN_PARTS;
                telemetry::note_due_tenants(due.len());
                join_all(&mut lines, due);
                next_sweep = Instant::now() + SWEEP_EVERY;
            }
            for lane in [Lane::Usual, Lane::Webhooks] {
                while running[lane as usize] < AT_ONCE
                    && let Some(tenant) = lines[lane as usize].next()
                {
                    running[lane as usize] += 1;
                    let (worker, stop) = (self.clone(), stop.clone());
                    turns.spawn(async move {
                        // A panic ends this turn, and not the tenant's place in the line.
                        let turn = AssertUnwindSafe(worker.turn(tenant, lane, &stop)).catch_unwind().await;
                        (lane, tenant, turn.unwrap_or(false))
                    });
                }
            }
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => {}
                Some(turn) = turns.join_next() => {
                    if let Ok((lane, tenant, more)) = turn {
                        running[lane as usize] -= 1;
                        lines[lane as usize].leave(tenant, more);
                    }
                }
                rung = self.gate.wakeups().tenants() => join_all(&mut lines, rung),
                Some(due) = finds.recv() => join_all(&mut lines, [due]),
                () = tokio::time::sleep_until(next_sweep) => {}
            }
        }
        while turns.join_next().await.is_some() {}
    }

    /// Carries out everything that is due now, and returns how often something was tried. For tests and the command line.
    pub async fn run_until_idle(&self) -> usize {
        let mut turns = 0;
        loop {
            let looked = self.look_into_requests().await | self.look_into_payments().await;
            let (found, mut finds) = mpsc::unbounded_channel();
            let mut waiting = self.sweep(None, &found).await;
            drop(found);
            while let Some(due) = finds.recv().await {
                waiting.push_back(due);
            }
            if waiting.is_empty() && !looked {
                return turns;
            }
            let (_running, never) = watch::channel(None);
            for tenant in waiting {
                for lane in [Lane::Usual, Lane::Webhooks] {
                    self.turn(tenant, lane, &never).await;
                    turns += 1;
                }
            }
        }
    }

    /// Settles what was left half-done, and erases what has expired.
    pub async fn tidy(&self) {
        match self.sign_in.finish_or_abandon().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "tenants whose making did not end were settled"),
            Err(error) => tracing::warn!(?error, "tenants that were begun cannot be settled"),
        }
        match platform::copy_wanted(&self.gate, self.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "changes of tenants were copied to the directory"),
            Err(error) => tracing::warn!(%error, "changes of tenants cannot be copied to the directory"),
        }
        match platform::selling::spread_rollouts(&self.gate).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "tenants were told of roll-outs of features"),
            Err(error) => tracing::warn!(%error, "tenants cannot be told of roll-outs of features"),
        }
        match platform::erase_expired(&self.gate, self.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deleted tenants were erased"),
            Err(error) => tracing::warn!(%error, "deleted tenants cannot be erased"),
        }
    }

    /// Removes answers that were kept long enough, of every tenant.
    pub async fn purge(&self) {
        if let Err(error) = billing::payments::inbox::purge(&self.gate, self.clock.now()).await {
            tracing::warn!(%error, "old payment events cannot be forgotten");
        }
        let tenants = platform::served_tenants(&self.gate).await.unwrap_or_default();
        for tenant in tenants {
            // Each run has the next one come when a period ends; this is for what was never run, or was lost.
            if let Err(error) = self.billing.run(tenant, self.clock.now()).await {
                tracing::warn!(%error, tenant.id = %tenant, "a tenant cannot be billed");
            }
            if let Err(error) = self.sign_in.purge(tenant, self.clock.now()).await {
                tracing::warn!(?error, tenant.id = %tenant, "what has expired cannot be removed");
            }
            let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
            let expired = async {
                tenants::lock_calendar(&tx).await?;
                bookings::expire_holds(&tx, self.clock.now()).await?;
                tx.commit().await?;
                // Not under the calendar's lock: it may take a while.
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                webhooks::purge(&tx, self.clock.now()).await?;
                tx.commit().await
            };
            if let Err(error) = expired.await {
                tracing::warn!(%error, tenant.id = %tenant, "what is over cannot be let go or removed");
            }
            // Time is freed by more than bookings that end: by longer hours, or one more seat.
            let now = self.clock.now();
            if let Err(error) = self.offer(tenant, Pass::new(None), now).await {
                tracing::warn!(%error, tenant.id = %tenant, "what is free cannot be offered to those who wait");
            }
        }
    }

    /// Everybody who has something due. `found` hears of those with a store of their own as they are looked at, for one store
    /// that does not answer keeps nobody waiting; with a part, of that part of them.
    async fn sweep(&self, part: Option<u128>, found: &mpsc::UnboundedSender<TenantId>) -> VecDeque<TenantId> {
        let mut due = VecDeque::new();
        let split = async { self.gate.split_by_store(&platform::served_tenants(&self.gate).await?).await };
        let (shared, own) = match split.await {
            Ok(split) => split,
            Err(error) => {
                tracing::warn!(%error, "cannot look for background work");
                return due;
            }
        };
        for tenants in shared.chunks(SWEEP_PART) {
            due.extend(self.look_for_work(self.gate.shared(), tenants).await);
        }
        // Each of the others is a connection, which is to rest in between: what its own commits leave rings.
        let own = own.into_iter().map(|(tenant, _)| tenant);
        let own: Vec<_> = own.filter(|it| part.is_none_or(|part| it.0.as_u128() % OWN_PARTS == part)).collect();
        let Ok(looking) = self.looking.clone().try_lock_owned() else { return due }; // The last sweep still looks.
        let (worker, found) = (self.clone(), found.clone());
        let looks = async move {
            let _looking = looking;
            let mut looks = JoinSet::new();
            for tenant in own {
                if looks.len() >= AT_ONCE {
                    looks.join_next().await;
                }
                let (worker, found) = (worker.clone(), found.clone());
                looks.spawn(async move {
                    let store = worker.gate.tenant(Scope::platform(Some(tenant)), Access::Read);
                    for tenant in worker.look_for_work(store, &[tenant]).await {
                        let _ = found.send(tenant); // Nobody hears it any more where the worker stops.
                    }
                });
            }
            while looks.join_next().await.is_some() {}
        };
        tokio::spawn(looks);
        due
    }

    async fn look_for_work(&self, tx: ScopedTx, tenants: &[TenantId]) -> Vec<TenantId> {
        let found = outbox::with_due_effects(&tx, tenants, self.clock.now()).await;
        tx.end_read();
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for background work of some tenants");
            Vec::new()
        })
    }

    /// What payment providers told and could not be carried out at once.
    async fn look_into_payments(&self) -> bool {
        match self.billing.work_off_events(self.clock.now()).await {
            Ok(count) => count > 0,
            Err(error) => {
                tracing::warn!(%error, "what payment providers told cannot be looked into");
                false
            }
        }
    }

    async fn look_into_requests(&self) -> bool {
        let mut any = false;
        loop {
            match self.sign_in.look_into_requests().await {
                Ok(true) => any = true,
                Ok(false) => return any,
                Err(error) => {
                    tracing::warn!(?error, "requests of people who are not signed in cannot be looked into");
                    return false;
                }
            }
        }
    }

    /// Carries some effects of a tenant out; returns whether there may be more.
    async fn turn(&self, tenant: TenantId, lane: Lane, stop: &watch::Receiver<Option<String>>) -> bool {
        let now = self.clock.now();
        let taken = async {
            let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
            let taken = outbox::take(&tx, lane, TURN, now).await?;
            tx.commit().await?;
            Ok::<_, DbError>(taken)
        };
        let taken = match taken.await {
            Ok(taken) => taken,
            Err(DbError::TenantNotHere | DbError::TenantMoving) => return false,
            Err(error) => {
                tracing::warn!(%error, tenant.id = %tenant, "background work of a tenant cannot be taken");
                return false;
            }
        };
        fault::point("outbox.taken");
        let more = i64::try_from(taken.len()).is_ok_and(|count| count == TURN);
        for it in taken {
            telemetry::note_lag(now.duration_since(it.due_at).as_secs_f64());
            if stop.borrow().is_some() {
                return false; // Its lease ends, and somebody else takes it.
            }
            let outcome = self.carry_out(tenant, &it, now).await;
            if let Err(error) = self.note(tenant, &it, outcome).await {
                // Its lease ends, and it is done again: at least once.
                tracing::warn!(%error, tenant.id = %tenant, "the outcome of background work cannot be noted");
                return false;
            }
        }
        more
    }

    async fn note(&self, tenant: TenantId, taken: &ClaimedEffect, outcome: Result<(), Failure>) -> Result<(), DbError> {
        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        match outcome {
            Ok(()) => {
                outbox::done(&tx, taken.id).await?;
                telemetry::count_effect("done");
            }
            Err(failure) => {
                let (why, hopeless) = match &failure {
                    Failure::Hopeless(why) => (why, true),
                    Failure::Later(why) => (why, false),
                };
                let dead = outbox::failed(&tx, taken, why, hopeless, now).await?;
                telemetry::count_effect(if dead { "given_up" } else { "failed" });
                let (id, attempt) = (taken.id, taken.attempt);
                if dead {
                    tracing::error!(%id, tenant.id = %tenant, attempt, "background work was given up: see `tenantry outbox list`");
                } else {
                    tracing::warn!(%id, tenant.id = %tenant, attempt, "background work failed and is tried again");
                }
            }
        }
        tx.commit().await?;
        fault::point("outbox.noted");
        Ok(())
    }

    async fn carry_out(&self, tenant: TenantId, taken: &ClaimedEffect, now: Timestamp) -> Result<(), Failure> {
        let Some(effect) = &taken.effect else {
            return Err(Failure::Later("this version does not know what is to be done".into()));
        };
        match effect {
            Effect::SyncTenant => {
                // Somebody of the platform may be in the middle of a change: what he wants copied stays wanted.
                Ok(platform::sync(&self.gate, tenant, Timestamp::UNIX_EPOCH).await?)
            }
            Effect::ForgetLogin { user } => Ok(self.sign_in.forget(tenant, UserId(*user)).await?),
            Effect::VerifyLogin { user } => Ok(self.sign_in.verify_login(tenant, UserId(*user)).await?),
            Effect::ExpireRegistration { registration } => {
                Ok(self.sign_in.expire_registration(tenant, *registration).await?)
            }
            Effect::TellOfBooking { event, booking, version, status, starts_at, ends_at, by_mail } => {
                let Some(event) = BookingEvent::named(event) else {
                    return Err(Failure::Later(format!("this version does not know {event}")));
                };
                let happened = Happened {
                    effect: taken.id,
                    event,
                    booking: BookingId(*booking),
                    version: *version,
                    status: status.parse()?,
                    starts_at: *starts_at,
                    ends_at: *ends_at,
                    at: taken.created_at,
                    by_mail: *by_mail,
                };
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                notices::follow(&tx, &happened, now).await?;
                webhooks::follow(&tx, &happened, now).await?;
                Ok(tx.commit().await?)
            }
            Effect::OfferFreedTime { service, from, to } => {
                let freed = service.map(|it| Freed { service: ServiceId(it), from: *from, to: *to });
                Ok(self.offer(tenant, Pass::new(freed), now).await?)
            }
            Effect::SendWebhook { delivery } => self.send_webhook(tenant, *delivery, taken, now).await,
            Effect::MailWebhookDisabled { endpoint, user } => {
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Read);
                let letter = webhooks::letter(&tx, *endpoint, *user).await?;
                tx.end_read();
                self.send(taken, letter).await
            }
            Effect::RunBilling => Ok(self.billing.run(tenant, now).await?),
            Effect::CollectInvoice { invoice, at_once } => {
                self.billing.collect(tenant, InvoiceId(*invoice), *at_once, now).await.map_err(Failure::Later)
            }
            Effect::AnnounceInvoice { invoice } => self.announce(tenant, taken, *invoice, "issued", now).await,
            Effect::AnnounceOverdue { invoice, is_last } => {
                self.announce(tenant, taken, *invoice, if *is_last { "restricted" } else { "failed" }, now).await
            }
            Effect::RestrictOverdue { invoice } => {
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                billing::payments::collection::restrict(&tx, InvoiceId(*invoice), now).await?;
                Ok(tx.commit().await?)
            }
            Effect::MailInvoice { invoice, user, what } => {
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Read);
                let letter = billing::invoice_mail::letter(&tx, *invoice, *user, what).await?;
                tx.end_read();
                self.send(taken, letter).await
            }
            mail @ (Effect::MailBooking { .. }
            | Effect::MailReminder { .. }
            | Effect::MailOffer { .. }
            | Effect::MailSeries { .. }) => {
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Read);
                let letter = notices::letter(&tx, mail, self.mailer.sender(), now).await?;
                tx.end_read();
                self.send(taken, letter).await
            }
            mail @ (Effect::MailPasswordReset { .. }
            | Effect::MailPasswordChanged { .. }
            | Effect::MailEmailVerification { .. }
            | Effect::MailInvitation { .. }
            | Effect::MailRegistration { .. }) => {
                let letter = self.sign_in.write_mail(tenant, taken.id, mail, now, &self.mailer).await?;
                self.send(taken, letter).await
            }
        }
    }

    async fn announce(
        &self,
        tenant: TenantId,
        taken: &ClaimedEffect,
        invoice: Uuid,
        what: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        billing::invoice_mail::announce(&tx, taken.id, invoice, what, now).await?;
        Ok(tx.commit().await?)
    }

    /// What it takes of the network stands between two transactions, and in none.
    async fn send_webhook(
        &self,
        tenant: TenantId,
        delivery: Uuid,
        taken: &ClaimedEffect,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let last = taken.attempt >= outbox::MAX_ATTEMPTS;
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        let next = webhooks::next(&tx, delivery, last, now).await?;
        tx.commit().await?;
        let due = match next {
            webhooks::Next::Send(due) => due,
            webhooks::Next::Wait => return Err(Failure::Later("the endpoint has just failed".into())),
            webhooks::Next::Nothing => return Ok(()),
        };
        fault::point("webhooks.read");
        let answer = due.send(&self.webhooks, now).await;
        fault::point("webhooks.sent");
        let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
        let settled = webhooks::note(&tx, &due, &answer, last, now).await?;
        tx.commit().await?;
        if settled { Ok(()) } else { Err(Failure::Later(format!("{answer:?}"))) }
    }

    /// In transactions of a few offers each: whoever books meanwhile waits for one of them at most.
    async fn offer(&self, tenant: TenantId, mut pass: Pass, now: Timestamp) -> Result<(), DbError> {
        loop {
            let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
            let more = Box::pin(waitlist::offer_freed(&tx, &mut pass, now)).await?;
            tx.commit().await?;
            if !more {
                break;
            }
        }
        if pass.offers() > 0 {
            tracing::debug!(tenant.id = %tenant, offers = pass.offers(), "freed time was offered");
        }
        Ok(())
    }

    async fn send(&self, taken: &ClaimedEffect, letter: Option<Letter>) -> Result<(), Failure> {
        let Some(letter) = letter else {
            return Ok(()); // Not worth sending any more.
        };
        fault::point("outbox.written");
        self.mailer.send(taken.id, taken.created_at, &letter).await?;
        fault::point("outbox.sent");
        Ok(())
    }
}
