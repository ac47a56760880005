//! Every statement on invoices, their lines and their recipients.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{CreditNote, Invoice, InvoiceKey, InvoiceTotals, Line, Profile, Recipient, Tax};
use crate::{
    base::{
        ids::{InvoiceId, SubscriptionId},
        money::Currency,
        paging::Page,
    },
    db::{DbError, Row, ScopedTx},
    features::usage::Period,
};

macro_rules! columns {
    () => {
        "id, subscription_id, falls_due, state, number, currency, net_minor, tax_minor, total_minor, paid_minor,
            credited_minor, tax_rate_ppm, tax_name, recipient, issued_at, due_at, settled_at, attempts,
            overdue_since"
    };
}

fn read(row: &Row) -> Result<Invoice, DbError> {
    let recipient: Value = row.get(13);
    Ok(Invoice {
        id: row.get(0),
        subscription: row.get(1),
        falls_due: row.get(2),
        state: row.get::<_, &str>(3).parse()?,
        number: row.get(4),
        currency: row.try_get(5)?,
        net_minor: row.get(6),
        tax_minor: row.get(7),
        total_minor: row.get(8),
        paid_minor: row.get(9),
        credited_minor: row.get(10),
        tax: Tax { rate_ppm: row.get(11), name: row.get(12) },
        recipient: Recipient::deserialize(&recipient)
            .map_err(|error| DbError::Corrupt(format!("recipient: {error}")))?,
        issued_at: row.get(14),
        due_at: row.get(15),
        settled_at: row.get(16),
        attempts: row.get(17),
        overdue_since: row.get(18),
    })
}

/// Inserts a draft with its lines.
#[allow(clippy::too_many_arguments, reason = "each is another column")]
pub(super) async fn insert(
    tx: &ScopedTx,
    id: InvoiceId,
    subscription: SubscriptionId,
    falls_due: Timestamp,
    currency: Currency,
    totals: &InvoiceTotals,
    tax: &Tax,
    recipient: &Recipient,
    now: Timestamp,
) -> Result<(), DbError> {
    // Unwrap safety: three texts.
    let recipient = serde_json::to_value(recipient).expect("a recipient can be written");
    tx.execute(
        "-- invoices.insert
        insert into invoices (tenant_id, id, subscription_id, falls_due, currency, net_minor, tax_minor, total_minor,
          tax_rate_ppm, tax_name, recipient, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            &tx.tenant(),
            &id,
            &subscription,
            &falls_due,
            &currency,
            &totals.net_minor,
            &totals.tax_minor,
            &totals.total_minor,
            &tax.rate_ppm,
            &tax.name,
            &recipient,
            &now,
        ],
    )
    .await?;
    for (position, line) in (1_i32..).zip(&totals.lines) {
        let (from, to) = line.covers.map(|it| (it.start, it.end)).unzip();
        tx.execute(
            "-- invoices.insert_line
            insert into invoice_lines (tenant_id, id, invoice_id, position, kind, period_id, version_id, price_id, name, meter,
              quantity, covers_from, covers_to, net_minor, tax_minor)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            &[
                &tx.tenant(),
                &line.id,
                &id,
                &position,
                &line.kind.as_str(),
                &line.period,
                &line.version,
                &line.price,
                &line.name,
                &line.meter,
                &line.quantity,
                &from,
                &to,
                &line.net_minor,
                &line.tax_minor,
            ],
        )
        .await?;
    }
    Ok(())
}

