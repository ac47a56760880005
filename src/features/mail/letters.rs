//! What each mail says, in each language.

use askama::Template;

use super::{
    bookings::BookingNotice,
    invoices::InvoiceNotice,
    layout::{Content, Html, Text, content},
};
use crate::features::tenants::{Branding, Locale};

/// Colour of a tenant that has chosen none.
const DEFAULT_COLOR: &str = "#1f2937";

/// A mail in a tenant's name.
#[derive(Clone, Debug)]
pub struct Letter {
    /// An e-mail address.
    pub to: String,
    /// In whose name.
    pub tenant_name: String,
    /// In which language.
    pub locale: Locale,
    /// In which colours.
    pub branding: Branding,
    /// What it is about.
    pub subject: Subject,
    /// An iCalendar file that goes with it.
    pub calendar: Option<String>,
}

/// What a mail is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Choose a new password.
    PasswordReset {
        /// The user's.
        name: String,
        /// Where.
        url: String,
    },
    /// The password was changed.
    PasswordChanged {
        /// The user's.
        name: String,
    },
    /// Show that the mailbox is yours.
    EmailVerification {
        /// The user's.
        name: String,
        /// Where.
        url: String,
    },
    /// Join us.
    Invitation {
        /// Where.
        url: String,
    },
    /// Confirm that you have registered. Without the name that was given: anybody can give any, and have it sent to
    /// anybody.
    Registration {
        /// Where.
        url: String,
    },
    /// Somebody registered with the e-mail of somebody who is there already.
    AlreadyRegistered,
    /// An endpoint of the tenant's own systems is told nothing any more.
    WebhookDisabled {
        /// The administrator's.
        name: String,
        /// The endpoint's address.
        url: String,
    },
    /// Something became of a booking.
    Booking(BookingNotice),
    /// Something became of an invoice.
    Invoice(InvoiceNotice),
}

impl Letter {
    /// The line that a mailbox shows.
    pub fn subject_line(&self) -> String {
        self.content().subject
    }

    /// In HTML and in plain text.
    ///
    /// # Errors
    /// When a template fails, which no value can cause.
    pub fn render(&self) -> Result<(String, String), askama::Error> {
        let content = self.content();
        let color = self.branding.primary_color.as_deref().unwrap_or(DEFAULT_COLOR);
        let html = Html {
            lang: self.locale.as_str(),
            tenant_name: &self.tenant_name,
            logo_url: self.branding.logo_url.as_deref(),
            color,
            accent: self.branding.accent_color.as_deref().unwrap_or(color),
            content: &content,
        };
        Ok((html.render()?, Text { tenant_name: &self.tenant_name, content: &content }.render()?))
    }

    fn content(&self) -> Content {
        let tenant = self.tenant_name.as_str();
        match self.locale {
            Locale::En => english(&self.subject, tenant),
            Locale::De => german(&self.subject, tenant),
            Locale::Nl => dutch(&self.subject, tenant),
        }
    }
}

fn english(subject: &Subject, tenant: &str) -> Content {
    let hello = |name: &str| format!("Hello {name},");
    let ignore = "If this was not you, you need not do anything.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Your new password at {tenant}"),
            hello(name),
            &["Somebody asked for a new password for your account. The link is good for 30 minutes, once."],
            Some(("Choose a new password", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Your password at {tenant} was changed"),
            hello(name),
            &["The password of your account was changed, and you were signed out everywhere else."],
            None,
            "If this was not you, ask for a new password at once and tell us.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Confirm your e-mail for {tenant}"),
            hello(name),
            &["Please confirm that this mailbox is yours. The link is good for 3 days."],
            Some(("Confirm the e-mail", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} invites you"),
            "Hello,".into(),
            &[&format!("{tenant} invites you to join. The link is good for 7 days.")],
            Some(("Join", url)),
            "If you do not know the sender, you need not do anything.",
        ),
        Subject::Registration { url } => content(
            format!("Confirm your account at {tenant}"),
            "Hello,".into(),
            &["Please confirm your account with the password that you chose. The link is good for 24 hours."],
            Some(("Confirm the account", url)),
            ignore,
        ),
        Subject::AlreadyRegistered => content(
            format!("You have an account at {tenant} already"),
            "Hello,".into(),
            &[
                "Somebody, perhaps you, registered with this e-mail. You have an account already: sign in, or ask for a new password.",
            ],
            None,
            ignore,
        ),
        Subject::WebhookDisabled { name, url } => content(
            format!("A webhook of {tenant} was disabled"),
            hello(name),
            &[
                &format!("This endpoint is not told of bookings any more: {url}"),
                "It has failed for five days, or has said that it is gone. Enable it again once it works.",
            ],
            None,
            "You get this mail as an administrator.",
        ),
        Subject::Booking(notice) => notice.content(Locale::En, tenant),
        Subject::Invoice(notice) => notice.content(Locale::En, tenant),
    }
}

