//! Events from payment providers, invoices as files, and the pages of the in-process payment provider.

use askama::Template;
use axum::{
    Form,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{App, app::RequestOrigin};
use crate::{
    base::ids::{CheckoutId, InvoiceId, TenantId},
    core::identity::Actor,
    db::{Access, DbError, Scope},
    features::billing::payments::{
        self, CheckoutSession, CheckoutState,
        in_process::{Card, InProcess},
        inbox::ReceiveError,
    },
    graphql::{ApiError, MUTATION_COST},
};

/// `POST /webhooks/stripe`: the signature is verified on the bytes as received, then the event is stored, then the
/// response is sent.
pub(super) async fn stripe(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let billing = &app.services.billing;
    let Some(stripe) = billing.stripe() else { return StatusCode::NOT_FOUND.into_response() };
    // The machine's clock, which the signature uses too.
    let now = app.services.sign_in.clock().now();
    let header = headers.get("stripe-signature").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if let Err(error) = stripe.verify(header, &body, now) {
        return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        return (StatusCode::BAD_REQUEST, "The body is not valid UTF-8.\n").into_response();
    };
    match billing.receive(text, app.services.clock.now()).await {
        Ok(()) => "kept\n".into_response(),
        Err(ReceiveError::Unreadable(why)) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
        Err(ReceiveError::Db(error)) => {
            tracing::error!(%error, "an event from Stripe could not be stored");
            (StatusCode::SERVICE_UNAVAILABLE, "Send it again later.\n").into_response()
        }
    }
}

/// `GET /invoices/{sealed}.pdf`. The response is the same for every kind of invalid URL.
pub(super) async fn invoice(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    Path(name): Path<String>,
) -> Response {
    let none = || (StatusCode::NOT_FOUND, "There is no such invoice, or its link has expired.\n").into_response();
    let charged = app.services.rates.charge(&Actor::Anonymous, origin.address.as_deref(), MUTATION_COST).await;
    if let Err(ApiError::Refused { retry_after, .. }) = charged.map_err(ApiError::from) {
        let wait = [(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)))];
        return (StatusCode::TOO_MANY_REQUESTS, wait, "Too many requests. Try again later.\n").into_response();
    }
    let now = app.services.sign_in.clock().now().as_second();
    let Some((tenant, id)) = name.strip_suffix(".pdf").and_then(|it| named(&app, it, now)) else { return none() };
    match app.services.billing.pdf(tenant, id).await {
        Ok(Some(file)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/pdf"),
                (header::CACHE_CONTROL, "private, no-store"),
                (header::CONTENT_DISPOSITION, "inline; filename=\"invoice.pdf\""),
            ];
            (headers, file).into_response()
        }
        Ok(None) | Err(DbError::TenantNotHere) => none(),
        Err(error) => {
            tracing::error!(%error, "an invoice could not be rendered");
            (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n").into_response()
        }
    }
}

/// The tenant and invoice of a sealed link, when the seal is valid and has not expired.
fn named(app: &App, sealed: &str, now: i64) -> Option<(TenantId, InvoiceId)> {
    let text = app.tokens.unseal(sealed)?;
    let mut parts = text.strip_prefix("invoice ")?.split(' ');
    let (tenant, invoice) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let expires: i64 = parts.next()?.parse().ok()?;
    (now < expires).then_some((tenant, invoice))
}

