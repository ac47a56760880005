//! Does the response time reveal whether an email is known? Medians of 200 each, interleaved, in one run: `just
//! bench-equal-work`, or `cargo bench --bench equal_work`.
//!
//! Figures are ratios of one run on one machine. No test asserts a time: the tests count statements and hashes instead.

#![allow(clippy::unwrap_used, reason = "a benchmark must stop at an unexpected result")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{Options, Person, TestApp, code};
use tenantry::features::auth::{PasswordCost, SignInLimits};

const ROUNDS: usize = 200;

async fn timed(person: &Person, field: &str, input: Value) -> Duration {
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let query = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ userErrors {{ code }} }} }}");
    let begin = Instant::now();
    let answer = person.run_with(&query, json!({ "input": input })).await;
    let took = begin.elapsed();
    assert!(["", "WRONG_CREDENTIALS"].contains(&code(&answer)), "{answer}");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn token_for(app: &TestApp, admin: &Person, email: &str) -> String {
    let invite = "mutation($e: String!) { inviteUser(input: { email: $e, role: STAFF }) { userErrors { code } } }";
    assert_eq!(code(&admin.run_with(invite, json!({ "e": email })).await), "");
    app.mail_to(email).await.token()
}

#[tokio::main]
async fn main() {
    let mut limits = SignInLimits::default();
    for bucket in [
        &mut limits.account,
        &mut limits.address,
        &mut limits.account_and_address,
        &mut limits.mail,
        &mut limits.joining,
    ] {
        bucket.burst = 1_000_000;
        bucket.interval = SignedDuration::from_millis(1);
    }
    let app = TestApp::start_with(Options { limits, cost: PasswordCost::default(), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let open = "mutation { updateTenant(input: { openRegistration: true }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run(open).await), "");
    let anonymous = app.anonymous();

    println!("| operation | known email, median ms | unknown, median ms | unknown / known |");
    println!("|---|---|---|---|");
    for field in ["login", "requestPasswordReset", "registerUser", "acceptInvitation"] {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            for is_known in [round % 2 == 0, round % 2 != 0] {
                let email = if is_known { "user@acme.test".to_owned() } else { format!("nobody{round}@acme.test") };
                let input = match field {
                    "login" => json!({ "email": email, "password": "wrong" }),
                    "requestPasswordReset" => json!({ "email": email }),
                    "registerUser" => {
                        json!({ "tenant": "acme", "email": email, "name": "X", "password": "nine quiet lamps" })
                    }
                    _ => {
                        // A customer again, so that they can be invited again.
                        app.by_hand("update shared.users set role = 'USER' where email = 'user@acme.test'").await;
                        let token = token_for(&app, &acme.admin, &email).await;
                        json!({ "token": token, "name": "X", "password": "nine quiet lamps" })
                    }
                };
                let took = timed(&anonymous, field, input).await;
                if is_known { &mut known } else { &mut unknown }.push(took);
            }
            // Pending background work must not run during the next measurement.
            app.by_hand("delete from directory.account_requests; delete from shared.outbox; update shared.usage_counters set used = 0 where meter = 'invitation_mails'").await;
        }
        let (known, unknown) = (median(known).as_secs_f64() * 1e3, median(unknown).as_secs_f64() * 1e3);
        println!("| `{field}` | {known:.2} | {unknown:.2} | {:.3} |", unknown / known);
    }
}
