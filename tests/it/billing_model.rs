//! Random changes of plan, pauses, cancellations, usage and years of time, compared with an independent calculation:
//! every charged cent is charged once, by the plan agreed for the time that it covers.
//!
//! The calculation keeps a list of spans and knows nothing of invoices: a flat fee is divided over the spans by their
//! part of its cycle, and usage belongs to the span in which it counts. The API, with a billing job that runs now and
//! then, must come to the same amount.

use jiff::{SignedDuration, Span, Timestamp, Zoned, tz::TimeZone};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::json;

use crate::{
    billing::{change, leave_card, sell},
    support::{TestApp, TestTenant, code},
};

#[derive(Clone, Debug)]
enum Op {
    /// Time passes, and no job runs.
    Wait {
        hours: i64,
    },
    /// The billing job runs, and runs again.
    Run,
    Change {
        plan: usize,
        yearly: bool,
        at_end: bool,
    },
    Keep,
    Cancel {
        now: bool,
    },
    Pause(bool),
    /// Usage of some hours ago.
    Use {
        quantity: i64,
        hours_ago: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1_i64..40 * 24).prop_map(|hours| Op::Wait { hours }),
        1 => (40_i64 * 24..500 * 24).prop_map(|hours| Op::Wait { hours }),
        3 => Just(Op::Run),
        4 => (0_usize..3, any::<bool>(), any::<bool>()).prop_map(|(plan, yearly, at_end)| Op::Change { plan, yearly, at_end }),
        1 => Just(Op::Keep),
        1 => any::<bool>().prop_map(|now| Op::Cancel { now }),
        2 => any::<bool>().prop_map(Op::Pause),
        5 => (1_i64..3_000, 0_i64..60 * 24).prop_map(|(quantity, hours_ago)| Op::Use { quantity, hours_ago }),
    ]
}

const PLANS: [&str; 3] = ["free", "small", "large"];

/// What an amount of usage costs, in hundredths of a cent.
fn usage_price(plan: usize, quantity: i64) -> i64 {
    match plan {
        0 => 0,
        1 => quantity * 130,
        // Graduated: 100 free, up to 1,000 at 0.0155 and 1.00 once, then at 0.01.
        _ => {
            let middle = (quantity.min(1_000) - 100).max(0);
            middle * 155 + if middle > 0 { 10_000 } else { 0 } + (quantity - 1_000).max(0) * 100
        }
    }
}

/// In cents, of a whole cycle.
fn fee(plan: usize, yearly: bool) -> i64 {
    [[0, 0], [1_000, 10_000], [2_999, 29_990]][plan][usize::from(yearly)]
}

fn rounded(numerator: i128, denominator: i128) -> i64 {
    // Halves round away from zero; nothing here is below.
    i64::try_from((2 * numerator + denominator) / (2 * denominator)).unwrap()
}

#[derive(Clone, Debug)]
struct Stretch {
    from: i64,
    to: i64,
    cycle: (i64, i64),
    plan: usize,
    yearly: bool,
    charged: bool,
}

/// The calculation. Instants are microseconds.
struct Books {
    zone: TimeZone,
    stretches: Vec<Stretch>,
    anchor: i64,
    plan: usize,
    yearly: bool,
    paused: bool,
    next: Option<(usize, bool)>,
    ends: Option<i64>,
    over: bool,
    /// When it counts, how much, and whether it was reported late.
    usage: Vec<(i64, i64, bool)>,
    billed_to: i64,
}

fn zoned(micros: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_microsecond(micros).unwrap().to_zoned(zone.clone())
}

impl Books {
    fn cycle(&self, at: i64) -> (i64, i64) {
        let anchor = zoned(self.anchor, &self.zone);
        let step = if self.yearly { 12 } else { 1 };
        let edge = |nth: i64| anchor.checked_add(Span::new().months(nth * step)).unwrap().timestamp().as_microsecond();
        // One by one, which is too slow for production code.
        let mut nth = 0;
        while edge(nth + 1) <= at {
            nth += 1;
        }
        (edge(nth), edge(nth + 1))
    }

