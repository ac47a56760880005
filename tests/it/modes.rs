//! Suites whose results must not depend on the isolation mode, run again in each mode: this program runs itself, with
//! another value of the one parameter.

use std::process::Command;

/// Suites for which a tenant's placement must not matter.
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

/// The suites of one mode: those about isolation alone by default, all of them where `TENANTRY_TEST_ALL` is set
/// (`just test-all`, and CI).
fn of_run<'a>(all: &'a [&'a str]) -> &'a [&'a str] {
    if crate::support::runs_all() { all } else { &all[..1] }
}

fn run(parameter: &str, value: &str, suites: &[&str]) {
    let mut run = Command::new(std::env::current_exe().unwrap());
    // The tests that kill servers use their own deployments, whose tenants are in shared tables.
    run.args(suites).args(["--skip", "killed_", "--test-threads", "2"]).env(parameter, value);
    let output = run.output().unwrap();
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complained}");
    let passed = told.lines().rev().find(|it| it.starts_with("test result: ok.")).unwrap_or_default();
    assert!(passed.contains(" passed") && !passed.contains(" 0 passed"), "{told}");
}

#[test]
fn with_a_schema_for_each_tenant() {
    run("TENANTRY_TEST_ISOLATION", "SCHEMA", of_run(&SUITES));
}

#[test]
fn with_a_database_for_each_tenant() {
    run("TENANTRY_TEST_ISOLATION", "DATABASE", of_run(&SUITES));
}

/// PgBouncer in transaction mode: tests that need no session must not be affected.
#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler() {
    let database = crate::support::TestDatabase::create().await;
    if crate::support::pooler::url(&database.url("tenantry_app").await).await.is_some() {
        let suites = ["isolation::", "bookings::", "holds::", "series::", "services::", "people::"];
        tokio::task::spawn_blocking(move || run("TENANTRY_TEST_POOLER", "1", of_run(&suites))).await.unwrap();
    }
}
