//! Requests to addresses that tenants name: none of them reaches the server's own network.

mod addresses;
mod client;
mod lazy;

pub use client::{Answer, Message, WebhookClient};
pub use lazy::{LazyClient, NoClient, Settings};