fn german(subject: &Subject, tenant: &str) -> Content {
    let hello = |name: &str| format!("Guten Tag {name},");
    let ignore = "Falls Sie das nicht waren, müssen Sie nichts tun.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Ihr neues Passwort bei {tenant}"),
            hello(name),
            &["Jemand hat ein neues Passwort für Ihr Konto angefordert. Der Link gilt 30 Minuten und nur einmal."],
            Some(("Neues Passwort wählen", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Ihr Passwort bei {tenant} wurde geändert"),
            hello(name),
            &["Das Passwort Ihres Kontos wurde geändert, und Sie wurden überall sonst abgemeldet."],
            None,
            "Falls Sie das nicht waren, fordern Sie sofort ein neues Passwort an und sagen Sie uns Bescheid.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Bestätigen Sie Ihre E-Mail-Adresse für {tenant}"),
            hello(name),
            &["Bitte bestätigen Sie, dass dieses Postfach Ihnen gehört. Der Link gilt 3 Tage."],
            Some(("E-Mail-Adresse bestätigen", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} lädt Sie ein"),
            "Guten Tag,".into(),
            &[&format!("{tenant} lädt Sie ein mitzumachen. Der Link gilt 7 Tage.")],
            Some(("Einladung annehmen", url)),
            "Falls Sie den Absender nicht kennen, müssen Sie nichts tun.",
        ),
        Subject::Registration { url } => content(
            format!("Bestätigen Sie Ihr Konto bei {tenant}"),
            "Guten Tag,".into(),
            &["Bitte bestätigen Sie Ihr Konto mit dem Passwort, das Sie gewählt haben. Der Link gilt 24 Stunden."],
            Some(("Konto bestätigen", url)),
            ignore,
        ),
        Subject::AlreadyRegistered => content(
            format!("Sie haben bereits ein Konto bei {tenant}"),
            "Guten Tag,".into(),
            &[
                "Jemand, vielleicht Sie selbst, hat sich mit dieser E-Mail-Adresse registriert. Sie haben bereits ein Konto: Melden Sie sich an oder fordern Sie ein neues Passwort an.",
            ],
            None,
            ignore,
        ),
        Subject::WebhookDisabled { name, url } => content(
            format!("Ein Webhook von {tenant} wurde abgeschaltet"),
            hello(name),
            &[
                &format!("Dieser Endpunkt erfährt nichts mehr von Buchungen: {url}"),
                "Er war fünf Tage lang nicht erreichbar oder hat gemeldet, dass es ihn nicht mehr gibt. Schalten Sie ihn wieder ein, sobald er funktioniert.",
            ],
            None,
            "Sie erhalten diese E-Mail als Administrator.",
        ),
        Subject::Booking(notice) => notice.content(Locale::De, tenant),
        Subject::Invoice(notice) => notice.content(Locale::De, tenant),
    }
}

fn dutch(subject: &Subject, tenant: &str) -> Content {
    let hello = |name: &str| format!("Hallo {name},");
    let ignore = "Was u dit niet, dan hoeft u niets te doen.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Uw nieuwe wachtwoord bij {tenant}"),
            hello(name),
            &["Iemand heeft een nieuw wachtwoord voor uw account aangevraagd. De link is 30 minuten geldig, één keer."],
            Some(("Kies een nieuw wachtwoord", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Uw wachtwoord bij {tenant} is gewijzigd"),
            hello(name),
            &["Het wachtwoord van uw account is gewijzigd en u bent overal elders afgemeld."],
            None,
            "Was u dit niet, vraag dan meteen een nieuw wachtwoord aan en laat het ons weten.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Bevestig uw e-mailadres voor {tenant}"),
            hello(name),
            &["Bevestig alstublieft dat deze mailbox van u is. De link is 3 dagen geldig."],
            Some(("Bevestig het e-mailadres", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} nodigt u uit"),
            "Hallo,".into(),
            &[&format!("{tenant} nodigt u uit om mee te doen. De link is 7 dagen geldig.")],
            Some(("Doe mee", url)),
            "Kent u de afzender niet, dan hoeft u niets te doen.",
        ),
        Subject::Registration { url } => content(
            format!("Bevestig uw account bij {tenant}"),
            "Hallo,".into(),
            &["Bevestig alstublieft uw account met het wachtwoord dat u heeft gekozen. De link is 24 uur geldig."],
            Some(("Bevestig het account", url)),
            ignore,
        ),
        Subject::AlreadyRegistered => content(
            format!("U heeft al een account bij {tenant}"),
            "Hallo,".into(),
            &[
                "Iemand, misschien uzelf, heeft zich met dit e-mailadres geregistreerd. U heeft al een account: meld u aan of vraag een nieuw wachtwoord aan.",
            ],
            None,
            ignore,
        ),
        Subject::WebhookDisabled { name, url } => content(
            format!("Een webhook van {tenant} is uitgeschakeld"),
            hello(name),
            &[
                &format!("Dit endpoint krijgt geen bericht meer van boekingen: {url}"),
                "Het was vijf dagen niet bereikbaar, of heeft gemeld dat het niet meer bestaat. Schakel het weer in zodra het werkt.",
            ],
            None,
            "U krijgt deze e-mail als beheerder.",
        ),
        Subject::Booking(notice) => notice.content(Locale::Nl, tenant),
        Subject::Invoice(notice) => notice.content(Locale::Nl, tenant),
    }
}