/// The draft with the earliest due instant.
pub(super) async fn oldest_draft(tx: &ScopedTx) -> Result<Option<Invoice>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- invoices.oldest_draft
                select ",
                columns!(),
                " from invoices where tenant_id = $1 and state = 'DRAFT' order by falls_due, id limit 1"
            ),
            &[&tx.tenant()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The next invoice number. Concurrent callers wait until this transaction ends, so numbers have no gaps.
pub(super) async fn take_number(tx: &ScopedTx, now: Timestamp) -> Result<i64, DbError> {
    crate::features::billing::queries::make_account(tx, now).await?;
    let row = tx
        .query_one(
            "-- invoices.take_number
            update billing_accounts set next_invoice_number = next_invoice_number + 1, updated_at = $2 where tenant_id = $1
            returning next_invoice_number - 1",
            &[&tx.tenant(), &now],
        )
        .await?;
    Ok(row.get(0))
}

/// The next credit note number, as with invoices.
pub(super) async fn take_credit_note_number(tx: &ScopedTx, now: Timestamp) -> Result<i64, DbError> {
    crate::features::billing::queries::make_account(tx, now).await?;
    let row = tx
        .query_one(
            "-- invoices.take_credit_note_number
            update billing_accounts set next_credit_note_number = next_credit_note_number + 1, updated_at = $2
             where tenant_id = $1
            returning next_credit_note_number - 1",
            &[&tx.tenant(), &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Stores all fields that can change.
pub(super) async fn update(tx: &ScopedTx, it: &Invoice) -> Result<(), DbError> {
    tx.execute(
        "-- invoices.update
        update invoices set state = $3, number = $4, issued_at = $5, due_at = $6, settled_at = $7, paid_minor = $8,
               credited_minor = $9, attempts = $10, overdue_since = $11
         where tenant_id = $1 and id = $2",
        &[
            &tx.tenant(),
            &it.id,
            &it.state.as_str(),
            &it.number,
            &it.issued_at,
            &it.due_at,
            &it.settled_at,
            &it.paid_minor,
            &it.credited_minor,
            &it.attempts,
            &it.overdue_since,
        ],
    )
    .await
}

/// One invoice, if the scope may see it.
pub async fn by_id(tx: &ScopedTx, id: InvoiceId) -> Result<Option<Invoice>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- invoices.by_id
                select ",
                columns!(),
                " from invoices where tenant_id = $1 and id = $2 and state <> 'DRAFT'"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- invoices.list
            select ",
            columns!(),
            " from invoices
             where tenant_id = $1 and number > $2 and number < $3
             order by number ",
            $direction,
            " limit $4"
        )
    };
}

/// Lists one row more than the page, in the order of the scan, newest first.
pub(super) async fn list(tx: &ScopedTx, page: &Page<InvoiceKey>) -> Result<Vec<Invoice>, DbError> {
    let sql = if page.from_the_back { list_sql!("asc") } else { list_sql!("desc") };
    // The highest number comes first, so following rows are smaller. A draft has no number, and no bound is below 1.
    let (lower, upper) = (page.before.unwrap_or(0), page.after.unwrap_or(i64::MAX));
    let rows = tx.query(sql, &[&tx.tenant(), &lower, &upper, &page.fetch()]).await?;
    rows.iter().map(read).collect()
}

/// Open invoices, oldest first.
pub async fn open(tx: &ScopedTx) -> Result<Vec<Invoice>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- invoices.open
                select ",
                columns!(),
                " from invoices where tenant_id = $1 and state = 'OPEN' order by number"
            ),
            &[&tx.tenant()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// An invoice's lines, in order.
pub async fn lines(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Line>, DbError> {
    let rows = tx
        .query(
            "-- invoices.lines
            select l.id, l.kind, l.period_id, l.version_id, l.price_id, l.name, l.meter, l.quantity, l.covers_from, l.covers_to,
                   l.net_minor, l.tax_minor
              from invoice_lines l where l.tenant_id = $1 and l.invoice_id = $2 order by l.position",
            &[&tx.tenant(), &id],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (start, end): (Option<Timestamp>, Option<Timestamp>) = (row.get(8), row.get(9));
            Ok(Line {
                id: row.get(0),
                kind: row.get::<_, &str>(1).parse()?,
                period: row.get(2),
                version: row.get(3),
                price: row.get(4),
                name: row.get(5),
                meter: row.get(6),
                quantity: row.get(7),
                covers: start.zip(end).map(|(start, end)| Period { start, end }),
                net_minor: row.get(10),
                tax_minor: row.get(11),
            })
        })
        .collect()
}

/// The balance that the next invoice takes into account.
pub async fn balance(tx: &ScopedTx, currency: Currency) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- invoices.balance
            select (coalesce((select sum(l.net_minor) from invoice_lines l
                       join invoices i on i.tenant_id = l.tenant_id and i.id = l.invoice_id
                      where l.tenant_id = $1 and l.kind = 'BALANCE' and i.currency = $2 and i.state <> 'VOID'), 0)
                  + coalesce((select sum(p.amount_minor) from payments p
                      where p.tenant_id = $1 and p.currency = $2 and p.state = 'SUCCEEDED'), 0)
                  - coalesce((select sum(i.paid_minor) from invoices i where i.tenant_id = $1 and i.currency = $2), 0)
                  + coalesce((select sum(balance_minor) from credit_notes where tenant_id = $1 and currency = $2), 0))::bigint",
            &[&tx.tenant(), &currency],
        )
        .await?;
    Ok(row.get(0))
}

