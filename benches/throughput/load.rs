//! The load: the queries, and wrk (Debian's package of that name), which sends them.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    dataset::{PASSWORD, SERVICES, Sender},
    deployment::Deployment,
};

/// The queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// A service by its id.
    Service,
    /// Twenty bookings with service and customer.
    Bookings,
    /// A new booking.
    CreateBooking,
    /// Available times of a month.
    Availability,
    /// Signing in.
    Login,
    /// A mix of the others except signing in: 45, 40, 10 and 5 percent.
    Mix,
}

impl Query {
    /// All queries.
    pub(crate) const ALL: [Self; 6] =
        [Self::Service, Self::Bookings, Self::CreateBooking, Self::Availability, Self::Login, Self::Mix];

    /// The name for display.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service => "q1 service by id",
            Self::Bookings => "q2 20 bookings, service, customer",
            Self::CreateBooking => "q3 create a booking",
            Self::Availability => "q4 availability of a month",
            Self::Login => "q5 sign in",
            Self::Mix => "mix",
        }
    }

    /// The request of one sender: a POST of `/graphql`. In `createBooking` the start is the text `STARTS_AT`, which has
    /// the length of a time.
    pub(crate) fn body(self, sender: &Sender) -> String {
        let body = match self {
            Self::Service => json!({
                "query": "query Service($id: ID!) { service(id: $id) { id name durationMinutes price { amount currency } } }",
                "variables": { "id": sender.services[0].to_string() },
            }),
            Self::Bookings | Self::Mix => json!({
                "query": "query Bookings { bookings(first: 20) { nodes { id startsAt status service { id name } customer { id name } } } }",
            }),
            Self::CreateBooking => json!({
                "query": "mutation Book($input: CreateBookingInput!) { createBooking(input: $input) { booking { id status } userErrors { code } } }",
                "variables": { "input": { "serviceId": sender.services[SERVICES - 1].to_string(), "startsAt": STARTS_AT } },
            }),
            Self::Availability => {
                let from = Timestamp::now() + SignedDuration::from_hours(24);
                let (from, to) = (from.to_string(), (from + SignedDuration::from_hours(30 * 24)).to_string());
                json!({
                    "query": "query Free($id: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $id, from: $from, to: $to) { startsAt } }",
                    "variables": { "id": sender.services[0].to_string(), "from": from, "to": to },
                })
            }
            Self::Login => json!({
                "query": "mutation Login($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }",
                "variables": { "input": { "email": sender.email, "password": PASSWORD } },
            }),
        };
        body.to_string()
    }

    /// A complete HTTP request for one turn. Sign-ins come from enough addresses that none is refused.
    fn request(self, sender: &Sender, number: usize, turn: usize) -> String {
        let body = self.body(sender);
        let from = match self {
            Self::Login => format!("X-Forwarded-For: 10.{}.{}.{}\r\n", turn % 250, number / 250, 1 + number % 250),
            _ => format!("Authorization: Bearer {}\r\n", sender.token),
        };
        let length = body.len() - if self == Self::CreateBooking { STARTS_AT.len() - TIME_LENGTH } else { 0 };
        format!(
            "POST /graphql HTTP/1.1\r\nHost: tenantry\r\nContent-Type: application/json\r\n{from}Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// A placeholder for the start of a booking.
pub(crate) const STARTS_AT: &str = "STARTS_AT";
/// Bytes of a time such as `2026-11-21T10:15:00Z`.
const TIME_LENGTH: usize = 20;
/// Starts of bookings are this many seconds apart: the length of one booking.
pub(crate) const APART: i64 = 15 * 60;

/// The measurements of wrk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests per second.
    pub rate: f64,
    /// The median latency in milliseconds.
    pub p50: f64,
    /// The 99th percentile in milliseconds.
    pub p99: f64,
}

/// Sends requests for some seconds over kept-alive connections, rotating through the senders. No booking of a run
/// starts when one of another `turn` does.
pub(crate) fn run(
    deployment: &Deployment,
    query: Query,
    senders: &[Sender],
    connections: usize,
    seconds: u64,
    turn: usize,
) -> Measured {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{}.lua", std::process::id()));
    fs::write(&script, lua(query, senders, turn)).unwrap();
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "30", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(&script)
        .arg(format!("http://{}/graphql", deployment.address))
        .output()
        .expect("wrk, of Debian's package wrk");
    let _ = fs::remove_file(script);
    let text = String::from_utf8(output.stdout).unwrap();
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("measured ")) else {
        panic!("wrk has not measured: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let numbers: Vec<f64> = line.split(' ').map(|it| it.parse().unwrap()).collect();
    let [requests, microseconds, p50, p99, failed] = numbers[..] else { panic!("{line}") };
    assert!(failed == 0.0, "{failed} requests of {} had no answer of status 200", query.name());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    Measured { requests: requests as u64, rate: requests / microseconds * 1e6, p50: p50 / 1e3, p99: p99 / 1e3 }
}

/// The script for wrk: complete requests, except for the start of a booking.
fn lua(query: Query, senders: &[Sender], turn: usize) -> String {
    let mut script = String::from("local requests, at = {}, 0\n");
    let parts = match query {
        Query::Mix => {
            [(Query::Service, 45), (Query::Bookings, 40), (Query::CreateBooking, 10), (Query::Availability, 5)]
                .as_slice()
        }
        ref alone => &[(*alone, 1)],
    };
    // Spread evenly: the part that is furthest behind comes next.
    let all: i64 = parts.iter().map(|it| it.1).sum();
    let mut sent = vec![0i64; parts.len()];
    for number in 0..senders.len() * parts.len() {
        let next = (0..parts.len())
            .max_by_key(|&it| parts[it].1 * (i64::try_from(number).unwrap() + 1) - sent[it] * all)
            .unwrap();
        sent[next] += 1;
        // Senders alternate within each part, so that no two bookings of one round are from one sender.
        let number = usize::try_from(sent[next] - 1).unwrap() % senders.len();
        writeln!(script, "requests[#requests + 1] = [==[{}]==]", parts[next].0.request(&senders[number], number, turn))
            .unwrap();
    }
    let first = first_start(turn);
    write!(
        script,
        "local start = {first}
        function request()
          at = at % #requests + 1
          if at == 1 then start = start + {APART} end
          local text = requests[at]
          if text:find('{STARTS_AT}', 1, true) then
            return (text:gsub('{STARTS_AT}', os.date('!%Y-%m-%dT%H:%M:%SZ', start), 1))
          end
          return text
        end
        function done(summary, latency)
          local e = summary.errors
          print(string.format('measured %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50),
            latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
        end\n"
    )
    .unwrap();
    script
}

/// When the first booking of a turn starts: turns are a thousand starts apart, the first one two days from now.
pub(crate) fn first_start(turn: usize) -> i64 {
    let tomorrow = Timestamp::now().as_second() / 3600 * 3600 + 2 * 86_400;
    tomorrow + i64::try_from(turn).unwrap() * 1_000 * APART
}

/// A time in GraphQL's format.
pub(crate) fn time(second: i64) -> String {
    Timestamp::from_second(second).unwrap().to_string()
}
