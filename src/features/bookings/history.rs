//! Records a change of a booking and notifies others of it.

use jiff::Timestamp;

use super::{Booking, BookingEvent, BookingStatus, Transition, queries};
use crate::{
    core::{
        audit::{self, Changes},
        identity::Caller,
        outbox::{self, Effect},
    },
    db::{DbError, ScopedTx},
};

/// Who is notified of a change.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    /// The event to send; `None` when nobody outside is notified.
    pub event: Option<BookingEvent>,
    /// Whether the customer gets a mail.
    pub by_mail: bool,
}

impl From<Option<BookingEvent>> for Telling {
    fn from(event: Option<BookingEvent>) -> Self {
        Self { event, by_mail: true }
    }
}

/// Records a change of a booking in its history, in the audit log and, when others are notified, in the outbox. It also
/// notifies subscribers.
pub(super) async fn write(
    caller: &Caller<'_>,
    booking: &Booking,
    step: &Transition,
    action: &'static str,
    changes: Changes,
    telling: Telling,
) -> Result<(), DbError> {
    let tx = caller.tx;
    let (written, recorded, told) = futures_util::join!(
        queries::insert_transition(tx, booking, step),
        audit::record(caller, action, "booking", Some(booking.id.0), changes),
        tell(tx, booking, telling, step.at)
    );
    written?;
    recorded?;
    told?;
    tx.announce(booking.change());
    Ok(())
}

/// Queues the notifications about a booking for background work.
async fn tell(tx: &ScopedTx, booking: &Booking, telling: Telling, now: Timestamp) -> Result<(), DbError> {
    let Some(event) = telling.event else { return Ok(()) };
    let effect = Effect::TellOfBooking {
        event: event.as_str().to_owned(),
        booking: booking.id.0,
        version: booking.version,
        status: booking.status.as_str().to_owned(),
        starts_at: booking.starts_at,
        ends_at: booking.ends_at,
        by_mail: telling.by_mail,
    };
    outbox::enqueue(tx, &effect, now).await.map(drop)
}

impl Transition {
    /// A change that a person makes at this time.
    pub(super) fn new(
        from: Option<BookingStatus>,
        to: BookingStatus,
        caller: &Caller<'_>,
        reason: Option<String>,
        at: Timestamp,
    ) -> Self {
        Self { from, to, actor: Some(caller.viewer.user), reason, at, moved: None }
    }
}
