//! Subscriptions over graphql-transport-ws: who receives which events, how they end, and what a socket may not do.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tenantry::{
    core::identity::Role,
    db::Isolation,
    features::auth::{TokenSettings, Tokens},
    http::{self, Patience, Proxies, SocketSettings},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::support::{Options, Person, SIGNING_KEY, TestApp, code};

/// The app behind its own socket, until it is stopped.
async fn served(app: &TestApp) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, tasks, stopping) = (app.router.clone(), app.sockets.tasks.clone(), app.stop.subscribe());
    tokio::spawn(http::serve(listener, router, Patience::default(), Proxies::default(), tasks, stopping));
    address
}

/// A client that writes raw protocol messages.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The next message.
#[derive(Debug, PartialEq)]
enum Came {
    Message(Value),
    Closed(u16, String),
    Gone,
}

impl Came {
    fn code(&self) -> u16 {
        match self {
            Self::Closed(code, _) => *code,
            other => panic!("not closed: {other:?}"),
        }
    }

    fn kind(&self) -> &str {
        match self {
            Self::Message(message) => message["type"].as_str().unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    fn value(&self) -> &Value {
        match self {
            Self::Message(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.unwrap()
    }

    async fn connect_with(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Ok(Self(connect_async(request).await?.0))
    }

    /// Connected and acknowledged as this person.
    async fn of(address: SocketAddr, person: &Person) -> Self {
        let mut client = Self::connect(address).await;
        client.init(person.token.as_deref().unwrap()).await;
        assert_eq!(client.next().await.kind(), "connection_ack");
        client
    }

    async fn init(&mut self, token: &str) {
        self.say(json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } })).await;
    }

    async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    async fn send(&mut self, message: Message) {
        // A close by the server is seen by `next`.
        let _ = self.0.send(message).await;
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    async fn next(&mut self) -> Came {
        let next = async {
            loop {
                return match self.0.next().await {
                    Some(Ok(Message::Text(text))) => Came::Message(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(frame)))) => Came::Closed(frame.code.into(), frame.reason.to_string()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => Came::Gone,
                };
            }
        };
        tokio::time::timeout(Duration::from_secs(60), next).await.expect("something")
    }

    /// Waits long enough that an event would have arrived, and expects none.
    async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(300), self.0.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Waits until the server watches: the answer to a query that was sent after the subscriptions.
    async fn is_subscribed(&mut self) {
        for _ in 0..2 {
            self.subscribe("probe", "{ viewer { bookings(first: 1) { nodes { id } } } }").await;
            assert_eq!(self.next().await.kind(), "next");
            assert_eq!(self.next().await.kind(), "complete");
        }
        // An operation's own task begins at once, but not before its message was read.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

const BOOKINGS: &str =
    "subscription { bookingChanged { kind booking { id status customer { name } service { name } } } }";

/// Every subscriber gets the events that they may read, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_for_those_who_may_read_them() {
    for app in crate::isolation::with_and_without_policies().await {
        Box::pin(everybody_hears_his_own(&app)).await;
    }
}

async fn everybody_hears_his_own(app: &TestApp) {
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let address = served(app).await;
    let mut staff = Client::of(address, &acme.staff).await;
    let mut user = Client::of(address, &acme.user).await;
    let mut other = Client::of(address, &acme.other).await;
    let mut foreign = Client::of(address, &globex.admin).await;
    for client in [&mut staff, &mut user, &mut other, &mut foreign] {
        client.subscribe("b", BOOKINGS).await;
        client.is_subscribed().await;
    }
    // A subscription that names another's id gets nothing either.
    for (name, id) in [("customerId", acme.user.id.to_string()), ("serviceId", acme.service.clone())] {
        foreign.subscribe(name, &format!("subscription {{ bookingChanged({name}: \"{id}\") {{ kind }} }}")).await;
        foreign.is_subscribed().await;
    }

    let id = acme.booking(3).await;
    for client in [&mut staff, &mut user] {
        let came = client.next().await;
        let change = &came.value()["payload"]["data"]["bookingChanged"];
        assert_eq!((change["kind"].as_str(), &change["booking"]["id"]), (Some("CREATED"), &json!(id)), "{came:?}");
        assert_eq!(change["booking"]["customer"]["name"], "user of acme");
        assert_eq!(change["booking"]["service"]["name"], "Haircut");
    }
    assert_eq!(code(&acme.staff.set_status(json!({ "id": id, "status": "CANCELLED" })).await), "");
    for client in [&mut staff, &mut user] {
        let came = client.next().await;
        let change = &came.value()["payload"]["data"]["bookingChanged"];
        assert_eq!(
            (change["kind"].as_str(), change["booking"]["status"].as_str()),
            (Some("UPDATED"), Some("CANCELLED"))
        );
    }
    // An undone change is not announced: the second field of the document is refused, and the first one's savepoint
    // stays.
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(-3)).await), "TOO_SOON");
    for client in [&mut staff, &mut user, &mut other, &mut foreign] {
        client.hears_nothing().await;
    }
    // It was isolation, not silence.
    let own = acme.other.book(&acme.service, acme.in_days(5)).await;
    assert_eq!(code(&own), "");
    assert_eq!(other.next().await.value()["payload"]["data"]["bookingChanged"]["kind"], "CREATED");
    user.hears_nothing().await;
}

