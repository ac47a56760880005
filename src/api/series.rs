//! Booking series in the API.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use jiff::tz::Offset;

use super::{
    ContextExt,
    hours::Weekday,
    objects::{Booking, BookingSeries, SeriesFrequency},
};
use crate::{
    base::ids::SeriesId,
    features::{
        bookings::{BookingError, NewBooking},
        series::{CalledOff, Extent, Missed, NewSeries, NoInstant, Rule, SeriesError as Error},
    },
    graphql::{ApiError, Date, DateTime, ErrorClass, LocalTime, MUTATION_COST, UserError, UserErrorCode, parse_id},
};

/// What happens to a series when some of its bookings are not possible.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesConflict {
    /// Nothing is booked.
    Fail,
    /// Those occurrences are skipped.
    Skip,
}

/// The result for one occurrence of a series.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesOutcome {
    /// It was booked.
    Booked,
    /// It could be booked but was not: another occurrence failed, or the request was a dry run.
    Free,
    /// It could not be booked.
    Missed,
}

/// Which bookings of a series are cancelled.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesScope {
    /// Only the given booking.
    This,
    /// The given booking and all later ones.
    Following,
    /// All bookings of the series.
    All,
}

/// One occurrence of a requested series.
#[derive(SimpleObject)]
pub struct SeriesOccurrence {
    /// The day of the occurrence.
    day: Date,
    /// When it starts. Null when the clock does not show that time on that day.
    starts_at: Option<DateTime>,
    /// The result.
    outcome: SeriesOutcome,
    /// The booking. Null when none was made.
    booking: Option<Booking>,
    /// Why it could not be booked. Null when it could.
    error: Option<UserError>,
}

/// The result of cancelling one booking of a series.
#[derive(SimpleObject)]
pub struct SeriesCancellation {
    /// The booking as it is now.
    booking: Booking,
    /// Why it was not cancelled. Null when it was.
    error: Option<UserError>,
}

/// A series of bookings to create.
#[derive(InputObject)]
pub struct CreateBookingSeriesInput {
    /// The service to book.
    service_id: ID,
    /// The customer. Only staff may book for another person.
    customer_id: Option<ID>,
    /// The resource for every booking. When omitted, each booking gets a free one.
    resource_id: Option<ID>,
    /// At most 2,000 characters.
    notes: Option<String>,
    /// How the series repeats.
    frequency: SeriesFrequency,
    /// Repeat every so many weeks or months, 1 to 52.
    #[graphql(default = 1)]
    interval: i32,
    /// For a weekly series; when omitted, the weekday of the first day. Weeks begin on Monday.
    weekdays: Option<Vec<Weekday>>,
    /// The series starts on this day or later.
    first_day: Date,
    /// Local start time, in the time zone of the service's opening hours or, when it has none, of the tenant.
    time: LocalTime,
    /// UTC offset such as `-04:00`, for a day on which the clock shows the time twice. `AMBIGUOUS_TIME` on such a day
    /// without it.
    utc_offset: Option<String>,
    /// Number of occurrences, 1 to 106, including those that cannot be booked.
    count: Option<i32>,
    /// The series ends on this day or earlier.
    last_day: Option<Date>,
    /// What happens when some bookings are not possible.
    #[graphql(default_with = "SeriesConflict::Fail")]
    on_conflict: SeriesConflict,
    /// Checks every occurrence without booking anything.
    #[graphql(default)]
    dry_run: bool,
}

/// A request to cancel bookings of a series.
#[derive(InputObject)]
pub struct CancelBookingSeriesInput {
    /// The series.
    id: ID,
    /// Which of its bookings.
    scope: SeriesScope,
    /// A booking of the series; required for `THIS` and `FOLLOWING`.
    booking_id: Option<ID>,
    /// At most 500 characters, kept in the history of each booking.
    reason: Option<String>,
}

