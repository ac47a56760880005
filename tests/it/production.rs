//! The program as it runs in production: its log, its traces, its shutdown.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
    time::Instant,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Options, PASSWORD, SIGNING_KEY, TestApp, TestDatabase,
    server::{START_LIMIT, Server, folder},
};

/// A path, and what was posted to it.
type Posted = (String, Vec<u8>);

/// A collector of traces: keeps the posted spans.
fn collector() -> (String, Arc<Mutex<Vec<Posted>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = kept.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let keeps = keeps.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let (mut path, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        if path.is_empty() {
                            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                        }
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    keeps.lock().unwrap().push((path, body));
                    let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    (url, kept)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|it| it == needle)
}

/// One JSON line per request, with its id, tenant, operation and trace and without personal data; its spans at the
/// collector; and on SIGTERM first no readiness, then no server.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_be_followed_and_a_stop_is_announced() {
    let database = Arc::new(TestDatabase::create().await);
    let app = TestApp::on(database.clone(), Options::default()).await;
    let initech = app.tenant("initech").await;
    let url = database.url("tenantry_app").await;
    let (collector, kept) = collector();
    let folder = folder();
    let log = folder.path().join("log");
    let environment = [
        ("TENANTRY_ENV", "production"),
        ("DATABASE_URL", url.as_str()),
        ("JWT_PRIVATE_KEY", SIGNING_KEY),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("ACCOUNT_URL", "https://app.example.com/account"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
        ("STOP_DELAY", "3"),
    ];
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" 2>\"$1\"", env!("CARGO_BIN_EXE_tenantry")]).arg(&log);
    let mut server = Server::start_with(command, &folder.path().join("data"), &environment);

    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let token = initech.user.token.as_deref().unwrap();
    let query = json!({
        "query": "query SecretlyNamed($id: ID!) { node(id: $id) { id } viewer { email } }",
        "variables": { "id": initech.user.id.to_string() },
    })
    .to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nTraceparent: 00-{trace}-{parent}-01\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{query}",
        query.len()
    );
    let answer = server.send(&request).unwrap();
    assert!(answer.contains("user@initech.test"), "{answer}");
    let request_id = answer.split("x-request-id: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
    let login = format!(
        "mutation {{ login(input: {{ email: \"{}\", password: \"{PASSWORD}\" }}) {{ session {{ refreshToken }} }} }}",
        initech.user.email
    );
    server.run(&login, None);
    assert!(server.get("/metrics").contains("404"), "metrics are not for everybody");
    assert!(!server.run("{ __schema { types { name } } }", None).to_string().contains("BookingConnection"));

    server.signal(Signal::SIGTERM);
    let begin = Instant::now();
    while !server.get("/readyz").starts_with("HTTP/1.1 503") {
        assert!(begin.elapsed() < START_LIMIT);
    }
    let still = server.run("{ viewer { name } }", Some(token));
    assert_eq!(still["data"]["viewer"]["name"], "user of initech", "requests that come meanwhile are served: {still}");
    assert_eq!(server.exit_code(), Some(0));

    let log = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
    let line = lines
        .iter()
        .find(|it| it["span"]["request.id"] == request_id && it["message"] == "answered")
        .unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&line["code"], &line["kind"]), (&json!("OK"), &json!("query")));
    assert_eq!(line["span"]["tenant.id"], initech.id.to_string());
    assert_eq!(line["span"]["operation"], "SecretlyNamed");
    assert_eq!(line["span"]["trace.id"], trace);
    assert!(line["duration_ms"].as_f64().is_some_and(|it| it > 0.0));
    for secret in [token, PASSWORD, "initech.test", "Bearer", &initech.user.id.to_string()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    // The remaining spans were sent at the end.
    let kept = kept.lock().unwrap();
    assert!(kept.iter().all(|(path, _)| path == "/v1/traces"), "{kept:?}");
    let bytes: Vec<u8> = kept.iter().flat_map(|(_, body)| body.clone()).collect();
    let binary = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect::<Vec<u8>>()
    };
    assert!(contains(&bytes, &binary(trace)), "the trace that the request named");
    assert!(contains(&bytes, &binary(parent)), "below the span that it named");
    assert!(contains(&bytes, b"users.by_ids") && contains(&bytes, request_id.as_bytes()));
    for secret in [token, PASSWORD, "initech.test"] {
        assert!(!contains(&bytes, secret.as_bytes()), "{secret} is in the traces");
    }
}