    fn open(&mut self, at: i64) {
        let cycle = self.cycle(at);
        let (plan, yearly, charged) = (self.plan, self.yearly, !self.paused);
        self.stretches.push(Stretch { from: at, to: cycle.1, cycle, plan, yearly, charged });
    }

    fn roll(&mut self, now: i64) {
        while !self.over && self.stretches.last().unwrap().to <= now {
            let at = self.stretches.last().unwrap().to;
            if self.ends.is_some_and(|it| it <= at) {
                self.over = true;
                return;
            }
            if let Some((plan, yearly)) = self.next.take() {
                if yearly != self.yearly {
                    self.anchor = at;
                }
                (self.plan, self.yearly) = (plan, yearly);
            }
            self.open(at);
        }
    }

    fn cut(&mut self, now: i64) -> i64 {
        let last = self.stretches.last_mut().unwrap();
        last.to = now.max(last.from + 1);
        last.to
    }

    /// Spans that are over now are on an invoice from now on.
    fn bill(&mut self, now: i64) {
        self.roll(now);
        let over = self.stretches.iter().filter(|it| it.to <= now).map(|it| it.to).max();
        self.billed_to = self.billed_to.max(over.unwrap_or(self.billed_to));
    }

    fn total(&self, now: i64) -> i64 {
        let mut sum = 0;
        for it in &self.stretches {
            let (part, whole) = (i128::from(it.to - it.from), i128::from(it.cycle.1 - it.cycle.0));
            if it.charged {
                sum += rounded(i128::from(fee(it.plan, it.yearly)) * part, whole);
            }
            if it.to <= now {
                // A pause is free, except for usage before it.
                let counts = |(at, _, late): &&(i64, i64, bool)| (it.from..it.to).contains(at) && (it.charged || *late);
                let used: i64 = self.usage.iter().filter(counts).map(|it| it.1).sum();
                let price = if it.yearly { 0 } else { usage_price(it.plan, used) };
                sum += rounded(i128::from(price), 100);
            }
        }
        sum
    }
}

async fn play(ops: Vec<Op>) -> Result<(), String> {
    let app = TestApp::start().await;
    let root = app.operator().await;
    let acme = app.tenant_on_plan("acme", "free").await;
    let price = |name: &str, interval: &str, amount: &str| json!({ "name": name, "interval": interval, "model": "FLAT", "amount": amount });
    let small = json!([price("S", "MONTH", "10.00"), price("S", "YEAR", "100.00"), { "name": "U", "interval": "MONTH", "meter": "sms", "model": "PER_UNIT", "amount": "0.013" }]);
    let tiers = json!([{ "upTo": 100, "unitAmount": "0" }, { "upTo": 1000, "unitAmount": "0.0155", "flatAmount": "1" }, { "unitAmount": "0.01" }]);
    let large = json!([price("L", "MONTH", "29.99"), price("L", "YEAR", "299.90"), { "name": "U", "interval": "MONTH", "meter": "sms", "model": "GRADUATED", "tiers": tiers }]);
    for (key, prices) in [("small", small), ("large", large)] {
        sell(&root, key, json!({ "currency": "EUR", "prices": prices, "limits": [{ "meter": "sms", "limit": 1_000_000_000 }], "features": [] })).await;
    }
    leave_card(&app, &acme, "good").await;
    let run = async || app.billing.run(acme.id, app.clock.now()).await.map_err(|error| error.to_string());
    run().await?;
    let begun = app.truth("select (extract(epoch from anchor) * 1000000)::bigint from shared.subscriptions").await;
    let begun: i64 = begun[0].parse().unwrap();
    let mut books = Books {
        zone: TimeZone::get("Europe/Amsterdam").unwrap(),
        stretches: vec![],
        anchor: begun,
        plan: 0,
        yearly: false,
        paused: false,
        next: None,
        ends: None,
        over: false,
        usage: vec![],
        billed_to: i64::MIN,
    };
    books.open(begun);
    for (nth, op) in ops.into_iter().enumerate() {
        step(&app, &root, &acme, &mut books, nth, op).await?;
    }
    app.clock.advance(SignedDuration::from_secs(1));
    let now = app.clock.now().as_microsecond();
    books.bill(now);
    run().await?;
    check(&app, &books, now).await?;
    // A repeated action changes nothing.
    let all = "select i.number, i.total_minor, i.falls_due, l.position, l.kind, l.net_minor from shared.invoices i join shared.invoice_lines l on l.invoice_id = i.id order by i.number, l.position";
    let before = app.truth(all).await;
    run().await?;
    run().await?;
    if app.truth(all).await == before { Ok(()) } else { Err("a run that had nothing to do did something".into()) }
}