/// A filter narrows; a completed subscription gets no more; an id can be reused.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_narrowed_and_ended() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let massage = acme.admin.create_service(json!({ "name": "Massage" })).await;
    let mut staff = Client::of(address, &acme.staff).await;
    staff.subscribe("1", &format!("subscription {{ bookingChanged(serviceId: \"{massage}\") {{ kind }} }}")).await;
    staff.is_subscribed().await;
    acme.booking(3).await;
    staff.hears_nothing().await;
    assert_eq!(code(&acme.user.book(&massage, acme.in_days(4)).await), "");
    assert_eq!(staff.next().await.value()["id"], "1");
    staff.say(json!({ "type": "complete", "id": "1" })).await;
    staff.is_subscribed().await;
    assert_eq!(code(&acme.user.book(&massage, acme.in_days(5)).await), "");
    staff.hears_nothing().await;
    staff.subscribe("1", "{ viewer { name } }").await;
    assert_eq!(staff.next().await.value()["payload"]["data"]["viewer"]["name"], "staff of acme");
    assert_eq!(staff.next().await.kind(), "complete");
    // A value that the field cannot parse is refused, and the socket stays open.
    for bad in [
        "subscription { bookingChanged(serviceId: \"nonsense\") { kind } }",
        "subscription { bookingChanged { kind } viewerChanged { id } }",
        "subscription { ...F } fragment F on Subscription { viewerChanged { id } }",
        "subscription { nonsense }",
        "subscription {",
        "mutation { logout { userErrors { code } } }",
    ] {
        staff.subscribe("bad", bad).await;
        let came = staff.next().await;
        assert_eq!(came.kind(), "error", "{bad}: {came:?}");
        let code = came.value()["payload"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert!(code == "BAD_USER_INPUT" || code.starts_with("GRAPHQL_"), "{bad}: {came:?}");
    }
    assert_eq!(code(&acme.staff.run("{ viewer { id } }").await), "", "nobody was signed out");
}

