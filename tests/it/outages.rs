//! The database slow, silent or gone: the answers to clients meanwhile, and that nothing is lost.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::support::{Options, PASSWORD, TestApp, TestDatabase, code, server};

/// Waits for another's lock, and makes the server cancel the waiting statement.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_stopped_at_the_server_too() {
    let cases = [
        // The request's deadline comes before the statement's.
        Options { deadline: Duration::from_millis(400), ..Options::default() },
        // The statement's before the request's.
        Options { statement: Duration::from_millis(400), ..Options::default() },
    ];
    for options in cases {
        let app = TestApp::start_with(options).await;
        let acme = app.tenant("acme").await;
        let lock = app.database.connect("postgres").await;
        lock.batch_execute("begin; select * from shared.users for update").await.unwrap();
        let rename = "mutation($id: ID!) { updateUser(input: { id: $id, name: \"Never\" }) { user { name } } }";
        let answer = acme.user.run_with(rename, json!({ "id": acme.user.id.to_string() })).await;
        assert_eq!(code(&answer), "TIMEOUT", "{answer}");
        let running = "select count(*) from pg_stat_activity where query like '%users.update_name%' and state = 'active' and pid <> pg_backend_pid()";
        let begin = Instant::now();
        while app.truth(running).await != ["0"] {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody cancelled it");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lock.batch_execute("rollback").await.unwrap();
        let named = acme.user.run("{ viewer { name } }").await;
        assert_eq!(named["data"]["viewer"]["name"], "user of acme", "{named}");
    }
}

/// Ready until it is about to stop, and not while the database is gone or behind.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_what_is_missing() {
    let ready = async |app: &TestApp| {
        let (response, body) = app.send(Request::get("/readyz").body(Body::empty()).unwrap()).await;
        (response.status().as_u16(), String::from_utf8(body).unwrap())
    };
    let app = TestApp::start().await;
    assert_eq!(ready(&app).await, (200, "ready\n".into()));
    app.readiness.leave();
    assert_eq!(ready(&app).await, (503, "the server is about to stop\n".into()));
    let (live, _) = app.send(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!(live.status(), 200, "it lives");
    let acme = app.tenant("acme").await;
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "", "and serves");

    for (broken, by) in [
        (
            "behind",
            "delete from shared.refinery_schema_history where version = (select max(version) from shared.refinery_schema_history)",
        ),
        ("unprotected", "alter table shared.bookings no force row level security"),
        // The sessions of the pool go on, and no new one can be had.
        (
            "closed to new sessions",
            "do $$ begin execute format('alter database %I connection limit 0', current_database()); end $$",
        ),
    ] {
        let app = TestApp::start().await;
        app.by_hand(by).await;
        let (status, why) = ready(&app).await;
        assert_eq!(status, 503, "{broken}: {why}");
        assert!(!why.contains("bookings") && !why.contains("migrat"), "no detail: {why}");
    }
}

/// The processes of the private PostgreSQL in this folder.
fn postgres_of(data_dir: &Path) -> Vec<Pid> {
    let find = |folder: &Path| -> Option<std::path::PathBuf> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name() == "postmaster.pid" {
                    return Some(entry.path());
                }
                if entry.path().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        None
    };
    let file = find(data_dir).expect("a postmaster.pid");
    let postmaster: i32 = std::fs::read_to_string(file).unwrap().lines().next().unwrap().trim().parse().unwrap();
    let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|it| {
        let pid: i32 = it.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(it.path().join("stat")).ok()?;
        let parent: i32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        (parent == postmaster).then(|| Pid::from_raw(pid))
    });
    let mut all: Vec<Pid> = children.collect();
    all.insert(0, Pid::from_raw(postmaster));
    all
}

