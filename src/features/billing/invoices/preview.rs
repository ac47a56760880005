//! Previews of invoices, and explanations of their lines.

use jiff::Timestamp;

use super::{
    model::{Invoice, InvoiceTotals, Kind, Line},
    queries,
    rating::{compute_totals, credit_line, fee_until, flat_line, micros, rated, too_large, usage_lines},
};
use crate::{
    db::{DbError, ScopedTx},
    features::{
        billing::{
            subscriptions::{self, Agreed, BillingPeriod, Mode, Subscription},
            terms::{Price, Step},
        },
        usage,
    },
};

/// The next invoice: what falls due at the end of the current period, including usage so far.
pub async fn upcoming(
    tx: &ScopedTx,
    subscription: &Subscription,
) -> Result<Option<(Timestamp, InvoiceTotals)>, DbError> {
    let last = subscriptions::last_period(tx, subscription.id).await?;
    if last.usage_billed_at.is_some() {
        return Ok(None);
    }
    let agreed = subscriptions::agreed(tx, last.version).await?;
    let mut lines = usage_lines(tx, &last, &agreed).await?;
    if let Some((next, agreed_next)) = subscriptions::following(tx, subscription, &last).await? {
        lines.extend(flat_line(&next, &agreed_next)?);
    }
    let totals =
        compute_totals(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)?;
    Ok(Some((last.ends_at, totals)))
}

/// What an immediate change of plan would make due.
pub async fn preview(
    tx: &ScopedTx,
    subscription: &Subscription,
    changed: &Subscription,
    agreed: &Agreed,
    at: Timestamp,
) -> Result<InvoiceTotals, DbError> {
    let mut lines = Vec::new();
    if subscription.is_alive() {
        let last = subscriptions::last_period(tx, subscription.id).await?;
        let cut = BillingPeriod { ends_at: at, ..last };
        let present = subscriptions::agreed(tx, cut.version).await?;
        lines.extend(usage_lines(tx, &cut, &present).await?);
        lines.extend(credit_line(&cut, &present)?);
    }
    lines.extend(flat_line(&changed.period_from(at), agreed)?);
    compute_totals(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)
}

/// What a change of plan at the end of the current cycle would make due then.
pub async fn preview_at_end(
    tx: &ScopedTx,
    changed: &Subscription,
    agreed: &Agreed,
    last: &BillingPeriod,
) -> Result<InvoiceTotals, DbError> {
    let present = subscriptions::agreed(tx, last.version).await?;
    let mut lines = usage_lines(tx, last, &present).await?;
    let next = changed.clone().after_cycle(last.cycle_end);
    lines.extend(flat_line(&next.period_from(last.cycle_end), agreed)?);
    compute_totals(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)
}

/// How a line's amount was calculated, rated again from its price and usage events.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The version of the plan.
    pub agreed: Agreed,
    /// The price.
    pub price: Price,
    /// The quantity according to the stored events.
    pub quantity: Option<i64>,
    /// The parts of the amount; for a fee, of the whole cycle.
    pub steps: Vec<Step>,
    /// The covered part of the cycle and the whole cycle, in microseconds; `None` for usage.
    pub share: Option<(i64, i64)>,
    /// The resulting net amount.
    pub net_minor: i64,
    /// The tax on it.
    pub tax_minor: i64,
}

/// Rates a line again. `None` for a carried balance, which has no price.
///
/// # Errors
/// When a statement fails, or the line's price or period does not exist.
pub async fn explain(tx: &ScopedTx, invoice: &Invoice, line: &Line) -> Result<Option<Explanation>, DbError> {
    let (Some(version), Some(price), Some(period), Some(covers)) = (line.version, line.price, line.period, line.covers)
    else {
        return Ok(None);
    };
    let agreed = subscriptions::agreed(tx, version).await?;
    let lost = |what: &str| DbError::Corrupt(format!("a line refers to {what} that does not exist"));
    let price = agreed.terms.prices.iter().find(|it| it.id == price).cloned().ok_or_else(|| lost("a price"))?;
    let period = subscriptions::period(tx, period).await?.ok_or_else(|| lost("a period"))?;
    let whole = micros(period.cycle_start, period.cycle_end);
    let quantity = match &price.meter {
        Some(meter) => Some(usage::quantity_in(tx, meter, covers, period.mode != Mode::Billed).await?),
        None => None,
    };
    let steps = price.model.steps(quantity.unwrap_or(1)).unwrap_or_default();
    let fee = |until| fee_until(&period, &price, until, invoice.currency);
    let net_minor = match line.kind {
        Kind::Flat => fee(covers.end)?,
        Kind::Credit => fee(covers.start)? - fee(covers.end)?,
        Kind::Usage | Kind::Balance => rated(&price, quantity.unwrap_or(0), invoice.currency),
    };
    let tax_minor = invoice.tax.on(net_minor).map_err(too_large)?;
    let share = (line.kind != Kind::Usage).then(|| (micros(covers.start, covers.end), whole));
    Ok(Some(Explanation { agreed, price, quantity, steps, share, net_minor, tax_minor }))
}
