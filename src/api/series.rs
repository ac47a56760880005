//! Series of bookings in the API.

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

/// What becomes of a series when some of its bookings cannot be had.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesConflict {
    /// None of it is booked.
    Fail,
    /// Those are left out.
    Skip,
}

/// What became of an occurrence of a series.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesOutcome {
    /// It was booked.
    Booked,
    /// It could be booked: nothing was, because another occurrence could not, or because it was only asked.
    Free,
    /// It cannot be had.
    Missed,
}

/// How much of a series is called off.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum SeriesScope {
    /// The named booking.
    This,
    /// The named booking and all that start later.
    Following,
    /// All of its bookings.
    All,
}

/// One occurrence of a series that was asked for.
#[derive(SimpleObject)]
pub struct SeriesOccurrence {
    /// On which day.
    day: Date,
    /// When it starts. Null where its time of day is none on that day.
    starts_at: Option<DateTime>,
    /// What became of it.
    outcome: SeriesOutcome,
    /// The booking. Null where none was made.
    booking: Option<Booking>,
    /// Why it cannot be had. Null where it can.
    error: Option<UserError>,
}

/// One booking of a series that was to be called off.
#[derive(SimpleObject)]
pub struct SeriesCancellation {
    /// As it now is.
    booking: Booking,
    /// Why it stands. Null when it was called off.
    error: Option<UserError>,
}

/// Bookings to be made together.
#[derive(InputObject)]
pub struct CreateBookingSeriesInput {
    /// What.
    service_id: ID,
    /// For whom; staff alone may book for somebody else.
    customer_id: Option<ID>,
    /// With which resource, each time; without it whichever is free.
    resource_id: Option<ID>,
    /// At most 2,000 characters.
    notes: Option<String>,
    /// What comes again.
    frequency: SeriesFrequency,
    /// Every so many weeks or months, 1 to 52.
    #[graphql(default = 1)]
    interval: i32,
    /// Of a weekly series; left out that of the first day. Weeks begin on Monday.
    weekdays: Option<Vec<Weekday>>,
    /// No booking is made for a day before this one.
    first_day: Date,
    /// At which time of day, by the clock of the service's opening hours or, where it has none, of the tenant.
    time: LocalTime,
    /// Which of two, on a day on which the clock shows the time twice: `-04:00`. Such a day is `AMBIGUOUS_TIME` without it.
    utc_offset: Option<String>,
    /// How many, 1 to 106, counting those that cannot be had.
    count: Option<i32>,
    /// No booking is made for a day after this one.
    last_day: Option<Date>,
    /// What becomes of it when some cannot be had.
    #[graphql(default_with = "SeriesConflict::Fail")]
    on_conflict: SeriesConflict,
    /// Only tell what would become of each, and book none.
    #[graphql(default)]
    dry_run: bool,
}

/// Bookings of a series to be called off.
#[derive(InputObject)]
pub struct CancelBookingSeriesInput {
    /// Which series.
    id: ID,
    /// How much of it.
    scope: SeriesScope,
    /// A booking of it: needed for `THIS` and `FOLLOWING`.
    booking_id: Option<ID>,
    /// At most 500 characters, kept in the history of each.
    reason: Option<String>,
}

/// The outcome of `createBookingSeries`.
#[derive(SimpleObject)]
pub struct CreateBookingSeriesPayload {
    /// The new series. Null where nothing was booked.
    pub series: Option<BookingSeries>,
    /// What became of each occurrence, or would, earliest first. Empty where none was looked at.
    pub occurrences: Vec<SeriesOccurrence>,
    /// What the caller can mend. Empty when the mutation did what was asked.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `cancelBookingSeries`.
#[derive(SimpleObject)]
pub struct CancelBookingSeriesPayload {
    /// The series.
    pub series: Option<BookingSeries>,
    /// What became of each booking that was to be called off and had not been before, earliest first.
    pub cancellations: Vec<SeriesCancellation>,
    /// What the caller can mend. Empty when the mutation did what was asked.
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

/// What stands in the way of one occurrence, for its row of the answer.
fn told(missed: Missed, field: &str) -> Result<UserError, ApiError> {
    let none = |code, message: &str| UserError::new(code, field, message);
    match missed {
        Missed::NoInstant(NoInstant::Nonexistent) => {
            Ok(none(UserErrorCode::NonexistentTime, "On this day the clock does not show this time."))
        }
        Missed::NoInstant(NoInstant::Ambiguous) => Ok(none(
            UserErrorCode::AmbiguousTime,
            "On this day the clock shows this time twice: say which by utcOffset.",
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

/// `±HH:MM`, or `Z`.
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
    /// One series of bookings. Null where there is none that the caller may see.
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
    /// Books a service again and again by a rule, each time as `createBooking` would. By default all or nothing; with
    /// `onConflict: SKIP` what cannot be had is left out; with `dryRun` nothing is booked. The answer tells of each
    /// occurrence.
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
            // What was only asked, or left out as was wished, is no failure of the mutation.
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

    /// Calls bookings of a series off: one, one and all that start later, or all. Those that have begun, or can no longer be
    /// called off, stand, and the answer says why.
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
                return Err(ApiError::bad_input("input.bookingId", "say which booking of the series"));
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
