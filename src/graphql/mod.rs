//! GraphQL plumbing that knows no feature: errors, scalars, paging, limits, documents, batching.

pub mod batching;
mod concurrent_fields;
mod costs;
mod document_cache;
mod error;
pub mod input;
mod limits;
pub mod null_propagation;
mod paging;
mod reference;
mod scalars;
mod watch;

pub use costs::{INTROSPECTION_COST, KEY_COST, MUTATION_COST, SIGN_IN_COST, STATEMENT_COST};
pub use document_cache::{DocumentCache, FindingKey, ReadDocument, Unreadable, ValidationCache};
pub(crate) use error::payload;
pub use error::{
    ApiError, Code, ErrorClass, INTERNAL_MESSAGE, UserError, UserErrorCode, is_refusal_by_role, nowhere, settled,
};
pub use limits::Limits;
pub use paging::{Listing, PageArgs, connection, page_cost};
pub use reference::{Reference, asks_for_name};
pub use scalars::{
    CurrencyCode, Date, DateTime, Decimal, LocalTime, Money, MoneyInput, TimeZoneName, filter_interval, parse_id,
};
pub use watch::{LOOK_EVERY, Watch, WatchEvent, is_passing};
