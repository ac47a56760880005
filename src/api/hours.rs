//! Opening hours in the API.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use crate::{
    api::ContextExt,
    base::ids::{ResourceId, ServiceId},
    features::hours::{EventFilter, HolidayFile, HoursError as Error, Imported, Owner, Span},
    graphql::{
        ApiError, Date, ErrorClass, LocalTime, MUTATION_COST, STATEMENT_COST, TimeZoneName, UserError, UserErrorCode,
        parse_id, payload,
    },
};

/// A day of the week.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum Weekday {
    /// Day 1 of ISO 8601.
    Monday,
    /// Day 2.
    Tuesday,
    /// Day 3.
    Wednesday,
    /// Day 4.
    Thursday,
    /// Day 5.
    Friday,
    /// Day 6.
    Saturday,
    /// Day 7.
    Sunday,
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

impl Weekday {
    /// The weekday with this ISO 8601 number, 1 to 7. `None` for any other number.
    pub fn of(number: i8) -> Option<Self> {
        WEEK.get(usize::try_from(number - 1).ok()?).copied()
    }

    /// Its ISO 8601 number, 1 to 7.
    pub fn number(self) -> i8 {
        WEEK.iter().zip(1..).find(|(day, _)| **day == self).map_or(1, |it| it.1)
    }
}

/// Opening hours on one day of the week.
#[derive(Clone, SimpleObject)]
pub struct WeeklyHours {
    /// The day of the week.
    pub weekday: Weekday,
    /// Opening time.
    pub opens: LocalTime,
    /// Closing time; `24:00` is the end of the day.
    pub closes: LocalTime,
}

/// A weekly schedule of opening hours, valid from a given day.
#[derive(Clone, SimpleObject)]
pub struct OpeningSchedule {
    /// The first day on which it applies, until the next schedule.
    pub valid_from: Date,
    /// The time zone of the hours.
    pub time_zone: TimeZoneName,
    /// Empty means closed all week; null means always open.
    pub hours: Option<Vec<WeeklyHours>>,
}

/// The opening hours of a single day.
#[derive(Clone, SimpleObject)]
pub struct OpeningOverride {
    /// The day.
    pub day: Date,
    /// Empty means closed.
    pub hours: Vec<DayHours>,
    /// A name, such as that of a holiday.
    pub name: Option<String>,
    /// Whether it was imported from a calendar file; false when it was set by hand.
    pub imported: bool,
}

/// Opening hours within a day.
#[derive(Clone, SimpleObject)]
pub struct DayHours {
    /// Opening time.
    pub opens: LocalTime,
    /// Closing time; `24:00` is the end of the day.
    pub closes: LocalTime,
}

impl From<crate::features::hours::Schedule> for OpeningSchedule {
    fn from(schedule: crate::features::hours::Schedule) -> Self {
        let of = |(weekday, span): &(i8, Span)| {
            let weekday = Weekday::of(*weekday)?;
            Some(WeeklyHours { weekday, opens: LocalTime(span.opens), closes: LocalTime(span.closes) })
        };
        Self {
            valid_from: Date(schedule.valid_from),
            time_zone: TimeZoneName(schedule.zone),
            hours: schedule.hours.map(|week| week.iter().filter_map(of).collect()),
        }
    }
}

impl From<crate::features::hours::Override> for OpeningOverride {
    fn from(single: crate::features::hours::Override) -> Self {
        let of = |span: &Span| DayHours { opens: LocalTime(span.opens), closes: LocalTime(span.closes) };
        let hours = single.hours.iter().map(of).collect();
        Self { day: Date(single.day), hours, name: single.name, imported: single.imported }
    }
}

/// Opening hours on one day of the week.
#[derive(InputObject)]
pub struct WeeklyHoursInput {
    /// The day of the week.
    weekday: Weekday,
    /// Opening time.
    opens: LocalTime,
    /// Closing time; `24:00` is the end of the day.
    closes: LocalTime,
}

/// Opening hours within a day.
#[derive(InputObject)]
pub struct DayHoursInput {
    /// Opening time.
    opens: LocalTime,
    /// Closing time; `24:00` is the end of the day.
    closes: LocalTime,
}

