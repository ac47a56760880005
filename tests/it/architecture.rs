//! Which module may import which: the map of `src/lib.rs`, checked against the sources.
//!
//! Every path of `src/` that begins with `crate::`, `super::` or `self::`, or with an imported module, is followed
//! through the `pub use` of the doors (`mod.rs`) to the file that it means. It may only lead down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The house from the top: a room a line, with its files from the top too. Rooms between two blank lines share a floor and
/// do not know each other. What is not listed here fails.
const HOUSE: &str = "
main

cli: command fleet migrate outbox serve parts keys tenant database error

config: checks settings model

http: routes calendars unsubscribe export graphql/endpoint graphql/socket actor graphql/execution cookies graphql/protocol pages
    payments app graphql/documents graphql/errors graphql/request graphql/sockets origins server proxies readiness

api: charging validation schema audit auth billing/mutations billing/query booking_events calendars invitations node
    platform/mutations platform/query platform/moves platform/sales billing/objects plans platform/tenant savepoints
    series services user_events users waitlist bookings resources objects hours tenants entitlements webhooks
    context loaders/request loaders/bookings loaders/counted loaders/resources loaders/series loaders/services
    loaders/tenants loaders/users

worker: turns failure queue
fleet: archive erasing moving stores copying upgrading link upkeep error logins
seed

features/platform: moving/moves selling/sales tenants operator moving/places upkeep moving/queries queries model

features/billing: invoice_mail metering profile self_service engine error invoices/pdf invoices/preview
    payments/account payments/collection payments/in_process payments/inbox payments/facts payments/checkout
    payments/conclusion payments/retries payments/settlement invoices/issuing invoices/rating payments/stripe
    payments/provider plans/catalogue schedule standing subscriptions/lifecycle model invoices/queries
    invoices/model payments/queries payments/model plans/queries queries subscriptions/queries subscriptions/model
    plans/model terms cycles

features/notices: booking_mail unsubscribing queries model

features/series: cancel create queries model rule
features/waitlist: offers queue queries model
features/calendars: feed ics timezones queries
features/webhooks: delivering endpoints queries model

features/bookings: availability lookup update create claims/assignment claims/classes claims/release history events
    slots grid claims/queries queries model status

features/hours: imports schedules holidays ical zones grid opening described queries model

features/services: catalogue queries model
features/invitations: invite queries model

features/resources: catalogue queries model
features/auth: mails operators/sign_in recovery joining/registration sessions joining/model operators/model
    joining/queries sign_in links/one_time passwords password_policy requests/inbox throttle tokens opaque_tokens
    links/queries links/model operators/queries queries model requests/queries requests/model

features/users: accounts preferences queries model

features/entitlements: decision rollouts queries model

features/usage: rate_limits api_cost metering queries model
features/mail: dates mailer letters bookings invoices layout

features/tenants: registry settings slugs queries model

graphql: batching document_cache limits input null_propagation paging costs reference concurrent_fields scalars
    error watch

core: audit/log audit/verification audit/erasure audit/refusals idempotency/keys identity outbox/queue telemetry audit/queries
    audit/model audit/changes idempotency/queries idempotency/model outbox/queries outbox/model

db: bootstrap gate roles sql_types tx live common changes placement_cache held connection_handoff flush scope stores
    connect placement safety migrations distribution tenant_fair_share error unprepared schemas session wakeups

embedded: cluster binaries folder process accounts error settings

base: clock counted egress/client egress/lazy egress/addresses fault footprint cpu ids money names network paging
    random shares text
";

/// The rooms: the floor of each, its name and its files.
fn rooms() -> impl Iterator<Item = (usize, &'static str, Vec<String>)> {
    HOUSE.trim().split("\n\n").enumerate().flat_map(|(floor, rooms)| {
        rooms.split("\n").filter(|it| !it.starts_with(' ')).map(move |line| {
            let (room, files) = line.split_once(": ").unwrap_or((line, ""));
            let more = HOUSE.split_once(line).unwrap().1.lines().skip(1).take_while(|it| it.starts_with(' '));
            let files = std::iter::once(files).chain(more).flat_map(str::split_whitespace);
            (floor, room, files.map(|it| format!("{room}/{it}.rs")).collect())
        })
    })
}

type Module = Vec<String>;

/// A source file.
struct Source {
    /// Path below `src`, such as `features/bookings/queries.rs`.
    path: String,
    module: Module,
    /// Without comments and unit tests.
    code: String,
}