/// A page of the in-process payment provider, without any script.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ title }}</title>
<style>
body{margin:0;background:#f3f4f6;font:16px/1.5 system-ui,sans-serif;color:#111827}
main{max-width:26rem;margin:4rem auto;padding:2rem;background:#fff;border-radius:8px}
h1{margin:0 0 1rem;font-size:1.25rem}
strong{display:block;margin:1rem 0;font-size:2rem}
label{display:block;margin:.5rem 0}
button,a{display:inline-block;margin:1rem .5rem 0 0;padding:.6rem 1.2rem;border:1px solid #1f2937;border-radius:6px;background:#fff;color:#1f2937;font:inherit;text-decoration:none;cursor:pointer}
button[value=pay]{background:#1f2937;color:#fff}
</style></head>
<body><main>
<h1>{{ title }}</h1>
<p>{{ told }}</p>
{%- if let Some(amount) = amount %}<strong>{{ amount }}</strong>{% endif %}
{%- if let Some(pay) = pay %}
<form method="post">
<label><input type="radio" name="card" value="good" checked> A card that works</label>
<label><input type="radio" name="card" value="declined_later"> A card that is declined later</label>
<button name="action" value="pay">{{ pay }}</button>
<button name="action" value="refuse">Decline</button>
</form>
{%- else %}<a href="{{ back }}">Back</a>{% endif %}
</main></body>
</html>
"##
)]
struct CheckoutPage<'a> {
    title: &'a str,
    told: &'a str,
    amount: Option<String>,
    /// The label of the button; `None` when the checkout is over.
    pay: Option<&'a str>,
    back: &'a str,
}

fn page(page: &CheckoutPage<'_>) -> Response {
    match page.render() {
        Ok(text) => {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
            let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
            (headers, Html(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The checkout session of a page, when this deployment takes play money.
async fn open_session(app: &App, tenant: &str, id: &str) -> Option<(TenantId, CheckoutSession)> {
    if !app.services.billing.takes_play_money() {
        return None;
    }
    let (tenant, id): (TenantId, CheckoutId) = (tenant.parse().ok()?, id.parse().ok()?);
    let tx = app.services.gate.tenant(Scope::worker(tenant), Access::Read);
    let found = payments::checkout_session(&tx, id).await;
    tx.end_read();
    found.ok().flatten().map(|it| (tenant, it))
}

/// `GET /payments/{tenant}/{checkout}`: the checkout page of the in-process payment provider.
pub(super) async fn checkout(State(app): State<App>, Path((tenant, id)): Path<(String, String)>) -> Response {
    let Some((_, session)) = open_session(&app, &tenant, &id).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let over = session.state != CheckoutState::Open || session.expires_at <= app.services.clock.now();
    let amount = (session.amount.minor > 0).then(|| payments::display(session.amount));
    let told = match (over, amount.is_some()) {
        (true, _) => "This checkout has ended. Go back and start again.",
        (false, true) => "This deployment takes play money. Nothing is charged.",
        (false, false) => "Nothing is due now. Save a card for later. It is play money, too.",
    };
    let pay = if amount.is_some() { "Pay" } else { "Save the card" };
    let (amount, pay) = if over { (None, None) } else { (amount, Some(pay)) };
    page(&CheckoutPage { title: "Checkout", told, amount, pay, back: &session.cancel_url })
}

/// The choice made on a page.
#[derive(Deserialize)]
pub(super) struct Choice {
    action: String,
    #[serde(default)]
    card: String,
}

/// `POST /payments/{tenant}/{checkout}`: the customer pays or declines. The page that the browser opens next grants
/// nothing; only the event that this sends to the inbox does.
pub(super) async fn choose(
    State(app): State<App>,
    Path((tenant, id)): Path<(String, String)>,
    Form(choice): Form<Choice>,
) -> Response {
    let Some((tenant, session)) = open_session(&app, &tenant, &id).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let now = app.services.clock.now();
    if session.state != CheckoutState::Open || session.expires_at <= now {
        return Redirect::to(&session.cancel_url).into_response();
    }
    let (event, next) = match (choice.action.as_str(), Card::parse(&choice.card)) {
        ("pay", Some(card)) => {
            (InProcess::paid(tenant, session.id, session.amount.minor, card, now), &session.success_url)
        }
        ("refuse", _) => (InProcess::refused(tenant, session.id, now), &session.cancel_url),
        _ => return (StatusCode::BAD_REQUEST, "Pay with a card, or decline.\n").into_response(),
    };
    told(&app, &event, next).await
}

async fn told(app: &App, event: &str, next: &str) -> Response {
    match app.services.billing.receive(event, app.services.clock.now()).await {
        Ok(()) => Redirect::to(next).into_response(),
        Err(error) => {
            tracing::error!(?error, "a choice on a payment page could not be stored");
            (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n").into_response()
        }
    }
}

/// The URL to which the browser returns.
#[derive(Deserialize)]
pub(super) struct Back {
    #[serde(rename = "return")]
    to: String,
}

/// `GET /payments/{tenant}/card`: the payment method at the in-process provider.
pub(super) async fn card(State(app): State<App>, Path(_): Path<String>, Query(back): Query<Back>) -> Response {
    if !app.services.billing.takes_play_money() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let told = "Which card should be charged from now on? It is play money.";
    page(&CheckoutPage { title: "Your card", told, amount: None, pay: Some("Save the card"), back: &back.to })
}

/// `POST /payments/{tenant}/card`.
pub(super) async fn change_card(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Query(back): Query<Back>,
    Form(choice): Form<Choice>,
) -> Response {
    let tenant: Option<TenantId> = tenant.parse().ok().filter(|_| app.services.billing.takes_play_money());
    let Some(tenant) = tenant else { return StatusCode::NOT_FOUND.into_response() };
    match (choice.action.as_str(), Card::parse(&choice.card)) {
        ("pay", Some(card)) => {
            let event = InProcess::card_changed(tenant, card, app.services.clock.now());
            told(&app, &event, &back.to).await
        }
        _ => Redirect::to(&back.to).into_response(),
    }
}