/// Opening hours from a given day: of a service, of a resource, or of the tenant when neither is given.
#[derive(InputObject)]
pub struct SetOpeningHoursInput {
    /// The service that the hours are for.
    service_id: Option<ID>,
    /// The resource that the hours are for.
    resource_id: Option<ID>,
    /// The first day on which they apply. A schedule that starts on this day is replaced.
    valid_from: Date,
    /// The time zone of the hours; the tenant's when omitted.
    time_zone: Option<TimeZoneName>,
    /// Several intervals per day are allowed, such as before and after noon. Empty means closed all week; null or
    /// omitted means always open.
    hours: Option<Vec<WeeklyHoursInput>>,
    /// What becomes of schedules that start after `validFrom`. When there are some and this is omitted, nothing is changed
    /// and the error `IN_USE` lists them.
    later_schedules: Option<LaterSchedules>,
}

/// What becomes of schedules that start after a new one.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::hours::Later")]
pub enum LaterSchedules {
    /// They stay: the new schedule applies until the next one starts.
    Keep,
    /// They are removed: the new schedule applies from now on.
    Replace,
}

/// The hours of a single day: of a service, of a resource, or of the tenant when neither is given.
#[derive(InputObject)]
pub struct SetOpeningOverrideInput {
    /// The service that the hours are for.
    service_id: Option<ID>,
    /// The resource that the hours are for.
    resource_id: Option<ID>,
    /// The day.
    day: Date,
    /// Empty means closed.
    hours: Vec<DayHoursInput>,
    /// A name, such as that of a holiday, at most 200 characters.
    name: Option<String>,
}

/// A day that returns to its weekly hours.
#[derive(InputObject)]
pub struct DeleteOpeningOverrideInput {
    /// The service that the hours are for.
    service_id: Option<ID>,
    /// The resource that the hours are for.
    resource_id: Option<ID>,
    /// The day.
    day: Date,
}

/// Which events of a calendar file close their days. Texts are compared in any case. Every given field narrows it.
#[derive(InputObject)]
pub struct HolidayFilterInput {
    /// Only events with one of these categories.
    categories: Option<Vec<String>>,
    /// Only events with none of these categories, such as `Observance`.
    without_categories: Option<Vec<String>>,
    /// Only events whose summary contains one of these texts.
    summaries: Option<Vec<String>>,
    /// Only events whose summary contains none of these texts.
    without_summaries: Option<Vec<String>>,
    /// Whether events that are marked as free time (`TRANSP:TRANSPARENT`) are left out. Some calendars mark all holidays
    /// so.
    without_transparent: Option<bool>,
}

impl From<HolidayFilterInput> for EventFilter {
    fn from(input: HolidayFilterInput) -> Self {
        Self {
            categories: input.categories.unwrap_or_default(),
            without_categories: input.without_categories.unwrap_or_default(),
            summaries: input.summaries.unwrap_or_default(),
            without_summaries: input.without_summaries.unwrap_or_default(),
            without_transparent: input.without_transparent.unwrap_or(false),
        }
    }
}