/// The protocol's table: each violation closes the socket with its own code.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_closes_by_the_protocol() {
    let sockets = SocketSettings { init: Duration::from_millis(500), message_bytes: 4096, ..SocketSettings::default() };
    let app = TestApp::start_with(Options { sockets, origins: "https://app.example.com", ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;

    let mut silent = Client::connect(address).await;
    assert_eq!(silent.next().await, Came::Closed(4408, "Connection initialisation timeout".into()));
    let mut early = Client::connect(address).await;
    early.subscribe("1", "{ viewer { id } }").await;
    assert_eq!(early.next().await, Came::Closed(4401, "Unauthorized".into()));
    for garbage in [Message::text("garbage ".repeat(200)), Message::text("{}"), Message::binary(vec![0, 1, 2])] {
        let mut client = Client::connect(address).await;
        client.send(garbage).await;
        assert_eq!(client.next().await.code(), 4400);
    }
    let operator = Tokens::try_new(SIGNING_KEY, &[], TokenSettings::default()).unwrap();
    let expired =
        operator.issue(&acme.user.viewer, jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1)).unwrap().0;
    for token in ["nonsense", expired.as_str(), ""] {
        let mut client = Client::connect(address).await;
        client.init(token).await;
        assert_eq!(client.next().await, Came::Closed(4403, "Forbidden".into()), "{token}");
    }
    let mut nobody = Client::connect(address).await;
    nobody.say(json!({ "type": "connection_init" })).await;
    assert_eq!(nobody.next().await.code(), 4403);

    let mut twice = Client::of(address, &acme.user).await;
    twice.init(acme.user.token.as_deref().unwrap()).await;
    assert_eq!(twice.next().await, Came::Closed(4429, "Too many initialisation requests".into()));
    let mut same = Client::of(address, &acme.user).await;
    same.subscribe("1", BOOKINGS).await;
    same.subscribe("1", BOOKINGS).await;
    assert_eq!(same.next().await, Came::Closed(4409, "Subscriber for 1 already exists".into()));
    let mut long = Client::of(address, &acme.user).await;
    let id = "é".repeat(400);
    long.subscribe(&id, BOOKINGS).await;
    long.subscribe(&id, BOOKINGS).await;
    assert_eq!(long.next().await.code(), 4409, "a reason that no frame could hold is cut");
    let mut big = Client::of(address, &acme.user).await;
    big.say(json!({ "type": "ping", "payload": { "x": "x".repeat(5_000) } })).await;
    assert_eq!(big.next().await.code(), 1009);
    let mut wrong = Client::connect_with(address, &[]).await.unwrap();
    assert_eq!(wrong.next().await, Came::Closed(4406, "Subprotocol not acceptable".into()));
    let mut nameless = Client::of(address, &acme.user).await;
    nameless.subscribe("", BOOKINGS).await;
    assert_eq!(nameless.next().await.code(), 4400);
    // A close by the client is answered by the server.
    let mut closing = Client::of(address, &acme.user).await;
    closing.0.close(None).await.unwrap();
    assert!(matches!(closing.0.next().await, Some(Ok(Message::Close(_))) | None), "the close is answered");
    // Pings are answered, before and after.
    let mut alive = Client::connect(address).await;
    alive.say(json!({ "type": "ping" })).await;
    assert_eq!(alive.next().await.kind(), "pong");
    alive.init(acme.user.token.as_deref().unwrap()).await;
    assert_eq!(alive.next().await.kind(), "connection_ack");
    alive.say(json!({ "type": "ping", "payload": { "any": 1 } })).await;
    assert_eq!(alive.next().await.kind(), "pong");

    // A page of another site opens none.
    let own = format!("http://{address}");
    for (origin, may) in
        [("https://evil.example", false), ("null", false), (own.as_str(), true), ("https://app.example.com", true)]
    {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)];
        assert_eq!(Client::connect_with(address, &headers).await.is_ok(), may, "{origin}");
    }
}

