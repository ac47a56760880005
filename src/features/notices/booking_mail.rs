//! Mails about bookings.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    base::ids::{BookingId, SeriesId},
    core::outbox::{self, Effect, derived_id},
    db::{DbError, ScopedTx},
    features::{
        bookings::{self, Booking, BookingEvent, BookingStatus, Happened},
        calendars::{self, Entry},
        mail::{BookingNotice, Letter, News, Subject, dates},
        resources, series, services,
        tenants::{self, Tenant},
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
pub async fn letter(tx: &ScopedTx, effect: &Effect, sender: &str, now: Timestamp) -> Result<Option<Letter>, DbError> {
    match effect {
        Effect::MailBooking { booking, event, version } => {
            let news = BookingEvent::named(event).and_then(news_of);
            // A later change of the booking has its own mail.
            let found = one(tx, *booking).await?.filter(|it| it.version == *version);
            let waits = found.as_ref().is_some_and(|it| it.status == BookingStatus::Pending);
            let news = if waits && news == Some(News::Moved) { Some(News::MovedAndWaits) } else { news };
            write(tx, news, found.into_iter().collect(), None, sender, now).await
        }
        Effect::MailReminder { booking, starts_at } => {
            let still = |it: &Booking| it.status == BookingStatus::Confirmed && it.starts_at == *starts_at;
            let found = one(tx, *booking).await?.filter(|it| still(it) && it.starts_at > now);
            write(tx, Some(News::Reminder), found.into_iter().collect(), None, sender, now).await
        }
        Effect::MailOffer { booking } => {
            let found = one(tx, *booking).await?.filter(|it| it.held_until.is_some_and(|until| until > now));
            let until = found.as_ref().and_then(|it| it.held_until);
            write(tx, Some(News::Offered), found.into_iter().collect(), until, sender, now).await
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
            write(tx, Some(news), about, None, sender, now).await
        }
        _ => Ok(None),
    }
}

async fn one(tx: &ScopedTx, id: Uuid) -> Result<Option<Booking>, DbError> {
    Ok(bookings::by_ids(tx, &[BookingId(id)]).await?.remove(&BookingId(id)))
}

/// Writes a mail about bookings of one customer and one service.
async fn write(
    tx: &ScopedTx,
    news: Option<News>,
    about: Vec<Booking>,
    until: Option<Timestamp>,
    sender: &str,
    now: Timestamp,
) -> Result<Option<Letter>, DbError> {
    let (Some(news), Some(first)) = (news, about.first()) else { return Ok(None) };
    let Some(customer) = users::active(tx, first.customer).await? else { return Ok(None) };
    let tenant = tenants::current(tx).await?;
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
    let time = |it: &Booking| dates::time(tenant.locale, it.starts_at, it.ends_at, &it.time_zone);
    let until = until.map(|it| dates::instant(tenant.locale, it, &first.time_zone));
    let notice = BookingNotice {
        news,
        name: customer.name,
        service: service.clone(),
        times: about.iter().map(time).collect(),
        with: if stands { with } else { Vec::new() },
        until,
        reason,
    };
    // A reminder's booking is in the calendar already, and an offer is not a booking yet.
    let has_file = !matches!(news, News::Reminder | News::Offered);
    let calendar = has_file.then(|| file(&tenant, &service, about, sender, now));
    Ok(Some(Letter {
        to: customer.email,
        tenant_name: tenant.name,
        locale: tenant.locale,
        branding: tenant.branding,
        subject: Subject::Booking(notice),
        calendar,
    }))
}

fn file(tenant: &Tenant, service: &str, about: Vec<Booking>, sender: &str, now: Timestamp) -> String {
    let entry = |booking| Entry { booking, summary: format!("{service}, {}", tenant.name), description: None };
    let entries: Vec<Entry> = about.into_iter().map(entry).collect();
    calendars::file(&tenant.name, &entries, Some((&tenant.name, sender)), now)
}
