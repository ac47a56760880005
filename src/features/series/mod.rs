//! Series: bookings that are made together by a rule, and called off together. Each of them stands by itself.

pub mod graphql;
pub mod loaders;
mod queries;
mod rule;

use std::collections::HashMap;

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};

pub use rule::{Flaw, Frequency, MAX_INTERVAL, MAX_OCCURRENCES, NoInstant, Rule};

use crate::{
    audit::{self, Changes},
    auth::Caller,
    bookings::{self, Booking, BookingError, BookingStatus, NewBooking, Order},
    db::{DbError, ScopedTx},
    ids::{BookingId, SeriesId, ServiceId, UserId},
    outbox::{self, Effect},
    tenants,
};

/// Bookings that were made together.
#[derive(Clone, Debug)]
pub struct Series {
    /// Within the tenant.
    pub id: SeriesId,
    /// What was booked.
    pub service: ServiceId,
    /// For whom.
    pub customer: UserId,
    /// As it was asked for.
    pub rule: Rule,
    /// By whose clock.
    pub zone: TimeZone,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A series to be made.
#[derive(Clone, Debug)]
pub struct NewSeries {
    /// What, for whom and with what; its start is that of the rule.
    pub booking: NewBooking,
    /// When.
    pub rule: Rule,
    /// Of the times that the clock shows twice, which.
    pub offset: Option<Offset>,
    /// Whether occurrences that cannot be had are left out; otherwise one of those undoes all.
    pub skips: bool,
}

/// What became, or would become, of one occurrence.
#[derive(Debug)]
pub struct Occurrence {
    /// On which day.
    pub day: Date,
    /// When; `None` where the time of day is none.
    pub starts_at: Option<Timestamp>,
    /// The booking, or why there is none.
    pub outcome: Result<Booking, Missed>,
}

/// Why an occurrence cannot be had.
#[derive(Debug)]
pub enum Missed {
    /// Its time is none.
    NoInstant(NoInstant),
    /// A rule stands in the way, or it is taken.
    Refused(BookingError),
}

/// What became of a series that was asked for.
#[derive(Debug)]
pub struct Outcome {
    /// The series; `None` where nothing was booked.
    pub series: Option<Series>,
    /// Each of its occurrences, earliest first.
    pub occurrences: Vec<Occurrence>,
}

/// How much of a series is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One booking.
    This(BookingId),
    /// One and all that start later.
    Following(BookingId),
    /// All.
    All,
}

/// What became of a booking whose series was called off.
#[derive(Debug)]
pub struct CalledOff {
    /// The booking as it now is.
    pub booking: Booking,
    /// Why it stands; `None` when it was called off.
    pub stands: Option<BookingError>,
}

/// Why something could not be done with a series.
#[derive(Debug)]
pub enum SeriesError {
    /// There is no such series, or none that the caller may see.
    NotFound,
    /// There is no such booking in it.
    BookingNotFound,
    /// The rule is none.
    Flawed(Flaw),
    /// Whatever the occurrence.
    Booking(BookingError),
}

impl From<BookingError> for SeriesError {
    fn from(error: BookingError) -> Self {
        Self::Booking(error)
    }
}

impl From<DbError> for SeriesError {
    fn from(error: DbError) -> Self {
        Self::Booking(BookingError::Db(error))
    }
}

