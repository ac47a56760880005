//! Mails about bookings.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    model::{Notice, NoticeKind},
    queries, unsubscribing,
};
use crate::{
    base::ids::{BookingId, SeriesId},
    core::outbox::{self, Effect, derived_id},
    db::{DbError, ScopedTx},
    features::{
        bookings::{self, Booking, BookingEvent, BookingStatus, Happened},
        calendars::{self, Entry, Method, Parties},
        mail::{BookingNotice, CalendarFile, Letter, Mailer, News, Subject, dates},
        resources, series, services,
        tenants::{self, Locale, Tenant},
        users,
    },
};

/// Queues the mails that a booking event triggers: one immediately, and a reminder before the booking starts.
pub async fn follow(tx: &ScopedTx, happened: &Happened, now: Timestamp) -> Result<(), DbError> {
    let Happened { effect, booking, version, status, starts_at, .. } = *happened;
    if happened.by_mail && news_of(happened.event).is_some() {
        let mail = Effect::MailBooking { booking: booking.0, event: happened.event.as_str().to_owned(), version };
        outbox::enqueue_as(tx, derived_id(effect, "mail"), &mail, now).await?;
    }
    let is_agreed = status == BookingStatus::Confirmed;
    if is_agreed && matches!(happened.event, BookingEvent::Confirmed | BookingEvent::Rescheduled) {
        let minutes = tenants::current(tx).await?.booking_rules.reminder_minutes;
        let at = starts_at - SignedDuration::from_mins(i64::from(minutes));
        // A booking made later than that needs no reminder.
        if minutes > 0 && at > now {
            let reminder = Effect::MailReminder { booking: booking.0, starts_at };
            // One for each start time, however often the booking is confirmed or moved to it.
            let id = derived_id(booking.0, &format!("reminder {starts_at}"));
            outbox::enqueue_as_at(tx, id, &reminder, at, now).await?;
        }
    }
    Ok(())
}

fn news_of(event: BookingEvent) -> Option<News> {
    match event {
        BookingEvent::Created => Some(News::Received),
        BookingEvent::Confirmed => Some(News::Confirmed),
        BookingEvent::Rescheduled => Some(News::Moved),
        BookingEvent::Cancelled => Some(News::Cancelled),
        BookingEvent::Rejected => Some(News::Rejected),
        BookingEvent::Completed | BookingEvent::NoShow => None,
    }
}

/// Writes the mail that an effect requests. Returns `None` when the mail is obsolete or the effect is not about booking
/// mail: the customer is gone, or the booking no longer matches what the mail would say.
pub async fn letter(
    tx: &ScopedTx,
    effect: &Effect,
    mailer: &Mailer,
    now: Timestamp,
) -> Result<Option<Notice>, DbError> {
    match effect {
        Effect::MailBooking { booking, event, version } => {
            let news = BookingEvent::named(event).and_then(news_of);
            // A later change of the booking has its own mail.
            let found = one(tx, *booking).await?.filter(|it| it.version == *version);
            let waits = found.as_ref().is_some_and(|it| it.status == BookingStatus::Pending);
            let news = if waits && news == Some(News::Moved) { Some(News::MovedAndWaits) } else { news };
            write(tx, news, found.into_iter().collect(), None, mailer, now).await
        }
        Effect::MailReminder { booking, starts_at } => {
            let still = |it: &Booking| it.status == BookingStatus::Confirmed && it.starts_at == *starts_at;
            let found = one(tx, *booking).await?.filter(|it| still(it) && it.starts_at > now);
            write(tx, Some(News::Reminder), found.into_iter().collect(), None, mailer, now).await
        }
        Effect::MailOffer { booking } => {
            let found = one(tx, *booking).await?.filter(|it| it.held_until.is_some_and(|until| until > now));
            let until = found.as_ref().and_then(|it| it.held_until);
            write(tx, Some(News::Offered), found.into_iter().collect(), until, mailer, now).await
        }
        Effect::MailSeries { series, cancelled, bookings: called_off } => {
            let id = SeriesId(*series);
            if series::by_ids(tx, &[id]).await?.is_empty() {
                return Ok(None);
            }
            let all = bookings::of_series(tx, &[id]).await?.remove(&id).unwrap_or_default();
            let belongs = |it: &Booking| match it.status {
                BookingStatus::Cancelled => *cancelled && called_off.contains(&it.id.0),
                BookingStatus::Pending | BookingStatus::Confirmed => !*cancelled,
                _ => false,
            };
            let about: Vec<Booking> = all.into_iter().filter(belongs).collect();
            let waits = about.iter().any(|it| it.status == BookingStatus::Pending);
            let news = match (*cancelled, waits) {
                (true, _) => News::SeriesCancelled,
                (false, true) => News::SeriesReceived,
                (false, false) => News::SeriesBooked,
            };
            write(tx, Some(news), about, None, mailer, now).await
        }
        _ => Ok(None),
    }
}

async fn one(tx: &ScopedTx, id: Uuid) -> Result<Option<Booking>, DbError> {
    Ok(bookings::by_ids(tx, &[BookingId(id)]).await?.remove(&BookingId(id)))
}

/// Records that a mail was handed to the mail server. `id` is that of the effect, so that a mail is recorded once.
pub async fn record(tx: &ScopedTx, id: Uuid, notice: &Notice, now: Timestamp) -> Result<(), DbError> {
    queries::insert(tx, id, notice, now).await
}

