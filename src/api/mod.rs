//! The GraphQL schema: one file or folder per feature, merged once in `schema.rs`.
//!
//! A resolver does four things: read the context, read the input, call the rule, build the view.

pub mod audit;
pub mod auth;
pub mod billing;
pub mod booking_events;
pub mod bookings;
pub mod calendars;
pub mod charging;
pub mod context;
pub mod entitlements;
pub mod hours;
pub mod invitations;
pub mod loaders;
pub mod node;
pub mod objects;
pub mod plans;
pub mod platform;
pub mod resources;
pub mod savepoints;
pub mod schema;
pub mod series;
pub mod services;
pub mod tenants;
pub mod user_events;
pub mod users;
pub mod validation;
pub mod waitlist;
pub mod webhooks;

pub use charging::Bill;
pub use context::{ContextExt, RequestContext, Services, Work};
pub use validation::ApiSchema;