/// Holidays to import: for a service, for a resource, or for the tenant when neither is given.
#[derive(InputObject)]
pub struct ImportHolidaysInput {
    /// The service to close.
    service_id: Option<ID>,
    /// The resource to close.
    resource_id: Option<ID>,
    /// The text of an iCalendar file (`.ics`, RFC 5545), at most 512 KiB. Its whole-day events close their days: those
    /// without a time of day, and those from midnight to midnight. Events that cannot be read are skipped and reported.
    calendar: String,
    /// The name of the source, 1 to 200 characters; `Holidays` when omitted. The days that were imported from the same
    /// source before are replaced, those of other sources stay. At most 20 sources.
    source: Option<String>,
    /// The first day to import; today when omitted.
    from: Option<Date>,
    /// The end, exclusive, at most 750 days after the start; 750 days when omitted.
    to: Option<Date>,
    /// Which events close their days; all when omitted.
    filter: Option<HolidayFilterInput>,
    /// Whether only to answer what would be closed, and change nothing.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A source of holidays to remove: of a service, of a resource, or of the tenant when neither is given.
#[derive(InputObject)]
pub struct DeleteHolidaysInput {
    /// The service.
    service_id: Option<ID>,
    /// The resource.
    resource_id: Option<ID>,
    /// The name of the source.
    source: String,
}

/// A day that a calendar file closes.
#[derive(Clone, SimpleObject)]
pub struct Holiday {
    /// The day.
    pub day: Date,
    /// The names of its events. Null when they have none.
    pub name: Option<String>,
}

/// An event of a calendar file that could not be read.
#[derive(Clone, SimpleObject)]
pub struct SkippedEvent {
    /// The number of its first line in the file, from 1.
    pub line: i32,
    /// Its summary, as far as it can be read.
    pub summary: String,
    /// Why it could not be read.
    pub reason: String,
}

/// A source of imported holidays.
#[derive(Clone, SimpleObject)]
pub struct HolidaySource {
    /// Its name.
    pub name: String,
    /// How many days it closes.
    pub days: i32,
    /// The first of them.
    pub first: Date,
    /// The last of them.
    pub last: Date,
}

impl From<crate::features::hours::HolidaySource> for HolidaySource {
    fn from(source: crate::features::hours::HolidaySource) -> Self {
        let days = i32::try_from(source.days).unwrap_or(i32::MAX);
        Self { name: source.name, days, first: Date(source.first), last: Date(source.last) }
    }
}

/// The outcome of `importHolidays`.
#[derive(SimpleObject)]
pub struct ImportHolidaysPayload {
    /// All days of that period that differ from their weekly hours, earliest first. Null when nothing was imported.
    pub opening_overrides: Option<Vec<OpeningOverride>>,
    /// The days that the file closes, earliest first.
    pub closes: Option<Vec<Holiday>>,
    /// The first 100 events that could not be read, in the order of the file.
    pub skipped: Option<Vec<SkippedEvent>>,
    /// How many events could not be read.
    pub skipped_count: Option<i32>,
    /// How many events close nothing, because they have a time of day, are cancelled, or do not fit the filter.
    pub ignored_count: Option<i32>,
    /// Errors that the caller can correct. Empty when the mutation succeeded. A file that closes no day changes nothing,
    /// and is an error.
    pub user_errors: Vec<UserError>,
}

impl From<Result<Imported, UserError>> for ImportHolidaysPayload {
    fn from(result: Result<Imported, UserError>) -> Self {
        let count = |number: usize| Some(i32::try_from(number).unwrap_or(i32::MAX));
        let imported = match result {
            Ok(imported) => imported,
            Err(error) => {
                return Self {
                    opening_overrides: None,
                    closes: None,
                    skipped: None,
                    skipped_count: None,
                    ignored_count: None,
                    user_errors: vec![error],
                };
            }
        };
        let closes_none = imported.closes.is_empty();
        let message = "The calendar closes no day of that time, so nothing was changed.";
        let error = UserError::new(UserErrorCode::Invalid, "calendar", message);
        let overrides = imported.overrides.into_iter().map(OpeningOverride::from).collect();
        let closes = imported.closes.into_iter().map(|(day, name)| Holiday { day: Date(day), name }).collect();
        let skipped = imported.skipped.into_iter().map(|it| SkippedEvent {
            line: i32::try_from(it.line).unwrap_or(i32::MAX),
            summary: it.summary,
            reason: it.reason,
        });
        Self {
            opening_overrides: Some(overrides).filter(|_| !closes_none),
            closes: Some(closes),
            skipped: Some(skipped.collect()),
            skipped_count: count(imported.skipped_count),
            ignored_count: count(imported.ignored_count),
            user_errors: if closes_none { vec![error] } else { Vec::new() },
        }
    }
}

payload!(
    /// The outcome of `deleteHolidays`.
    DeleteHolidaysPayload {
        /// How many days the source closed.
        days: i32
    }
);
payload!(
    /// The outcome of `setOpeningHours`.
    SetOpeningHoursPayload {
        /// All schedules of the service, resource or tenant, earliest first.
        schedules: Vec<OpeningSchedule>
    }
);
payload!(
    /// The outcome of `setOpeningOverride`.
    SetOpeningOverridePayload {
        /// The day.
        opening_override: OpeningOverride
    }
);
payload!(
    /// The outcome of `deleteOpeningOverride`.
    DeleteOpeningOverridePayload {
        /// The day that returned to its weekly hours.
        day: Date
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::ServiceNotFound => mend(UserErrorCode::NotFound, "serviceId", "There is no such service."),
            Error::ResourceNotFound => mend(UserErrorCode::NotFound, "resourceId", "There is no such resource."),
            Error::SourceNotFound => mend(UserErrorCode::NotFound, "source", "There is no such source of holidays."),
            Error::NotFound => mend(UserErrorCode::NotFound, "day", "This day has no hours of its own."),
            Error::LaterSchedules(later) => {
                let of = |it: &crate::features::hours::Schedule| {
                    format!("{} ({})", it.valid_from, it.zone.iana_name().unwrap_or("UTC"))
                };
                let later: Vec<String> = later.iter().map(of).collect();
                let message = format!(
                    "Schedules start later: {}. Say with laterSchedules whether to keep or to replace them.",
                    later.join(", ")
                );
                mend(UserErrorCode::InUse, "laterSchedules", &message)
            }
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, &message),
            Error::Busy => Self::Refuse(ApiError::unavailable(5)),
            Error::Db(error) => error.into(),
        }
    }
}