/// An invoice's credit notes, oldest first.
pub async fn credit_notes(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<CreditNote>, DbError> {
    let rows = tx
        .query(
            "-- invoices.credit_notes
            select id, invoice_id, number, amount_minor, tax_minor, balance_minor, currency, reason, issued_at
              from credit_notes where tenant_id = $1 and invoice_id = $2 order by number",
            &[&tx.tenant(), &id],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(CreditNote {
                id: row.get(0),
                invoice: row.get(1),
                number: row.get(2),
                amount_minor: row.get(3),
                tax_minor: row.get(4),
                balance_minor: row.get(5),
                currency: row.try_get(6)?,
                reason: row.get(7),
                issued_at: row.get(8),
            })
        })
        .collect()
}

/// Adds one.
pub(super) async fn insert_credit_note(tx: &ScopedTx, it: &CreditNote) -> Result<(), DbError> {
    tx.execute(
        "-- invoices.insert_credit_note
        insert into credit_notes (tenant_id, id, invoice_id, number, amount_minor, tax_minor, balance_minor, currency, reason,
          issued_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            &tx.tenant(),
            &it.id,
            &it.invoice,
            &it.number,
            &it.amount_minor,
            &it.tax_minor,
            &it.balance_minor,
            &it.currency,
            &it.reason,
            &it.issued_at,
        ],
    )
    .await
}

/// The tax on the tenant's invoices.
pub async fn tax(tx: &ScopedTx) -> Result<Tax, DbError> {
    let row = tx
        .query_opt(
            "-- invoices.tax
            select tax_rate_ppm, tax_name from billing_accounts where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.map_or_else(Tax::default, |row| Tax { rate_ppm: row.get(0), name: row.get(1) }))
}

/// Stores the tax for the next invoices.
pub(super) async fn upsert_tax(tx: &ScopedTx, tax: &Tax, now: Timestamp) -> Result<(), DbError> {
    crate::features::billing::queries::make_account(tx, now).await?;
    tx.execute(
        "-- invoices.update_tax
        update billing_accounts set tax_rate_ppm = $2, tax_name = $3, updated_at = $4 where tenant_id = $1",
        &[&tx.tenant(), &tax.rate_ppm, &tax.name, &now],
    )
    .await
}

/// The name and address on invoices.
pub async fn profile(tx: &ScopedTx) -> Result<Profile, DbError> {
    let row = tx
        .query_opt(
            "-- invoices.profile
            select legal_name, address, tax_id, email from billing_profiles where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.map_or_else(Profile::default, |row| Profile {
        legal_name: row.get(0),
        address: row.get(1),
        tax_id: row.get(2),
        email: row.get(3),
    }))
}

/// Stores the whole profile.
pub(super) async fn upsert_profile(tx: &ScopedTx, it: &Profile, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- invoices.upsert_profile
        insert into billing_profiles (tenant_id, legal_name, address, tax_id, email, updated_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id) do update set legal_name = $2, address = $3, tax_id = $4, email = $5, updated_at = $6",
        &[&tx.tenant(), &it.legal_name, &it.address, &it.tax_id, &it.email, &now],
    )
    .await
}
