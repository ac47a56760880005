//! Payments: through a provider, never inside a transaction, each attempt under its own idempotency key.
//!
//! A request to the provider is stored before it is sent; the id of its row is the idempotency key. Everything that the
//! provider reports takes one path, as a response or as an event: `apply`.

mod account;
pub mod checkout;
pub mod collection;
mod conclusion;
mod facts;
pub mod in_process;
pub mod inbox;
mod model;
mod provider;
mod queries;
mod retries;
mod settlement;
pub mod stripe;

pub use account::{checkout_session, note_customer, open_page};
pub use model::{
    Account, CheckoutSession, CheckoutState, CheckoutWish, DeadEvent, NotYet, Payment, PaymentState, Waiting,
};
pub use provider::{
    ChargeRequest, Charged, CheckoutRequest, Fact, HostedPage, NewCustomer, Outcome, PaymentProvider, ProviderError,
    ProviderEvent,
};
pub use queries::{account, expire_checkout, insert_checkout, of_invoice, open_checkout};
pub use retries::{RETRIES, after_failure};
pub use settlement::{display, record_outside};