fn kind_of(news: News) -> NoticeKind {
    match news {
        News::Received | News::SeriesReceived => NoticeKind::Received,
        News::Confirmed | News::SeriesBooked => NoticeKind::Confirmed,
        News::Moved | News::MovedAndWaits => NoticeKind::Moved,
        News::Cancelled | News::SeriesCancelled => NoticeKind::Cancelled,
        News::Rejected => NoticeKind::Rejected,
        News::Reminder => NoticeKind::Reminder,
        News::Offered => NoticeKind::Offered,
    }
}

/// Writes a mail about bookings of one customer and one service.
async fn write(
    tx: &ScopedTx,
    news: Option<News>,
    about: Vec<Booking>,
    until: Option<Timestamp>,
    mailer: &Mailer,
    now: Timestamp,
) -> Result<Option<Notice>, DbError> {
    let (Some(news), Some(first)) = (news, about.first()) else { return Ok(None) };
    let Some(customer) = users::active(tx, first.customer).await? else { return Ok(None) };
    let wanted = users::mail_preferences(tx, customer.id).await?;
    if news == News::Reminder && !wanted.reminders {
        return Ok(None);
    }
    let mut tenant = tenants::current(tx).await?;
    // The texts are in the customer's language, and dates as their locale writes them.
    let tag = wanted.locale.unwrap_or_else(|| tenant.locale.tag().to_owned());
    tenant.locale = Locale::of_tag(&tag).unwrap_or(tenant.locale);
    let service = services::by_ids(tx, &[first.service]).await?.remove(&first.service);
    let service = service.map_or_else(String::new, |it| it.name);
    let held = bookings::resources_of(tx, &[first.id]).await?.remove(&first.id).unwrap_or_default();
    let mut with: Vec<String> = resources::by_ids(tx, &held).await?.into_values().map(|it| it.name).collect();
    with.sort_unstable();
    let stands = matches!(
        news,
        News::Received | News::Confirmed | News::Moved | News::MovedAndWaits | News::Reminder | News::Offered
    );
    let reason = match news {
        News::Cancelled | News::Rejected => {
            let history = bookings::histories(tx, &[first.id]).await?.remove(&first.id).unwrap_or_default();
            history.into_iter().next_back().and_then(|it| it.reason)
        }
        _ => None,
    };
    let time = |it: &Booking| dates::time(&tag, it.starts_at, it.ends_at, &it.time_zone);
    let until = until.map(|it| dates::instant(&tag, it, &first.time_zone));
    let notice = BookingNotice {
        news,
        name: customer.name.clone(),
        service: service.clone(),
        times: about.iter().map(time).collect(),
        with: if stands { with } else { Vec::new() },
        until,
        reason,
        manage: stands.then(|| mailer.link("booking", &first.id.to_string())),
    };
    let unsubscribe = match news {
        News::Reminder => Some(mailer.unsubscribe_link(&unsubscribing::mint(tx, customer.id, now).await?)),
        _ => None,
    };
    let ids: Vec<BookingId> = about.iter().map(|it| it.id).collect();
    let ends = matches!(news, News::Cancelled | News::Rejected | News::SeriesCancelled);
    // Only what is in the customer's calendar is removed from it. A reminder's booking is there already, and an offer is
    // not a booking yet.
    let has_file = |it: &BookingId, known: &std::collections::HashSet<BookingId>| match news {
        News::Reminder | News::Offered => false,
        _ => !ends || known.contains(it),
    };
    let known = if ends { queries::in_calendars(tx, &ids).await? } else { Default::default() };
    let method = match (ends, &tenant.contact.email) {
        (true, _) => Method::Cancel,
        (false, Some(_)) => Method::Request,
        (false, None) => Method::Publish,
    };
    let listed = ids.iter().map(|it| (*it, has_file(it, &known).then_some(method))).collect();
    let in_files: Vec<Booking> = about.into_iter().filter(|it| has_file(&it.id, &known)).collect();
    let address = (customer.name.as_str(), customer.email.as_str());
    let calendars = files(&tenant, &service, in_files, method, address, mailer.sender(), now);
    let letter = Letter { calendars, unsubscribe, ..Letter::of(tenant, customer.email, Subject::Booking(notice)) };
    Ok(Some(Notice { letter, kind: kind_of(news), about: listed, customer: customer.id }))
}

/// The calendar files of a mail. A message that asks for a change is about one booking (RFC 5546, section 3.2).
fn files(
    tenant: &Tenant,
    service: &str,
    about: Vec<Booking>,
    method: Method,
    customer: (&str, &str),
    sender: &str,
    now: Timestamp,
) -> Vec<CalendarFile> {
    let location = tenant.contact.address.as_ref().map(|it| it.lines().collect::<Vec<_>>().join(", "));
    let summary = format!("{service}, {}", tenant.name);
    let entry = |booking| Entry { booking, summary: summary.clone(), description: None, location: location.clone() };
    let entries: Vec<Entry> = about.into_iter().map(entry).collect();
    let organizer = Some((tenant.name.as_str(), tenant.contact.email.as_deref().unwrap_or(sender)));
    let attendee = Some(customer).filter(|_| method != Method::Publish);
    let parties = Parties { organizer, attendee };
    let file = |entries: &[Entry]| CalendarFile {
        method: method.as_str(),
        text: calendars::file(&tenant.name, entries, method, parties, now),
    };
    match method {
        _ if entries.is_empty() => Vec::new(),
        Method::Publish => vec![file(&entries)],
        Method::Request | Method::Cancel => entries.chunks(1).map(file).collect(),
    }
}
