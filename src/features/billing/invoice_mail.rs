//! Invoice mails: to the address that the tenant has set, or to every administrator.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    invoices::{self, Invoice},
    payments,
};
use crate::{
    base::{
        ids::{InvoiceId, UserId},
        money::Money,
    },
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::{
        mail::{InvoiceNotice, InvoiceOccasion, Letter, Subject},
        tenants, users,
    },
};

/// Queues one mail for each recipient.
pub async fn announce(tx: &ScopedTx, effect: Uuid, invoice: Uuid, what: &str, now: Timestamp) -> Result<(), DbError> {
    let recipients: Vec<Option<Uuid>> = match invoices::profile(tx).await?.email {
        Some(_) => vec![None],
        None => users::administrators(tx).await?.iter().map(|it| Some(it.id.0)).collect(),
    };
    for user in recipients {
        let id = outbox::derived_id(effect, &format!("{user:?}"));
        outbox::enqueue_as(tx, id, &Effect::MailInvoice { invoice, user, what: what.to_owned() }, now).await?;
    }
    Ok(())
}

/// Writes the mail from the current state; `None` when the mail is obsolete.
pub async fn letter(tx: &ScopedTx, invoice: Uuid, user: Option<Uuid>, what: &str) -> Result<Option<Letter>, DbError> {
    let Some(invoice) = invoices::by_id(tx, InvoiceId(invoice)).await? else { return Ok(None) };
    let occasion = match what {
        "issued" => InvoiceOccasion::Issued,
        "failed" => InvoiceOccasion::Failed,
        _ => InvoiceOccasion::Restricted,
    };
    if occasion != InvoiceOccasion::Issued && !invoice.is_owing() {
        return Ok(None);
    }
    let tenant = tenants::current(tx).await?;
    let (to, name) = match user {
        Some(user) => match users::active(tx, UserId(user)).await? {
            Some(user) => (user.email, user.name),
            None => return Ok(None),
        },
        None => match invoices::profile(tx).await?.email {
            Some(email) => (email, tenant.name.clone()),
            None => return Ok(None),
        },
    };
    let notice = notice(&invoice, occasion, name, &tenant.time_zone);
    Ok(Some(Letter::of(tenant, to, Subject::Invoice(notice))))
}

fn notice(invoice: &Invoice, occasion: InvoiceOccasion, name: String, zone: &jiff::tz::TimeZone) -> InvoiceNotice {
    let amount = |minor| payments::display(Money { minor, currency: invoice.currency });
    let owed = invoice.owed_minor();
    InvoiceNotice {
        occasion,
        name,
        number: invoice.display_number(),
        total: amount(invoice.total_minor),
        owed: (owed > 0).then(|| amount(owed)),
        due: invoice.due_at.map(|it| it.to_zoned(zone.clone()).date().to_string()).unwrap_or_default(),
    }
}
