//! The suites that no mode of isolation may change anything for, run once more in each: this program runs itself, with another
//! value of the one parameter.

use std::process::Command;

/// What a tenant's place must not matter for.
const SUITES: [&str; 11] = [
    "isolation::",
    "bookings::",
    "holds::",
    "series::",
    "classes::",
    "waitlist::",
    "resources::",
    "services::",
    "people::",
    "billing::",
    "payments::",
];

fn run(parameter: &str, value: &str, suites: &[&str]) {
    let mut run = Command::new(std::env::current_exe().unwrap());
    // Those who are killed serve deployments of their own, whose tenants are in shared tables.
    run.args(suites).args(["--skip", "killed_", "--test-threads", "2"]).env(parameter, value);
    let output = run.output().unwrap();
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complained}");
    let passed = told.lines().rev().find(|it| it.starts_with("test result: ok.")).unwrap_or_default();
    assert!(passed.contains(" passed") && !passed.contains(" 0 passed"), "{told}");
}

#[test]
fn with_a_schema_for_each_tenant() {
    run("TENANTRY_TEST_ISOLATION", "SCHEMA", &SUITES);
}

#[test]
fn with_a_database_for_each_tenant() {
    run("TENANTRY_TEST_ISOLATION", "DATABASE", &SUITES);
}

/// PgBouncer in transaction mode: what does not need a session must not notice.
#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler() {
    let database = crate::support::TestDatabase::create().await;
    if crate::support::pooler::url(&database.url("tenantry_app").await).await.is_some() {
        let suites = ["isolation::", "bookings::", "holds::", "series::", "services::", "people::"];
        tokio::task::spawn_blocking(move || run("TENANTRY_TEST_POOLER", "1", &suites)).await.unwrap();
    }
}
