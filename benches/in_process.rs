//! What a request costs in the process alone, without a database: `cargo bench --bench in_process`.

// The schema's futures nest as deeply as its roots are merged.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a benchmark must stop at an unexpected result")]

use std::hint::black_box;

use async_graphql::{Response, Value, Variables, value};
use divan::Bencher;
use jiff::Timestamp;
use mimalloc::MiMalloc;
use serde_json::json;
use tenantry::{
    api::ApiSchema,
    base::ids::{BookingId, SessionId, TenantId, UserId},
    core::identity::{Role, Viewer},
    features::auth::{TokenSettings, Tokens},
    graphql::{DocumentCache, Limits},
    http,
};
use uuid::Uuid;

// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const DOCUMENT: &str = "query Bookings($first: Int!) { bookings(first: $first) { nodes { id startsAt status service { id name } customer { id name } } } }";

fn main() {
    divan::main();
}

fn keys() -> (Tokens, Viewer) {
    let pem = Tokens::generate_private_pem().unwrap();
    let tokens = Tokens::try_new(&pem, &[], TokenSettings::default()).unwrap();
    let (tenant, user, session) = (TenantId(Uuid::now_v7()), UserId(Uuid::now_v7()), SessionId(Uuid::now_v7()));
    (tokens, Viewer { tenant, user, role: Role::Staff, session, impersonated: false })
}

/// A token that is seen for the first time: its signature is verified.
#[divan::bench]
fn token_new(bencher: Bencher<'_, '_>) {
    let (tokens, viewer) = keys();
    let now = Timestamp::now();
    let issued = || tokens.issue(&Viewer { session: SessionId(Uuid::now_v7()), ..viewer }, now).unwrap().0;
    bencher.with_inputs(issued).bench_refs(|token| tokens.verify(token).unwrap());
}

/// A token that was seen before.
#[divan::bench]
fn token_known(bencher: Bencher<'_, '_>) {
    let (tokens, viewer) = keys();
    let token = tokens.issue(&viewer, Timestamp::now()).unwrap().0;
    bencher.bench(|| tokens.verify(black_box(&token)).unwrap());
}

/// A document that is seen for the first time: measured, parsed, checked.
#[divan::bench]
fn document_new(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| DocumentCache::new(Limits::default())).bench_refs(|reader| reader.read(DOCUMENT).unwrap());
}

/// A document that was seen before.
#[divan::bench]
fn document_known(bencher: Bencher<'_, '_>) {
    let reader = DocumentCache::new(Limits::default());
    bencher.bench(|| reader.read(black_box(DOCUMENT)).unwrap());
}

/// Validation of a parsed document only, without executing it.
#[divan::bench]
fn validation(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let schema = ApiSchema::new(Limits::default(), true);
    let read = DocumentCache::new(Limits::default()).read(DOCUMENT).unwrap();
    let variables = Variables::from_json(json!({ "first": 20 }));
    bencher.bench(|| runtime.block_on(schema.validate(&read.document, None, &variables, None)).unwrap());
}

/// The same, for a document that was found valid before.
#[divan::bench]
fn validation_known(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let schema = ApiSchema::new(Limits::default(), true);
    let read = DocumentCache::new(Limits::default()).read(DOCUMENT).unwrap();
    let variables = Variables::from_json(json!({ "first": 20 }));
    let validate = || {
        let key = read.finding_key(&variables).unwrap();
        runtime.block_on(schema.validate(&read.document, None, &variables, Some(&key))).unwrap()
    };
    bencher.bench(validate);
}

/// Serializing twenty bookings.
#[divan::bench]
fn response(bencher: Bencher<'_, '_>) {
    let booking = |number: i32| {
        value!({
            "id": BookingId(Uuid::now_v7()).to_string(), "startsAt": "2026-11-21T10:15:00Z", "status": "CONFIRMED",
            "service": { "id": "svc_01m807bhr0e0085e5631h132cj", "name": format!("Service {number}") },
            "customer": { "id": "usr_01m807bhqce0082g3sygp2x5b6", "name": format!("Customer {number}") },
        })
    };
    let nodes = Value::List((0..20).map(booking).collect());
    let response = Response::new(value!({ "bookings": { "nodes": nodes } }));
    bencher.bench(|| http::write_response(black_box(&response), true, usize::MAX).unwrap());
}

/// An id as clients read it.
#[divan::bench]
fn id_written(bencher: Bencher<'_, '_>) {
    let id = BookingId(Uuid::now_v7());
    bencher.bench(|| black_box(id).to_string());
}

/// An id as clients send it.
#[divan::bench]
fn id_read(bencher: Bencher<'_, '_>) {
    let text = BookingId(Uuid::now_v7()).to_string();
    bencher.bench(|| black_box(&text).parse::<BookingId>().unwrap());
}