/// The cookie of a session opens a socket for a page of the same site that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_for_pages_of_ours() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let cookie = format!("__Host-tenantry_access={}", acme.user.token.as_deref().unwrap());
    let own = format!("http://{address}");
    let wants = json!({ "type": "connection_init", "payload": { "tenantry-session": "cookie" } });
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let with_origin = [protocol, ("cookie", cookie.as_str()), ("origin", own.as_str())];
    let mut client = Client::connect_with(address, &with_origin).await.unwrap();
    client.say(wants.clone()).await;
    assert_eq!(client.next().await.kind(), "connection_ack");
    // All tabs of a browser share the cookie: a client names the tenant that it means.
    for (tenant, code) in
        [(acme.id.to_string(), None), (acme.other.id.to_string(), Some(4403)), (String::new(), Some(4403))]
    {
        let mut naming = Client::connect_with(address, &with_origin).await.unwrap();
        let payload = json!({ "tenantry-session": "cookie", "Tenantry-Tenant": tenant });
        naming.say(json!({ "type": "connection_init", "payload": payload })).await;
        match code {
            None => assert_eq!(naming.next().await.kind(), "connection_ack"),
            Some(code) => assert_eq!(naming.next().await, Came::Closed(code, "Signed in to another tenant".into())),
        }
    }
    let mut unasked = Client::connect_with(address, &with_origin).await.unwrap();
    unasked.say(json!({ "type": "connection_init" })).await;
    assert_eq!(unasked.next().await.code(), 4403);
    let mut unknown = Client::connect_with(address, &with_origin[..2]).await.unwrap();
    unknown.say(wants).await;
    assert_eq!(unknown.next().await.code(), 4403);
}

/// Losing a session, a role or the tenant closes its sockets, with a reason that a client can act on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_what_allowed_it() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let address = served(&app).await;
    let watching = async |person: &Person| {
        let mut client = Client::of(address, person).await;
        client.subscribe("b", BOOKINGS).await;
        client.is_subscribed().await;
        client
    };
    // The session ends.
    let mut left = watching(&acme.user).await;
    let mut stays = watching(&acme.other).await;
    assert_eq!(code(&acme.user.run("mutation { logout { userErrors { code } } }").await), "");
    assert_eq!(left.next().await, Came::Closed(4401, "Session ended".into()));
    // The user is deactivated.
    let mut gone = watching(&acme.other).await;
    let deactivate =
        format!("mutation {{ deactivateUser(input: {{ id: \"{}\" }}) {{ userErrors {{ code }} }} }}", acme.other.id);
    assert_eq!(code(&acme.admin.run(&deactivate).await), "");
    assert_eq!(gone.next().await, Came::Closed(4401, "Session ended".into()));
    assert_eq!(stays.next().await, Came::Closed(4401, "Session ended".into()));
    // The user is demoted: announced last of all.
    let mut demoted = Client::of(address, &acme.staff).await;
    demoted.subscribe("me", "subscription { viewerChanged { role tenant { name } } }").await;
    assert_eq!(demoted.next().await.value()["payload"]["data"]["viewerChanged"]["role"], "STAFF");
    let demote = format!(
        "mutation {{ updateUserRole(input: {{ id: \"{}\", role: USER }}) {{ userErrors {{ code }} }} }}",
        acme.staff.id
    );
    assert_eq!(code(&acme.admin.run(&demote).await), "");
    let came = demoted.next().await;
    assert_eq!(
        came.value()["payload"]["data"]["viewerChanged"],
        json!({ "role": "USER", "tenant": { "name": "ACME" } })
    );
    assert_eq!(demoted.next().await.kind(), "complete");
    assert_eq!(demoted.next().await, Came::Closed(4403, "Role changed".into()));
    // The tenant is suspended; another one is not.
    let (mut suspended, mut unharmed) = (watching(&acme.admin).await, watching(&globex.admin).await);
    app.by_hand(&format!("update shared.tenant_state set state = 'SUSPENDED' where tenant_id = '{}'", acme.id.0)).await;
    assert_eq!(suspended.next().await, Came::Closed(4403, "Tenant suspended".into()));
    let mut late = Client::connect(address).await;
    late.init(acme.admin.token.as_deref().unwrap()).await;
    let came = late.next().await; // The token is valid; whether access still holds is checked at once.
    assert!(came.kind() == "connection_ack" && late.next().await.code() == 4403, "{came:?}");
    globex.booking(3).await;
    assert_eq!(unharmed.next().await.kind(), "next");
}

