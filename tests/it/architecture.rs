//! Who may import whom: the rules of ARCHITECTURE.md, checked on the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Features in order: each may call those before it, by their `mod.rs`.
const FEATURES: [&str; 19] = [
    "audit",
    "outbox",
    "idempotency",
    "tenants",
    "usage",
    "entitlements",
    "users",
    "invitations",
    "resources",
    "services",
    "hours",
    "bookings",
    "series",
    "waitlist",
    "calendars",
    "notices",
    "webhooks",
    "billing",
    "platform",
];

struct Source {
    /// Below `src`, such as `bookings/queries.rs`.
    path: String,
    /// Without comments, texts and unit tests.
    code: String,
}

impl Source {
    fn feature(&self) -> Option<&str> {
        self.path.split('/').next().filter(|it| FEATURES.contains(it))
    }

    fn role(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Every path below `crate::`, with what stands in braces spelt out.
    fn crate_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(at) = rest.find("crate::") {
            rest = &rest[at + "crate::".len()..];
            expand("", rest, &mut paths);
        }
        paths
    }
}

/// `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn expand(prefix: &str, text: &str, paths: &mut Vec<String>) -> usize {
    let end = text.find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':')).unwrap_or(text.len());
    let head = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        paths.push(head);
        return end;
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

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            Source {
                path: file.strip_prefix(&root).unwrap().to_string_lossy().into_owned(),
                code: lines.collect::<Vec<_>>().join("\n"),
            }
        })
        .collect()
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

/// The sources that break a rule, as `path: what`.
fn breaking(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(|it| rule(it).into_iter().map(|what| format!("{}: {what}", it.path))).collect()
}

const NONE: Vec<String> = Vec::new();

#[test]
fn a_feature_calls_only_leftwards_and_only_the_front_door() {
    let broken = breaking(|source| {
        let Some(own) = source.feature() else { return vec![] };
        let place = |name: &str| FEATURES.iter().position(|it| *it == name);
        source
            .crate_paths()
            .into_iter()
            .filter(|path| {
                let mut parts = path.split("::");
                let (Some(other), next) = (parts.next(), parts.next()) else { return false };
                if place(other).is_none() || other == own {
                    return false;
                }
                // Nodes and loaders of the API may name each other in any direction.
                if source.role() == "graphql.rs" && next == Some("graphql") {
                    return false;
                }
                place(other) > place(own) || matches!(next, Some("queries" | "graphql" | "loaders"))
            })
            .collect()
    });
    assert_eq!(broken, NONE);
}

/// Whether a library may be used there.
type Allowed = fn(&Source) -> bool;

#[test]
fn each_library_stays_on_its_floor() {
    let floors: [(&str, Allowed); 4] = [
        ("axum", |it| it.path.starts_with("http/") || it.path.starts_with("auth/") || it.path == "cli/serve.rs"),
        ("async_graphql", |it| {
            it.path.starts_with("graphql/")
                || it.path.starts_with("http/graphql/")
                || matches!(it.role(), "graphql.rs" | "loaders.rs" | "subscriptions.rs")
        }),
        ("tokio_postgres", |it| {
            it.path.starts_with("db/")
                || it.path.starts_with("fleet/")
                || it.role() == "queries.rs"
                || it.path == "cli/database.rs"
        }),
        ("deadpool_postgres", |it| it.path.starts_with("db/")),
    ];
    let broken = breaking(|source| {
        let uses = |library: &str| source.code.contains(&format!("{library}::"));
        floors.iter().filter(|(library, allowed)| uses(library) && !allowed(source)).map(|it| it.0.into()).collect()
    });
    assert_eq!(broken, NONE);
}

#[test]
fn rules_know_neither_sql_nor_graphql() {
    let broken = breaking(|source| {
        let is_rule = source.feature().is_some()
            && !matches!(source.role(), "queries.rs" | "graphql.rs" | "loaders.rs" | "subscriptions.rs");
        let paths = source.crate_paths();
        let graphql = paths.iter().filter(|path| is_rule && path.starts_with("graphql")).cloned();
        let sql =
            is_rule && [".query(", ".query_opt(", ".query_one(", ".execute("].iter().any(|it| source.code.contains(it));
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
        "cli",
        "seed.rs",
        "worker.rs",
        "auth/sign_in.rs",
        "graphql/context.rs",
        "graphql/rates.rs",
        "platform/",
        // What talks to a payment provider stands between two transactions.
        "billing/mod.rs",
        "billing/payments/",
        "usage/api_cost.rs",
        "fleet/",
    ];
    let broken = breaking(|source| {
        let holds = source.crate_paths().iter().any(|it| it == "db::Gate");
        let is_allowed = allowed.iter().any(|it| source.path.starts_with(it));
        if holds && !is_allowed { vec!["db::Gate".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

/// Whom no policy binds, no request reaches: the operator's logins are the command line's and its background work's.
#[test]
fn no_request_reaches_the_operators_logins() {
    let broken = breaking(|source| {
        let reaches = source.crate_paths().iter().any(|it| it.starts_with("fleet"));
        let is_allowed = source.path.starts_with("fleet/") || source.path.starts_with("cli");
        if reaches && !is_allowed { vec!["fleet".into()] } else { vec![] }
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
            // The fleet reads tables and columns off the catalogue, never from a request.
            let is_below = ["db/", "fleet/", "cli/database.rs"].iter().any(|it| source.path.starts_with(it));
            if opens && !is_queries && !is_below {
                found.push(format!("a statement: {line}"));
            }
        }
        // One way to run a statement, each with its name in front.
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

/// Wall 1: every statement on tenant data says the tenant, as a bind parameter.
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
        // What a child does before it is PostgreSQL, and which pages of memory the system may take.
        let may_be = source.path.starts_with("embedded") || source.path == "footprint.rs";
        let is_there = source.code.contains("unsafe ") && !may_be;
        if is_there { vec!["unsafe".into()] } else { vec![] }
    });
    assert_eq!(broken, NONE);
}

#[test]
fn the_checker_reads_nested_imports() {
    let mut paths = Vec::new();
    expand("", "db::{error::DbError, tx::{A, B}, Gate};", &mut paths);
    assert_eq!(paths, ["db::error::DbError", "db::tx::A", "db::tx::B", "db::Gate"]);
}
