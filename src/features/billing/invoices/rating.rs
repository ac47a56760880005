//! The amounts of a period: flat fee, usage, credit.

use jiff::Timestamp;

use super::model::{InvoiceTotals, Kind, LEAST_CHARGE, Line, Tax};
use crate::{
    base::{ids::uuid_v7, money::Currency},
    db::{DbError, ScopedTx},
    features::{
        billing::{
            subscriptions::{Agreed, BillingPeriod, Mode},
            terms::{Price, TooLarge, round, share},
        },
        usage::{self, Period},
    },
};

pub(super) fn too_large(_: TooLarge) -> DbError {
    DbError::Corrupt("an amount exceeds the representable range".into())
}

pub(super) fn micros(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond() - from.as_microsecond()
}

/// The maximum of one line, in minor units. A tenant that reports an absurd quantity is still billed, and its reports
/// cannot block the issue of invoices.
const MAX_LINE: i64 = 100_000_000_000_000;

/// The price of a quantity, rounded once.
pub(super) fn rated(price: &Price, quantity: i64, currency: Currency) -> i64 {
    let exact = price.model.rate(quantity).and_then(|it| round(it, currency));
    exact.unwrap_or(MAX_LINE).min(MAX_LINE)
}

pub(super) fn line(kind: Kind, period: &BillingPeriod, price: &Price, covers: Period, net_minor: i64) -> Line {
    Line {
        id: uuid_v7(covers.end),
        kind,
        period: Some(period.id),
        version: Some(period.version),
        price: Some(price.id),
        name: price.name.clone(),
        meter: None,
        quantity: None,
        covers: Some(covers),
        net_minor,
        tax_minor: 0,
    }
}

/// The part of the flat fee of a period's cycle that covers `[starts_at, until)`.
pub(super) fn fee_until(
    period: &BillingPeriod,
    price: &Price,
    until: Timestamp,
    currency: Currency,
) -> Result<i64, DbError> {
    let fee = price.model.rate(1).map_err(too_large)?;
    let whole = micros(period.cycle_start, period.cycle_end);
    share(fee, micros(period.starts_at, until), whole, currency).map_err(too_large)
}

/// The flat fee of a period, in advance; `None` when there is none.
pub fn flat_line(period: &BillingPeriod, agreed: &Agreed) -> Result<Option<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    let Some(price) = agreed.terms.flat(period.interval).filter(|_| period.mode == Mode::Billed) else {
        return Ok(None);
    };
    let net = fee_until(period, price, period.ends_at, currency)?;
    let covers = Period { start: period.starts_at, end: period.ends_at };
    Ok((net != 0).then(|| line(Kind::Flat, period, price, covers, net)))
}

/// The refund of the flat fee that was billed beyond the period's end; `None` when there is none.
pub fn credit_line(period: &BillingPeriod, agreed: &Agreed) -> Result<Option<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    // Nothing was billed for a trial or a pause, whatever its planned length.
    let beyond = period.flat_billed_until.filter(|it| *it > period.ends_at && period.mode == Mode::Billed);
    let (Some(until), Some(price)) = (beyond, agreed.terms.flat(period.interval)) else { return Ok(None) };
    let net = fee_until(period, price, period.ends_at, currency)? - fee_until(period, price, until, currency)?;
    let covers = Period { start: period.ends_at, end: until };
    Ok((net != 0).then(|| line(Kind::Credit, period, price, covers, net)))
}

/// The usage in a period, by every price of its interval. In a pause or a trial, only usage that was reported late and
/// occurred before it.
pub async fn usage_lines(tx: &ScopedTx, period: &BillingPeriod, agreed: &Agreed) -> Result<Vec<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    let covers = Period { start: period.starts_at, end: period.ends_at };
    let mut lines = Vec::new();
    for price in agreed.terms.prices.iter().filter(|it| it.interval == period.interval) {
        let Some(meter) = &price.meter else { continue };
        let quantity = usage::quantity_in(tx, meter, covers, period.mode != Mode::Billed).await?;
        if quantity > 0 {
            let net = rated(price, quantity, currency);
            let line = line(Kind::Usage, period, price, covers, net);
            lines.push(Line { meter: Some(meter.clone()), quantity: Some(quantity), ..line });
        }
    }
    Ok(lines)
}

