//! Subscription to bookings.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription};
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};

use super::objects::Booking;
use crate::{
    api::RequestContext,
    base::ids::{BookingId, ServiceId, UserId},
    core::identity::Role,
    db::{Change, DbError},
    graphql::{ApiError, STATEMENT_COST, Watch, WatchEvent, is_passing, parse_id},
};

/// What happened to a booking.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was changed. Changes in quick succession may be reported as one.
    Updated,
}

/// A change of a booking.
#[derive(Clone, SimpleObject)]
pub struct BookingChange {
    /// What happened.
    pub kind: ChangeKind,
    /// The booking as it is now.
    pub booking: Booking,
}

/// Subscriptions to bookings.
#[derive(Default)]
pub struct BookingSubscription;

#[Subscription]
impl BookingSubscription {
    /// Bookings that the caller may read, as they change. Ends when the session ends.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn booking_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only bookings of this service.")] service_id: Option<ID>,
        #[graphql(desc = "Only bookings of this customer.")] customer_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<BookingChange, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let mut changes = Changes {
            // Created before the first look, so that no change is missed between the two.
            watch: request.watch()?,
            service: service_id.map(|id| parse_id(&id, "serviceId")).transpose()?,
            customer: customer_id.map(|id| parse_id(&id, "customerId")).transpose()?,
            seen: HashMap::new(),
            looked_at: request.clock().now(),
            waiting: VecDeque::new(),
            request,
        };
        changes.note_what_was_before().await?;
        Ok(stream::unfold(Some(changes), |changes| async move {
            let mut changes = changes?;
            match changes.next().await {
                Ok(change) => Some((Ok(change), Some(changes))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
        .boxed())
    }
}

/// How far each look reaches back before the previous one: further than the time between a request's clock reading
/// and its commit.
const LOOK_BACK: SignedDuration = SignedDuration::from_secs(90);
/// Delay before a read is retried after a transient failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The changed bookings of one subscriber. Hints carry ids only; each booking is read in the subscriber's own scope.
struct Changes {
    request: Arc<RequestContext>,
    watch: Watch,
    service: Option<ServiceId>,
    customer: Option<UserId>,
    /// Versions that were already sent, or existed before the subscription.
    seen: HashMap<BookingId, (i32, Timestamp)>,
    /// All changes up to this time were looked at.
    looked_at: Timestamp,
    /// Bookings to read, each once.
    waiting: VecDeque<BookingId>,
}

impl Changes {
    async fn next(&mut self) -> Result<BookingChange, DbError> {
        loop {
            // Ends the previous event. Each event is read, with everything that the selection loads, in its own
            // transaction.
            self.request.end_event();
            let Some(id) = self.waiting.pop_front() else {
                match self.watch.next().await {
                    WatchEvent::Of(Change::Booking { id, service, customer }) => {
                        self.note(BookingId(id), ServiceId(service), UserId(customer));
                    }
                    WatchEvent::Of(Change::User { .. }) => {}
                    WatchEvent::Of(Change::Unknown) | WatchEvent::Look => match self.look().await {
                        Err(error) if !is_passing(&error) => return Err(error),
                        _ => {} // The next look reaches back far enough.
                    },
                }
                continue;
            };
            match self.read(id).await {
                Ok(Some(change)) => return Ok(change),
                Ok(None) => {}
                Err(error) if is_passing(&error) => {
                    self.waiting.push_front(id);
                    self.request.end_event();
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self, id: BookingId) -> Result<Option<BookingChange>, DbError> {
        self.request.pay_for_event().await;
        let Ok(work) = self.request.work() else { return Err(DbError::SessionEnded) };
        let Some(booking) = crate::features::bookings::by_ids(&work.tx, &[id]).await?.remove(&id) else {
            return Ok(None);
        };
        if !self.concerns(booking.service, booking.customer) || self.is_told(id, booking.version) {
            return Ok(None);
        }
        self.seen.insert(id, (booking.version, self.request.clock().now()));
        let kind = if booking.version == 1 { ChangeKind::Created } else { ChangeKind::Updated };
        Ok(Some(BookingChange { kind, booking: booking.into() }))
    }

    /// Looks for recent changes, including those without a hint.
    async fn look(&mut self) -> Result<(), DbError> {
        self.request.pay_for_event().await;
        let changed = self.changed_lately().await?;
        for it in changed.into_iter().rev() {
            if !self.is_told(it.id, it.version) {
                self.note(it.id, it.service, it.customer);
            }
        }
        // Keeps only the versions that the next look can find again.
        let forgotten = self.looked_at - LOOK_BACK - LOOK_BACK;
        self.seen.retain(|_, (_, told_at)| *told_at > forgotten);
        Ok(())
    }

    /// Marks changes made shortly before the subscription as already sent.
    async fn note_what_was_before(&mut self) -> Result<(), DbError> {
        for it in self.changed_lately().await? {
            self.seen.insert(it.id, (it.version, self.looked_at));
        }
        Ok(())
    }

    /// Changes since the last successful look, however long ago it was.
    async fn changed_lately(&mut self) -> Result<Vec<crate::features::bookings::Changed>, DbError> {
        let Ok(work) = self.request.work() else { return Err(DbError::SessionEnded) };
        let now = self.request.clock().now();
        let changed = crate::features::bookings::changed_since(&work.tx, self.looked_at - LOOK_BACK).await;
        self.request.end_event();
        let changed = changed?;
        self.looked_at = now;
        Ok(changed)
    }

    fn note(&mut self, id: BookingId, service: ServiceId, customer: UserId) {
        if self.concerns(service, customer) && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    fn concerns(&self, service: ServiceId, customer: UserId) -> bool {
        // A row policy hides other customers' bookings anyway: this saves the read.
        let may_see = self.request.viewer().is_some_and(|it| it.role >= Role::Staff || it.user == customer);
        may_see && self.service.is_none_or(|it| it == service) && self.customer.is_none_or(|it| it == customer)
    }

    fn is_told(&self, id: BookingId, version: i32) -> bool {
        self.seen.get(&id).is_some_and(|(told, _)| *told >= version)
    }
}