/// An expiring token closes the socket, unless a fresh one of the same session was sent before.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_runs_out_unless_it_is_prolonged() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let short = TokenSettings { access_life: jiff::SignedDuration::from_secs(2), ..TokenSettings::default() };
    let short = Tokens::try_new(SIGNING_KEY, &[], short).unwrap();
    let token = |person: &Person| short.issue(&person.viewer, jiff::Timestamp::now()).unwrap().0;
    let (mut runs_out, mut prolonged) = (Client::connect(address).await, Client::connect(address).await);
    for client in [&mut runs_out, &mut prolonged] {
        client.init(&token(&acme.user)).await;
        assert_eq!(client.next().await.kind(), "connection_ack");
    }
    let fresh = |token: &str| json!({ "type": "ping", "payload": { "authorization": format!("Bearer {token}") } });
    prolonged.say(fresh(acme.user.token.as_deref().unwrap())).await;
    assert_eq!(prolonged.next().await.kind(), "pong");
    assert_eq!(runs_out.next().await, Came::Closed(4403, "Token expired".into()));
    prolonged.subscribe("1", "{ viewer { name } }").await;
    assert_eq!(prolonged.next().await.kind(), "next");
    assert_eq!(prolonged.next().await.kind(), "complete");
    // A token of somebody else, or of another session, does not.
    let again = app.sign_in.trusted_session(acme.id, &acme.user.email).await.unwrap();
    let again = app.tokens.issue(&again, jiff::Timestamp::now()).unwrap().0;
    for foreign in [acme.other.token.as_deref().unwrap(), &again, "nonsense"] {
        let mut client = Client::of(address, &acme.user).await;
        client.say(fresh(foreign)).await;
        assert_eq!(client.next().await, Came::Closed(4403, "Forbidden".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_operations_have_a_number() {
    let sockets = SocketSettings { each_user: 2, operations: 3, mutations: true, ..SocketSettings::default() };
    let app = TestApp::start_with(Options { sockets, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let mut first = Client::of(address, &acme.user).await;
    let second = Client::of(address, &acme.user).await;
    let mut third = Client::connect(address).await;
    third.init(acme.user.token.as_deref().unwrap()).await;
    assert_eq!(third.next().await, Came::Closed(1013, "Too many sockets".into()));
    let _others = Client::of(address, &acme.other).await;
    drop(second);
    let begin = std::time::Instant::now();
    loop {
        let mut again = Client::connect(address).await;
        again.init(acme.user.token.as_deref().unwrap()).await;
        if matches!(again.next().await, Came::Message(_)) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "its place is not given back");
    }
    for id in ["1", "2", "3"] {
        first.subscribe(id, BOOKINGS).await;
    }
    first.subscribe("4", BOOKINGS).await;
    let came = first.next().await;
    assert_eq!((came.kind(), &came.value()["payload"][0]["extensions"]["code"]), ("error", &json!("RATE_LIMITED")));
    first.say(json!({ "type": "complete", "id": "1" })).await;
    // When enabled, mutations are accepted too.
    let rename = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"Renamed\" }}) {{ user {{ name }} }} }}",
        acme.user.id
    );
    first.subscribe("5", &rename).await;
    assert_eq!(first.next().await.value()["payload"]["data"]["updateUser"]["user"]["name"], "Renamed");
}

/// Another process makes the change: announced by the database, or found by polling when nothing is announced.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_processes_are_heard_of() {
    for told in [true, false] {
        let app = TestApp::start_with(Options {
            look_every: if told { Duration::from_secs(3600) } else { Duration::from_millis(200) },
            ..Options::default()
        })
        .await;
        let acme = app.tenant("acme").await;
        let other = TestApp::on(app.database.clone(), Options::default()).await;
        other.clock.advance(app.clock.now().duration_since(other.clock.now()));
        if told {
            for app in [&app, &other] {
                let (gate, stopping) = (app.gate.clone(), app.stop.subscribe());
                let url = app.database.url("tenantry_app").await;
                tokio::spawn(async move { gate.changes().carry(&url, stopping).await });
            }
            let listening = "select count(*) from pg_stat_activity where application_name = 'tenantry changes' and state = 'idle' and query like '%listen%' and datname = current_database()";
            while app.truth(listening).await != ["2"] {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let address = served(&app).await;
        let mut client = Client::of(address, &acme.user).await;
        client.subscribe("b", BOOKINGS).await;
        client.is_subscribed().await;
        let there = Person { app: other.clone(), ..acme.user.clone() };
        assert_eq!(code(&there.book(&acme.service, acme.in_days(6)).await), "");
        let came = client.next().await;
        assert_eq!(came.value()["payload"]["data"]["bookingChanged"]["kind"], "CREATED", "told: {told}");
        client.hears_nothing().await; // Once, however often it is seen.
        if told {
            // The connection is lost and reopened: missed changes are found by polling.
            app.by_hand("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tenantry changes' and datname = current_database()").await;
            assert_eq!(code(&there.book(&acme.service, acme.in_days(7)).await), "");
            assert_eq!(client.next().await.kind(), "next");
        }
        for app in [&app, &other] {
            app.stop.send_replace(Some("the test ends".into()));
        }
    }
}

/// A client that reads nothing is dropped, and affects nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_dropped() {
    let sockets = SocketSettings { send: Duration::from_millis(500), operations: 200, ..SocketSettings::default() };
    let app = TestApp::start_with(Options { sockets, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let mut slow = Client::of(address, &acme.admin).await;
    // Answers of about 60 KB each, which fill all buffers in between, and nobody reads them.
    let fat = format!(
        "{{ services(first: 100) {{ nodes {{ {} }} }} }}",
        (0..60).map(|n| format!("a{n}: description ")).collect::<String>()
    );
    for at in 0..10 {
        acme.admin.create_service(json!({ "name": format!("S{at}"), "description": "x".repeat(1_500) })).await;
    }
    for at in 0..150 {
        slow.subscribe(&at.to_string(), &fat).await;
    }
    let begin = std::time::Instant::now();
    while !app.sockets.tasks.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is not dropped");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
    }
}

/// When stopped, it notifies open sockets, and ends once they are closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_sockets_too() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, tasks, stopping) = (app.router.clone(), app.sockets.tasks.clone(), app.stop.subscribe());
    let serving = tokio::spawn(http::serve(listener, router, Patience::default(), Proxies::default(), tasks, stopping));
    let mut client = Client::of(address, &acme.user).await;
    client.subscribe("b", BOOKINGS).await;
    client.is_subscribed().await;
    let mut unborn = Client::connect(address).await;
    app.stop.send_replace(Some("the test says so".into()));
    assert_eq!(client.next().await, Came::Closed(1001, "Going away".into()));
    assert_eq!(unborn.next().await.code(), 1001);
    drop((client, unborn));
    assert_eq!(serving.await.unwrap(), 0, "nothing was cut off");
}

/// The own user: the current state, and each change.
#[tokio::test(flavor = "multi_thread")]
async fn the_viewer_is_told_of_himself() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let mut client = Client::of(address, &acme.user).await;
    client.subscribe("me", "subscription { viewerChanged { name role status } }").await;
    let name = |came: &Came| came.value()["payload"]["data"]["viewerChanged"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name(&client.next().await), "user of acme");
    for (person, to) in [(&acme.other, "Somebody Else"), (&acme.user, "The Viewer")] {
        let rename = format!(
            "mutation {{ updateUser(input: {{ id: \"{}\", name: \"{to}\" }}) {{ userErrors {{ code }} }} }}",
            person.id
        );
        assert_eq!(code(&person.run(&rename).await), "");
    }
    assert_eq!(name(&client.next().await), "The Viewer");
    let by_admin = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"By the admin\" }}) {{ userErrors {{ code }} }} }}",
        acme.user.id
    );
    assert_eq!(code(&acme.admin.run(&by_admin).await), "");
    assert_eq!(name(&client.next().await), "By the admin");
    assert_eq!(acme.user.viewer.role, Role::User);
    client.hears_nothing().await;
}

/// However busy all connections are, revoked access is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_keep_anybody_in() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let mut client = Client::of(address, &acme.user).await;
    let lock = app.database.connect("postgres").await;
    lock.batch_execute("begin; select * from shared.users for update").await.unwrap();
    let rename = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"N\" }}) {{ userErrors {{ code }} }} }}",
        acme.other.id
    );
    let other = acme.other.clone();
    let held = tokio::spawn(async move { code(&other.run(&rename).await).to_owned() });
    let waits =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%users.update_name%'";
    while app.truth(waits).await != ["1"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.by_hand("update shared.sessions set ended_at = now(), end_reason = 'LOGOUT'").await;
    assert_eq!(client.next().await, Came::Closed(4401, "Session ended".into()));
    assert!(!held.is_finished(), "the only connection is held all the while");
    lock.batch_execute("rollback").await.unwrap();
    held.await.unwrap();
}