/// Adds tax to every line, applies the balance from earlier invoices, and carries negative or very small totals to the
/// next invoice.
pub fn compute_totals(mut lines: Vec<Line>, tax: &Tax, credit_minor: i64) -> Result<InvoiceTotals, DbError> {
    let (mut net, mut taxes) = (0_i64, 0_i64);
    for line in &mut lines {
        line.tax_minor = tax.on(line.net_minor).map_err(too_large)?;
        net = net.checked_add(line.net_minor).ok_or_else(|| too_large(TooLarge))?;
        taxes = taxes.checked_add(line.tax_minor).ok_or_else(|| too_large(TooLarge))?;
    }
    let gross = net.checked_add(taxes).ok_or_else(|| too_large(TooLarge))?;
    // Includes what earlier invoices left over or carried.
    let owed = gross.saturating_sub(credit_minor);
    let total = if owed < LEAST_CHARGE { 0 } else { owed };
    let carried = total - gross;
    if carried != 0 {
        let name = match (carried > 0, total > 0, owed > 0) {
            (true, true, _) => "Carried over from earlier invoices",
            (true, false, _) => "Credit carried to the next invoice",
            (false, false, true) => "Below the minimum charge: carried over to the next invoice",
            (false, _, _) => "Credit from earlier invoices",
        };
        lines.push(Line {
            id: uuid_v7(Timestamp::now()),
            kind: Kind::Balance,
            period: None,
            version: None,
            price: None,
            name: name.into(),
            meter: None,
            quantity: None,
            covers: None,
            net_minor: carried,
            tax_minor: 0,
        });
    }
    Ok(InvoiceTotals { lines, net_minor: net, tax_minor: taxes, total_minor: total })
}

#[cfg(test)]
mod tests {
    use crate::features::billing::invoices::*;
    use uuid::Uuid;

    fn usage_of(net_minor: i64) -> Line {
        Line {
            id: Uuid::nil(),
            kind: Kind::Usage,
            period: None,
            version: None,
            price: None,
            name: "x".into(),
            meter: None,
            quantity: None,
            covers: None,
            net_minor,
            tax_minor: 0,
        }
    }

    #[test]
    fn what_is_too_little_to_be_charged_is_put_off() {
        let tax = Tax::default();
        let little = compute_totals(vec![usage_of(30)], &tax, 0).unwrap();
        assert_eq!((little.total_minor, little.lines[1].net_minor), (0, -30));
        // The balance is what was carried: 30 below zero.
        let more = compute_totals(vec![usage_of(25)], &tax, -30).unwrap();
        assert_eq!((more.total_minor, more.lines[1].net_minor), (55, 30));
    }

    #[test]
    fn tax_is_rounded_once_for_each_line_and_lines_sum_to_the_total() {
        let tax = Tax { rate_ppm: 88_750, name: "Sales tax".into() };
        let reckoned = compute_totals(vec![usage_of(101), usage_of(101), usage_of(-40)], &tax, 0).unwrap();
        // 8.96375, 8.96375 and -3.55 cents.
        assert_eq!(reckoned.lines.iter().map(|it| it.tax_minor).collect::<Vec<_>>(), [9, 9, -4]);
        assert_eq!((reckoned.net_minor, reckoned.tax_minor, reckoned.total_minor), (162, 14, 176));
    }

    #[test]
    fn what_is_below_nothing_is_carried_and_taken_off_later() {
        let tax = Tax::default();
        let carried = compute_totals(vec![usage_of(-500), usage_of(100)], &tax, 0).unwrap();
        assert_eq!((carried.total_minor, carried.lines[2].net_minor), (0, 400));
        let partly = compute_totals(vec![usage_of(300)], &tax, 400).unwrap();
        assert_eq!((partly.total_minor, partly.lines[1].net_minor), (0, -300));
        let wholly = compute_totals(vec![usage_of(300)], &tax, 100).unwrap();
        assert_eq!((wholly.total_minor, wholly.lines[1].net_minor), (200, -100));
    }
}
