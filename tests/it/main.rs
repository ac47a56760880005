//! The integration tests: one binary. Through the API, in-process, as the app's role, each on its own database.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected shall stop there")]

mod architecture;
mod attacks;
mod audit;
mod bad_input;
mod billing;
mod billing_model;
mod bookings;
mod catalogue;
mod classes;
mod documents;
mod edge;
mod embedded;
mod first_run;
mod fleet;
mod holds;
mod hours;
mod http;
mod isolation;
mod joining;
mod loaders;
mod mail;
mod migrations;
mod model;
mod modes;
mod moves;
mod notices;
mod outages;
mod payments;
mod people;
mod plans;
mod platform;
mod policy_matrix;
mod pooler;
mod production;
mod resources;
mod schema;
mod series;
mod services;
mod sign_in;
mod sockets;
mod support;
mod transactions;
mod waitlist;
mod webhooks;