/// Events are charged to the user's budget: delayed when it is empty, and not lost.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_paid_for() {
    let rates =
        tenantry::features::usage::rate_limits::RateSettings { user: 1_500, address: 1_000_000, tenant: 1_000_000 };
    let look_every = Duration::from_millis(500);
    let app = TestApp::start_with(Options { rates, look_every, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let address = served(&app).await;
    let remaining = async || {
        let body = json!({ "query": "{ __typename }" }).to_string();
        let request = axum::http::Request::post("/graphql")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", acme.staff.token.as_deref().unwrap()))
            .body(body.into())
            .unwrap();
        let answer: Value = serde_json::from_slice(&app.send(request).await.1).unwrap();
        answer["extensions"]["cost"]["remaining"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    };
    let mut staff = Client::of(address, &acme.staff).await;
    staff.subscribe("b", BOOKINGS).await;
    staff.is_subscribed().await;
    let before = remaining().await;
    // Made with an unlimited budget.
    let other = TestApp::on(app.database.clone(), Options::default()).await;
    other.clock.advance(app.clock.now().duration_since(other.clock.now()));
    let there = Person { app: other, ..acme.user.clone() };
    for days in 3..33 {
        assert_eq!(code(&there.book(&acme.service, acme.in_days(days)).await), "");
    }
    for _ in 0..30 {
        assert_eq!(staff.next().await.kind(), "next");
    }
    // It fills again by 25 a second, and thirty events cost as much as half a minute brings back.
    let after = remaining().await;
    assert!(after < before, "{before} {after}");
}

/// A burst of hints, more than any buffer holds, stops neither receiving nor sending.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_hints_stops_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other =
        TestApp::on(app.database.clone(), Options { look_every: Duration::from_secs(3600), ..Options::default() })
            .await;
    other.clock.advance(app.clock.now().duration_since(other.clock.now()));
    for app in [&app, &other] {
        let (gate, stopping) = (app.gate.clone(), app.stop.subscribe());
        let url = app.database.url("tenantry_app").await;
        tokio::spawn(async move { gate.changes().carry(&url, stopping).await });
    }
    let listening = "select count(*) from pg_stat_activity where application_name = 'tenantry changes' and query like '%listen%' and datname = current_database()";
    while app.truth(listening).await != ["2"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let address = served(&other).await;
    let mut client = Client::of(address, &acme.user).await;
    client.subscribe("b", BOOKINGS).await;
    client.is_subscribed().await;
    let burst = app.database.connect("tenantry_app").await;
    let telling = tokio::spawn(async move {
        burst.batch_execute("select pg_notify('tenantry_changes', 'noise ' || n || repeat('x', 200)) from generate_series(1, 50000) n").await
    });
    for days in 3..13 {
        assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(days)).await), "");
    }
    telling.await.unwrap().unwrap();
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(20)).await), "");
    for _ in 0..11 {
        assert_eq!(client.next().await.kind(), "next");
    }
    for app in [&app, &other] {
        app.stop.send_replace(Some("the test ends".into()));
    }
}

