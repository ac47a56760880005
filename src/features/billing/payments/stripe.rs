//! Stripe, through its HTTP API: <https://docs.stripe.com/api>. Tenantry calculates and issues invoices itself. Stripe
//! shows the payment page, stores payment methods, and charges them.

use std::time::Duration;

use aws_lc_rs::hmac;
use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use reqwest::{Client, ClientBuilder, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ChargeRequest, Charged, CheckoutRequest, Fact, HostedPage, NewCustomer, Outcome, PaymentProvider, ProviderError,
    ProviderEvent,
};

use crate::base::{
    egress::{LazyClient, Settings},
    money::Money,
};

/// The API version that is requested and that this code was written for.
const API_VERSION: &str = "2026-10-28.endive";
/// The time limit for a response.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// The time limit for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum age of an event's signature in seconds, as in Stripe's own libraries.
pub const TOLERANCE: i64 = 300;

/// Stripe.
pub struct Stripe {
    http: LazyClient,
    base: String,
    secret_key: String,
    webhook_secrets: Vec<String>,
}

/// Why an event is not authentic or not recent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is missing or malformed.
    #[error("the header Stripe-Signature is missing or malformed")]
    Unreadable,
    /// None of our secrets matches the signature.
    #[error("no signature matches")]
    Wrong,
    /// The signature is too old, or its time lies in the future.
    #[error("the signature is too old")]
    TooOld,
}

type Form = Vec<(String, String)>;

fn builder(_: Settings) -> ClientBuilder {
    Client::builder()
        .user_agent("Tenantry/1")
        .timeout(ANSWER_LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
}

impl Stripe {
    /// Creates a client with a secret key, the signing secrets of the endpoint, and the URL of the API.
    pub fn new(secret_key: String, webhook_secrets: Vec<String>, base: String) -> Self {
        let http = LazyClient::new(Settings::default(), builder);
        Self { http, base: base.trim_end_matches('/').to_owned(), secret_key, webhook_secrets }
    }

    /// Checks whether this header signs these bytes, as Stripe describes under "Verify webhook signatures manually":
    /// HMAC-SHA256 of the time, a dot and the raw body, with any of the secrets.
    ///
    /// # Errors
    /// Why the header does not sign them.
    pub fn verify(&self, header: &str, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", value)) => time = value.parse::<i64>().ok(),
                Some(("v1", value)) => signatures.extend(from_hex(value)),
                _ => {} // Other schemes are for Stripe's tests.
            }
        }
        let time = time.ok_or(SignatureError::Unreadable)?;
        let signed: Vec<u8> = time.to_string().bytes().chain(*b".").chain(body.iter().copied()).collect();
        let matches = self.webhook_secrets.iter().any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            signatures.iter().any(|it| hmac::verify(&key, &signed, it).is_ok())
        });
        if !matches {
            return Err(SignatureError::Wrong);
        }
        if (now.as_second() - time).abs() > TOLERANCE { Err(SignatureError::TooOld) } else { Ok(()) }
    }

    async fn send(&self, path: &str, form: Option<&Form>, key: Option<String>) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        let http = self.http.get().map_err(|error| Failure::Later(error.to_string()))?;
        let request = match form {
            Some(form) => http.post(url).header("content-type", "application/x-www-form-urlencoded").body(encode(form)),
            None => http.get(url),
        };
        let request = request.bearer_auth(&self.secret_key).header("stripe-version", API_VERSION);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let later = |error: reqwest::Error| Failure::Later(error.without_url().to_string());
        let response = request.send().await.map_err(later)?;
        let status = response.status();
        let body = response.bytes().await.map_err(later)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is_busy =
            status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        match status {
            it if it.is_success() => Ok(answer),
            _ if is_busy => Err(Failure::Later(format!("Stripe responded with {status}"))),
            _ => Err(Failure::Refused(status, answer)),
        }
    }
}

