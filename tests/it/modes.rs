//! The suites that no mode of isolation may change anything for, run once more in each: this program runs itself, with another
//! value of the one parameter.

use std::process::Command;

/// What a tenant's place must not matter for.
const SUITES: [&str; 3] = ["isolation::", "bookings::", "billing::"];

fn run(isolation: &str) {
    let mut run = Command::new(std::env::current_exe().unwrap());
    run.args(SUITES).args(["--test-threads", "2"]).env("TENANTRY_TEST_ISOLATION", isolation);
    let output = run.output().unwrap();
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{complained}");
    let passed = told.lines().rev().find(|it| it.starts_with("test result: ok.")).unwrap_or_default();
    assert!(passed.contains(" passed") && !passed.contains(" 0 passed"), "{told}");
}

#[test]
fn with_a_schema_for_each_tenant() {
    run("SCHEMA");
}

#[test]
fn with_a_database_for_each_tenant() {
    run("DATABASE");
}