fn owner(service: Option<&ID>, resource: Option<&ID>, fields: [&'static str; 2]) -> Result<Owner, ApiError> {
    match (service, resource) {
        (Some(_), Some(_)) => Err(ApiError::bad_input(fields[1], "give a service or a resource, not both")),
        (Some(id), None) => Ok(Owner::Service(parse_id::<ServiceId>(id, fields[0])?)),
        (None, Some(id)) => Ok(Owner::Resource(parse_id::<ResourceId>(id, fields[1])?)),
        (None, None) => Ok(Owner::Tenant),
    }
}

const IN_INPUT: [&str; 2] = ["input.serviceId", "input.resourceId"];
const IN_ARGUMENTS: [&str; 2] = ["serviceId", "resourceId"];

/// Queries about opening hours.
#[derive(Default)]
pub struct HoursQuery;

#[Object]
impl HoursQuery {
    /// The opening hours of a service, of a resource, or of the tenant when neither is given, earliest first. Empty
    /// when no hours were ever set, which means always open.
    #[graphql(complexity = "STATEMENT_COST + 10 * child_complexity")]
    async fn opening_hours(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: Option<ID>,
        #[graphql(desc = "The resource.")] resource_id: Option<ID>,
    ) -> Result<Vec<OpeningSchedule>, ApiError> {
        let owner = owner(service_id.as_ref(), resource_id.as_ref(), IN_ARGUMENTS)?;
        let schedules = crate::features::hours::schedules(&ctx.work()?.tx, owner).await?;
        Ok(schedules.into_iter().map(OpeningSchedule::from).collect())
    }

    /// The days that differ from their weekly hours, of a service, of a resource, or of the tenant when neither is given.
    #[graphql(complexity = "STATEMENT_COST + 50 * child_complexity")]
    async fn opening_overrides(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: Option<ID>,
        #[graphql(desc = "The resource.")] resource_id: Option<ID>,
        #[graphql(desc = "The first day.")] from: Date,
        #[graphql(desc = "The end, exclusive, at most 750 days after the start.")] to: Date,
    ) -> Result<Vec<OpeningOverride>, ApiError> {
        let owner = owner(service_id.as_ref(), resource_id.as_ref(), IN_ARGUMENTS)?;
        let found = crate::features::hours::overrides(&ctx.work()?.tx, owner, from.0, to.0).await;
        let found = found.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(found.into_iter().map(OpeningOverride::from).collect())
    }

    /// The sources of imported holidays, of a service, of a resource, or of the tenant when neither is given, by name.
    /// Administrators only.
    #[graphql(complexity = "STATEMENT_COST + 10 * child_complexity")]
    async fn holiday_sources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: Option<ID>,
        #[graphql(desc = "The resource.")] resource_id: Option<ID>,
    ) -> Result<Vec<HolidaySource>, ApiError> {
        let owner = owner(service_id.as_ref(), resource_id.as_ref(), IN_ARGUMENTS)?;
        let found = crate::features::hours::holiday_sources(&ctx.work()?.caller(), owner).await;
        let found = found.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(found.into_iter().map(HolidaySource::from).collect())
    }
}

