//! What payment providers tell, invoices as files, and the pages of the provider in this process.

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

/// `POST /webhooks/stripe`: verified on the bytes as they came, then kept, then answered.
pub(super) async fn stripe(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let billing = &app.services.billing;
    let Some(stripe) = billing.stripe() else { return StatusCode::NOT_FOUND.into_response() };
    // By the machine's clock, as the signature is.
    let now = app.services.sign_in.clock().now();
    let header = headers.get("stripe-signature").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if let Err(error) = stripe.verify(header, &body, now) {
        return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        return (StatusCode::BAD_REQUEST, "The body is no text.\n").into_response();
    };
    match billing.receive(text, app.services.clock.now()).await {
        Ok(()) => "kept\n".into_response(),
        Err(ReceiveError::Unreadable(why)) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
        Err(ReceiveError::Db(error)) => {
            tracing::error!(%error, "an event of Stripe cannot be kept");
            (StatusCode::SERVICE_UNAVAILABLE, "Send it again later.\n").into_response()
        }
    }
}

/// `GET /invoices/{sealed}.pdf`. Whatever is wrong with the address, the answer is the same.
pub(super) async fn invoice(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    Path(name): Path<String>,
) -> Response {
    let none = || (StatusCode::NOT_FOUND, "There is no such invoice, or its address is too old.\n").into_response();
    let charged = app.services.rates.charge(&Actor::Anonymous, origin.address.as_deref(), MUTATION_COST).await;
    if let Err(ApiError::Refused { retry_after, .. }) = charged.map_err(ApiError::from) {
        let wait = [(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)))];
        return (StatusCode::TOO_MANY_REQUESTS, wait, "Too fast: try again later.\n").into_response();
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
            tracing::error!(%error, "an invoice cannot be written");
            (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n").into_response()
        }
    }
}

/// Which invoice of which tenant, where the seal is ours and its time is not over.
fn named(app: &App, sealed: &str, now: i64) -> Option<(TenantId, InvoiceId)> {
    let text = app.tokens.unseal(sealed)?;
    let mut parts = text.strip_prefix("invoice ")?.split(' ');
    let (tenant, invoice) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let expires: i64 = parts.next()?.parse().ok()?;
    (now < expires).then_some((tenant, invoice))
}

/// A page of the provider in this process, without any script.
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
<button name="action" value="refuse">Refuse</button>
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
    /// What the button says; none where it is too late.
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
            tracing::error!(%error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that is there, and may be paid.
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

/// `GET /payments/{tenant}/{checkout}`: the page of the provider in this process.
pub(super) async fn checkout(State(app): State<App>, Path((tenant, id)): Path<(String, String)>) -> Response {
    let Some((_, session)) = open_session(&app, &tenant, &id).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let over = session.state != CheckoutState::Open || session.expires_at <= app.services.clock.now();
    let amount = (session.amount.minor > 0).then(|| payments::display(session.amount));
    let told = match (over, amount.is_some()) {
        (true, _) => "This page is over. Go back and begin again.",
        (false, true) => "This deployment takes play money: nothing is charged anywhere.",
        (false, false) => "Nothing is to be paid now: leave a card for later. It is play money, too.",
    };
    let pay = if amount.is_some() { "Pay" } else { "Save the card" };
    let (amount, pay) = if over { (None, None) } else { (amount, Some(pay)) };
    page(&CheckoutPage { title: "Checkout", told, amount, pay, back: &session.cancel_url })
}

/// What was chosen on a page.
#[derive(Deserialize)]
pub(super) struct Choice {
    action: String,
    #[serde(default)]
    card: String,
}

/// `POST /payments/{tenant}/{checkout}`: somebody pays or refuses. Where the browser goes then grants nothing; what this
/// tells the inbox does.
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
        _ => return (StatusCode::BAD_REQUEST, "Pay with a card, or refuse.\n").into_response(),
    };
    told(&app, &event, next).await
}

async fn told(app: &App, event: &str, next: &str) -> Response {
    match app.services.billing.receive(event, app.services.clock.now()).await {
        Ok(()) => Redirect::to(next).into_response(),
        Err(error) => {
            tracing::error!(?error, "what was chosen on a page cannot be kept");
            (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n").into_response()
        }
    }
}

/// Where a browser goes afterwards.
#[derive(Deserialize)]
pub(super) struct Back {
    #[serde(rename = "return")]
    to: String,
}

/// `GET /payments/{tenant}/card`: the means of payment at the provider in this process.
pub(super) async fn card(State(app): State<App>, Path(_): Path<String>, Query(back): Query<Back>) -> Response {
    if !app.services.billing.takes_play_money() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let told = "Which card is charged from now on? It is play money.";
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
