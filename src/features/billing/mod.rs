//! What tenants subscribe to, what they use, and what they pay.
//!
//! Plans are in the directory; everything else is in the tenant's store. Billing is work of the platform: a caller's
//! permission is checked in a scope of their own, and the work then runs as background work would.

pub mod cycles;
mod engine;
mod error;
pub mod invoice_mail;
pub mod invoices;
mod metering;
mod model;
pub mod payments;
pub mod plans;
mod profile;
mod queries;
mod schedule;
mod self_service;
mod standing;
pub mod subscriptions;
pub mod terms;

pub use engine::{DEFAULT_ISSUER, Engine, put_on_plan, set_paused};
pub use error::BillingError;
pub use metering::{RecordOutcome, Rejection, UsageLine, record_usage, usage_lines, usage_series};
pub use model::{Preview, When};
pub use payments::CheckoutWish;
pub use profile::update_profile;
pub use schedule::schedule;
pub use self_service::SelfService;
pub use standing::{GRACE, Standing, review, standing};