/// Mutations of opening hours. Administrators only.
#[derive(Default)]
pub struct HoursMutation;

#[Object]
impl HoursMutation {
    /// Sets opening hours from a given day. Existing bookings stay.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_opening_hours(
        &self,
        ctx: &Context<'_>,
        input: SetOpeningHoursInput,
    ) -> Result<SetOpeningHoursPayload, ApiError> {
        let work = ctx.work()?;
        let owner = owner(input.service_id.as_ref(), input.resource_id.as_ref(), IN_INPUT)?;
        let hours = input.hours.map(|hours| {
            let of = |it: &WeeklyHoursInput| (it.weekday.number(), Span { opens: it.opens.0, closes: it.closes.0 });
            hours.iter().map(of).collect()
        });
        let zone = input.time_zone.map(|it| it.0);
        let (from, later) = (input.valid_from.0, input.later_schedules.map(Into::into));
        let set = crate::features::hours::set_schedule(&work.caller(), owner, from, zone, hours, later).await;
        let set = set.map(|schedules| schedules.into_iter().map(OpeningSchedule::from).collect::<Vec<_>>());
        Ok(work.settle(set)?.into())
    }

    /// Sets the hours of a single day, such as a closure or a late opening. Existing bookings stay.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_opening_override(
        &self,
        ctx: &Context<'_>,
        input: SetOpeningOverrideInput,
    ) -> Result<SetOpeningOverridePayload, ApiError> {
        let work = ctx.work()?;
        let owner = owner(input.service_id.as_ref(), input.resource_id.as_ref(), IN_INPUT)?;
        let hours = input.hours.iter().map(|it| Span { opens: it.opens.0, closes: it.closes.0 }).collect();
        let set = crate::features::hours::set_override(&work.caller(), owner, input.day.0, hours, input.name).await;
        Ok(work.settle(set.map(OpeningOverride::from))?.into())
    }

    /// Closes the days of a calendar file, such as national holidays. They replace the days that were imported from the
    /// same source before. Other sources and days that were set by hand stay as they are, and existing bookings stay.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn import_holidays(
        &self,
        ctx: &Context<'_>,
        input: ImportHolidaysInput,
    ) -> Result<ImportHolidaysPayload, ApiError> {
        let work = ctx.work()?;
        let file = HolidayFile {
            owner: owner(input.service_id.as_ref(), input.resource_id.as_ref(), IN_INPUT)?,
            text: input.calendar,
            source: input.source.unwrap_or_else(|| "Holidays".into()),
            from: input.from.map(|it| it.0),
            to: input.to.map(|it| it.0),
            filter: input.filter.map(EventFilter::from).unwrap_or_default(),
            is_dry: input.dry_run,
        };
        let imported = Box::pin(crate::features::hours::import_holidays(&work.caller(), file)).await;
        Ok(work.settle(imported)?.into())
    }

    /// Removes a source of holidays. Its days return to their weekly hours, except those that another source or a
    /// person has closed.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_holidays(
        &self,
        ctx: &Context<'_>,
        input: DeleteHolidaysInput,
    ) -> Result<DeleteHolidaysPayload, ApiError> {
        let work = ctx.work()?;
        let owner = owner(input.service_id.as_ref(), input.resource_id.as_ref(), IN_INPUT)?;
        let deleted = crate::features::hours::delete_holidays(&work.caller(), owner, &input.source).await;
        Ok(work.settle(deleted.map(|it| i32::try_from(it).unwrap_or(i32::MAX)))?.into())
    }

    /// Returns a day to its weekly hours.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_opening_override(
        &self,
        ctx: &Context<'_>,
        input: DeleteOpeningOverrideInput,
    ) -> Result<DeleteOpeningOverridePayload, ApiError> {
        let work = ctx.work()?;
        let owner = owner(input.service_id.as_ref(), input.resource_id.as_ref(), IN_INPUT)?;
        let deleted = crate::features::hours::delete_override(&work.caller(), owner, input.day.0).await;
        Ok(work.settle(deleted.map(Date))?.into())
    }
}