enum Failure {
    Later(String),
    Refused(StatusCode, Value),
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Later(why) => Self::Later(why),
            Failure::Refused(status, answer) => {
                let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
                // A wrong key or API version is a fault of the deployment; after its correction a retry succeeds. If an
                // idempotency key was used with other parameters by an earlier version, that request may have been
                // carried out; a later search finds it.
                let is_other = answer["error"]["type"] == "idempotency_error";
                if is_other || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                    return Self::Later(format!("Stripe responded with {status}: {message}"));
                }
                Self::Refused(format!("Stripe responded with {status}: {message}"))
            }
        }
    }
}

fn encode(form: &Form) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn field(value: &Value, name: &str) -> Result<String, ProviderError> {
    let found = value[name].as_str().filter(|it| !it.is_empty() && it.len() <= 5000);
    found.map(str::to_owned).ok_or_else(|| ProviderError::Later(format!("Stripe's answer has no {name}")))
}

/// Currencies without minor units that Stripe nevertheless counts in hundredths:
/// <https://docs.stripe.com/currencies#special-cases>.
const IN_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];

fn stripe_amount(amount: Money) -> i64 {
    if IN_HUNDREDTHS.contains(&amount.currency.code()) { amount.minor.saturating_mul(100) } else { amount.minor }
}

/// The inverse of [`stripe_amount`]; the currency in Stripe's spelling.
fn own_amount(amount: i64, currency: Option<&str>) -> i64 {
    let is_hundredth = currency.is_some_and(|it| IN_HUNDREDTHS.contains(&it.to_uppercase().as_str()));
    if is_hundredth { amount / 100 } else { amount }
}

/// Refuses currencies whose units at Stripe differ from ISO 4217.
fn refuse_currency(amount: Money) -> Result<(), ProviderError> {
    if amount.currency.decimals() > 2 || amount.currency.code() == "MGA" {
        return Err(ProviderError::Later(format!("{} is not taken through Stripe", amount.currency)));
    }
    Ok(())
}

/// The request for a page: <https://docs.stripe.com/api/checkout/sessions/create>.
pub fn checkout_form(request: &CheckoutRequest) -> Form {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut form = vec![
        pair("customer", &request.customer),
        pair("client_reference_id", &request.checkout.to_string()),
        pair("success_url", &request.success_url),
        pair("cancel_url", &request.cancel_url),
        pair("expires_at", &request.expires_at.as_second().to_string()),
        pair("metadata[tenant]", &request.tenant.to_string()),
    ];
    let currency = request.amount.currency.code().to_lowercase();
    if request.amount.minor > 0 {
        form.extend([
            pair("mode", "payment"),
            pair("line_items[0][quantity]", "1"),
            pair("line_items[0][price_data][currency]", &currency),
            pair("line_items[0][price_data][unit_amount]", &stripe_amount(request.amount).to_string()),
            pair("line_items[0][price_data][product_data][name]", &request.description),
            // Allows later invoices to be charged without a person present.
            pair("payment_intent_data[setup_future_usage]", "off_session"),
        ]);
    } else {
        form.extend([pair("mode", "setup"), pair("currency", &currency)]);
    }
    form
}

/// The request for a charge: <https://docs.stripe.com/api/payment_intents/create>.
pub fn charge_form(request: &ChargeRequest) -> Form {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        pair("amount", &stripe_amount(request.amount).to_string()),
        pair("currency", &request.amount.currency.code().to_lowercase()),
        pair("customer", &request.customer),
        pair("payment_method", &request.method),
        pair("confirm", "true"),
        pair("off_session", "true"),
        pair("metadata[invoice]", &request.invoice.to_string()),
        pair("metadata[payment]", &request.payment.to_string()),
    ]
}