/// The outcome of `createBookingSeries`.
#[derive(SimpleObject)]
pub struct CreateBookingSeriesPayload {
    /// The new series. Null when nothing was booked.
    pub series: Option<BookingSeries>,
    /// The result for each occurrence, earliest first. Empty when none was checked.
    pub occurrences: Vec<SeriesOccurrence>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `cancelBookingSeries`.
#[derive(SimpleObject)]
pub struct CancelBookingSeriesPayload {
    /// The series.
    pub series: Option<BookingSeries>,
    /// The result for each booking that was to be cancelled and was not cancelled before, earliest first.
    pub cancellations: Vec<SeriesCancellation>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such series."),
            Error::BookingNotFound => {
                mend(UserErrorCode::NotFound, "bookingId", "There is no such booking in this series.")
            }
            Error::Flawed((field, message)) => mend(UserErrorCode::Invalid, field, &message),
            Error::Booking(error) => error.into(),
        }
    }
}

/// The error that explains why one occurrence could not be booked.
fn told(missed: Missed, field: &str) -> Result<UserError, ApiError> {
    let none = |code, message: &str| UserError::new(code, field, message);
    match missed {
        Missed::NoInstant(NoInstant::Nonexistent) => {
            Ok(none(UserErrorCode::NonexistentTime, "The clock does not show this time on this day."))
        }
        Missed::NoInstant(NoInstant::Ambiguous) => Ok(none(
            UserErrorCode::AmbiguousTime,
            "The clock shows this time twice on this day. Choose one with utcOffset.",
        )),
        Missed::Refused(error) => told_of(error),
    }
}

fn told_of(error: BookingError) -> Result<UserError, ApiError> {
    match ErrorClass::from(error) {
        ErrorClass::Mend(error) => Ok(error),
        other => Err(other.into()),
    }
}

impl CreateBookingSeriesInput {
    fn read(self) -> Result<NewSeries, ApiError> {
        let offset = self.utc_offset.as_deref().map(|text| {
            read_offset(text).ok_or_else(|| ApiError::bad_input("input.utcOffset", "not an offset such as -04:00"))
        });
        let count = self.count.map(|it| usize::try_from(it).unwrap_or(0));
        let booking = NewBooking {
            service: parse_id(&self.service_id, "input.serviceId")?,
            starts_at: jiff::Timestamp::UNIX_EPOCH,
            customer: self.customer_id.map(|id| parse_id(&id, "input.customerId")).transpose()?,
            resource: self.resource_id.map(|id| parse_id(&id, "input.resourceId")).transpose()?,
            notes: self.notes,
        };
        let rule = Rule {
            frequency: self.frequency.into(),
            interval: self.interval,
            weekdays: self.weekdays.unwrap_or_default().into_iter().map(Weekday::number).collect(),
            first_day: self.first_day.0,
            time: self.time.0,
            count,
            last_day: self.last_day.map(|it| it.0),
        };
        Ok(NewSeries { booking, rule, offset: offset.transpose()?, skips: self.on_conflict == SeriesConflict::Skip })
    }
}

