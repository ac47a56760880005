//! Feeds invalid input to every parser of outside bytes. The program runs as a child process, so a stack overflow or an
//! abort is detected. On the release profile, since the debug build's parsers refuse at other limits: `just
//! fuzz-parsers`, or `cargo test --release --test fuzz`. `FUZZ_CASES` sets how many inputs a parser gets (default 60).
//!
//! `docs/decisions/0035` lists the parsers and their bounds.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected shall stop there")]

#[path = "../it/support/server.rs"]
#[allow(dead_code, reason = "shared with the other tests, each of which uses a part")]
mod server;

use std::{
    net::TcpStream,
    path::Path,
    process::Stdio,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::json;
use tempfile::TempDir;
use tungstenite::{Message, client::IntoClientRequest};

use server::{Server, folder, program, quiet};

const WEBHOOK_SECRET: &str = "whsec_fuzz";

/// The program, and an administrator's access token.
struct Target {
    server: Server,
    admin: String,
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(folder);
static TARGET: LazyLock<Mutex<Target>> = LazyLock::new(|| Mutex::new(start()));

fn data_dir() -> std::path::PathBuf {
    FOLDER.path().join("data")
}

fn start() -> Target {
    let much = "4000000000";
    let environment = [
        ("STRIPE_SECRET_KEY", "sk_test_fuzz"),
        ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("RATE_USER", much),
        ("RATE_TENANT", much),
        ("RATE_ADDRESS", much),
    ];
    let server = Server::start_with(program(), &data_dir(), &environment);
    let url = quiet(&mut program(), &data_dir()).args(["database-url", "--owner"]).output().unwrap();
    // No request may be refused for its cost: the plans get no cost limit per minute.
    let sql = "alter table directory.plan_versions no force row level security;
        update directory.plan_versions set terms = terms #- '{limits,api_cost}';
        alter table directory.plan_versions force row level security";
    let url = String::from_utf8(url.stdout).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url.trim(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    });
    let admin = server.sign_in("admin@acme.test");
    end_with_this_process(server.child.id());
    Target { server, admin }
}

/// Statics are not dropped at the end of a program: a watcher ends the server, and removes its folder, once this process
/// has gone.
fn end_with_this_process(server: u32) {
    let watch = "while kill -0 \"$1\" 2>/dev/null; do sleep 0.2; done
        kill -TERM \"$2\" 2>/dev/null
        while kill -0 \"$2\" 2>/dev/null; do sleep 0.2; done
        rm -rf \"$3\"";
    let mut watcher = std::process::Command::new("sh");
    watcher.args(["-c", watch, "sh", &std::process::id().to_string(), &server.to_string()]).arg(FOLDER.path());
    watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
}

/// Sends inputs, and checks after each whether the program still serves. If it has ended it is started again, so that
/// the input is shrunk to the smallest one that ends it.
fn attack<T: std::fmt::Debug>(inputs: impl Strategy<Value = T>, send: impl Fn(&Target, &T) -> Result<(), String>) {
    let cases = std::env::var_os("FUZZ_CASES").and_then(|it| it.to_str()?.parse().ok()).unwrap_or(60);
    let config = Config { cases, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&inputs, |input| {
        let mut target = TARGET.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sent = send(&target, &input);
        let health = target.server.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let ended = target.server.child.try_wait().unwrap();
        if ended.is_some() || !health.is_ok_and(|it| it.starts_with("HTTP/1.1 200")) {
            *target = start();
            return Err(TestCaseError::fail(format!("the program ended: {ended:?}")));
        }
        sent.map_err(TestCaseError::fail)
    });
    if let Err(failure) = run {
        let text = failure.to_string();
        panic!("{}", text.chars().take(4_000).collect::<String>());
    }
}

/// An HTTP answer that is not a server fault. (`UNAVAILABLE` is not one: it means that there are too many requests at
/// once.)
fn answered(answer: std::io::Result<String>) -> Result<(), String> {
    let answer = answer.map_err(|error| format!("no answer: {error}"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let is_fault = status.starts_with('5') && status != "503" || answer.contains("\"INTERNAL\"");
    if is_fault || status.len() != 3 { Err(format!("{answer:.500}")) } else { Ok(()) }
}

fn post(target: &Target, path: &str, headers: &str, body: &[u8]) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(&target.server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // An input that is too long is answered before it was read completely.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Words of a language, each repeated until it could exhaust a stack.
fn words(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let times = prop_oneof![6 => 1..4_usize, 2 => 4..100_usize, 2 => 100..6_000_usize];
    let word = (proptest::sample::select(of), times).prop_map(|(word, times)| word.repeat(times));
    proptest::collection::vec(word, 1..14).prop_map(move |words| {
        let mut text = words.concat();
        let end = (0..=most.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
        text.truncate(end);
        text
    })
}

const GRAPHQL: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "{a:",
    "{a:[",
    "[{a:",
    "}]",
    "a(b:[",
    "@x(y:",
    "@x(y:[{z:",
    "... on Query{",
    "...{",
    "...F ",
    "fragment F on Query{",
    "query($a:[Int]=",
    "query($a:",
    "query Q",
    "mutation{login(input:{",
    "subscription{",
    "plans{key}",
    "__schema{types{",
    "a:",
    "$a",
    ":",
    "=",
    "!",
    "|",
    "&",
    "\"",
    "\"\"\"",
    "\\",
    "\\u",
    "\\u{",
    "#",
    "\n",
    "\r",
    "\u{2028}",
    ",",
    " ",
    "1",
    "-",
    "0",
    "1e9",
    ".5",
    "é",
    "\u{feff}",
    "\0",
    "null",
    "true",
    "type T{",
    "extend ",
    "on",
];

#[test]
fn documents() {
    attack(words(GRAPHQL, 60_000), |target, document| {
        answered(post(target, "/graphql", "", json!({ "query": document }).to_string().as_bytes()))?;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", document).finish();
        if query.len() < 30_000 {
            answered(
                target.server.send(&format!("GET /graphql?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")),
            )?;
        }
        Ok(())
    });
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "{\"a\":",
    "[{\"a\":",
    "\"query\":",
    "\"{plans{key}}\"",
    "\"variables\":",
    "\"extensions\":",
    "{\"query\":\"{plans{key}}\",\"variables\":",
    "{\"query\":\"{plans{key}}\",\"extensions\":",
    "\"persistedQuery\":",
    ",",
    ":",
    "\"",
    "\\",
    "\\ud800",
    "\\u0000",
    "1e999999",
    "-0",
    "1.",
    "null",
    "true",
    "\u{feff}",
    " ",
];

#[test]
fn bodies() {
    let bytes = prop_oneof![
        4 => words(JSON, 900_000).prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..5_000),
    ];
    attack(bytes, |target, body| answered(post(target, "/graphql", "", body)));
}

#[test]
fn variables_and_cursors() {
    attack(words(JSON, 100_000), |target, text| {
        let cursor = URL_SAFE_NO_PAD.encode(format!("[\"services.name\",{text}"));
        let query = "query($after: String, $id: ID!) { services(after: $after) { nodes { id } } node(id: $id) { id } }";
        let body = json!({ "query": query, "variables": { "after": cursor, "id": text } }).to_string();
        answered(post(target, "/graphql", &format!("Authorization: Bearer {}\r\n", target.admin), body.as_bytes()))
    });
}

#[test]
fn socket_messages() {
    let messages = proptest::collection::vec(prop_oneof![words(JSON, 60_000), words(GRAPHQL, 60_000)], 1..4);
    attack(messages, |target, messages| {
        let stream = TcpStream::connect(&target.server.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut request = format!("ws://{}/graphql", target.server.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (mut socket, _) = tungstenite::client(request, stream).map_err(|error| error.to_string())?;
        let _ = socket.send(Message::text(r#"{"type":"connection_init"}"#));
        let _ = socket.read();
        for message in messages {
            let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": message } }).to_string();
            let _ = socket.send(Message::text(subscribe));
            let _ = socket.send(Message::text(message.clone()));
        }
        let _ = socket.send(Message::text(r#"{"type":"ping"}"#));
        while socket.read().is_ok_and(|it| it.is_text()) {}
        Ok(())
    });
}

#[test]
fn signed_webhooks() {
    let hmac = |text: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        tag.as_ref().iter().map(|it| format!("{it:02x}")).collect::<String>()
    };
    attack(words(JSON, 900_000), |target, body| {
        let now = jiff::Timestamp::now().as_second();
        let signature = hmac(&format!("{now}.{body}"));
        answered(post(
            target,
            "/webhooks/stripe",
            &format!("Stripe-Signature: t={now},v1={signature}\r\n"),
            body.as_bytes(),
        ))
    });
}

const CALENDAR: &[&str] = &[
    "BEGIN:VCALENDAR\r\n",
    "END:VCALENDAR\r\n",
    "BEGIN:VEVENT\r\n",
    "END:VEVENT\r\n",
    "begin:X\n",
    "BEGIN:VALARM\r",
    "BEGIN:\r\n :X\r\n",
    "UID:1\r\n",
    "DTSTART;VALUE=DATE:20270101\r\n",
    "DTSTART:20270101T000000Z\r\n",
    "DTEND;VALUE=DATE:99991231\r\n",
    "DURATION:P99999999W\r\n",
    "RRULE:FREQ=DAILY\r\n",
    "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\n",
    "RRULE:FREQ=WEEKLY;INTERVAL=0;BYDAY=MO,TU,WE;UNTIL=20260101\r\n",
    "RRULE:FREQ=DAILY;COUNT=4294967295;BYMONTHDAY=-31\r\n",
    "RDATE;VALUE=DATE:20270102,20270103,",
    "EXDATE:x\r\n",
    "RECURRENCE-ID:20270101\r\n",
    "SUMMARY:é\\n\r\n",
    "X;A=\"",
    ":",
    ";",
    "=",
    "\"",
    ",",
    "\\",
    "\r\n ",
    "\n\t",
    "\u{feff}",
    "STATUS:CANCELLED\r\n",
    "TZID",
    "\u{0}",
];

#[test]
fn calendars() {
    let around = |text: String| format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{text}END:VCALENDAR\r\n");
    let files = (words(CALENDAR, 300_000), any::<bool>())
        .prop_map(move |(text, whole)| if whole { around(text) } else { text });
    attack(files, |target, file| {
        let query = "mutation($c: String!) { importHolidays(input: { calendar: $c }) { userErrors { code } } }";
        let body = json!({ "query": query, "variables": { "c": file } }).to_string();
        answered(post(target, "/graphql", &format!("Authorization: Bearer {}\r\n", target.admin), body.as_bytes()))
    });
}

#[test]
fn paths_and_headers() {
    // The bytes that HTTP allows in a header; hyper refuses all others.
    let text = "[ -~]{0,300}";
    attack((text, text, text, text), |target, (path, authorization, cookie, forwarded)| {
        let path: String = path.bytes().map(|it| format!("%{it:02X}")).collect();
        for path in [
            format!("/calendars/{path}.ics"),
            format!("/invoices/{path}.pdf"),
            format!("/{path}"),
            format!("/graphql?variables={path}&query={path}"),
        ] {
            answered(target.server.send(&format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nCookie: {cookie}\r\nX-Forwarded-For: {forwarded}\r\nAccept: {cookie}\r\nTraceparent: {forwarded}\r\nIdempotency-Key: {forwarded}\r\nConnection: close\r\n\r\n"
            )))?;
        }
        Ok(())
    });
}

/// Tokens of the right form with arbitrary content: a JWT of nested JSON, a feed, an invoice.
#[test]
fn tokens() {
    attack((words(JSON, 20_000), words(JSON, 20_000)), |target, (header, claims)| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for token in [
            format!("{}.{}.{}", part(header), part(claims), part("x")),
            format!("{}.{}.{}", part(r#"{"alg":"EdDSA","typ":"JWT"}"#), part(claims), part(header)),
        ] {
            let body = json!({ "query": "{ viewer { id } }" }).to_string();
            let headers = format!("Authorization: Bearer {}\r\n", &token[..token.len().min(12_000)]);
            answered(post(target, "/graphql", &headers, body.as_bytes()))?;
        }
        Ok(())
    });
}

/// A damaged tenant archive: whatever happens, the command ends by itself with a message.
#[test]
fn archives() {
    let archive = FOLDER.path().join("acme.tar");
    let run = |arguments: &[&str]| quiet(&mut program(), &data_dir()).args(arguments).output().unwrap();
    {
        let _target = TARGET.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let exported = run(&["tenant", "export", "acme", archive.to_str().unwrap()]);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    }
    let whole = std::fs::read(&archive).unwrap();
    let length = whole.len();
    let damage = proptest::collection::vec((0..length, words(JSON, 2_000)), 1..6);
    let cases = std::env::var_os("FUZZ_CASES").and_then(|it| it.to_str()?.parse::<u32>().ok()).unwrap_or(60) / 6;
    let config = Config { cases: cases.max(1), max_shrink_iters: 10, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&(damage, any::<bool>()), |(damage, cut)| {
        let mut bytes = whole.clone();
        for (at, text) in &damage {
            let end = (at + text.len()).min(length);
            bytes[*at..end].copy_from_slice(&text.as_bytes()[..end - at]);
        }
        if cut {
            bytes.truncate(damage[0].0);
        }
        let file = FOLDER.path().join("damaged.tar");
        std::fs::write(&file, bytes).unwrap();
        let imported = run(&["tenant", "import", Path::to_str(&file).unwrap(), "--slug", "damaged", "--new-ids"]);
        let told = String::from_utf8_lossy(&imported.stderr).into_owned();
        if imported.status.code().is_none() || told.contains("panicked") {
            return Err(TestCaseError::fail(format!("{:?}: {told}", imported.status)));
        }
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure:.2000}");
    }
}
