//! Requests to addresses that tenants name: none of them reaches the server's own network.

mod addresses;
mod client;

pub use client::{Answer, Message, WebhookClient};