/// Parses `±HH:MM` or `Z`.
fn read_offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let fits = text.len() == 6 && text.is_ascii() && text.as_bytes()[3] == b':';
    let (hours, minutes) = fits.then(|| (text[1..3].parse::<i32>(), text[4..].parse::<i32>()))?;
    let seconds = hours.ok()? * 3_600 + minutes.ok().filter(|it| *it < 60)? * 60;
    match text.as_bytes()[0] {
        b'+' => Offset::from_seconds(seconds).ok(),
        b'-' => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

/// Queries about series.
#[derive(Default)]
pub struct SeriesQuery;

#[Object]
impl SeriesQuery {
    /// One series of bookings. Null when it does not exist or the caller may not see it.
    async fn booking_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<BookingSeries>, ApiError> {
        find(ctx, parse_id(&id, "id")?).await
    }
}

/// One series, as `bookingSeries(id)` and `node(id)` show it.
pub async fn find(ctx: &Context<'_>, id: SeriesId) -> Result<Option<BookingSeries>, ApiError> {
    Ok(ctx.work()?.loaders.series().load_one(id).await?.map(BookingSeries::from))
}

/// Mutations of series.
#[derive(Default)]
pub struct SeriesMutation;

#[Object]
impl SeriesMutation {
    /// Books a service repeatedly by a rule, each time as `createBooking` would. By default, either all occurrences
    /// are booked or none. With `onConflict: SKIP`, occurrences that cannot be booked are skipped. With `dryRun`,
    /// nothing is booked. The payload reports the result for each occurrence.
    #[graphql(complexity = "5 * MUTATION_COST + child_complexity")]
    async fn create_booking_series(
        &self,
        ctx: &Context<'_>,
        input: CreateBookingSeriesInput,
    ) -> Result<CreateBookingSeriesPayload, ApiError> {
        let work = ctx.work()?;
        let dry = input.dry_run;
        let outcome = match work.settle(crate::features::series::create(&work.caller(), input.read()?).await)? {
            Ok(outcome) => outcome,
            Err(error) => {
                return Ok(CreateBookingSeriesPayload { series: None, occurrences: vec![], user_errors: vec![error] });
            }
        };
        let stands = outcome.series.is_some() && !dry;
        if !stands {
            work.undo_field();
        }
        let (mut occurrences, mut user_errors) = (Vec::new(), Vec::new());
        for (place, it) in outcome.occurrences.into_iter().enumerate() {
            let (outcome, booking, error) = match it.outcome {
                Ok(booking) if stands => (SeriesOutcome::Booked, Some(booking.into()), None),
                Ok(_) => (SeriesOutcome::Free, None, None),
                Err(missed) => (SeriesOutcome::Missed, None, Some(told(missed, "time")?)),
            };
            // An occurrence that failed in a dry run, or was skipped on request, is not an error of the mutation.
            if let Some(error) = error.as_ref().filter(|_| !stands && !dry) {
                let field = Some(vec!["occurrences".to_owned(), place.to_string()]);
                user_errors.push(UserError { field, ..error.clone() });
            }
            occurrences.push(SeriesOccurrence {
                day: Date(it.day),
                starts_at: it.starts_at.map(DateTime),
                outcome,
                booking,
                error,
            });
        }
        let series = outcome.series.filter(|_| stands).map(BookingSeries::from);
        Ok(CreateBookingSeriesPayload { series, occurrences, user_errors })
    }

    /// Cancels bookings of a series: one, one and all later ones, or all. Bookings that have begun, or can no longer
    /// be cancelled, are kept, and the payload says why.
    #[graphql(complexity = "5 * MUTATION_COST + child_complexity")]
    async fn cancel_booking_series(
        &self,
        ctx: &Context<'_>,
        input: CancelBookingSeriesInput,
    ) -> Result<CancelBookingSeriesPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let booking = input.booking_id.map(|id| parse_id(&id, "input.bookingId")).transpose()?;
        let extent = match (input.scope, booking) {
            (SeriesScope::All, _) => Extent::All,
            (SeriesScope::This, Some(booking)) => Extent::This(booking),
            (SeriesScope::Following, Some(booking)) => Extent::Following(booking),
            (SeriesScope::This | SeriesScope::Following, None) => {
                return Err(ApiError::bad_input("input.bookingId", "name a booking of the series"));
            }
        };
        let cancelled = crate::features::series::cancel(&work.caller(), id, extent, input.reason).await;
        let (series, results) = match work.settle(cancelled)? {
            Ok(done) => done,
            Err(error) => {
                return Ok(CancelBookingSeriesPayload {
                    series: None,
                    cancellations: vec![],
                    user_errors: vec![error],
                });
            }
        };
        let read = |it: CalledOff| {
            let error = it.stands.map(told_of).transpose()?;
            Ok(SeriesCancellation { booking: it.booking.into(), error })
        };
        let cancellations = results.into_iter().map(read).collect::<Result<Vec<_>, ApiError>>()?;
        Ok(CancelBookingSeriesPayload { series: Some(series.into()), cancellations, user_errors: Vec::new() })
    }
}
