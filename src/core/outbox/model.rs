//! What happens after the commit, and how it ended.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An effect to carry out. Contains ids, and facts that may have changed by then; everything else is read when it is
/// carried out. Contains no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Effect {
    /// Sends a link to choose a new password.
    #[serde(rename = "mail.password_reset")]
    MailPasswordReset {
        /// The recipient.
        user: Uuid,
    },
    /// Notifies a user that their password was changed.
    #[serde(rename = "mail.password_changed")]
    MailPasswordChanged {
        /// The recipient.
        user: Uuid,
    },
    /// Sends a link that verifies the user's mailbox.
    #[serde(rename = "mail.email_verification")]
    MailEmailVerification {
        /// The recipient.
        user: Uuid,
    },
    /// Notifies a booking's customer of a change.
    #[serde(rename = "mail.booking")]
    MailBooking {
        /// The booking.
        booking: Uuid,
        /// The event, such as `booking.confirmed`.
        event: String,
        /// The booking's version at that time.
        version: i32,
    },
    /// Sends a message to an endpoint of the tenant's own systems.
    #[serde(rename = "webhooks.send")]
    SendWebhook {
        /// The message.
        delivery: Uuid,
    },
    /// Notifies an administrator that an endpoint was disabled.
    #[serde(rename = "mail.webhook_disabled")]
    MailWebhookDisabled {
        /// The endpoint.
        endpoint: Uuid,
        /// The recipient.
        user: Uuid,
    },
    /// Reminds a booking's customer.
    #[serde(rename = "mail.reminder")]
    MailReminder {
        /// The booking.
        booking: Uuid,
        /// When it was to start: if it has moved since, it has another reminder.
        starts_at: Timestamp,
    },
    /// Offers a time to a customer on the waitlist.
    #[serde(rename = "mail.offer")]
    MailOffer {
        /// The hold.
        booking: Uuid,
    },
    /// Notifies a customer of a series of bookings.
    #[serde(rename = "mail.series")]
    MailSeries {
        /// The series.
        series: Uuid,
        /// Whether some of its bookings were cancelled; otherwise it was created.
        cancelled: bool,
        /// The bookings that were cancelled.
        #[serde(default)]
        bookings: Vec<Uuid>,
    },
    /// Sends a link to join a tenant.
    #[serde(rename = "mail.invitation")]
    MailInvitation {
        /// The invitation.
        invitation: Uuid,
    },
    /// Sends a link to confirm a registration, or the notice that an account already exists.
    #[serde(rename = "mail.registration")]
    MailRegistration {
        /// The registration.
        registration: Uuid,
    },
    /// Announces a booking's change: to its customer by mail, to the tenant's systems by webhook.
    #[serde(rename = "bookings.tell")]
    TellOfBooking {
        /// The event, such as `booking.confirmed`.
        event: String,
        /// The booking.
        booking: Uuid,
        /// The booking's version at that time.
        version: i32,
        /// Its status at that time.
        status: String,
        /// Its start at that time.
        starts_at: Timestamp,
        /// Its end at that time.
        ends_at: Timestamp,
        /// Whether the customer gets a mail: not when one mail covers a whole series.
        by_mail: bool,
    },
    /// Offers a freed time to customers on the waitlist.
    #[serde(rename = "waitlist.offer")]
    OfferFreedTime {
        /// The booking's service; `None` when an older version wrote the effect.
        #[serde(default)]
        service: Option<Uuid>,
        /// The first instant of the time.
        from: Timestamp,
        /// The first instant after it.
        to: Timestamp,
    },
    /// Runs billing, when a period of the tenant's subscription has ended or something else is due.
    #[serde(rename = "billing.run")]
    RunBilling,
    /// Collects the payment of an invoice.
    #[serde(rename = "billing.collect")]
    CollectInvoice {
        /// The invoice.
        invoice: Uuid,
        /// Whether to collect now, whatever the schedule says.
        #[serde(default)]
        at_once: bool,
    },
    /// Announces a new invoice to its recipients.
    #[serde(rename = "billing.announce")]
    AnnounceInvoice {
        /// The invoice.
        invoice: Uuid,
    },
    /// Announces to its recipients that an invoice could not be collected.
    #[serde(rename = "billing.overdue")]
    AnnounceOverdue {
        /// The invoice.
        invoice: Uuid,
        /// Whether the tenant's users can now only read.
        is_last: bool,
    },
    /// Restricts the tenant when an invoice's grace period is over.
    #[serde(rename = "billing.restrict")]
    RestrictOverdue {
        /// The invoice.
        invoice: Uuid,
    },
    /// Sends a mail about an invoice.
    #[serde(rename = "mail.invoice")]
    MailInvoice {
        /// The invoice.
        invoice: Uuid,
        /// The recipient; `None` for the tenant's billing address.
        user: Option<Uuid>,
        /// The occasion: `issued`, `failed` or `restricted`.
        what: String,
    },
    /// Copies the tenant's name, status and plan from its own store to the directory.
    #[serde(rename = "directory.sync_tenant")]
    SyncTenant,
    /// Records in the directory that a user's mailbox is verified.
    #[serde(rename = "directory.verify_login")]
    VerifyLogin {
        /// The user.
        user: Uuid,
    },
    /// Removes a registration that was not confirmed.
    #[serde(rename = "registrations.expire")]
    ExpireRegistration {
        /// The registration.
        registration: Uuid,
    },
    /// Removes an erased person from the directory.
    #[serde(rename = "directory.forget_login")]
    ForgetLogin {
        /// The person.
        user: Uuid,
    },
}

/// Effects have two queues, so that slow tenant systems do not delay mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Everything except webhooks.
    Usual = 0,
    /// Messages to webhooks.
    Webhooks = 1,
}

/// An effect that was taken to be carried out.
#[derive(Clone, Debug)]
pub struct ClaimedEffect {
    /// The same for every attempt.
    pub id: Uuid,
    /// The effect; `None` when this version does not know its kind, as after a downgrade.
    pub effect: Option<Effect>,
    /// When it was written.
    pub created_at: Timestamp,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// When it became due.
    pub due_at: Timestamp,
}

/// An effect that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its id.
    pub id: Uuid,
    /// The kind of effect.
    pub kind: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was given up.
    pub dead_at: Timestamp,
    /// How many attempts were made.
    pub attempts: i32,
    /// The last error.
    pub last_error: String,
}

/// How long a worker may take to carry out an effect before another may take it.
pub const LEASE: SignedDuration = SignedDuration::from_secs(120);
