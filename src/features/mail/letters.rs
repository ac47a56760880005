//! The text of each account mail, in each language.

use askama::Template;

use super::{
    bookings::BookingNotice,
    invoices::InvoiceNotice,
    layout::{Content, Html, Text, content},
};
use crate::features::tenants::{Branding, Contact, Locale, Tenant};

/// The colour of a tenant that has chosen none.
const DEFAULT_COLOR: &str = "#1f2937";

/// A mail in a tenant's name.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The recipient's email address.
    pub to: String,
    /// The tenant in whose name the mail is sent.
    pub tenant_name: String,
    /// The language.
    pub locale: Locale,
    /// The tenant's logo and colours.
    pub branding: Branding,
    /// What the mail is about.
    pub subject: Subject,
    /// Where customers reach the tenant.
    pub contact: Contact,
    /// iCalendar files to attach.
    pub calendars: Vec<CalendarFile>,
    /// The link that stops mails of this kind.
    pub unsubscribe: Option<String>,
}

/// An iCalendar file in a mail.
#[derive(Clone, Debug)]
pub struct CalendarFile {
    /// What it asks a calendar program to do, such as `REQUEST`.
    pub method: &'static str,
    /// The file.
    pub text: String,
}

/// What a mail is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A link to choose a new password.
    PasswordReset {
        /// The user's name.
        name: String,
        /// The link.
        url: String,
    },
    /// A notice that the password was changed.
    PasswordChanged {
        /// The user's name.
        name: String,
    },
    /// A link that proves that the mailbox belongs to the user.
    EmailVerification {
        /// The user's name.
        name: String,
        /// The link.
        url: String,
    },
    /// An invitation to join the tenant.
    Invitation {
        /// The link.
        url: String,
    },
    /// A link to confirm a registration. The mail leaves out the name from the form: anyone can enter any name together
    /// with anyone's address.
    Registration {
        /// The link.
        url: String,
    },
    /// A notice that the address of a new registration already has an account.
    AlreadyRegistered,
    /// A notice that a webhook endpoint was disabled.
    WebhookDisabled {
        /// The administrator's name.
        name: String,
        /// The endpoint's URL.
        url: String,
    },
    /// News about a booking.
    Booking(BookingNotice),
    /// News about an invoice.
    Invoice(InvoiceNotice),
}

impl Letter {
    /// A letter of a tenant, in its language and without files.
    pub fn of(tenant: Tenant, to: String, subject: Subject) -> Self {
        Self {
            to,
            tenant_name: tenant.name,
            locale: tenant.locale,
            branding: tenant.branding,
            contact: tenant.contact,
            subject,
            calendars: Vec::new(),
            unsubscribe: None,
        }
    }

    /// The subject line.
    pub fn subject_line(&self) -> String {
        self.content().subject
    }

    /// Renders the HTML part and the plain-text part.
    ///
    /// # Errors
    /// Returns an error when a template fails, which no value can cause.
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
            contact: &self.contact_lines(),
            unsubscribe: self.unsubscribe.as_deref().map(|url| (self.unsubscribe_label(), url)),
        };
        let text = Text {
            tenant_name: &self.tenant_name,
            content: &content,
            contact: html.contact,
            unsubscribe: html.unsubscribe,
        };
        Ok((html.render()?, text.render()?))
    }

    /// The tenant's address, phone and email, at the foot.
    fn contact_lines(&self) -> Vec<&str> {
        let Contact { email, phone, address } = &self.contact;
        let address = address.iter().flat_map(|it| it.lines());
        address.chain(phone.as_deref()).chain(email.as_deref()).collect()
    }

    fn unsubscribe_label(&self) -> &'static str {
        match self.locale {
            Locale::En => "Stop reminders",
            Locale::De => "Keine Erinnerungen mehr",
            Locale::Nl => "Geen herinneringen meer",
        }
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
    let ignore = "If this was not you, you can ignore this email.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Reset your password at {tenant}"),
            hello(name),
            &["Someone requested a new password for your account. The link is valid for 30 minutes and works once."],
            Some(("Choose a new password", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Your password at {tenant} was changed"),
            hello(name),
            &["The password of your account was changed. You have been signed out on all other devices."],
            None,
            "If this was not you, reset your password immediately and contact us.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Confirm your email address for {tenant}"),
            hello(name),
            &["Please confirm that this email address is yours. The link is valid for 3 days."],
            Some(("Confirm email address", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} has invited you"),
            "Hello,".into(),
            &[&format!("{tenant} has invited you to join. The link is valid for 7 days.")],
            Some(("Accept the invitation", url)),
            "If you do not know the sender, you can ignore this email.",
        ),
        Subject::Registration { url } => content(
            format!("Confirm your account at {tenant}"),
            "Hello,".into(),
            &["Please confirm your account with the password you chose. The link is valid for 24 hours."],
            Some(("Confirm account", url)),
            ignore,
        ),
        Subject::AlreadyRegistered => content(
            format!("You already have an account at {tenant}"),
            "Hello,".into(),
            &[
                "Someone, perhaps you, registered with this email address. You already have an account: sign in or request a new password.",
            ],
            None,
            ignore,
        ),
        Subject::WebhookDisabled { name, url } => content(
            format!("A webhook of {tenant} was disabled"),
            hello(name),
            &[
                &format!("This endpoint no longer receives booking events: {url}"),
                "It failed for five days or reported that it no longer exists. Enable it again once it works.",
            ],
            None,
            "You received this email because you are an administrator.",
        ),
        Subject::Booking(notice) => notice.content(Locale::En, tenant),
        Subject::Invoice(notice) => notice.content(Locale::En, tenant),
    }
}

