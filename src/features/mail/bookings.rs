//! The texts of booking mails, in each language.

use super::layout::Content;
use crate::features::tenants::Locale;

/// What a booking mail tells the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The booking awaits confirmation by staff.
    Received,
    /// The booking is confirmed.
    Confirmed,
    /// The booking was moved to another time.
    Moved,
    /// The booking was moved to another time and awaits confirmation by staff again.
    MovedAndWaits,
    /// The booking was cancelled.
    Cancelled,
    /// Staff did not confirm the booking.
    Rejected,
    /// The booking starts soon.
    Reminder,
    /// A time on the waitlist became available and is held for the customer.
    Offered,
    /// A series awaits confirmation by staff.
    SeriesReceived,
    /// A series was booked.
    SeriesBooked,
    /// Bookings of a series were cancelled.
    SeriesCancelled,
}

/// A mail about bookings.
#[derive(Clone, Debug)]
pub struct BookingNotice {
    /// What happened.
    pub news: News,
    /// The customer's name.
    pub name: String,
    /// The service's name.
    pub service: String,
    /// The times, one line for each booking.
    pub times: Vec<String>,
    /// Names of the resources that the booking uses; empty where the mail does not show them.
    pub with: Vec<String>,
    /// When a held offer expires.
    pub until: Option<String>,
    /// The reason that staff gave, if any.
    pub reason: Option<String>,
    /// The page where the customer changes or cancels the booking, where the mail offers it.
    pub manage: Option<String>,
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
                "Reserved for you until",
                "Reason",
                format!("You received this email because you made a booking at {tenant}."),
            ),
            Locale::De => (
                format!("Guten Tag {},", self.name),
                "Mit",
                "Für Sie reserviert bis",
                "Grund",
                format!("Sie erhalten diese E-Mail, weil Sie bei {tenant} gebucht haben."),
            ),
            Locale::Nl => (
                format!("Hallo {},", self.name),
                "Met",
                "Voor u gereserveerd tot",
                "Reden",
                format!("U ontvangt deze e-mail omdat u bij {tenant} hebt geboekt."),
            ),
        };
        let mut paragraphs = vec![lead, service.clone()];
        paragraphs.extend(self.times.iter().cloned());
        if !self.with.is_empty() {
            paragraphs.push(format!("{with}: {}", self.with.join(", ")));
        }
        paragraphs.extend(self.until.as_ref().map(|it| format!("{until} {it}.")));
        paragraphs.extend(self.reason.as_ref().map(|it| format!("{reason}: {it}")));
        let label = match locale {
            Locale::En => "Change or cancel",
            Locale::De => "Ändern oder stornieren",
            Locale::Nl => "Wijzigen of annuleren",
        };
        let button = self.manage.as_ref().map(|url| (label.to_owned(), url.clone()));
        Content { subject, greeting, paragraphs, button, footer }
    }

    fn english(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => {
                ("We have received your booking", "We have received your booking. We will confirm it soon.")
            }
            News::Confirmed => ("Your booking is confirmed", "Your booking is confirmed."),
            News::Moved => ("Your booking was rescheduled", "Your booking was moved to a new time."),
            News::MovedAndWaits => {
                ("Your booking was rescheduled", "Your booking was moved to a new time. We will confirm it soon.")
            }
            News::SeriesReceived => {
                ("We have received your bookings", "We have received your bookings. We will confirm each of them soon.")
            }
            News::Cancelled => ("Your booking was cancelled", "Your booking was cancelled."),
            News::Rejected => ("Your booking cannot be confirmed", "We are sorry, but we cannot confirm your booking."),
            News::Reminder => ("Reminder of your booking", "This is a reminder of your upcoming booking."),
            News::Offered => {
                ("A time is available", "The time you are waiting for is now available. Confirm it to book it.")
            }
            News::SeriesBooked => {
                ("Your bookings are confirmed", "Your bookings at the following times are confirmed.")
            }
            News::SeriesCancelled => {
                ("Your bookings were cancelled", "The following bookings of your series were cancelled.")
            }
        };
        (format!("{subject}: {service} at {tenant}"), lead.to_owned())
    }

    fn german(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => {
                ("Ihre Buchung ist eingegangen", "Ihre Buchung ist bei uns eingegangen. Wir bestätigen sie in Kürze.")
            }
            News::Confirmed => ("Ihre Buchung ist bestätigt", "Ihre Buchung ist bestätigt."),
            News::Moved => ("Ihre Buchung wurde verschoben", "Ihre Buchung wurde auf einen neuen Termin verschoben."),
            News::MovedAndWaits => (
                "Ihre Buchung wurde verschoben",
                "Ihre Buchung wurde auf einen neuen Termin verschoben. Wir bestätigen sie in Kürze.",
            ),
            News::SeriesReceived => (
                "Ihre Buchungen sind eingegangen",
                "Ihre Buchungen sind bei uns eingegangen. Wir bestätigen sie in Kürze.",
            ),
            News::Cancelled => ("Ihre Buchung wurde storniert", "Ihre Buchung wurde storniert."),
            News::Rejected => {
                ("Ihre Buchung kann nicht bestätigt werden", "Leider können wir Ihre Buchung nicht bestätigen.")
            }
            News::Reminder => ("Erinnerung an Ihre Buchung", "Wir möchten Sie an Ihre bevorstehende Buchung erinnern."),
            News::Offered => (
                "Ein Termin ist frei geworden",
                "Der Termin, auf den Sie warten, ist frei geworden. Bestätigen Sie ihn, um ihn zu buchen.",
            ),
            News::SeriesBooked => ("Ihre Buchungen sind bestätigt", "Folgende Termine sind für Sie gebucht."),
            News::SeriesCancelled => {
                ("Ihre Buchungen wurden storniert", "Folgende Termine Ihrer Serie wurden storniert.")
            }
        };
        (format!("{subject}: {service} bei {tenant}"), lead.to_owned())
    }

    fn dutch(&self, tenant: &str) -> (String, String) {
        let service = &self.service;
        let (subject, lead) = match self.news {
            News::Received => (
                "We hebben uw boeking ontvangen",
                "We hebben uw boeking ontvangen. U krijgt binnenkort een bevestiging.",
            ),
            News::Confirmed => ("Uw boeking is bevestigd", "Uw boeking is bevestigd."),
            News::Moved => ("Uw boeking is verplaatst", "Uw boeking is verplaatst naar een nieuw tijdstip."),
            News::MovedAndWaits => (
                "Uw boeking is verplaatst",
                "Uw boeking is verplaatst naar een nieuw tijdstip. U krijgt binnenkort een bevestiging.",
            ),
            News::SeriesReceived => {
                ("We hebben uw boekingen ontvangen", "We hebben uw boekingen ontvangen. We bevestigen ze binnenkort.")
            }
            News::Cancelled => ("Uw boeking is geannuleerd", "Uw boeking is geannuleerd."),
            News::Rejected => ("Uw boeking kan niet worden bevestigd", "Helaas kunnen we uw boeking niet bevestigen."),
            News::Reminder => ("Herinnering aan uw boeking", "We herinneren u graag aan uw aankomende boeking."),
            News::Offered => {
                ("Er is een tijdstip vrij", "Het tijdstip waarop u wacht, is vrijgekomen. Bevestig het om te boeken.")
            }
            News::SeriesBooked => ("Uw boekingen zijn bevestigd", "De volgende tijdstippen zijn voor u geboekt."),
            News::SeriesCancelled => {
                ("Uw boekingen zijn geannuleerd", "De volgende boekingen van uw reeks zijn geannuleerd.")
            }
        };
        (format!("{subject}: {service} bij {tenant}"), lead.to_owned())
    }
}