impl Source {
    /// The last part of its path.
    fn role(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|it| self.path == *it || it.ends_with('/') && self.path.starts_with(it))
    }

    /// A `mod.rs` declares and re-exports; so does the root.
    fn is_door(&self) -> bool {
        matches!(self.role(), "mod.rs" | "lib.rs")
    }

    /// Whether it contains a feature's rules: neither statements nor a door.
    fn is_rule(&self) -> bool {
        self.path.starts_with("features/") && self.role() != "queries.rs"
    }

    /// Every path that it names, from the root of the crate, and what each is called here.
    fn paths(&self) -> Vec<(Module, Option<String>)> {
        let mut found = Vec::new();
        for root in ["crate::", "super::", "self::"] {
            for (at, _) in self.code.match_indices(root) {
                let before = self.code[..at].chars().next_back();
                if before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':') {
                    continue;
                }
                let mut leaves = Vec::new();
                expand("", &self.code[at..], &mut leaves);
                found.extend(leaves.into_iter().map(|(path, alias)| (self.absolute(&path), alias)));
            }
        }
        found
    }

    fn absolute(&self, path: &str) -> Module {
        let mut base: Module = Vec::new();
        let mut rest = path.split("::").peekable();
        if matches!(rest.peek(), Some(&("super" | "self"))) {
            base.clone_from(&self.module);
        }
        while let Some(step) = rest.next_if(|it| matches!(*it, "crate" | "super" | "self")) {
            if step == "super" {
                base.pop();
            }
        }
        base.extend(rest.map(str::to_owned));
        base
    }
}

/// `a::{b, c::d as e}` becomes `a::b` and `a::c::d`, the second with the name `e`.
fn expand(prefix: &str, text: &str, paths: &mut Vec<(String, Option<String>)>) -> usize {
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '_' | ':' | '*');
    let end = text.find(|it| !is_part(it)).unwrap_or(text.len());
    let head = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') || !head.ends_with("::") {
        let alias = text[end..].strip_prefix(" as ").map(|it| {
            let end = it.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(it.len());
            it[..end].to_owned()
        });
        let taken = end + alias.as_ref().map_or(0, |it| " as ".len() + it.len());
        let path = head.trim_end_matches(':').trim_end_matches("::self").to_owned();
        paths.push((path, alias));
        return taken;
    }
    let mut at = end + 1;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
        if at >= text.len() || text[at..].starts_with('}') {
            return at + 1;
        }
        at += expand(&head, &text[at..], paths).max(1);
    }
}

/// All sources, and what their doors re-export.
struct House {
    sources: Vec<Source>,
    /// The source file of each module.
    modules: BTreeMap<Module, usize>,
    /// Door and name, and the path that the name stands for.
    doors: BTreeMap<(Module, String), Module>,
}

impl House {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        collect(&root, &mut files);
        Self::of(files.into_iter().map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (path, fs::read_to_string(&file).unwrap())
        }))
    }

    fn of(files: impl Iterator<Item = (String, String)>) -> Self {
        let sources: Vec<Source> = files
            .map(|(path, text)| {
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = lines.collect::<Vec<_>>().join("\n").replace("$crate", "crate");
                let parts = path.trim_end_matches(".rs").split('/');
                let module = parts.filter(|it| !matches!(*it, "mod" | "lib")).map(str::to_owned).collect();
                Source { path, module, code }
            })
            .collect();
        let modules: BTreeMap<_, _> = sources.iter().enumerate().map(|(at, it)| (it.module.clone(), at)).collect();
        let mut doors = BTreeMap::new();
        for source in sources.iter().filter(|it| it.is_door()) {
            for (path, alias) in re_exports(&source.code) {
                let child: Module = source.module.iter().cloned().chain(path.split("::").map(str::to_owned)).collect();
                let is_child = modules.contains_key(&child[..=source.module.len()]);
                let means = if is_child { child } else { source.absolute(&path) };
                let name = alias.unwrap_or_else(|| path.rsplit("::").next().unwrap().to_owned());
                doors.insert((source.module.clone(), name), means);
            }
        }
        Self { sources, modules, doors }
    }

    /// The file that a path means; `None` for a door itself, and for a path that is not in a file.
    fn file_of(&self, path: &[String]) -> Option<&Source> {
        let length = (0..=path.len()).rev().find(|it| self.modules.contains_key(&path[..*it]))?;
        let source = &self.sources[self.modules[&path[..length]]];
        if !source.is_door() {
            return Some(source);
        }
        let name = path.get(length)?;
        let means = self.doors.get(&(source.module.clone(), name.clone()))?;
        let rest = path[length + 1..].iter().cloned();
        self.file_of(&means.iter().cloned().chain(rest).collect::<Module>())
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains_key(path) || self.file_of(path).is_some_and(|it| path.last() == it.module.last())
    }

    /// The files that this one imports, each with one path that leads there.
    fn imports<'a>(&'a self, source: &Source) -> BTreeMap<&'a str, String> {
        let mut paths = source.paths();
        let named = paths.iter().filter(|(path, _)| self.is_module(path));
        let named = named.filter_map(|(path, alias)| Some((alias.as_ref().or(path.last())?.clone(), path.clone())));
        for (name, module) in named.collect::<BTreeMap<_, _>>() {
            for (at, _) in source.code.match_indices(&format!("{name}::")) {
                if source.code[..at].ends_with(|it: char| it.is_alphanumeric() || matches!(it, '_' | ':' | '.')) {
                    continue;
                }
                let mut leaves = Vec::new();
                expand("", &source.code[at + name.len() + 2..], &mut leaves);
                for (rest, _) in leaves {
                    paths.push((module.iter().cloned().chain(rest.split("::").map(str::to_owned)).collect(), None));
                }
            }
        }
        let mut found = BTreeMap::new();
        for (path, _) in paths {
            if let Some(file) = self.file_of(&path)
                && file.path != source.path
            {
                found.entry(file.path.as_str()).or_insert_with(|| path.join("::"));
            }
        }
        found
    }
}

