//! What mails about bookings say, in each language.

use super::layout::Content;
use crate::features::tenants::Locale;

/// What a customer is told of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It waits for staff.
    Received,
    /// It is agreed.
    Confirmed,
    /// It is at another time.
    Moved,
    /// It is at another time, and waits for staff again.
    MovedAndWaits,
    /// It was called off.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
    /// It is near.
    Reminder,
    /// A time that was waited for is free, and held.
    Offered,
    /// A series waits for staff.
    SeriesReceived,
    /// A series was booked.
    SeriesBooked,
    /// Bookings of a series were called off.
    SeriesCancelled,
}

/// A mail about bookings.
#[derive(Clone, Debug)]
pub struct BookingNotice {
    /// What it tells.
    pub news: News,
    /// The customer's.
    pub name: String,
    /// What is booked.
    pub service: String,
    /// When: one line for each booking.
    pub times: Vec<String>,
    /// Who and what it takes; empty where that is nobody's business.
    pub with: Vec<String>,
    /// Until when an offer is held.
    pub until: Option<String>,
    /// Why, where staff said so.
    pub reason: Option<String>,
}

impl BookingNotice {
    pub(super) fn content(&self, locale: Locale, tenant: &str) -> Content {
        let service = &self.service;
        let (subject, lead) = match locale {
            Locale::En => self.english(tenant),
            Locale::De => self.german(tenant),
            Locale::Nl => self.dutch(tenant),
        };
        let (greeting, with, until, reason, footer) = match locale {
            Locale::En => (
                format!("Hello {},", self.name),
                "With",
                "We keep it for you until",
                "Reason",
                format!("You get this mail because you booked at {tenant}."),
            ),
            Locale::De => (
                format!("Guten Tag {},", self.name),
                "Mit",
                "Wir halten den Termin für Sie frei bis",
                "Grund",
                format!("Sie erhalten diese E-Mail, weil Sie bei {tenant} gebucht haben."),
            ),
            Locale::Nl => (
                format!("Hallo {},", self.name),
                "Met",
                "We houden het voor u vrij tot",
                "Reden",
                format!("U krijgt deze e-mail omdat u bij {tenant} heeft geboekt."),
            ),
        };
        let mut paragraphs = vec![lead, service.clone()];
        paragraphs.extend(self.times.iter().cloned());
        if !self.with.is_empty() {
            paragraphs.push(format!("{with}: {}", self.with.join(", ")));
        }
        paragraphs.extend(self.until.as_ref().map(|it| format!("{until} {it}.")));
        paragraphs.extend(self.reason.as_ref().map(|it| format!("{reason}: {it}")));
        Content { subject, greeting, paragraphs, button: None, footer }
    }

    fn english(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => ("We have your booking", "We have received your booking, and will confirm it soon."),
            News::Confirmed => ("Your booking is confirmed", "Your booking is confirmed."),
            News::Moved => ("Your booking was moved", "Your booking is now at another time."),
            News::MovedAndWaits => {
                ("Your booking was moved", "Your booking is now at another time, and we will confirm it soon.")
            }
            News::SeriesReceived => {
                ("We have your bookings", "We have received your bookings, and will confirm each of them soon.")
            }
            News::Cancelled => ("Your booking was cancelled", "Your booking was cancelled."),
            News::Rejected => ("Your booking cannot be confirmed", "We are sorry: we cannot confirm your booking."),
            News::Reminder => ("Your booking is soon", "This is to remind you of your booking."),
            News::Offered => ("A time is free", "The time that you wait for is free. Confirm it to book it."),
            News::SeriesBooked => ("Your bookings", "These times are booked for you."),
            News::SeriesCancelled => ("Bookings were cancelled", "These times of your series were cancelled."),
        };
        (format!("{subject}: {service} at {tenant}"), lead.to_owned())
    }

    fn german(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => {
                ("Wir haben Ihre Buchung", "Wir haben Ihre Buchung erhalten und bestätigen sie in Kürze.")
            }
            News::Confirmed => ("Ihre Buchung ist bestätigt", "Ihre Buchung ist bestätigt."),
            News::Moved => ("Ihre Buchung wurde verlegt", "Ihre Buchung hat jetzt eine andere Zeit."),
            News::MovedAndWaits => (
                "Ihre Buchung wurde verlegt",
                "Ihre Buchung hat jetzt eine andere Zeit, und wir bestätigen sie in Kürze.",
            ),
            News::SeriesReceived => {
                ("Wir haben Ihre Buchungen", "Wir haben Ihre Buchungen erhalten und bestätigen jede in Kürze.")
            }
            News::Cancelled => ("Ihre Buchung wurde storniert", "Ihre Buchung wurde storniert."),
            News::Rejected => {
                ("Ihre Buchung kann nicht bestätigt werden", "Leider können wir Ihre Buchung nicht bestätigen.")
            }
            News::Reminder => ("Ihre Buchung steht bevor", "Wir möchten Sie an Ihre Buchung erinnern."),
            News::Offered => (
                "Ein Termin ist frei",
                "Der Termin, auf den Sie warten, ist frei. Bestätigen Sie ihn, um ihn zu buchen.",
            ),
            News::SeriesBooked => ("Ihre Buchungen", "Diese Termine sind für Sie gebucht."),
            News::SeriesCancelled => ("Buchungen wurden storniert", "Diese Termine Ihrer Serie wurden storniert."),
        };
        (format!("{subject}: {service} bei {tenant}"), lead.to_owned())
    }

    fn dutch(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => ("We hebben uw boeking", "We hebben uw boeking ontvangen en bevestigen die binnenkort."),
            News::Confirmed => ("Uw boeking is bevestigd", "Uw boeking is bevestigd."),
            News::Moved => ("Uw boeking is verplaatst", "Uw boeking is nu op een andere tijd."),
            News::MovedAndWaits => {
                ("Uw boeking is verplaatst", "Uw boeking is nu op een andere tijd, en we bevestigen die binnenkort.")
            }
            News::SeriesReceived => {
                ("We hebben uw boekingen", "We hebben uw boekingen ontvangen en bevestigen ze binnenkort.")
            }
            News::Cancelled => ("Uw boeking is geannuleerd", "Uw boeking is geannuleerd."),
            News::Rejected => ("Uw boeking kan niet worden bevestigd", "Helaas kunnen we uw boeking niet bevestigen."),
            News::Reminder => ("Uw boeking is binnenkort", "We herinneren u graag aan uw boeking."),
            News::Offered => ("Er is een tijd vrij", "De tijd waarop u wacht is vrij. Bevestig de tijd om te boeken."),
            News::SeriesBooked => ("Uw boekingen", "Deze tijden zijn voor u geboekt."),
            News::SeriesCancelled => ("Boekingen zijn geannuleerd", "Deze tijden van uw reeks zijn geannuleerd."),
        };
        (format!("{subject}: {service} bij {tenant}"), lead.to_owned())
    }
}