fn german(subject: &Subject, tenant: &str) -> Content {
    let hello = |name: &str| format!("Guten Tag {name},");
    let ignore = "Falls Sie das nicht waren, können Sie diese E-Mail ignorieren.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Ihr Passwort bei {tenant} zurücksetzen"),
            hello(name),
            &[
                "Jemand hat ein neues Passwort für Ihr Konto angefordert. Der Link ist 30 Minuten gültig und funktioniert nur einmal.",
            ],
            Some(("Neues Passwort wählen", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Ihr Passwort bei {tenant} wurde geändert"),
            hello(name),
            &["Das Passwort Ihres Kontos wurde geändert. Auf allen anderen Geräten wurden Sie abgemeldet."],
            None,
            "Falls Sie das nicht waren, fordern Sie bitte sofort ein neues Passwort an und wenden Sie sich an uns.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Bestätigen Sie Ihre E-Mail-Adresse für {tenant}"),
            hello(name),
            &["Bitte bestätigen Sie, dass diese E-Mail-Adresse Ihnen gehört. Der Link ist 3 Tage gültig."],
            Some(("E-Mail-Adresse bestätigen", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} hat Sie eingeladen"),
            "Guten Tag,".into(),
            &[&format!("{tenant} hat Sie eingeladen. Sie können die Einladung 7 Tage lang über den Link annehmen.")],
            Some(("Einladung annehmen", url)),
            "Falls Sie den Absender nicht kennen, können Sie diese E-Mail ignorieren.",
        ),
        Subject::Registration { url } => content(
            format!("Bestätigen Sie Ihr Konto bei {tenant}"),
            "Guten Tag,".into(),
            &[
                "Bitte bestätigen Sie Ihr Konto mit dem Passwort, das Sie gewählt haben. Der Link ist 24 Stunden gültig.",
            ],
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
            format!("Ein Webhook von {tenant} wurde deaktiviert"),
            hello(name),
            &[
                &format!("Dieser Endpunkt erhält keine Buchungsereignisse mehr: {url}"),
                "Die Zustellung ist fünf Tage lang fehlgeschlagen, oder der Endpunkt hat gemeldet, dass er nicht mehr existiert. Aktivieren Sie ihn wieder, sobald er funktioniert.",
            ],
            None,
            "Sie erhalten diese E-Mail, weil Sie Administratorrechte haben.",
        ),
        Subject::Booking(notice) => notice.content(Locale::De, tenant),
        Subject::Invoice(notice) => notice.content(Locale::De, tenant),
    }
}

fn dutch(subject: &Subject, tenant: &str) -> Content {
    let hello = |name: &str| format!("Hallo {name},");
    let ignore = "Was u dit niet? Dan kunt u deze e-mail negeren.";
    match subject {
        Subject::PasswordReset { name, url } => content(
            format!("Stel een nieuw wachtwoord in bij {tenant}"),
            hello(name),
            &[
                "Iemand heeft een nieuw wachtwoord voor uw account aangevraagd. De link is 30 minuten geldig en werkt één keer.",
            ],
            Some(("Nieuw wachtwoord kiezen", url)),
            ignore,
        ),
        Subject::PasswordChanged { name } => content(
            format!("Uw wachtwoord bij {tenant} is gewijzigd"),
            hello(name),
            &["Het wachtwoord van uw account is gewijzigd. U bent op alle andere apparaten afgemeld."],
            None,
            "Was u dit niet? Vraag dan meteen een nieuw wachtwoord aan en neem contact met ons op.",
        ),
        Subject::EmailVerification { name, url } => content(
            format!("Bevestig uw e-mailadres voor {tenant}"),
            hello(name),
            &["Bevestig dat dit e-mailadres van u is. De link is 3 dagen geldig."],
            Some(("E-mailadres bevestigen", url)),
            ignore,
        ),
        Subject::Invitation { url } => content(
            format!("{tenant} heeft u uitgenodigd"),
            "Hallo,".into(),
            &[&format!("{tenant} heeft u uitgenodigd. U kunt de uitnodiging 7 dagen lang via de link accepteren.")],
            Some(("Uitnodiging accepteren", url)),
            "Kent u de afzender niet? Dan kunt u deze e-mail negeren.",
        ),
        Subject::Registration { url } => content(
            format!("Bevestig uw account bij {tenant}"),
            "Hallo,".into(),
            &["Bevestig uw account met het wachtwoord dat u hebt gekozen. De link is 24 uur geldig."],
            Some(("Account bevestigen", url)),
            ignore,
        ),
        Subject::AlreadyRegistered => content(
            format!("U hebt al een account bij {tenant}"),
            "Hallo,".into(),
            &[
                "Iemand, misschien uzelf, heeft zich met dit e-mailadres geregistreerd. U hebt al een account: log in of vraag een nieuw wachtwoord aan.",
            ],
            None,
            ignore,
        ),
        Subject::WebhookDisabled { name, url } => content(
            format!("Een webhook van {tenant} is uitgeschakeld"),
            hello(name),
            &[
                &format!("Dit endpoint ontvangt geen boekingsgebeurtenissen meer: {url}"),
                "De aflevering is vijf dagen lang mislukt, of het endpoint heeft gemeld dat het niet meer bestaat. Schakel het weer in zodra het werkt.",
            ],
            None,
            "U ontvangt deze e-mail omdat u beheerder bent.",
        ),
        Subject::Booking(notice) => notice.content(Locale::Nl, tenant),
        Subject::Invoice(notice) => notice.content(Locale::Nl, tenant),
    }
}
