//! Sends letters by SMTP or writes them to a folder.

use std::{path::PathBuf, str::FromStr, time::Duration};

use jiff::Timestamp;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Attachment, Mailbox, MultiPart, SinglePart, header},
};
use uuid::Uuid;

use super::letters::Letter;
use crate::base::text::one_line;

/// The time limit for sending one mail.
pub const SEND_LIMIT: Duration = Duration::from_secs(30);

/// Why a mail was not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MailError {
    /// A permanent failure: the address is invalid, or the server rejected the mail permanently.
    #[error("{0}")]
    Hopeless(String),
    /// A temporary failure: sending may succeed later.
    #[error("{0}")]
    Later(String),
}

/// Where mail goes.
#[derive(Clone, Debug)]
pub enum MailSettings {
    /// To an SMTP server, as `smtp://user:password@host:port` or `smtps://…`.
    Smtp(String),
    /// Into a folder, one file for each mail: for development.
    Folder(PathBuf),
}

enum Transport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Folder(PathBuf),
}

/// Sends mail.
pub struct Mailer {
    transport: Transport,
    sender: Address,
    /// The URL of the pages that links open.
    account_url: String,
}

impl Mailer {
    /// Creates a mailer from the settings, the sender's address, and the URL of the pages that links open.
    ///
    /// # Errors
    /// Returns what is wrong with the settings, without the password that a URL may hold.
    pub fn try_new(settings: &MailSettings, sender: &str, account_url: &str) -> Result<Self, String> {
        let transport = match settings {
            MailSettings::Folder(folder) => Transport::Folder(folder.clone()),
            MailSettings::Smtp(url) => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
                    .map_err(|_| "SMTP_URL is not usable".to_owned())?;
                Transport::Smtp(Box::new(builder.timeout(Some(SEND_LIMIT)).build()))
            }
        };
        let sender = Address::from_str(sender).map_err(|_| format!("{sender:?} is not a valid email address"))?;
        Ok(Self { transport, sender, account_url: account_url.trim_end_matches('/').to_owned() })
    }

    /// The address that mail is sent from.
    pub fn sender(&self) -> &str {
        self.sender.as_ref()
    }

    /// A link to the page that accepts this token. The token follows the `#`, so that no server log and no referrer
    /// contains it.
    pub fn link(&self, action: &str, token: &str) -> String {
        format!("{}#{action}={token}", self.account_url)
    }

    /// A link that a mail program opens by itself (RFC 8058): on the host of the pages, which leads to this server.
    pub fn unsubscribe_link(&self, token: &str) -> String {
        let (scheme, rest) = self.account_url.split_once("://").unwrap_or(("http", &self.account_url));
        format!("{scheme}://{}/unsubscribe/{token}", rest.split('/').next().unwrap_or_default())
    }

    /// Sends a letter at an instant, which its `Date` tells. The id becomes its `Message-ID`, so that mail programs recognize a resent mail as a duplicate.
    ///
    /// # Errors
    /// See [`MailError`].
    pub async fn send(&self, id: Uuid, now: Timestamp, letter: &Letter) -> Result<(), MailError> {
        let message = self.message(id, now, letter)?;
        match &self.transport {
            Transport::Smtp(smtp) => match tokio::time::timeout(SEND_LIMIT, smtp.send(message)).await {
                Err(_) => Err(MailError::Later("no answer in time".into())),
                Ok(sent) => match sent {
                    Ok(_) => Ok(()),
                    // A permanent rejection. The cause may be on this side (a greeting, a wrong password) and not the
                    // recipient's, so the caller does not trust it at once.
                    Err(error) if error.is_permanent() => Err(MailError::Hopeless(error.to_string())),
                    Err(error) => Err(MailError::Later(error.to_string())),
                },
            },
            Transport::Folder(folder) => {
                let (path, beside) = (folder.join(format!("{id}.eml")), folder.join(format!("{id}.new")));
                let written = async {
                    tokio::fs::create_dir_all(folder).await?;
                    tokio::fs::write(&beside, message.formatted()).await?;
                    tokio::fs::rename(&beside, &path).await
                };
                written.await.map_err(|error: std::io::Error| MailError::Later(error.to_string()))
            }
        }
    }

    fn message(&self, id: Uuid, now: Timestamp, letter: &Letter) -> Result<Message, MailError> {
        let hopeless = |error: &dyn std::fmt::Display| MailError::Hopeless(error.to_string());
        let recipient = Address::from_str(&letter.to).map_err(|error| hopeless(&error))?;
        let (html, text) = letter.render().map_err(|error| hopeless(&error))?;
        let mut parts = MultiPart::alternative_plain_html(text, html);
        // Calendar programs read the method from the content type (RFC 6047, section 2.4).
        let of_method = |method: &str| {
            let kind = format!("text/calendar; charset=utf-8; method={method}");
            header::ContentType::parse(&kind).map_err(|error| hopeless(&error))
        };
        match letter.calendars.as_slice() {
            [] => {}
            // One message is a form of the mail itself, which mail programs act on, and a file for all others.
            [file] => {
                let form = SinglePart::builder().header(of_method(file.method)?).body(file.text.clone());
                let kind = header::ContentType::parse("application/ics").map_err(|error| hopeless(&error))?;
                let file = Attachment::new("booking.ics".into()).body(file.text.clone(), kind);
                parts = MultiPart::mixed().multipart(parts.singlepart(form)).singlepart(file);
            }
            files => {
                parts = MultiPart::mixed().multipart(parts);
                for (number, file) in files.iter().enumerate() {
                    let name = format!("booking-{}.ics", number + 1);
                    parts = parts.singlepart(Attachment::new(name).body(file.text.clone(), of_method(file.method)?));
                }
            }
        }
        let mut message = Message::builder();
        if let Some(address) = &letter.contact.email {
            let address = Address::from_str(address).map_err(|error| hopeless(&error))?;
            message = message.reply_to(Mailbox::new(Some(one_line(&letter.tenant_name)), address));
        }
        if let Some(url) = &letter.unsubscribe {
            message = message.header(ListUnsubscribe(format!("<{url}>"))).header(ListUnsubscribePost);
        }
        message
            .message_id(Some(format!("<{id}@{}>", self.sender.domain())))
            .date(now.into())
            .from(Mailbox::new(Some(one_line(&letter.tenant_name)), self.sender.clone()))
            .to(Mailbox::new(None, recipient))
            .subject(one_line(&letter.subject_line()))
            .header(AutoSubmitted)
            .header(header::MIME_VERSION_1_0)
            .multipart(parts)
            .map_err(|error| hopeless(&error))
    }
}