async fn step(
    app: &TestApp,
    root: &crate::support::Person,
    acme: &TestTenant,
    books: &mut Books,
    nth: usize,
    op: Op,
) -> Result<(), String> {
    // A moment between any two, as between any two requests.
    app.clock.advance(SignedDuration::from_millis(1));
    let now = app.clock.now().as_microsecond();
    let expect = |answer: &serde_json::Value, good: bool, what: &str| match (code(answer), good) {
        ("", true) => Ok(true),
        ("", false) => Err(format!("{what} was done, and must not be: {answer}")),
        (_, false) => Ok(false),
        (_, true) => Err(format!("{what} was not done: {answer}")),
    };
    match op {
        Op::Wait { hours } => app.clock.advance(SignedDuration::from_hours(hours)),
        Op::Run => {
            books.bill(now);
            for _ in 0..2 {
                app.billing.run(acme.id, app.clock.now()).await.map_err(|error| error.to_string())?;
            }
        }
        Op::Change { plan, yearly, at_end } => {
            books.roll(now);
            let yearly = yearly && plan > 0;
            let has_it = !books.over
                && !books.paused
                && (books.plan, books.yearly) == (plan, yearly)
                && books.next.is_none()
                && books.ends.is_none();
            let input = json!({ "plan": PLANS[plan], "interval": if yearly { "YEAR" } else { "MONTH" }, "when": if at_end { "PERIOD_END" } else { "NOW" } });
            let answer = change(&acme.admin, "changePlan", "preview { total { amount } }", input).await;
            if !expect(&answer, !(has_it || books.over && at_end), "a change of plan")? {
                return Ok(());
            }
            if at_end {
                let is_same = (books.plan, books.yearly) == (plan, yearly);
                (books.next, books.ends) = ((!is_same).then_some((plan, yearly)), None);
            } else {
                if books.over {
                    let from = now.max(books.stretches.last().unwrap().to);
                    (books.over, books.plan, books.yearly, books.anchor) = (false, plan, yearly, from);
                    (books.next, books.ends, books.paused) = (None, None, false);
                    books.open(from);
                } else {
                    let at = books.cut(now);
                    if books.yearly != yearly || (books.plan == 0 && plan > 0) {
                        books.anchor = at;
                    }
                    (books.plan, books.yearly, books.next, books.ends, books.paused) =
                        (plan, yearly, None, None, false);
                    books.open(at);
                }
            }
            books.bill(now);
        }
        Op::Keep => {
            books.roll(now);
            let good = !books.over && (books.next.is_some() || books.ends.is_some());
            let answer = acme.admin.run("mutation { keepSubscription { userErrors { code } } }").await;
            if expect(&answer, good, "keeping")? {
                (books.next, books.ends) = (None, None);
                books.bill(now);
            }
        }
        Op::Cancel { now: at_once } => {
            books.roll(now);
            let input = json!({ "when": if at_once { "NOW" } else { "PERIOD_END" } });
            let answer = change(&acme.admin, "cancelSubscription", "subscription { status }", input).await;
            if expect(&answer, !books.over && books.plan > 0, "cancelling")? {
                if at_once {
                    books.cut(now);
                    (books.over, books.next) = (true, None);
                } else {
                    (books.ends, books.next) = (Some(books.stretches.last().unwrap().cycle.1), None);
                }
                books.bill(now);
            }
        }
        Op::Pause(paused) => {
            books.roll(now);
            let input = json!({ "tenantId": acme.id.to_string(), "paused": paused });
            let answer = change(root, "pauseSubscription", "tenant { slug }", input).await;
            if expect(&answer, !books.over && books.paused != paused, "a pause")? {
                let at = books.cut(now);
                books.paused = paused;
                books.open(at);
                books.bill(now);
            }
        }
        Op::Use { quantity, hours_ago } => {
            let at = Timestamp::from_microsecond(now).unwrap() - SignedDuration::from_hours(hours_ago);
            let event = json!({ "source": "test", "eventId": nth.to_string(), "meter": "sms", "quantity": quantity, "at": at.to_string() });
            let input = json!({ "events": [event.clone(), event] });
            let answer = change(&acme.admin, "recordUsage", "results { status reason }", input).await;
            let results = &answer["data"]["recordUsage"]["results"];
            // Whatever plan it has, the meter is known where the plan agreed or its limits speak of it.
            if results[0]["status"] == "ACCEPTED" {
                if results[1]["status"] != "DUPLICATE" {
                    return Err(format!("twice: {answer}"));
                }
                let at = at.as_microsecond();
                books.usage.push((at.max(books.billed_to), quantity, at < books.billed_to));
            } else if results[0]["reason"] != "UNKNOWN_METER" {
                return Err(format!("refused: {answer}"));
            }
        }
    }
    Ok(())
}