/// PostgreSQL stands still for 30 seconds under load: every caller gets an answer within the deadline, no queue grows
/// without bound, and service resumes with the database.
#[test]
fn a_database_that_stands_still_is_said_and_survived() {
    let folder = server::folder();
    let server = Arc::new(server::Server::start(folder.path()));
    let token = server.sign_in("user@acme.test");
    let stopped = postgres_of(folder.path());
    for pid in &stopped {
        kill(*pid, Signal::SIGSTOP).unwrap();
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let (server, token, is_over) = (server.clone(), token.clone(), is_over.clone());
            std::thread::spawn(move || {
                let mut codes = BTreeMap::<String, usize>::new();
                while !is_over.load(Ordering::Relaxed) {
                    // The read gives up after 30 s, like an answer that does not arrive.
                    let answer = server.run("{ services { nodes { name } } }", Some(&token));
                    *codes.entry(code(&answer).to_owned()).or_default() += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                codes
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(30));
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"), "the process lives");
    assert!(server.get("/readyz").starts_with("HTTP/1.1 503"), "and says that it is not ready");
    for pid in &stopped {
        let _ = kill(*pid, Signal::SIGCONT);
    }
    let begin = Instant::now();
    while !code(&server.run("{ services { nodes { name } } }", Some(&token))).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not recover");
    }
    is_over.store(true, Ordering::Relaxed);
    let mut codes = BTreeMap::<String, usize>::new();
    for client in clients {
        for (code, count) in client.join().unwrap() {
            *codes.entry(code).or_default() += count;
        }
    }
    assert!(codes.keys().all(|it| it.is_empty() || it == "UNAVAILABLE"), "{codes:?}");
    assert!(codes["UNAVAILABLE"] >= 12, "{codes:?}");
    assert!(server.get("/metrics").contains("tenantry_pool_waiting{pool=\"store\"} 0"), "nobody waits any more");
}

/// Every connection is cut, again and again, while bookings are made: acknowledged bookings exist, and service resumes
/// by itself.
#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_connections_are_cut() {
    let database = Arc::new(TestDatabase::create().await);
    let app = TestApp::on(database.clone(), Options::default()).await;
    let acme = app.tenant("acme").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 100, "durationMinutes": 5 })).await;
    let url = database.url("tenantry_app").await;
    let folder = server::folder();
    let server = Arc::new(server::Server::start_with(
        server::program(),
        folder.path(),
        &[("DATABASE_URL", url.as_str()), ("RATE_USER", "1000000000"), ("RATE_TENANT", "1000000000")],
    ));
    let login = format!(
        "mutation {{ login(input: {{ email: \"{}\", password: \"{PASSWORD}\" }}) {{ session {{ accessToken }} }} }}",
        acme.user.email
    );
    let token = server.run(&login, None)["data"]["login"]["session"]["accessToken"].as_str().unwrap().to_owned();
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (server, token, is_over, class) = (server.clone(), token.clone(), is_over.clone(), class.clone());
            std::thread::spawn(move || {
                let (mut booked, mut codes) = (Vec::new(), BTreeMap::<String, usize>::new());
                for at in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let minutes = 24 * 60 + (at * 4 + writer) * 10;
                    let starts_at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
                    let answer = server.run(
                        &format!("mutation {{ createBooking(input: {{ serviceId: \"{class}\", startsAt: \"{starts_at}\" }}) {{ booking {{ id }} userErrors {{ code }} }} }}"),
                        Some(&token),
                    );
                    *codes.entry(code(&answer).to_owned()).or_default() += 1;
                    if let Some(id) = answer["data"]["createBooking"]["booking"]["id"].as_str() {
                        booked.push(id.to_owned());
                    }
                }
                (booked, codes)
            })
        })
        .collect();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        app.by_hand(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'tenantry%'",
        )
        .await;
    }
    let begin = Instant::now();
    while !code(&server.run("{ services { nodes { id } } }", Some(&token))).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not recover");
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut codes) = (Vec::new(), BTreeMap::<String, usize>::new());
    for writer in writers {
        let (booked, of_writer) = tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
        acknowledged.extend(booked);
        of_writer.into_iter().for_each(|(code, count)| *codes.entry(code).or_default() += count);
    }
    let there: std::collections::HashSet<String> =
        app.truth("select id::text from shared.bookings").await.into_iter().collect();
    for id in &acknowledged {
        let id: tenantry::base::ids::BookingId = id.parse().unwrap();
        assert!(there.contains(&id.0.to_string()), "{id} was acknowledged, and is not there");
    }
    assert!(!acknowledged.is_empty(), "{codes:?}");
    assert!(codes.keys().all(|it| ["", "UNAVAILABLE", "QUOTA_EXCEEDED"].contains(&it.as_str())), "{codes:?}");
}
