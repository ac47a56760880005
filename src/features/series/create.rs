//! Books a series.

use jiff::Timestamp;

use super::{
    model::{Missed, NewSeries, Occurrence, Outcome, Series, SeriesError},
    queries,
};
use crate::{
    base::ids::SeriesId,
    core::{
        audit::{self, Changes},
        identity::Caller,
        outbox::{self, Effect},
    },
    features::bookings::{Booking, BookingError, BookingRequest, NewBooking},
};

/// Creates a series. Each of its bookings is made as if alone, one after the other.
///
/// When no occurrence can be booked, or one cannot and `skips` is off, the outcome has no series. The caller then rolls
/// back what was written.
///
/// # Errors
/// See [`SeriesError`] for errors that concern the whole series. Errors that concern one occurrence are in the outcome.
pub async fn create(caller: &Caller<'_>, new: NewSeries) -> Result<Outcome, SeriesError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let days = new.rule.days().map_err(SeriesError::Flawed)?;
    let order = Box::pin(BookingRequest::look(caller, NewBooking { starts_at: now, ..new.booking })).await?;
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

/// Books one occurrence. If it cannot be booked, nothing of it stays written.
async fn place(
    caller: &Caller<'_>,
    order: &BookingRequest,
    starts_at: Timestamp,
) -> Result<Result<Booking, Missed>, SeriesError> {
    let part = caller.tx.start_part().await?;
    let placed = Box::pin(order.place(caller, starts_at, false)).await;
    match placed {
        Err(BookingError::Db(error)) => Err(error.into()),
        // Errors that concern every occurrence.
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
