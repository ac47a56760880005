//! Does a month of availability cost more as bookings grow? Runs the same query on a store with 1,000 and on one with
//! 1,000,000 bookings of the five resources that it asks about, interleaved in one run: `just bench-availability`, or
//! `cargo bench --bench availability`. Takes some minutes, most of them for writing the bookings.
//!
//! Figures are ratios of one run on one machine. No test asserts a time: `tests/it/plans.rs` counts the rows that are read.

#![allow(clippy::unwrap_used, reason = "a benchmark must stop at an unexpected result")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{TestApp, TestTenant, code};

const ROUNDS: usize = 200;
const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

async fn store(bookings: usize) -> (TestTenant, usize) {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut resources = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        resources.push(acme.admin.create_resource("STAFF", name).await);
    }
    let links: Vec<(&str, i32)> = resources.iter().map(|it| (it.as_str(), 0)).collect();
    assert_eq!(code(&acme.admin.link(&acme.service, &links).await), "");
    acme.add_history(&resources, bookings - 200).await;
    // The month itself is equally full in each.
    for number in 0..200 {
        let at = acme.in_days(2 + number / 8) + jiff::SignedDuration::from_hours(number % 8);
        assert_eq!(code(&acme.user.book(&acme.service, at).await), "");
    }
    for table in ["bookings", "booking_claims"] {
        app.by_hand(&format!("vacuum analyze shared.{table}")).await;
    }
    (acme, bookings)
}

async fn month(acme: &TestTenant) -> (Duration, usize) {
    let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt places } }";
    let (from, to) = (acme.in_days(1).to_string(), acme.in_days(32).to_string());
    let begin = Instant::now();
    let answer = acme.user.run_with(query, json!({ "s": acme.service, "from": from, "to": to })).await;
    let took = begin.elapsed();
    (took, answer["data"]["availability"].as_array().map_or(0, Vec::len))
}

async fn why(acme: &TestTenant) -> Duration {
    let query = "query($s: ID!, $at: DateTime!) { whyUnavailable(serviceId: $s, startsAt: $at) }";
    let begin = Instant::now();
    let answer = acme.user.run_with(query, json!({ "s": acme.service, "at": acme.in_days(3).to_string() })).await;
    assert_eq!(answer["data"]["whyUnavailable"], Value::Null, "{answer}");
    begin.elapsed()
}

fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((times.len() - 1) as f64 * part) as usize;
    times[at].as_secs_f64() * 1_000.0
}

#[tokio::main]
async fn main() {
    let mut stores = Vec::new();
    for size in SIZES {
        let begin = Instant::now();
        stores.push(Box::pin(store(size)).await);
        eprintln!("{size} bookings written in {:.0} s", begin.elapsed().as_secs_f64());
    }
    let mut months: Vec<Vec<Duration>> = vec![Vec::new(); stores.len()];
    let mut whys = months.clone();
    let mut found = vec![0; stores.len()];
    for round in 0..ROUNDS {
        for turn in 0..stores.len() {
            let at = (round + turn) % stores.len();
            let (took, slots) = month(&stores[at].0).await;
            found[at] = slots;
            // The first few warm caches and plans.
            if round >= 20 {
                months[at].push(took);
                whys[at].push(why(&stores[at].0).await);
            }
        }
    }
    println!(
        "| bookings | free times of the month | month, median ms | p99 ms | of the smallest | why, median ms | of the smallest |"
    );
    println!("|---|---|---|---|---|---|---|");
    let (least, least_why) = (quantile(&mut months[0], 0.5), quantile(&mut whys[0], 0.5));
    for (at, (_, size)) in stores.iter().enumerate() {
        let (median, p99) = (quantile(&mut months[at], 0.5), quantile(&mut months[at], 0.99));
        let why = quantile(&mut whys[at], 0.5);
        let (ratio, why_ratio) = (median / least, why / least_why);
        println!("| {size} | {} | {median:.2} | {p99:.2} | {ratio:.2} | {why:.2} | {why_ratio:.2} |", found[at]);
    }
}