/// Whether the text can be part of a URL.
fn is_name(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// Reads a payment intent.
fn charged(intent: &Value) -> Charged {
    let outcome = match intent["status"].as_str() {
        Some("succeeded") => Outcome::Succeeded,
        Some("processing" | "requires_capture") => Outcome::Processing,
        status => {
            let message = intent["last_payment_error"]["message"].as_str();
            Outcome::Failed(message.or(status).unwrap_or("no reason given").to_owned())
        }
    };
    Charged { reference: intent["id"].as_str().map(str::to_owned), outcome }
}

impl PaymentProvider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn create_customer(&self, request: NewCustomer) -> BoxFuture<'_, Result<String, ProviderError>> {
        async move {
            let form =
                vec![("name".to_owned(), request.name), ("metadata[tenant]".to_owned(), request.tenant.to_string())];
            // The key is the tenant's id and not its name, which may change before a repetition.
            let key = format!("customer-{}", request.tenant);
            field(&self.send("/v1/customers", Some(&form), Some(key)).await?, "id")
        }
        .boxed()
    }

    fn create_checkout(&self, request: CheckoutRequest) -> BoxFuture<'_, Result<HostedPage, ProviderError>> {
        async move {
            refuse_currency(request.amount)?;
            let key = request.checkout.to_string();
            let session = self.send("/v1/checkout/sessions", Some(&checkout_form(&request)), Some(key)).await?;
            Ok(HostedPage { reference: field(&session, "id")?, url: field(&session, "url")? })
        }
        .boxed()
    }

    fn create_portal(&self, customer: String, return_url: String) -> BoxFuture<'_, Result<String, ProviderError>> {
        async move {
            let form = vec![("customer".to_owned(), customer), ("return_url".to_owned(), return_url)];
            field(&self.send("/v1/billing_portal/sessions", Some(&form), None).await?, "url")
        }
        .boxed()
    }

    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, Result<Charged, ProviderError>> {
        async move {
            refuse_currency(request.amount)?;
            let key = request.payment.to_string();
            match self.send("/v1/payment_intents", Some(&charge_form(&request)), Some(key)).await {
                Ok(intent) => Ok(charged(&intent)),
                // The card was declined: the error contains the intent.
                Err(Failure::Refused(StatusCode::PAYMENT_REQUIRED, answer)) => {
                    let error = &answer["error"];
                    let reason = error["message"].as_str().or(error["code"].as_str()).unwrap_or("declined");
                    let reference = error["payment_intent"]["id"].as_str().map(str::to_owned);
                    Ok(Charged { reference, outcome: Outcome::Failed(reason.to_owned()) })
                }
                Err(failure) => Err(failure.into()),
            }
        }
        .boxed()
    }

    fn find_charge(&self, customer: String, payment: Uuid) -> BoxFuture<'_, Result<Option<Charged>, ProviderError>> {
        async move {
            if !is_name(&customer) {
                return Err(ProviderError::Refused("not a Stripe customer id".into()));
            }
            let path = format!("/v1/payment_intents?customer={customer}&limit=100");
            let list = self.send(&path, None, None).await?;
            let payment = payment.to_string();
            let found = list["data"].as_array().into_iter().flatten();
            Ok(found.into_iter().find(|it| it["metadata"]["payment"] == *payment).map(charged))
        }
        .boxed()
    }

    fn look_up(&self, reference: String) -> BoxFuture<'_, Result<Charged, ProviderError>> {
        async move {
            if !is_name(&reference) {
                return Err(ProviderError::Refused("not a Stripe payment id".into()));
            }
            Ok(charged(&self.send(&format!("/v1/payment_intents/{reference}"), None, None).await?))
        }
        .boxed()
    }

    fn read_event(&self, body: &str) -> Result<ProviderEvent, String> {
        let event: Value = serde_json::from_str(body).map_err(|error| format!("invalid JSON: {error}"))?;
        let text =
            |value: &Value, most: usize| value.as_str().filter(|it| (1..=most).contains(&it.len())).map(str::to_owned);
        let id = text(&event["id"], 255).ok_or("it has no id")?;
        let kind = text(&event["type"], 100).ok_or("it has no type")?;
        let seconds = event["created"].as_i64().ok_or("it has no time")?;
        let at = Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
        let object = &event["data"]["object"];
        let reference = text(&object["id"], 255);
        // An expanded object may replace its id.
        let id_of = |value: &Value| text(value, 255).or_else(|| text(&value["id"], 255));
        let customer = match kind.as_str() {
            "payment_method.detached" => id_of(&event["data"]["previous_attributes"]["customer"]),
            it if it.starts_with("customer.") => reference.clone(),
            _ => id_of(&object["customer"]),
        };
        let facts = match (kind.as_str(), reference) {
            ("checkout.session.completed" | "checkout.session.async_payment_succeeded", Some(reference)) => {
                match object["payment_status"].as_str() {
                    // Another event follows when it is paid.
                    Some("unpaid") => vec![],
                    _ => {
                        let amount =
                            own_amount(object["amount_total"].as_i64().unwrap_or(0), object["currency"].as_str());
                        let payment = id_of(&object["payment_intent"]).map(|it| (it, amount));
                        vec![Fact::CheckoutCompleted { reference, payment }]
                    }
                }
            }
            ("checkout.session.expired" | "checkout.session.async_payment_failed", Some(reference)) => {
                vec![Fact::CheckoutExpired { reference }]
            }
            ("payment_intent.succeeded", Some(reference)) => {
                let method = id_of(&object["payment_method"]).filter(|_| object["setup_future_usage"].is_string());
                let saved = method.map(|reference| Fact::MethodSaved { reference });
                let payment = object["metadata"]["payment"].as_str().and_then(|it| it.parse().ok());
                saved.into_iter().chain([Fact::PaymentSucceeded { reference, payment }]).collect()
            }
            ("payment_intent.payment_failed", Some(reference)) => {
                let reason = object["last_payment_error"]["message"].as_str().unwrap_or("declined").to_owned();
                vec![Fact::PaymentFailed { reference, reason }]
            }
            ("setup_intent.succeeded", _) => {
                id_of(&object["payment_method"]).map(|reference| Fact::MethodSaved { reference }).into_iter().collect()
            }
            // Every change of a customer repeats the default card. Only a change of that card matters.
            ("customer.updated", _) if event["data"]["previous_attributes"]["invoice_settings"].is_null() => vec![],
            ("payment_method.detached", Some(reference)) => vec![Fact::MethodRemoved { reference }],
            ("customer.updated", _) => id_of(&object["invoice_settings"]["default_payment_method"])
                .map(|reference| Fact::MethodSaved { reference })
                .into_iter()
                .collect(),
            _ => vec![],
        };
        Ok(ProviderEvent { id, kind, customer, at, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{
        ids::{CheckoutId, InvoiceId, TenantId},
        money::Currency,
    };

    fn stripe(secrets: &[&str]) -> Stripe {
        let secrets = secrets.iter().map(|it| (*it).to_owned()).collect();
        Stripe::new("sk_test_x".into(), secrets, "https://api.stripe.test/".into())
    }

    fn sign(secret: &str, time: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        format!("t={time},v1={hex}")
    }

    #[test]
    fn an_event_counts_for_five_minutes_and_only_as_it_was_signed() {
        let (now, body) = (Timestamp::from_second(1_800_000_000).unwrap(), r#"{"id":"evt_1"}"#);
        let ours = stripe(&["whsec_new", "whsec_old"]);
        let at = |secret: &str, age: i64| sign(secret, now.as_second() - age, body);
        for (header, expected) in [
            (at("whsec_new", 0), Ok(())),
            (at("whsec_old", 300), Ok(())),
            (at("whsec_new", -300), Ok(())),
            (at("whsec_new", 301), Err(SignatureError::TooOld)),
            (at("whsec_new", -301), Err(SignatureError::TooOld)),
            (at("whsec_other", 0), Err(SignatureError::Wrong)),
            (format!("{},v1=00", at("whsec_new", 0)), Ok(())),
            (format!("v1=zz,{}", at("whsec_new", 0)), Ok(())),
            (at("whsec_new", 0).replace("v1=", "v0="), Err(SignatureError::Wrong)),
            ("t=1".into(), Err(SignatureError::Wrong)),
            (String::new(), Err(SignatureError::Unreadable)),
            ("t=x,v1=00".into(), Err(SignatureError::Unreadable)),
        ] {
            assert_eq!(ours.verify(&header, body.as_bytes(), now), expected, "{header}");
        }
        // The same content in other bytes is not what was signed.
        assert_eq!(ours.verify(&at("whsec_new", 0), br#"{"id": "evt_1"}"#, now), Err(SignatureError::Wrong));
        // Without a secret nothing passes, not even a signature made with an empty one.
        assert_eq!(stripe(&[]).verify(&at("", 0), body.as_bytes(), now), Err(SignatureError::Wrong));
    }

    fn uuid() -> uuid::Uuid {
        uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)
    }

    fn checkout(minor: i64, currency: &str) -> CheckoutRequest {
        CheckoutRequest {
            checkout: CheckoutId(uuid()),
            tenant: TenantId(uuid()),
            customer: "cus_1".into(),
            amount: Money { minor, currency: currency.parse().unwrap() },
            description: "Team, by the month & more".into(),
            success_url: "https://app.test/paid?x=1".into(),
            cancel_url: "https://app.test/plans".into(),
            expires_at: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }

    /// The exact requests. `web/conformance/stripe.mjs` checks the same file against the parameters that Stripe
    /// documents. `UPDATE_STRIPE_FORMS=1` rewrites it.
    #[test]
    fn the_forms_are_what_stripe_documents() {
        let charge = ChargeRequest {
            payment: uuid(),
            invoice: InvoiceId(uuid()),
            customer: "cus_1".into(),
            method: "pm_1".into(),
            amount: Money { minor: 2_900, currency: Currency::EUR },
        };
        let sent = format!(
            "checkout.sessions {}\ncheckout.sessions {}\npaymentIntents {}\n",
            encode(&checkout_form(&checkout(2_417, "EUR"))),
            encode(&checkout_form(&checkout(0, "JPY"))),
            encode(&charge_form(&charge)),
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/billing/payments/stripe_forms.txt");
        if std::env::var_os("UPDATE_STRIPE_FORMS").is_some() {
            std::fs::write(file, &sent).unwrap();
        }
        assert_eq!(sent, std::fs::read_to_string(file).unwrap_or_default());
    }

    #[test]
    fn events_are_read_and_their_metadata_is_not() {
        let read = |kind: &str, object: &str| {
            let body = format!(
                r#"{{"id":"evt_1","type":"{kind}","created":1800000000,"data":{{"object":{object}}},"metadata":{{"tenant":"x"}}}}"#
            );
            stripe(&[]).read_event(&body).unwrap()
        };
        let completed = read(
            "checkout.session.completed",
            r#"{"id":"cs_1","customer":"cus_1","payment_status":"paid","payment_intent":"pi_1","amount_total":2417,"metadata":{"tenant":"tnt_x"}}"#,
        );
        assert_eq!(completed.customer.as_deref(), Some("cus_1"));
        let payment = Some(("pi_1".to_owned(), 2_417));
        assert_eq!(completed.facts, [Fact::CheckoutCompleted { reference: "cs_1".into(), payment }]);
        let unpaid =
            read("checkout.session.completed", r#"{"id":"cs_1","customer":"cus_1","payment_status":"unpaid"}"#);
        assert_eq!(unpaid.facts, []);
        let setup = read(
            "checkout.session.completed",
            r#"{"id":"cs_1","customer":"cus_1","payment_status":"no_payment_required","payment_intent":null}"#,
        );
        assert_eq!(setup.facts, [Fact::CheckoutCompleted { reference: "cs_1".into(), payment: None }]);
        let paid = read(
            "payment_intent.succeeded",
            r#"{"id":"pi_1","customer":{"id":"cus_1"},"payment_method":"pm_1","setup_future_usage":"off_session"}"#,
        );
        let saved = Fact::MethodSaved { reference: "pm_1".into() };
        assert_eq!(paid.facts, [saved, Fact::PaymentSucceeded { reference: "pi_1".into(), payment: None }]);
        assert_eq!(paid.customer.as_deref(), Some("cus_1"));
        assert_eq!(read("charge.refunded", r#"{"id":"ch_1","customer":"cus_1"}"#).facts, []);
        for bad in ["", "{}", "[]", r#"{"id":"evt_1","type":"x"}"#, r#"{"id":"","type":"x","created":1}"#] {
            assert!(stripe(&[]).read_event(bad).is_err(), "{bad}");
        }
    }
}
