//! A payment provider inside this process, for development: its page lets a person pay or decline, and nothing is
//! charged.
//!
//! It stores nothing. Its customers are named after tenants, its pages after checkouts, and its payment methods
//! determine the outcome of a charge. It reports what happens on its pages by events, through the same inbox as any
//! other provider.

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ChargeRequest, Charged, CheckoutRequest, Fact, HostedPage, NewCustomer, Outcome, PaymentProvider, ProviderError,
    ProviderEvent,
};
use crate::base::ids::{CheckoutId, TenantId};

/// The provider's name in the database.
pub const NAME: &str = "in_process";

/// The card chosen on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// Every charge succeeds.
    Good,
    /// The payment on the page succeeds, and every later charge is declined.
    DeclinedLater,
}

impl Card {
    /// Parses the value in the forms of its pages.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "good" => Some(Self::Good),
            "declined_later" => Some(Self::DeclinedLater),
            _ => None,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Good => "inp_card_good",
            Self::DeclinedLater => "inp_card_declined",
        }
    }
}

/// An event, as stored in the inbox.
#[derive(Serialize, Deserialize)]
struct Message {
    id: String,
    customer: String,
    at: Timestamp,
    what: What,
}

#[derive(Serialize, Deserialize)]
enum What {
    Paid { session: String, amount_minor: i64, method: String },
    Refused { session: String },
    CardChanged { method: String },
}

/// The provider.
pub struct InProcess {
    /// The base URL of its pages, such as `http://127.0.0.1:8080`.
    base: String,
}

impl InProcess {
    /// Creates a provider with this server's base URL.
    pub fn new(base: String) -> Self {
        Self { base }
    }

    /// The customer id of a tenant.
    pub fn customer(tenant: TenantId) -> String {
        format!("inp_{tenant}")
    }

    /// The event after a payment on a page.
    pub fn paid(tenant: TenantId, checkout: CheckoutId, amount_minor: i64, card: Card, now: Timestamp) -> String {
        let what = What::Paid { session: session(checkout), amount_minor, method: card.method().into() };
        message(format!("inp_evt_paid_{checkout}"), tenant, what, now)
    }

    /// The event after a declined payment on a page.
    pub fn refused(tenant: TenantId, checkout: CheckoutId, now: Timestamp) -> String {
        message(format!("inp_evt_refused_{checkout}"), tenant, What::Refused { session: session(checkout) }, now)
    }

    /// The event after a change of card.
    pub fn card_changed(tenant: TenantId, card: Card, now: Timestamp) -> String {
        let id = format!("inp_evt_card_{tenant}_{}", now.as_microsecond());
        message(id, tenant, What::CardChanged { method: card.method().into() }, now)
    }
}

fn session(checkout: CheckoutId) -> String {
    format!("inp_{checkout}")
}

fn message(id: String, tenant: TenantId, what: What, at: Timestamp) -> String {
    // Unwrap safety: texts, numbers and an instant.
    serde_json::to_string(&Message { id, customer: InProcess::customer(tenant), at, what })
        .expect("a message can be written")
}

impl PaymentProvider for InProcess {
    fn name(&self) -> &'static str {
        NAME
    }

    fn create_customer(&self, request: NewCustomer) -> BoxFuture<'_, Result<String, ProviderError>> {
        async move { Ok(InProcess::customer(request.tenant)) }.boxed()
    }

    fn create_checkout(&self, request: CheckoutRequest) -> BoxFuture<'_, Result<HostedPage, ProviderError>> {
        async move {
            let url = format!("{}/payments/{}/{}", self.base, request.tenant, request.checkout);
            Ok(HostedPage { reference: session(request.checkout), url })
        }
        .boxed()
    }

    fn create_portal(&self, customer: String, return_url: String) -> BoxFuture<'_, Result<String, ProviderError>> {
        async move {
            let tenant = customer.strip_prefix("inp_").unwrap_or_default();
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("return", &return_url).finish();
            Ok(format!("{}/payments/{tenant}/card?{query}", self.base))
        }
        .boxed()
    }

    fn charge(&self, request: ChargeRequest) -> BoxFuture<'_, Result<Charged, ProviderError>> {
        async move {
            let reference = Some(format!("inp_pay_{}_{}", request.payment.simple(), request.method));
            let outcome = if request.method == Card::Good.method() {
                Outcome::Succeeded
            } else {
                Outcome::Failed("The card was declined.".into())
            };
            Ok(Charged { reference, outcome })
        }
        .boxed()
    }

    fn find_charge(&self, _: String, _: Uuid) -> BoxFuture<'_, Result<Option<Charged>, ProviderError>> {
        // The provider stores and charges nothing: a repeated request gets the same response.
        async move { Ok(None) }.boxed()
    }

    fn look_up(&self, reference: String) -> BoxFuture<'_, Result<Charged, ProviderError>> {
        async move {
            let is_good = reference.ends_with(Card::Good.method());
            let outcome = if is_good { Outcome::Succeeded } else { Outcome::Failed("The card was declined.".into()) };
            Ok(Charged { reference: Some(reference), outcome })
        }
        .boxed()
    }

    fn read_event(&self, body: &str) -> Result<ProviderEvent, String> {
        let message: Message = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let (kind, facts) = match message.what {
            What::Paid { session, amount_minor, method } => {
                let payment = (amount_minor > 0).then(|| (format!("inp_pay_{session}"), amount_minor));
                let completed = Fact::CheckoutCompleted { reference: session, payment };
                ("checkout.paid", vec![Fact::MethodSaved { reference: method }, completed])
            }
            What::Refused { session } => ("checkout.refused", vec![Fact::CheckoutExpired { reference: session }]),
            What::CardChanged { method } => ("card.changed", vec![Fact::MethodSaved { reference: method }]),
        };
        Ok(ProviderEvent { id: message.id, kind: kind.into(), customer: Some(message.customer), at: message.at, facts })
    }
}
