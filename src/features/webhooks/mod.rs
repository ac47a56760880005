//! Webhooks: a tenant's own systems receive booking events, signed, at least once.

mod delivering;
mod endpoints;
mod model;
mod queries;

pub use delivering::{Due, Next, follow, letter, next, note, purge};
pub use endpoints::{
    MAX_ENDPOINTS, OVERLAP, PATIENCE, create, delete, deliveries, list, rotate_secret, send_again, update,
};
pub use model::{Delivery, DeliveryKey, DeliveryStatus, Disabled, Endpoint, NewSecret, Patch, WebhookError};