/// A moved tenant keeps its listeners: nobody is signed out, in this process or another, and events continue.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_stay_when_their_tenant_moves() {
    let shared =
        || Options { isolation: Isolation::Shared, look_every: Duration::from_millis(500), ..Options::default() };
    let app = TestApp::start_with(shared()).await;
    app.database.prepare_template().await;
    crate::support::unlimited(&app).await;
    let other = TestApp::on(app.database.clone(), shared()).await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    let mut clients = Vec::new();
    // Two of one user at each process, since the first one checked must not decide for the second.
    for address in [served(&app).await, served(&other).await] {
        for _ in 0..2 {
            let mut client = Client::of(address, &acme.staff).await;
            client.subscribe("one", BOOKINGS).await;
            client.is_subscribed().await;
            clients.push(client);
        }
    }
    for (nth, isolation) in ["SCHEMA", "DATABASE", "SHARED"].into_iter().enumerate() {
        let query = "mutation($id: ID!, $to: Isolation!) { moveTenant(input: { id: $id, isolation: $to }) { userErrors { code } } }";
        let asked = root.run_with(query, json!({ "id": acme.id.to_string(), "to": isolation })).await;
        assert_eq!(code(&asked), "", "{asked}");
        app.fleet.work().await;
        // As long as it takes to check whether access holds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let booking = acme.booking(3 + i64::try_from(nth).unwrap()).await;
        for client in &mut clients {
            let came = client.next().await;
            let change = &came.value()["payload"]["data"]["bookingChanged"];
            assert_eq!((&change["kind"], &change["booking"]["id"]), (&json!("CREATED"), &json!(booking)), "{came:?}");
        }
    }
    // Revoked access is still noticed within a second.
    let out = acme.staff.run("mutation { logout { sessionId } }").await;
    assert_eq!(code(&out), "", "{out}");
    for client in &mut clients {
        assert_eq!(client.next().await.code(), 4401);
    }
    app.stop.send_replace(Some("the test is over".into()));
    other.stop.send_replace(Some("the test is over".into()));
}