async fn check(app: &TestApp, books: &Books, now: i64) -> Result<(), String> {
    let found = app.truth("select coalesce(sum(net_minor), 0) from shared.invoice_lines where kind <> 'BALANCE'").await;
    let expected = books.total(now).to_string();
    if found != [expected.clone()] {
        let lines = app.truth("select i.falls_due, l.kind, l.name, l.quantity, l.covers_from, l.covers_to, l.net_minor from shared.invoice_lines l join shared.invoices i on i.id = l.invoice_id order by i.number, l.position").await;
        return Err(format!("charged {found:?}, calculated {expected}\n{:#?}\n{lines:#?}", books.stretches));
    }
    for (what, sql) in [
        (
            "a gap or an overlap",
            "select 1 from (select starts_at, lag(ends_at) over (partition by subscription_id order by starts_at) before from shared.subscription_periods) p where before is not null and before <> starts_at",
        ),
        (
            "a period that was never billed",
            "select 1 from shared.subscription_periods where (ends_at <= '$now' and usage_billed_at is null) or (starts_at <= '$now' and flat_billed_until is null) or (usage_billed_at is not null and flat_billed_until > ends_at)",
        ),
        (
            "a period that was billed twice",
            "select 1 from shared.invoice_lines where period_id is not null group by period_id, price_id, kind having count(*) > 1",
        ),
        (
            "an invoice whose lines do not sum",
            "select 1 from shared.invoices i join shared.invoice_lines l on l.invoice_id = i.id group by i.id, i.total_minor having sum(l.net_minor + l.tax_minor) <> i.total_minor",
        ),
        (
            "a number that is missing",
            "select 1 from (select count(*) n, coalesce(max(number), 0) m from shared.invoices) i where n <> m",
        ),
        ("a draft that was left", "select 1 from shared.invoices where state = 'DRAFT'"),
        (
            "a period outside of its cycle",
            "select 1 from shared.subscription_periods where starts_at < cycle_start or ends_at > cycle_end",
        ),
    ] {
        let sql = sql.replace("$now", &Timestamp::from_microsecond(now).unwrap().to_string());
        let found = app.truth(&sql).await;
        if !found.is_empty() {
            return Err(format!("{what}: {}", found.len()));
        }
    }
    Ok(())
}

#[test]
fn every_cent_is_charged_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // By default as many as proptest's default, which PROPTEST_CASES sets: too many for every run.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 12 };
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let ops = proptest::collection::vec(op(), 1..45);
    TestRunner::new(config).run(&ops, |ops| runtime.block_on(play(ops)).map_err(TestCaseError::fail)).unwrap();
}