/// Makes a series: each of its bookings as if it were made alone, one after the other.
///
/// Where some cannot be had and they are not to be skipped, or none can, the outcome has no series; the caller then undoes
/// what was written.
///
/// # Errors
/// See [`SeriesError`]: what concerns all of it. What concerns one occurrence stands in the outcome.
pub async fn create(caller: &Caller<'_>, new: NewSeries) -> Result<Outcome, SeriesError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let days = new.rule.days().map_err(SeriesError::Flawed)?;
    let order = Box::pin(Order::look(caller, NewBooking { starts_at: now, ..new.booking })).await?;
    let series = Series {
        id: SeriesId::generate(now),
        service: order.service(),
        customer: order.customer(),
        zone: order.zone(new.rule.first_day),
        rule: new.rule,
        created_at: now,
    };
    queries::insert(tx, &series).await?;
    let order = order.in_series(series.id);
    let mut occurrences = Vec::with_capacity(days.len());
    for day in days {
        let starts_at = series.rule.instant(day, &series.zone, new.offset);
        let outcome = match starts_at {
            Err(none) => Err(Missed::NoInstant(none)),
            Ok(starts_at) => place(caller, &order, starts_at).await?,
        };
        occurrences.push(Occurrence { day, starts_at: starts_at.ok(), outcome });
    }
    let booked = occurrences.iter().filter(|it| it.outcome.is_ok()).count();
    if booked == 0 || (booked < occurrences.len() && !new.skips) {
        return Ok(Outcome { series: None, occurrences });
    }
    let facts = Changes::default()
        .field("service", serde_json::Value::Null, series.service.to_string())
        .field("customer", serde_json::Value::Null, series.customer.to_string())
        .field("bookings", serde_json::Value::Null, booked);
    audit::record(caller, "series.create", "series", Some(series.id.0), facts).await?;
    outbox::enqueue(tx, &Effect::MailSeries { series: series.id.0, cancelled: false, bookings: Vec::new() }, now)
        .await?;
    Ok(Outcome { series: Some(series), occurrences })
}

/// One occurrence, of which nothing stays where it cannot be had.
async fn place(
    caller: &Caller<'_>,
    order: &Order,
    starts_at: Timestamp,
) -> Result<Result<Booking, Missed>, SeriesError> {
    let part = caller.tx.start_part().await?;
    let placed = Box::pin(order.place(caller, starts_at, false)).await;
    match placed {
        Err(BookingError::Db(error)) => Err(error.into()),
        // Whatever the time.
        Err(error @ (BookingError::ServiceNotFound | BookingError::ResourceNotFound)) => Err(error.into()),
        Err(refused) => {
            caller.tx.end_part(part, false).await?;
            Ok(Err(Missed::Refused(refused)))
        }
        Ok(booking) => {
            caller.tx.end_part(part, true).await?;
            Ok(Ok(booking))
        }
    }
}

/// Calls bookings of a series off: one, one and all that start later, or all. Those that ended before, have begun, or can no
/// longer be called off stand, and the result says why.
///
/// # Errors
/// See [`SeriesError`].
pub async fn cancel(
    caller: &Caller<'_>,
    id: SeriesId,
    extent: Extent,
    reason: Option<String>,
) -> Result<(Series, Vec<CalledOff>), SeriesError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    tenants::lock_calendar(tx).await?;
    let series = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(SeriesError::NotFound)?;
    let bookings = bookings::of_series(tx, &[id]).await?.remove(&id).unwrap_or_default();
    let named = |id: BookingId| bookings.iter().find(|it| it.id == id).ok_or(SeriesError::BookingNotFound);
    let wanted: Vec<Booking> = match extent {
        Extent::This(booking) => vec![named(booking)?.clone()],
        Extent::Following(booking) => {
            let first = named(booking)?.starts_at;
            bookings.iter().filter(|it| it.starts_at >= first).cloned().collect()
        }
        Extent::All => bookings.clone(),
    };
    let mut results = Vec::with_capacity(wanted.len());
    for booking in wanted {
        let cancelled = BookingStatus::Cancelled;
        let stands = matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed);
        if stands && booking.starts_at <= now && !matches!(extent, Extent::This(_)) {
            // What took place is not undone by the way, whoever asks: that takes a cancellation of its own.
            results.push(CalledOff { booking, stands: Some(BookingError::HasBegun) });
            continue;
        }
        let done = Box::pin(bookings::cancel_quietly(caller, booking.id, reason.clone())).await;
        results.push(match done {
            Ok(booking) => CalledOff { booking, stands: None },
            Err(BookingError::Db(error)) => return Err(error.into()),
            Err(error @ BookingError::TooLong(..)) => return Err(error.into()),
            Err(error) if booking.status != cancelled => CalledOff { booking, stands: Some(error) },
            Err(_) => continue, // It was called off before.
        });
    }
    let bookings: Vec<_> = results.iter().filter(|it| it.stands.is_none()).map(|it| it.booking.id.0).collect();
    if !bookings.is_empty() {
        outbox::enqueue(tx, &Effect::MailSeries { series: id.0, cancelled: true, bookings }, now).await?;
    }
    Ok((series, results))
}

/// Those of these series that the scope may see.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Series>, DbError> {
    queries::by_ids(tx, ids).await
}
