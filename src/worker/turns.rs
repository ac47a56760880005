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

/// How often all tenants are checked for work that was not signalled: from another process, or due by now.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// How often unfinished requests are settled and deleted tenants erased.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How often expired data is removed.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

/// How many effects of a tenant are carried out in one turn: few enough that all are done, each in its longest time,
/// before the first one's lease expires.
const TURN: i64 = 3;

/// How many tenants are served at the same time, in each lane.
const AT_ONCE: usize = 4;

/// A sweep checks every tenant of the shared store, and one of this many parts of the tenants with a store of their
/// own.
const OWN_PARTS: u128 = 4;

/// How many tenants one statement checks.
const SWEEP_PART: usize = 500;

/// Carries out background work.
#[derive(Clone)]
pub struct Worker {
    gate: Gate,
    sign_in: Arc<SignIn>,
    mailer: Arc<Mailer>,
    webhooks: WebhookClient,
    billing: Engine,
    rates: Arc<Rates>,
    clock: Clock,
    /// Held while own stores are checked.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// The parts of a worker.
pub struct WorkerParts {
    /// Opens transactions.
    pub gate: Gate,
    /// The sign-in path.
    pub sign_in: Arc<SignIn>,
    /// Sends mail.
    pub mailer: Arc<Mailer>,
    /// Sends webhooks to tenants' endpoints.
    pub webhooks: WebhookClient,
    /// Runs billing.
    pub billing: Engine,
    /// Counts what requests cost.
    pub rates: Arc<Rates>,
    /// The clock.
    pub clock: Clock,
}

impl Worker {
    /// Creates a worker from its parts.
    pub fn new(parts: WorkerParts) -> Self {
        let WorkerParts { gate, sign_in, mailer, webhooks, billing, rates, clock } = parts;
        Self { gate, sign_in, mailer, webhooks, billing, rates, clock, looking: Arc::default() }
    }