/// What a door re-exports.
fn re_exports(code: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap();
        rest = &rest[at + "use ".len()..];
        if line.starts_with("pub") {
            expand("", rest, &mut found);
        }
    }
    for (path, _) in &mut found {
        *path = path.trim_start_matches("self::").to_owned();
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// The position of a file: its floor from the top, its room, and its place in the room from the top.
fn place(path: &str) -> Option<(usize, &'static str, usize)> {
    let mut rooms = rooms();
    rooms.find_map(|(floor, room, files)| match files.iter().position(|it| it == path) {
        Some(at) => Some((floor, room, at)),
        None => (format!("{room}.rs") == path).then_some((floor, room, 0)),
    })
}

/// A door stands above everything in its room, and on the room's floor.
fn of_door(source: &Source) -> Option<(usize, &'static str, usize)> {
    let is_inside = |room: &str| source.path.strip_prefix(room).is_some_and(|it| it.starts_with('/'));
    rooms().find(|(_, room, _)| source.is_door() && is_inside(room)).map(|(floor, room, _)| (floor, room, 0))
}

/// The sources that break a rule, as `path: what`.
fn breaking(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    let house = House::new();
    house.sources.iter().flat_map(|it| rule(it).into_iter().map(|what| format!("{}: {what}", it.path))).collect()
}

const NONE: Vec<String> = Vec::new();

#[test]
fn every_file_has_its_place() {
    let without =
        breaking(|it| if it.is_door() || place(&it.path).is_some() { vec![] } else { vec!["no place".into()] });
    assert_eq!(without, NONE);
    let house = House::new();
    let there: BTreeSet<&str> = house.sources.iter().map(|it| it.path.as_str()).collect();
    let listed = rooms().flat_map(|(_, room, files)| if files.is_empty() { vec![format!("{room}.rs")] } else { files });
    assert_eq!(listed.filter(|it| !there.contains(it.as_str())).collect::<Vec<_>>(), NONE);
}

/// Between rooms and inside them. When all imports lead down there is no cycle.
#[test]
fn every_import_leads_down() {
    let house = House::new();
    let mut broken = Vec::new();
    for source in &house.sources {
        let Some((floor, room, file)) = place(&source.path).or_else(|| of_door(source)) else { continue };
        for (other, path) in house.imports(source) {
            let Some((below, of, at)) = place(other) else { continue };
            let is_down = if of == room { at > file || source.is_door() } else { below > floor };
            if !is_down {
                broken.push(format!("{}: {path} ({other})", source.path));
            }
        }
    }
    assert_eq!(broken, NONE);
}

/// One feature enters another by its door, never by its statements.
#[test]
fn a_feature_is_entered_by_its_door() {
    let house = House::new();
    let feature = |path: &str| {
        let mut parts = path.strip_prefix("features/")?.split('/');
        parts.next().map(str::to_owned)
    };
    let mut broken = Vec::new();
    for source in &house.sources {
        for (other, path) in house.imports(source) {
            if other.ends_with("/queries.rs")
                && feature(other) != feature(&source.path)
                && path.split("::").any(|it| it == "queries")
            {
                broken.push(format!("{}: {path}", source.path));
            }
        }
    }
    assert_eq!(broken, NONE);
}

/// Anything that would be a rule is in a file named for it.
#[test]
fn doors_declare_and_re_export() {
    let broken = breaking(|source| {
        if !source.is_door() {
            return vec![];
        }
        let items =
            ["fn ", "struct ", "enum ", "impl ", "impl<", "const ", "static ", "trait ", "type ", "macro_rules!"];
        let lines = source.code.lines().map(|line| {
            line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").trim_start_matches("async ").to_owned()
        });
        lines.filter(|line| items.iter().any(|it| line.starts_with(it))).collect()
    });
    assert_eq!(broken, NONE);
}

#[test]
fn each_library_stays_on_its_floor() {
    // The fleet copies whole stores: it speaks to servers as `db` does, on the operator's side.
    let floors: [(&str, &[&str]); 4] = [
        ("axum", &["http/"]),
        ("async_graphql", &["api/", "graphql/", "http/graphql/"]),
        ("tokio_postgres", &["db/", "fleet/"]),
        ("deadpool_postgres", &["db/"]),
    ];
    let broken = breaking(|source| {
        let uses = |library: &str| {
            let name = format!("{library}::");
            source
                .code
                .match_indices(&name)
                .any(|(at, _)| !source.code[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_'))
        };
        let may = |library: &str, rooms: &[&str]| {
            source.is_in(rooms) || library == "tokio_postgres" && source.role() == "queries.rs"
        };
        floors.iter().filter(|(library, rooms)| uses(library) && !may(library, rooms)).map(|it| it.0.into()).collect()
    });
    assert_eq!(broken, NONE);
}

#[test]
fn rules_know_neither_sql_nor_graphql() {
    let broken = breaking(|source| {
        let of_graphql = |it: &Module| matches!(it.first().map(String::as_str), Some("graphql" | "api" | "http"));
        let paths = source.paths().into_iter().map(|it| it.0);
        let graphql = paths.filter(|it| source.path.starts_with("features/") && of_graphql(it)).map(|it| it.join("::"));
        let runs = [".query(", ".query_opt(", ".query_one(", ".execute("];
        let sql = source.is_rule() && runs.iter().any(|it| source.code.contains(it));
        graphql.chain(sql.then(|| "runs a statement".to_owned())).collect()
    });
    assert_eq!(broken, NONE);
}

#[test]
fn whoever_holds_the_gate_starts_work() {
    // Resolvers, rules and queries get a transaction; only these open one.
    let allowed = [
        "db/",
        "http/",
        "cli/",
        "seed.rs",
        "worker/",
        "fleet/",
        "api/context.rs",
        // The sign-in path hashes between transactions, never inside one.
        "features/auth/sign_in.rs",
        // Charges are looked up and recorded outside the request's transaction.
        "features/usage/",
        "features/platform/",
        // Calls to a payment provider happen between two transactions.
        "features/billing/engine.rs",
        "features/billing/payments/",
    ];
    let broken = breaking(|source| {
        let holds = source.paths().iter().any(|(path, _)| *path == ["db", "Gate"]);
        if holds && !source.is_in(&allowed) { vec!["db::Gate".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

/// Roles that bypass the policies are unreachable for requests: only the command line and its background work use the
/// operator's logins.
#[test]
fn no_request_reaches_the_operators_logins() {
    let broken = breaking(|source| {
        let reaches = source.paths().iter().any(|(path, _)| path.first().is_some_and(|it| it == "fleet"));
        if reaches && !source.is_in(&["fleet/", "cli/"]) { vec!["fleet".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

/// A changed subscription is reviewed: only `standing.rs` consumes the value that requires it.
#[test]
fn a_changed_subscription_is_reviewed() {
    let broken = breaking(|source| {
        let takes = source.code.contains("into_subscription(") || source.code.contains("NeedsReview");
        let may = source.is_in(&["features/billing/standing.rs", "features/billing/subscriptions/"]);
        if takes && !may { vec!["NeedsReview".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

/// docs/decisions/0013: settings-based row-level security does not survive injected SQL, so none is ever built.
#[test]
fn statements_stand_in_queries_and_name_themselves() {
    let broken = breaking(|source| {
        let mut found = Vec::new();
        let is_queries = source.role() == "queries.rs";
        for line in source.code.lines().map(str::trim_start) {
            let verbs = ["select ", "insert into ", "update ", "delete from "];
            let opens = verbs.iter().any(|verb| line.trim_start_matches('"').starts_with(verb));
            // The fleet reads table and column names from the catalogue, never from a request.
            let is_below = source.is_in(&["db/", "fleet/"]);
            if opens && !is_queries && !is_below {
                found.push(format!("a statement: {line}"));
            }
        }
        // There is one way to run a statement, and each starts with its name.
        if is_queries {
            let runs = [".query(", ".query_opt(", ".query_one(", ".execute("];
            let run: usize = runs.iter().map(|it| source.code.matches(it).count()).sum();
            let named = source.code.matches("\"-- ").count();
            if named < run {
                found.push(format!("{run} statements, {named} names"));
            }
            if source.code.contains("format!(\"-- ") || source.code.contains("&format!(") {
                found.push("builds SQL from parts".into());
            }
        }
        found
    });
    assert_eq!(broken, NONE);
}

/// Wall 1: every statement on tenant data names the tenant, as a bind parameter.
#[test]
fn every_statement_names_its_tenant() {
    let broken = breaking(|source| {
        if source.role() != "queries.rs" {
            return vec![];
        }
        let statements = source.code.split("\"-- ").skip(1);
        statements
            .filter_map(|text| {
                let name = text.lines().next()?.trim();
                let end = text.find("\n        )").unwrap_or(text.len());
                let body = &text[..end];
                let is_directorys = |it: &&str| name == *it || it.ends_with('.') && name.starts_with(*it);
                let directory = DIRECTORY.iter().any(is_directorys) || OF_EACH.contains(&name);
                let says = body.contains("tenant_id = $1")
                    || body.contains("where_filter!")
                    || body.contains("(tenant_id,") && body.contains("$1")
                    || body.contains("$1::uuid::text");
                (!directory && !says).then(|| name.to_owned())
            })
            .collect()
    });
    assert_eq!(broken, NONE);
}

/// Statements of the directory, which belongs to no tenant: whole files of them, and single ones.
const DIRECTORY: [&str; 35] = [
    "platform.",
    "moving.",
    "joining.leave_store",
    "operators.",
    "requests.",
    "plans.",
    "payments.tenant_of",
    "payments.keep_event",
    "payments.take_events",
    "payments.settle_event",
    "payments.note_event_failure",
    "payments.dead_events",
    "payments.revive_event",
    "payments.purge_events",
    "payments.note_customer",
    "entitlements.lock_rollouts",
    "entitlements.upsert_rollout",
    "entitlements.rollouts",
    "entitlements.behind",
    "entitlements.note_seen",
    "auth.logins_of",
    "auth.take_from_bucket",
    "auth.sweep_buckets",
    "auth.is_bucket_set",
    "auth.set_bucket",
    "auth.claim_login",
    "joining.insert_tenant",
    "joining.activate_tenant",
    "joining.abandon_tenant",
    "joining.tenants_begun_before",
    "joining.tenant_of_slug",
    "tenants.api_cost",
    "tenants.offers",
    "tenants.register",
    "tenants.id_of_slug",
];
/// A function that looks at each tenant in that tenant's own scope.
const OF_EACH: [&str; 1] = ["outbox.with_due_effects"];

#[test]
fn unsafe_code_stands_in_two_places() {
    let broken = breaking(|source| {
        // The code that runs in a child before it becomes PostgreSQL, and the release of memory pages.
        let may_be = source.is_in(&["embedded/", "base/footprint.rs"]);
        let is_there = source.code.contains("unsafe ") && !may_be;
        if is_there { vec!["unsafe".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

#[test]
fn the_checker_reads_nested_imports_and_follows_doors() {
    let mut paths = Vec::new();
    expand("", "db::{error::DbError, tx::{A, self as b}, Gate};", &mut paths);
    let paths: Vec<_> = paths.iter().map(|(path, alias)| (path.as_str(), alias.as_deref())).collect();
    assert_eq!(paths, [("db::error::DbError", None), ("db::tx::A", None), ("db::tx", Some("b")), ("db::Gate", None)]);

    let files = [
        ("lib.rs", "pub mod base;\npub mod features;"),
        ("base/mod.rs", "pub mod ids;"),
        ("base/ids.rs", "use crate::features::users;\nfn f() { users::list() }"),
        ("features/mod.rs", "pub mod users;"),
        (
            "features/users/mod.rs",
            "mod model;\nmod accounts;\npub use accounts::list;\npub use model::{User, Role as R};",
        ),
        (
            "features/users/accounts.rs",
            "use super::{R, model};\nuse crate::base::ids;\n// crate::features::no\nids::new()",
        ),
        ("features/users/model.rs", "use super::accounts::list;"),
    ];
    let house = House::of(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())));
    let imports = |at: usize| house.imports(&house.sources[at]).into_keys().collect::<Vec<_>>();
    assert_eq!(imports(2), ["features/users/accounts.rs"]);
    assert_eq!(imports(5), ["base/ids.rs", "features/users/model.rs"]);
    assert_eq!(imports(6), ["features/users/accounts.rs"]);
}
