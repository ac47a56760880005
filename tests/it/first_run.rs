//! The program itself, as a new user runs it: started, stopped, killed, started again.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};

use crate::support::server::{START_LIMIT, Server, folder, program, quiet};

fn output(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    quiet(&mut program(), data_dir).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn postmaster(data_dir: &Path) -> Pid {
    let pid = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    Pid::from_raw(pid.lines().next().unwrap().trim().parse().unwrap())
}

fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_new_user_starts_signs_in_books_and_stops() {
    let folder = folder();
    let data_dir = folder.path().join(".tenantry");
    let mut server = Server::start(&data_dir);
    for expected in ["/graphiql", "admin@acme.test", "user@globex.test", "demo-demo-demo"] {
        assert!(server.banner.contains(expected), "{}", server.banner);
    }
    let token = server.sign_in("user@acme.test");
    let booking = server.book(&token);
    assert!(server.has(&token, &booking));
    assert!(!server.has(&server.sign_in("admin@globex.test"), &booking));
    assert!(server.get("/healthz").contains("200 OK") && server.get("/readyz").contains("200 OK"));
    let page = server.get("/graphiql");
    assert!(page.contains("content-security-policy: default-src 'none'") && page.contains("data-page="), "{page}");
    assert!(server.get("/.well-known/jwks.json").contains("\"crv\":\"Ed25519\""));

    // Only the owner can read secrets.
    let key = data_dir.join("jwt-signing-key.pem").metadata().unwrap().permissions().mode();
    assert_eq!(key & 0o777, 0o600);

    // psql's address, while it runs.
    let url = text(&output(&data_dir, &["database-url"], &[]).stdout);
    assert!(url.contains("tenantry_app") && !url.contains("tenantry_owner"), "{url}");
    let owner = text(&output(&data_dir, &["database-url", "--owner"], &[]).stdout);
    assert!(owner.contains("tenantry_owner"), "{owner}");

    // Ctrl-C ends both, cleanly.
    let postgres = postmaster(&data_dir);
    server.signal(Signal::SIGINT);
    assert_eq!(server.exit_code(), Some(0));
    assert!(!is_alive(postgres) && !data_dir.join("postgres/postmaster.pid").exists());

    // The next start has the same data and the same key: the token is still valid.
    let server = Server::start(&data_dir);
    assert!(server.has(&token, &booking));
}

#[test]
#[cfg(target_os = "linux")]
fn what_only_the_start_needed_is_given_back() {
    let folder = folder();
    drop(Server::start(folder.path()));
    // After the first start's work, the second one has only pages of the program to return.
    let server = Server::start(folder.path());
    let process = procfs::process::Process::new(server.child.id().cast_signed()).unwrap();
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let status = process.status().unwrap();
        let (most, now) = (status.vmhwm.unwrap(), status.vmrss.unwrap());
        if now < most / 10 * 9 {
            return;
        }
        assert!(Instant::now() < deadline, "{now} of {most} KiB");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_after_requests_ends_it_without_a_panic() {
    let folder = folder();
    let mut server = Server::start(folder.path());
    for _ in 0..3 {
        server.run("{ plans { key } }", None);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit_code(), Some(0));
        server = Server::start(folder.path());
    }
}

#[test]
fn a_second_instance_on_the_same_folder_is_refused() {
    let folder = folder();
    let server = Server::start(folder.path());
    let second = output(folder.path(), &[], &[]);
    let message = text(&second.stderr);
    assert!(!second.status.success());
    assert!(message.contains("in use by process") && message.contains(&server.child.id().to_string()), "{message}");
    // The first continues.
    assert!(server.get("/readyz").contains("200 OK"));
}

/// SIGKILL of the program, of PostgreSQL, or of both: acknowledged data exists at the next start.
#[test]
fn kills_lose_no_acknowledged_booking() {
    let folder = folder();
    let data_dir = folder.path();
    let mut server = Server::start(data_dir);
    let token = server.sign_in("user@acme.test");
    let mut acknowledged = vec![server.book(&token)];
    for (kills_program, kills_postgres) in [(true, false), (false, true), (true, true)] {
        acknowledged.push(server.book(&token));
        let postgres = postmaster(data_dir);
        if kills_program {
            server.signal(Signal::SIGKILL);
        }
        if kills_postgres {
            let _ = kill(postgres, Signal::SIGKILL);
        }
        let code = server.exit_code();
        if !kills_program {
            assert_eq!(code, Some(1)); // Without its database it exits with a message.
        }
        server = Server::start(data_dir);
        assert!(!is_alive(postgres));
        for booking in &acknowledged {
            assert!(server.has(&token, booking), "{booking} after {kills_program} {kills_postgres}");
        }
    }
}

/// Killed at any point of the first start: the next start completes it.
#[test]
fn an_interrupted_first_start_is_completed_by_the_next() {
    for millis in [50, 250, 500, 700, 900, 1100] {
        let folder = folder();
        let mut child =
            quiet(&mut program(), folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Server::start(folder.path());
        let token = server.sign_in("user@globex.test");
        let answer = server.run(
            "{ services { nodes { id } } bookings { nodes { id } } viewer { bookings { nodes { id } } } }",
            Some(&token),
        );
        assert_eq!(
            answer["data"]["services"]["nodes"].as_array().map(Vec::len),
            Some(3),
            "after {millis} ms: {answer}"
        );
        assert_eq!(
            answer["data"]["bookings"]["nodes"].as_array().map(Vec::len),
            Some(6),
            "after {millis} ms: {answer}"
        );
    }
}

#[test]
fn an_ordinary_user_runs_it_as_oneself() {
    if !geteuid().is_root() {
        return; // Then every other test here covers it.
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let folder = folder();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
    let copy: PathBuf = folder.path().join("tenantry");
    fs::copy(env!("CARGO_BIN_EXE_tenantry"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", &format!("--regid={}", nobody.gid), "--clear-groups"]).arg(&copy);
    let data_dir = home.join(".tenantry");
    let server = Server::start_as(command, &data_dir);
    let token = server.sign_in("user@acme.test");
    assert!(server.has(&token, &server.book(&token)));
    let status = fs::read_to_string(format!("/proc/{}/status", postmaster(&data_dir))).unwrap();
    assert!(status.contains(&format!("Uid:\t{}", nobody.uid)), "{status}");
}

#[test]
fn root_does_not_run_postgres_as_root() {
    let folder = folder();
    let _server = Server::start(folder.path());
    let status = fs::read_to_string(format!("/proc/{}/status", postmaster(folder.path()))).unwrap();
    assert!(!status.contains("Uid:\t0"), "{status}");
}

#[test]
fn missing_programs_and_wrong_settings_are_told_in_one_message() {
    let folder = folder();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let missing = output(folder.path(), &[], &[("TENANTRY_PG_BIN", empty.to_str().unwrap())]);
    let message = text(&missing.stderr);
    assert!(
        !missing.status.success() && message.contains("apt-get install postgresql") && message.contains("DATABASE_URL"),
        "{message}"
    );

    let wrong =
        output(folder.path(), &[], &[("PORT", "eighty"), ("TENANTRY_ENV", "staging"), ("DATABASE_POOL_SIZE", "0")]);
    let message = text(&wrong.stderr);
    assert!(
        !wrong.status.success() && ["PORT", "TENANTRY_ENV", "DATABASE_POOL_SIZE"].iter().all(|it| message.contains(it)),
        "{message}"
    );
}

#[test]
fn every_variable_is_in_the_help_and_a_dotenv_file_is_read() {
    let folder = folder();
    let help = text(&output(folder.path(), &["--help"], &[]).stdout);
    for variable in [
        "HOST",
        "PORT",
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "TENANTRY_DATA_DIR",
        "TENANTRY_ENV",
        "JWT_PRIVATE_KEY",
        "JWT_ISSUER",
        "SMTP_URL",
        "STRIPE_SECRET_KEY",
    ] {
        assert!(help.contains(&format!("[env: {variable}]")), "{variable} is not in: {help}");
    }
    fs::write(folder.path().join(".env"), "PORT=from-a-file\n").unwrap();
    let read = quiet(&mut program(), folder.path()).env_remove("PORT").current_dir(folder.path()).output().unwrap();
    assert!(text(&read.stderr).contains("from-a-file"), "{}", text(&read.stderr));
}

#[test]
fn production_refuses_what_is_not_safe() {
    let folder = folder();
    let production = output(folder.path(), &[], &[("TENANTRY_ENV", "production")]);
    let message = text(&production.stderr);
    assert!(
        !production.status.success()
            && message.contains("DATABASE_URL is missing")
            && message.contains("JWT_PRIVATE_KEY is missing"),
        "{message}"
    );

    // On a database with demo data, as the right role.
    let server = Server::start(folder.path());
    let url = text(&output(folder.path(), &["database-url"], &[]).stdout).trim().to_owned();
    let key = fs::read_to_string(folder.path().join("jwt-signing-key.pem")).unwrap();
    let environment =
        [("TENANTRY_ENV", "production"), ("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY", key.as_str())];
    let demo = output(folder.path(), &[], &environment);
    assert!(!demo.status.success() && text(&demo.stderr).contains("demo users"), "{}", text(&demo.stderr));
    let seed = output(folder.path(), &["seed"], &environment);
    assert!(!seed.status.success() && text(&seed.stderr).contains("refused in production"), "{}", text(&seed.stderr));

    // As the owner of the tables, or as a role that bypasses the policies.
    for (role, reason) in
        [("tenantry_owner", "owns the table"), ("tenantry_platform", "BYPASSRLS"), ("postgres", "superuser")]
    {
        let url = url.replace("tenantry_app", role);
        let refused = output(folder.path(), &[], &[("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY", key.as_str())]);
        let message = text(&refused.stderr);
        assert!(
            !refused.status.success()
                && message.contains("row-level security would not protect")
                && message.contains(reason),
            "{role}: {message}"
        );
    }
    drop(server);
}

#[test]
fn migrate_and_seed_can_run_beside_the_server_and_again() {
    let folder = folder();
    let server = Server::start(folder.path());
    for _ in 0..2 {
        let migrated = output(folder.path(), &["migrate"], &[]);
        assert!(text(&migrated.stdout).contains("0 migrations applied"), "{}", text(&migrated.stderr));
        let seeded = output(folder.path(), &["seed"], &[]);
        assert!(seeded.status.success(), "{}", text(&seeded.stderr));
    }
    let token = server.sign_in("admin@acme.test");
    let answer =
        server.run("{ users { nodes { id } } services { nodes { id } } bookings { nodes { id } } }", Some(&token));
    let counts = ["users", "services", "bookings"].map(|it| answer["data"][it]["nodes"].as_array().unwrap().len());
    assert_eq!(counts, [3, 3, 9]);
}

/// The README's own commands: the block that signs in and books, run by a shell unchanged.
#[test]
fn the_readme_signs_in_and_books_word_for_word() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = readme
        .split("```sh\n")
        .skip(1)
        .map(|it| it.split("```").next().unwrap())
        .find(|it| it.contains("createBooking"));
    let block = block.expect("a block that books").to_owned();
    assert!(block.contains("127.0.0.1:8080"));
    let folder = folder();
    let server = Server::start(folder.path());
    let script = block.replace("127.0.0.1:8080", &server.address);
    let output = Command::new("sh").args(["-eu", "-c", &script]).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("CONFIRMED") && !said.contains("\"errors\""), "{said}");
}

/// A rotated key signs at once; tokens of the previous one stay valid, and both are published.
#[test]
fn keys_are_rotated_without_signing_anybody_out() {
    let folder = folder();
    let data_dir = folder.path().join(".tenantry");
    let server = Server::start(&data_dir);
    let token = server.sign_in("user@acme.test");
    drop(server);
    let rotated = output(&data_dir, &["keys", "rotate"], &[]);
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let server = Server::start(&data_dir);
    assert_eq!(server.get("/.well-known/jwks.json").matches("\"kid\"").count(), 2);
    let viewer = "{ viewer { email } }";
    assert_eq!(server.run(viewer, Some(&token))["data"]["viewer"]["email"], "user@acme.test");
    let new = server.sign_in("user@acme.test");
    assert_ne!(kid(&new), kid(&token));
    assert_eq!(server.run(viewer, Some(&new))["data"]["viewer"]["email"], "user@acme.test");
    drop(server);
    // After another rotation, the first is no longer valid.
    assert!(output(&data_dir, &["keys", "rotate"], &[]).status.success());
    let server = Server::start(&data_dir);
    assert!(server.run(viewer, Some(&token))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED");
    assert_eq!(server.run(viewer, Some(&new))["data"]["viewer"]["email"], "user@acme.test");
    for file in ["jwt-signing-key.pem", "jwt-signing-key.retired.pem"] {
        assert_eq!(data_dir.join(file).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

fn kid(token: &str) -> &str {
    token.split('.').next().unwrap()
}

/// The operator's commands, beside a running server: adds an operator, who signs in and sees failed mail.
#[test]
fn an_operator_is_added_from_the_command_line() {
    let folder = folder();
    let data_dir = folder.path().join(".tenantry");
    let server = Server::start(&data_dir);
    let create = |password: &str| {
        let mut command = program();
        let mut child = quiet(&mut command, &data_dir)
            .args(["admin", "create", "--email", "Ops@Example.test", "--name", "Ops"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let weak = create("password\n");
    assert!(!weak.status.success() && text(&weak.stderr).contains("too easy to guess"), "{}", text(&weak.stderr));
    let made = create("an operators long secret\n");
    assert!(
        made.status.success() && text(&made.stdout).contains("is a platform administrator"),
        "{}",
        text(&made.stderr)
    );
    let again = create("an operators long secret\n");
    assert!(!again.status.success() && text(&again.stderr).contains("already a platform administrator"));
    for (email, password) in
        [("ops@example.test", "an operators long secret"), ("root@tenantry.test", "demo-demo-demo")]
    {
        let login = format!(
            "mutation {{ platformLogin(input: {{ email: \"{email}\", password: \"{password}\" }}) {{ session {{ accessToken }} }} }}"
        );
        let answer = server.run(&login, None);
        let token =
            answer["data"]["platformLogin"]["session"]["accessToken"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let tenants = server.run("{ platform { tenants { nodes { slug } } } }", Some(token));
        assert_eq!(tenants["data"]["platform"]["tenants"]["nodes"].as_array().unwrap().len(), 2, "{tenants}");
    }
    for (command, expected) in [("list", "0 failed"), ("retry", "0 will be retried")] {
        let listed = output(&data_dir, &["outbox", command], &[]);
        assert!(text(&listed.stdout).contains(expected), "{}{}", text(&listed.stdout), text(&listed.stderr));
    }
    // In development mail is written to a folder, and its links lead to a page of the server.
    assert!(server.banner.contains("Mail       into"), "{}", server.banner);
    let forgot = "mutation { requestPasswordReset(input: { email: \"user@acme.test\" }) { userErrors { code } } }";
    server.run(forgot, None);
    let begin = Instant::now();
    let mail = loop {
        // In addition to those of the demo bookings.
        let files = fs::read_dir(data_dir.join("mail")).into_iter().flatten().flatten().map(|it| it.path());
        let mut mails = files
            .filter(|it| it.extension().is_some_and(|it| it == "eml"))
            .map(|it| crate::support::Mail::parse(&fs::read(it).unwrap()));
        if let Some(mail) = mails.find(|it| it.subject.starts_with("Reset your password")) {
            break mail;
        }
        assert!(begin.elapsed() < START_LIMIT);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(mail.text.contains(&format!("http://{}/account#reset-password=tnl_", server.address)), "{}", mail.text);
    let page = server.get("/account");
    assert!(page.contains("200 OK") && page.contains("content-security-policy: default-src 'none'"), "{page}");
    let reset = format!(
        "mutation {{ resetPassword(input: {{ token: \"{}\", newPassword: \"nine quiet lamps\" }}) {{ reset userErrors {{ code }} }} }}",
        mail.token()
    );
    assert_eq!(server.run(&reset, None)["data"]["resetPassword"]["reset"], true);
}

/// On a port of their own, metrics are not on the API's.
#[test]
fn metrics_have_a_port_of_their_own() {
    let folder = folder();
    let mut server = Server::start_with(program(), &folder.path().join(".tenantry"), &[("METRICS_PORT", "0")]);
    server.run("{ plans { key } }", None);
    assert!(server.get("/metrics").contains("404 Not Found"));
    let api = std::mem::take(&mut server.address);
    server.address = server.banner.split("Metrics    http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("tenantry_requests_total{operation=\"query\",field=\"plans\",code=\"OK\"} 1"),
        "{metrics}"
    );
    assert!(server.get("/graphql").contains("404 Not Found") && !api.is_empty());
}