/// Asks recipients not to send automatic replies such as out-of-office messages (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Where a mail program unsubscribes its reader (RFC 2369).
#[derive(Clone)]
struct ListUnsubscribe(String);

impl header::Header for ListUnsubscribe {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("List-Unsubscribe")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), self.0.clone())
    }
}

/// That one POST to the link unsubscribes (RFC 8058).
#[derive(Clone)]
struct ListUnsubscribePost;

impl header::Header for ListUnsubscribePost {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("List-Unsubscribe-Post")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "List-Unsubscribe=One-Click".to_owned())
    }
}

/// Whether the text is a valid URL of an SMTP server.
pub fn is_smtp_url(text: &str) -> bool {
    AsyncSmtpTransport::<Tokio1Executor>::from_url(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::letters::Subject;
    use super::*;
    use crate::base::text::is_address;
    use crate::features::tenants::{Branding, Contact, Locale};

    fn mailer() -> Mailer {
        let settings = MailSettings::Folder("unused".into());
        Mailer::try_new(&settings, "no-reply@tenantry.test", "https://app.test/account/").unwrap()
    }

    fn letter() -> Letter {
        Letter {
            to: "user@acme.test".into(),
            tenant_name: "Acme\r\nBcc: x@y.z".into(),
            locale: Locale::Nl,
            branding: Branding {
                logo_url: Some("https://acme.test/l.png".into()),
                primary_color: Some("#112233".into()),
                accent_color: None,
            },
            contact: Contact {
                email: Some("hello@acme.test".into()),
                phone: Some("+31 20 1234567".into()),
                address: Some("Street 1\n<b>Town</b>".into()),
            },
            calendars: Vec::new(),
            unsubscribe: Some(mailer().unsubscribe_link("tnu_x")),
            subject: Subject::PasswordReset { name: "<b>Ü</b>".into(), url: "https://acme.test/a#b=c".into() },
        }
    }

    #[tokio::test]
    async fn a_mail_in_the_folder_has_both_forms_and_no_second_header() {
        let folder = tempfile::tempdir().unwrap();
        let settings = MailSettings::Folder(folder.path().into());
        let mailer = Mailer::try_new(&settings, "no-reply@tenantry.test", "https://app.test/account/").unwrap();
        assert_eq!(mailer.link("reset-password", "t"), "https://app.test/account#reset-password=t");
        let id = Uuid::from_u128(1);
        mailer.send(id, Timestamp::UNIX_EPOCH, &letter()).await.unwrap();
        let mail = std::fs::read_to_string(folder.path().join(format!("{id}.eml"))).unwrap();
        assert!(mail.contains(&format!("Message-ID: <{id}@tenantry.test>")), "{mail}");
        assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        let unfolded = headers.replace("\r\n ", " ");
        for line in [
            "List-Unsubscribe: <https://app.test/unsubscribe/tnu_x>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        ] {
            assert!(unfolded.lines().any(|it| it == line), "{line}: {headers}");
        }
        let reply = unfolded.lines().find(|it| it.starts_with("Reply-To:")).unwrap_or_default();
        assert!(reply.ends_with("<hello@acme.test>"), "{headers}");
        assert!(!headers.lines().any(|line| line.starts_with("Bcc:")), "{mail}");
        assert!(mail.contains("text/plain") && mail.contains("text/html"), "{mail}");
    }

    #[test]
    fn html_is_escaped_and_branded_and_plain_text_is_not() {
        let (html, text) = letter().render().unwrap();
        assert!(html.contains("&#60;b&#62;Ü&#60;/b&#62;") && !html.contains("<b>Ü"), "{html}");
        assert!(html.contains("#112233") && html.contains("https://acme.test/l.png") && html.contains("lang=\"nl\""));
        for part in ["Street 1", "+31 20 1234567", "hello@acme.test", "https://app.test/unsubscribe/tnu_x"] {
            assert!(html.contains(part) && text.contains(part), "{part}: {html} {text}");
        }
        assert!(text.contains("<b>Town</b>") && !html.contains("<b>Town"), "{html}");
        assert!(text.contains("<b>Ü</b>") && text.contains("https://acme.test/a#b=c"), "{text}");
    }

    #[test]
    fn addresses_are_checked() {
        for good in ["a@b.co", "é@exämple.test", "first.last+tag@sub.example.test"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@",
            "@b",
            "a b@c.d",
            "a@b\r\nc",
            "a@b c",
            "\"a b\"@x.test",
            "\"a\"@x.test",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