/// Users of a silent store stay connected, since nobody can say otherwise; revoked access elsewhere is noticed as
/// quickly as ever.
#[tokio::test(flavor = "multi_thread")]
async fn one_silent_store_keeps_nobody_elsewhere() {
    let shared = || Options { isolation: Isolation::Shared, ..Options::default() };
    let app = TestApp::start_with(shared()).await;
    app.database.prepare_template().await;
    crate::support::unlimited(&app).await;
    let (acme, globex, initech) = (app.tenant("acme").await, app.tenant("globex").await, app.tenant("initech").await);
    let root = app.operator().await;
    for (tenant, isolation) in [(&acme, "DATABASE"), (&globex, "SCHEMA")] {
        let query = "mutation($id: ID!, $to: Isolation!) { moveTenant(input: { id: $id, isolation: $to }) { userErrors { code } } }";
        let asked = root.run_with(query, json!({ "id": tenant.id.to_string(), "to": isolation })).await;
        assert_eq!(code(&asked), "", "{asked}");
    }
    app.fleet.work().await;
    let relay = acme.put_behind_relay().await;
    // Waiting for its answer would take longer than this test.
    let patient = Options { statement: Duration::from_secs(300), ..shared() };
    let other = TestApp::on(app.database.clone(), patient).await;
    let address = served(&other).await;
    let mut listening = Vec::new();
    for tenant in [&acme, &globex, &initech] {
        let mut client = Client::of(address, &tenant.staff).await;
        client.subscribe("one", BOOKINGS).await;
        client.is_subscribed().await;
        listening.push(client);
    }
    relay.speak(false);
    // Longer than one check takes, so that a check of the silent one is waiting.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (tenant, client) in [&globex, &initech].into_iter().zip(&mut listening[1..]) {
        let out = tenant.staff.run("mutation { logout { sessionId } }").await;
        assert_eq!(code(&out), "", "{out}");
        assert_eq!(client.next().await.code(), 4401);
    }
    relay.speak(true);
    // Its own users are checked again.
    let there = Person { app: other.clone(), ..acme.staff.clone() };
    let begin = std::time::Instant::now();
    while !code(&there.run("mutation { logout { sessionId } }").await).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(listening[0].next().await.code(), 4401);
    other.stop.send_replace(Some("the test is over".into()));
}