    /// Works until `stop` is set. Running effects are finished: at most one of each tenant that has a turn.
    pub fn start(self, stop: watch::Receiver<Option<String>>) -> JoinHandle<()> {
        tokio::spawn(async move {
            // Each runs separately, so that none waits for another.
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

    /// Gives every tenant with due work a turn, several at a time. A tenant with more work queues again behind all
    /// others. The two lanes do not wait for each other.
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
                        // A panic ends this turn, but the tenant keeps its place in the queue.
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

    /// Carries out everything that is due now, and returns how many turns were run. For tests and the command line.
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

    /// Settles unfinished work, and erases deleted tenants whose retention has ended.
    pub async fn tidy(&self) {
        match self.sign_in.finish_or_abandon().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "settled tenants whose creation was interrupted"),
            Err(error) => tracing::warn!(?error, "cannot settle tenants whose creation was interrupted"),
        }
        match platform::copy_wanted(&self.gate, self.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "copied changes of tenants to the directory"),
            Err(error) => tracing::warn!(%error, "cannot copy changes of tenants to the directory"),
        }
        match platform::selling::spread_rollouts(&self.gate).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "applied feature roll-outs to tenants"),
            Err(error) => tracing::warn!(%error, "cannot apply feature roll-outs to tenants"),
        }
        match platform::erase_expired(&self.gate, self.clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "erased deleted tenants"),
            Err(error) => tracing::warn!(%error, "cannot erase deleted tenants"),
        }
    }

    /// Removes expired data of every tenant.
    pub async fn purge(&self) {
        if let Err(error) = billing::payments::inbox::purge(&self.gate, self.clock.now()).await {
            tracing::warn!(%error, "cannot remove old payment events");
        }
        let tenants = platform::served_tenants(&self.gate).await.unwrap_or_default();
        for tenant in tenants {
            // Each run schedules the next one for the end of a period; this covers runs that never happened or were
            // lost.
            if let Err(error) = self.billing.run(tenant, self.clock.now()).await {
                tracing::warn!(%error, tenant.id = %tenant, "cannot bill a tenant");
            }
            if let Err(error) = self.sign_in.purge(tenant, self.clock.now()).await {
                tracing::warn!(?error, tenant.id = %tenant, "cannot remove expired data");
            }
            let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
            let expired = async {
                tenants::lock_calendar(&tx).await?;
                bookings::expire_holds(&tx, self.clock.now()).await?;
                tx.commit().await?;
                // Not under the calendar's lock: it may take long.
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                webhooks::purge(&tx, self.clock.now()).await?;
                tx.commit().await
            };
            if let Err(error) = expired.await {
                tracing::warn!(%error, tenant.id = %tenant, "cannot release expired holds or remove old data");
            }
            // Times also become available without a booking ending: through longer hours, or one more seat.
            let now = self.clock.now();
            if let Err(error) = self.offer(tenant, Pass::new(None), now).await {
                tracing::warn!(%error, tenant.id = %tenant, "cannot offer available times to the waitlist");
            }
        }
    }

    /// All tenants with something due. Tenants with a store of their own are sent to `found` as they are checked, so
    /// that a store that does not answer delays nobody. With a part, only that part of them is checked.
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
        // Checking each of the others takes a connection, which should rest in between: work left by this process's
        // commits is signalled.
        let own = own.into_iter().map(|(tenant, _)| tenant);
        let own: Vec<_> = own.filter(|it| part.is_none_or(|part| it.0.as_u128() % OWN_PARTS == part)).collect();
        let Ok(looking) = self.looking.clone().try_lock_owned() else { return due }; // The last sweep is still running.
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
                        let _ = found.send(tenant); // There is no receiver when the worker stops.
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
            tracing::warn!(%error, "cannot check some tenants for background work");
            Vec::new()
        })
    }

    /// Processes events of payment providers that could not be processed at once.
    async fn look_into_payments(&self) -> bool {
        match self.billing.work_off_events(self.clock.now()).await {
            Ok(count) => count > 0,
            Err(error) => {
                tracing::warn!(%error, "cannot process events of payment providers");
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
                    tracing::warn!(?error, "cannot process requests of people who are not signed in");
                    return false;
                }
            }
        }
    }

    /// Carries out some effects of a tenant; returns whether there may be more.
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
                tracing::warn!(%error, tenant.id = %tenant, "cannot take background work of a tenant");
                return false;
            }
        };
        fault::point("outbox.taken");
        let more = i64::try_from(taken.len()).is_ok_and(|count| count == TURN);
        for it in taken {
            telemetry::note_lag(now.duration_since(it.due_at).as_secs_f64());
            if stop.borrow().is_some() {
                return false; // Its lease expires, and another worker takes it.
            }
            let outcome = self.carry_out(tenant, &it, now).await;
            if let Err(error) = self.note(tenant, &it, outcome).await {
                // Its lease expires, and it is carried out again: at least once.
                tracing::warn!(%error, tenant.id = %tenant, "cannot record the outcome of background work");
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
                    tracing::warn!(%id, tenant.id = %tenant, attempt, "background work failed and will be retried");
                }
            }
        }
        tx.commit().await?;
        fault::point("outbox.noted");
        Ok(())
    }

    async fn carry_out(&self, tenant: TenantId, taken: &ClaimedEffect, now: Timestamp) -> Result<(), Failure> {
        let Some(effect) = &taken.effect else {
            return Err(Failure::Later("this version does not know this kind of effect".into()));
        };
        match effect {
            Effect::SyncTenant => {
                // A platform administrator may be in the middle of a change: the copy they want stays requested.
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
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                let notice = notices::letter(&tx, mail, &self.mailer, now).await?;
                tx.commit().await?;
                let Some(notice) = notice else { return Ok(()) };
                self.send(taken, Some(notice.letter.clone())).await?;
                let tx = self.gate.tenant(Scope::worker(tenant), Access::Write);
                notices::record(&tx, taken.id, &notice, now).await?;
                Ok(tx.commit().await?)
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

    /// The network request happens between two transactions, and in neither.
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

    /// In transactions of a few offers each: a concurrent booking waits for at most one of them.
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
            tracing::debug!(tenant.id = %tenant, offers = pass.offers(), "offered freed time");
        }
        Ok(())
    }

    async fn send(&self, taken: &ClaimedEffect, letter: Option<Letter>) -> Result<(), Failure> {
        let Some(letter) = letter else {
            return Ok(()); // The mail is no longer relevant.
        };
        fault::point("outbox.written");
        self.mailer.send(taken.id, self.clock.now(), &letter).await?;
        fault::point("outbox.sent");
        Ok(())
    }
}
