//! What happens after the commit, and what became of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is to happen. Ids, and facts that will not be the same any more when it happens; whatever else it takes is read
/// then, and nothing personal stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Effect {
    /// A mail with a link to choose a new password.
    #[serde(rename = "mail.password_reset")]
    MailPasswordReset {
        /// Whose.
        user: Uuid,
    },
    /// A mail that tells that the password was changed.
    #[serde(rename = "mail.password_changed")]
    MailPasswordChanged {
        /// Whose.
        user: Uuid,
    },
    /// A mail with a link that shows that the mailbox is the user's.
    #[serde(rename = "mail.email_verification")]
    MailEmailVerification {
        /// Whose.
        user: Uuid,
    },
    /// A mail that tells its customer what became of a booking.
    #[serde(rename = "mail.booking")]
    MailBooking {
        /// Which.
        booking: Uuid,
        /// Such as `booking.confirmed`.
        event: String,
        /// As it was then.
        version: i32,
    },
    /// A message is sent to an endpoint of the tenant's own systems.
    #[serde(rename = "webhooks.send")]
    SendWebhook {
        /// Which message.
        delivery: Uuid,
    },
    /// A mail that tells an administrator that an endpoint was disabled.
    #[serde(rename = "mail.webhook_disabled")]
    MailWebhookDisabled {
        /// Which.
        endpoint: Uuid,
        /// Whom.
        user: Uuid,
    },
    /// A mail that reminds its customer of a booking.
    #[serde(rename = "mail.reminder")]
    MailReminder {
        /// Which.
        booking: Uuid,
        /// When it was to start: moved since, it has another reminder.
        starts_at: Timestamp,
    },
    /// A mail that offers a time to somebody who waits for it.
    #[serde(rename = "mail.offer")]
    MailOffer {
        /// The hold.
        booking: Uuid,
    },
    /// A mail that tells of a series of bookings.
    #[serde(rename = "mail.series")]
    MailSeries {
        /// Which.
        series: Uuid,
        /// Whether some of it was called off; otherwise it was made.
        cancelled: bool,
        /// Which of its bookings were called off.
        #[serde(default)]
        bookings: Vec<Uuid>,
    },
    /// A mail with a link to join.
    #[serde(rename = "mail.invitation")]
    MailInvitation {
        /// Which invitation.
        invitation: Uuid,
    },
    /// A mail with a link to confirm a registration, or one that says that there is an account already.
    #[serde(rename = "mail.registration")]
    MailRegistration {
        /// Which registration.
        registration: Uuid,
    },
    /// Whoever is to hear of a booking hears what became of it: its customer by mail, the tenant's systems by webhook.
    #[serde(rename = "bookings.tell")]
    TellOfBooking {
        /// Such as `booking.confirmed`.
        event: String,
        /// Which.
        booking: Uuid,
        /// As it was then.
        version: i32,
        /// As it was then.
        status: String,
        /// As it was then.
        starts_at: Timestamp,
        /// As it was then.
        ends_at: Timestamp,
        /// Whether its customer is to have a mail: not where one tells of a whole series.
        by_mail: bool,
    },
    /// A time that is free again is offered to whoever waits for it.
    #[serde(rename = "waitlist.offer")]
    OfferFreedTime {
        /// Of which service the booking was; `None` as an older version wrote it.
        #[serde(default)]
        service: Option<Uuid>,
        /// The first instant of it.
        from: Timestamp,
        /// The first instant after it.
        to: Timestamp,
    },
    /// A period of the tenant's subscription has ended, or something else has fallen due.
    #[serde(rename = "billing.run")]
    RunBilling,
    /// An invoice is to be paid.
    #[serde(rename = "billing.collect")]
    CollectInvoice {
        /// Which.
        invoice: Uuid,
        /// Whether somebody asks for it, whatever the schedule says.
        #[serde(default)]
        at_once: bool,
    },
    /// Whoever is to hear of it hears that an invoice was issued.
    #[serde(rename = "billing.announce")]
    AnnounceInvoice {
        /// Which.
        invoice: Uuid,
    },
    /// Whoever is to hear of it hears that an invoice could not be collected.
    #[serde(rename = "billing.overdue")]
    AnnounceOverdue {
        /// Which.
        invoice: Uuid,
        /// Whether the tenant's people can only read now.
        is_last: bool,
    },
    /// The time of grace of an invoice is over.
    #[serde(rename = "billing.restrict")]
    RestrictOverdue {
        /// Which.
        invoice: Uuid,
    },
    /// A mail that tells of an invoice.
    #[serde(rename = "mail.invoice")]
    MailInvoice {
        /// Which.
        invoice: Uuid,
        /// Whom; `None` for the address that the tenant has given.
        user: Option<Uuid>,
        /// What of it: `issued`, `failed` or `restricted`.
        what: String,
    },
    /// The directory copies what the tenant's own store says: name, status, plan.
    #[serde(rename = "directory.sync_tenant")]
    SyncTenant,
    /// The directory notes that a mailbox is its user's.
    #[serde(rename = "directory.verify_login")]
    VerifyLogin {
        /// Whose.
        user: Uuid,
    },
    /// A registration that nobody confirmed is removed.
    #[serde(rename = "registrations.expire")]
    ExpireRegistration {
        /// Which.
        registration: Uuid,
    },
    /// The directory forgets a person who was erased.
    #[serde(rename = "directory.forget_login")]
    ForgetLogin {
        /// Whom.
        user: Uuid,
    },
}

/// Effects stand in two lines, so that what waits for tenants' own systems keeps no mail waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// All but the other.
    Usual = 0,
    /// Messages to webhooks.
    Webhooks = 1,
}

/// An effect that was taken to be carried out.
#[derive(Clone, Debug)]
pub struct ClaimedEffect {
    /// The same for every attempt.
    pub id: Uuid,
    /// What is to happen; `None` when this version does not know the kind, as after a step back.
    pub effect: Option<Effect>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// Since when it could have been carried out.
    pub due_at: Timestamp,
}

/// An effect that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its id.
    pub id: Uuid,
    /// What was to happen.
    pub kind: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was given up.
    pub dead_at: Timestamp,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub last_error: String,
}

/// How long whoever took an effect has to carry it out, before somebody else may.
pub const LEASE: SignedDuration = SignedDuration::from_secs(120);
