//! All stores together: migrated, exported, imported, erased.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tenantry::{
    base::ids::TenantId,
    db::{Isolation, Placement, StoreSettings, migrations, roles},
    fleet::{
        FleetError, Upgraded,
        archive::{self, Import},
    },
};

use crate::support::{Options, PASSWORD, TestApp, TestTenant, code, everything, relay::Relay, server, unlimited};

async fn app() -> TestApp {
    let app = TestApp::start_with(Options { isolation: Isolation::Shared, ..Options::default() }).await;
    app.database.prepare_template().await;
    unlimited(&app).await;
    app
}

async fn upgrade(app: &TestApp) -> Vec<Upgraded> {
    app.fleet.upgrade(app.fleet.stores().await.unwrap(), |_| ()).await
}

/// A tenant whose store is at this migration.
async fn at_version(app: &TestApp, slug: &str, isolation: Isolation, version: i32) -> TenantId {
    let id = TenantId(uuid::Uuid::now_v7());
    let place = app.places.new_place(isolation, None, id).unwrap();
    let location = place.location().unwrap();
    if let Some(database) = &location.database {
        app.by_hand(&format!("create database {database} owner tenantry_owner")).await;
        let inside = crate::support::TestDatabase::connect_to("postgres", database).await;
        inside.batch_execute(tenantry::db::roles::BOOTSTRAP_DATABASE).await.unwrap();
    }
    let owner: tokio_postgres::Config = app.database.url("tenantry_owner").await.parse().unwrap();
    migrations::migrate_store_to(&location.config(&owner), &location.schema, version).await.unwrap();
    app.by_hand(&format!(
        "insert into directory.tenants (id, slug, name, created_at, isolation, url, store_ready_at)
         values ('{}', '{slug}', '{slug}', now(), '{}', '{}', now())",
        id.0,
        isolation.as_str(),
        place.url().unwrap()
    ))
    .await;
    id
}

/// Another server has its own template, which is migrated with the rest; a server that does not respond is reported.
#[tokio::test(flavor = "multi_thread")]
async fn every_server_has_a_template() {
    let app = app().await;
    let relay = Relay::start(&app.database.url(roles::OWNER).await).await;
    let newest = migrations::newest_of_stores();
    at_version(&app, "a", Isolation::Database, newest).await;
    let names = async || {
        let stores = app.fleet.stores().await.unwrap();
        stores.into_iter().map(|it| it.name.split(" at ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["(template)", "a"]);
    let url = relay.before(&app.truth("select url from directory.tenants").await[0]);
    app.by_hand(&format!("update directory.tenants set url = '{url}'")).await;
    assert_eq!(names().await, ["(template)", "(template", "a"]);
    let elsewhere = async || app.fleet.standing().await.unwrap().into_iter().find(|it| it.store.name.contains(" at "));
    assert_eq!(elsewhere().await.unwrap().version, Ok(newest));
    relay.speak(false);
    assert!(elsewhere().await.unwrap().version.is_err());
    let done = upgrade(&app).await;
    let failed: Vec<_> = done.iter().filter(|it| it.applied.is_err()).map(|it| it.store.name.as_str()).collect();
    assert_eq!((done.len(), failed.len()), (3, 2), "{failed:?}");
}

/// The table of the last migration of the tenant store that creates one.
fn newest_table() -> String {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/tenant")).unwrap();
    let mut files: Vec<_> = folder.map(|it| it.unwrap().path()).collect();
    files.sort();
    let creates = |it: &&std::path::PathBuf| std::fs::read_to_string(it).unwrap().contains("\ncreate table ");
    let newest = files.iter().rev().find(creates).unwrap().file_stem().unwrap().to_str().unwrap();
    newest.split_once("__").unwrap().1.to_owned()
}

/// Outdated stores are migrated in parallel; one that fails is reported, stays unchanged, and delays nobody.
#[tokio::test(flavor = "multi_thread")]
async fn stores_are_brought_up_to_date_one_by_one() {
    let app = app().await;
    let newest = migrations::newest_of_stores();
    let (old, older) = (newest - 1, newest - 3);
    at_version(&app, "a", Isolation::Schema, old).await;
    at_version(&app, "b", Isolation::Database, older).await;
    at_version(&app, "c", Isolation::Schema, older).await;
    let good = at_version(&app, "d", Isolation::Schema, newest).await;
    // This one was changed manually: the object of the last migration already exists.
    let url = app.truth("select url from directory.tenants where slug = 'c'").await.remove(0);
    let schema = url.split("schema=").nth(1).unwrap().to_owned();
    let table = newest_table();
    app.by_hand(&format!("create table {schema}.{table} ()")).await;

    let standing = async || {
        let all = app.fleet.standing().await.unwrap();
        let told: Vec<(String, Option<i32>)> = all.iter().map(|it| (it.store.name.clone(), it.behind())).collect();
        told
    };
    let told = |name: &str, behind| (name.to_owned(), Some(behind));
    let expected =
        vec![told("(shared)", 0), told("(template)", 0), told("a", 1), told("b", 3), told("c", 3), told("d", 0)];
    assert_eq!(standing().await, expected);
    let mut heard = Vec::new();
    let stores = app.fleet.stores().await.unwrap();
    let done = app.fleet.upgrade(stores, |it| heard.push(it.store.name.clone())).await;
    assert_eq!((heard.len(), done.len()), (5, 5), "each is reported");
    for it in &done {
        let applied = it.applied.as_ref().map(Vec::len);
        match it.store.name.as_str() {
            "a" => assert_eq!(applied, Ok(1)),
            "b" => assert_eq!(applied, Ok(3)),
            "c" => assert!(applied.is_err_and(|why| why.contains(&schema))),
            _ => assert_eq!(applied, Ok(0)),
        }
    }
    let behind = async || {
        let mut all = standing().await;
        all.retain(|(_, behind)| *behind != Some(0));
        all
    };
    let left = behind().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].0, "c");
    // Once the cause is fixed, it continues where it failed.
    app.by_hand(&format!("drop table {schema}.{table}")).await;
    upgrade(&app).await;
    assert_eq!(behind().await, []);
    // An unreachable one is reported, as is its server's template, and the others are reported anyway.
    app.by_hand(&format!(
        "update directory.tenants set url = 'postgresql://127.0.0.1:9/x?schema=tenant' where id = '{}'",
        good.0
    ))
    .await;
    let unreached: Vec<_> = standing().await.into_iter().filter(|(_, behind)| behind.is_none()).collect();
    assert_eq!(unreached, [("(template at 127.0.0.1:9)".to_owned(), None), ("d".to_owned(), None)]);
}

/// A store that this program can still serve is served unchanged; one that is too old is not, without affecting others.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_served_at_its_version_unless_it_is_too_old() {
    let old = migrations::OLDEST_STORE - 1;
    for (oldest, serves) in [(old, true), (migrations::OLDEST_STORE, false)] {
        let stores = StoreSettings { oldest, ..StoreSettings::default() };
        let app = TestApp::start_with(Options { isolation: Isolation::Shared, stores, ..Options::default() }).await;
        let id = at_version(&app, "old", Isolation::Schema, old).await;
        app.by_hand(&format!(
            "insert into {}.tenant_state (tenant_id, slug, name, time_zone, currency, plan_id, plan_version_id, created_at, updated_at)
             values ('{}', 'old', 'Old', 'UTC', 'EUR', gen_random_uuid(), gen_random_uuid(), now(), now())",
            app.gate.placement(id).await.unwrap().location().unwrap().schema,
            id.0
        ))
        .await;
        let ask = async || {
            let tx = app.gate.tenant(tenantry::db::Scope::worker(id), tenantry::db::Access::Read);
            let sql = "-- test.slug\n select slug from tenant_state where tenant_id = $1";
            tx.query(sql, &[&id]).await.map(|rows| rows.len())
        };
        match ask().await {
            Ok(rows) => assert_eq!((rows, serves), (1, true)),
            Err(error) => assert!(!serves && matches!(error, tenantry::db::DbError::Unavailable(_)), "{error}"),
        }
        upgrade(&app).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await; // It is looked at again after a second.
        assert_eq!(ask().await.unwrap(), 1);
    }
}

/// The command, as an operator types it.
#[tokio::test(flavor = "multi_thread")]
async fn the_operators_commands_do_what_they_say() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let data_dir = server::folder();
    let urls = [
        ("DATABASE_URL", app.database.url("tenantry_app").await),
        ("DATABASE_OWNER_URL", app.database.url("tenantry_owner").await),
        ("DATABASE_PLATFORM_URL", app.database.url("tenantry_platform").await),
    ];
    let run = |arguments: &[&str]| {
        let mut command = server::program();
        let command =
            server::quiet(&mut command, data_dir.path()).envs(urls.iter().map(|(name, url)| (*name, url.as_str())));
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (done, text) = run(&["tenant", "move", "acme", "--to", "database"]);
    assert!(done && text.contains("acme was moved") && text.contains("writers waited for"), "{text}");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(9)).await), "");
    let (done, text) = run(&["migrate", "--status"]);
    assert!(
        done && text.contains("acme") && text.contains("DATABASE") && text.contains("0 not at migration"),
        "{text}"
    );
    let (done, text) = run(&["migrate"]);
    assert!(done && text.contains("2 of 2 dedicated tenant stores"), "{text}");
    let file = data_dir.path().join("acme.tar");
    let file = file.to_str().unwrap();
    let (done, text) = run(&["tenant", "export", "acme", file]);
    assert!(done && text.contains("acme was exported to"), "{text}");
    let (done, text) = run(&["tenant", "import", file, "--to", "schema", "--slug", "copy", "--new-ids"]);
    assert!(done && text.contains("copy was imported as tnt_"), "{text}");
    let (done, text) = run(&["tenant", "erase", "acme"]);
    assert!(!done && text.contains("--yes"), "{text}");
    let (done, text) = run(&["tenant", "erase", "acme", "--yes", "--keep", file]);
    assert!(done && text.contains("bookings"), "{text}");
    let (done, text) = run(&["tenant", "erase", "acme", "--yes"]);
    assert!(!done && text.contains("there is no tenant acme"), "{text}");
    assert_eq!(app.truth("select slug from directory.tenants").await, ["copy"]);
}

async fn login(app: &TestApp, email: &str, tenant: &str) -> Value {
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        user { email bookings { nodes { service { name } } } tenant { slug isolation } } userErrors { code } } }";
    let input = json!({ "email": email, "password": PASSWORD, "tenant": tenant });
    app.anonymous().run_with(query, json!({ "input": input })).await
}

/// An import equals the export, and no other tenant's row changes by a byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_comes_back_from_a_file_as_it_was() {
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    acme.booking(3).await;
    globex.booking(3).await;
    // Values that a careless format would break.
    let odd = "tab\tline\nback\\slash \u{1F600} \\N 'quote' \"double\"";
    let rename = "mutation($id: ID!, $name: String!) { updateService(input: { id: $id, name: $name, description: $name }) { userErrors { code } } }";
    acme.admin.run_with(rename, json!({ "id": acme.service, "name": "Odd" })).await;
    app.by_hand(&format!("update shared.services set description = $odd${odd}$odd$ where tenant_id = '{}'", acme.id.0))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.tar");
    let before = everything(&acme).await;
    let manifest = app.fleet.export(acme.id, &file, |_| ()).await.unwrap();
    assert_eq!(manifest.tables.iter().map(|it| it.rows).sum::<i64>(), before.len() as i64);
    assert_eq!(archive::read_manifest(&file).unwrap(), manifest);
    assert!(!folder.path().join("acme.tar.partial").exists());
    assert_eq!(everything(&acme).await, before, "it was only read");

    let keep = Import { placement: Placement::Shared, slug: None, anew: None };
    let refused = app.fleet.import(&file, &keep).await.unwrap_err().to_string();
    assert!(refused.contains("already exists here"), "{refused}");
    for isolation in [Isolation::Shared, Isolation::Schema, Isolation::Database] {
        let others = everything(&globex).await;
        app.fleet.erase(acme.id, Some(&folder.path().join("again.tar"))).await.unwrap();
        assert_eq!(code(&login(&app, "user@acme.test", "acme").await), "WRONG_CREDENTIALS");
        let placement = app.places.new_place(isolation, None, acme.id).unwrap();
        let how = Import { placement, ..keep.clone() };
        app.fleet.import(&file, &how).await.unwrap();
        assert_eq!(everything(&acme).await, before, "{isolation:?}");
        assert_eq!(everything(&globex).await, others, "{isolation:?}");
        let seen = login(&app, "user@acme.test", "acme").await;
        let tenant = json!({ "slug": "acme", "isolation": isolation.as_str() });
        assert_eq!(seen["data"]["login"]["user"]["tenant"], tenant, "{seen}");
        let chain = acme.admin.run("{ verifyAuditChain { intact } }").await;
        assert_eq!(chain["data"]["verifyAuditChain"]["intact"], true, "{chain}");
    }
}

/// With new ids a tenant exists beside its original, and neither affects the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_stands_beside_its_original() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.tar");
    app.fleet.export(acme.id, &file, |_| ()).await.unwrap();
    let before = everything(&acme).await;
    for (slug, isolation) in [("copy", Isolation::Shared), ("other-copy", Isolation::Database)] {
        let id = TenantId(uuid::Uuid::now_v7());
        let placement = app.places.new_place(isolation, None, id).unwrap();
        let how = Import { placement, slug: Some(slug.into()), anew: Some(id) };
        app.fleet.import(&file, &how).await.unwrap();
        assert_eq!(everything(&acme).await, before, "the original is as it was");
        let copy = TestTenant { id, slug: slug.into(), ..acme.clone() };
        let there = everything(&copy).await;
        let seen = login(&app, "user@acme.test", slug).await;
        assert_eq!(seen["data"]["login"]["user"]["bookings"]["nodes"][0]["service"]["name"], "Haircut", "{seen}");
        let raw = booking.parse::<tenantry::base::ids::BookingId>().unwrap().0.to_string();
        for row in &there {
            assert!(!row.contains(&raw) && !row.contains(&acme.id.0.to_string()), "{row}");
        }
        let kinds = |rows: &[String], kind: &str| rows.iter().filter(|it| it.starts_with(kind)).count();
        for kind in ["users ", "bookings ", "services ", "audit_events ", "credentials "] {
            assert_eq!(kinds(&there, kind), kinds(&before, kind), "{kind}");
        }
        // Sessions of the original do not work in the copy, and nobody is notified twice.
        assert_eq!((kinds(&there, "sessions "), kinds(&there, "outbox ")), (0, 0));
        let viewer = app.sign_in.trusted_session(id, "admin@acme.test").await.unwrap();
        let token = app.tokens.issue(&viewer, jiff::Timestamp::now()).unwrap().0;
        let chain = app.bearer(Some(&token)).run("{ verifyAuditChain { intact events } }").await;
        assert_eq!(chain["data"]["verifyAuditChain"]["intact"], true, "{chain}");
    }
    let how = Import { placement: Placement::Shared, slug: None, anew: Some(TenantId(uuid::Uuid::now_v7())) };
    let refused = app.fleet.import(&file, &how).await.unwrap_err().to_string();
    assert!(refused.contains("already in use"), "{refused}");
}

/// An interrupted export reuses its finished parts, unless they have changed; a tampered file is refused and leaves
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_goes_on_and_what_is_damaged_is_refused() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.tar");
    let cut_off = app.fleet.export(acme.id, &file, |part| assert_ne!(part.name, "bookings", "cut off here"));
    let cut_off = std::panic::AssertUnwindSafe(cut_off);
    assert!(futures_util::FutureExt::catch_unwind(cut_off).await.is_err());
    let part = |name: &str| folder.path().join("acme.tar.partial/tables").join(name);
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let (kept, renewed) = (written(&part("users.tsv")), written(&part("services.tsv")));
    acme.admin.create_service(json!({ "name": "New since" })).await;
    // A copy of what is there, since it goes in the end.
    let mut seen = (None, None);
    app.fleet
        .export(acme.id, &file, |it| match it.name.as_str() {
            "users" => seen.0 = Some(written(&part("users.tsv"))),
            "services" => seen.1 = Some(written(&part("services.tsv"))),
            _ => {}
        })
        .await
        .unwrap();
    assert_eq!(seen.0, Some(kept), "the same rows are not written again");
    assert_ne!(seen.1, Some(renewed), "others are");
    let again = folder.path().join("again.tar");
    app.fleet.export(acme.id, &again, |_| ()).await.unwrap();
    let tables = |file| archive::read_manifest(file).unwrap().tables;
    let sums = |file| tables(file).into_iter().map(|it| (it.name, it.checksum)).collect::<Vec<_>>();
    assert_eq!(sums(&file), sums(&again), "as if it had never been interrupted");

    let whole = fs::read(&file).unwrap();
    app.fleet.erase(acme.id, Some(&again)).await.unwrap();
    let keep = Import { placement: Placement::Shared, slug: None, anew: None };
    let place = whole.windows(7).position(|it| it == b"Haircut").unwrap();
    let mut tampered = whole.clone();
    tampered[place] = b'L';
    for (bytes, why) in
        [(tampered, "damaged"), (whole[..whole.len() / 2].to_vec(), ""), (b"nonsense".to_vec(), "not a tenant archive")]
    {
        let bad = folder.path().join("bad.tar");
        fs::write(&bad, bytes).unwrap();
        let refused = app.fleet.import(&bad, &keep).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(app.truth("select count(*) from shared.tenant_state").await, ["0"]);
        assert_eq!(app.truth("select count(*) from directory.tenants").await, ["0"]);
    }
    app.fleet.import(&file, &keep).await.unwrap();
    assert_eq!(code(&login(&app, "user@acme.test", "acme").await), "");
}

/// An erased tenant leaves only the platform's records; invoices are not erased without a file for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_proves_what_is_left() {
    let app = app().await;
    for isolation in [Isolation::Shared, Isolation::Database] {
        let slug = isolation.as_str().to_lowercase();
        let (acme, other) = (app.tenant(&slug).await, app.tenant(&format!("not-{slug}")).await);
        acme.booking(3).await;
        let root = app.bearer(Some(&operator(&app).await));
        if isolation != Isolation::Shared {
            let query =
                "mutation($id: ID!) { moveTenant(input: { id: $id, isolation: DATABASE }) { userErrors { code } } }";
            root.run_with(query, json!({ "id": acme.id.to_string() })).await;
            let busy = app.fleet.erase(acme.id, None).await.unwrap_err().to_string();
            assert!(busy.contains("being moved"), "{busy}");
            app.fleet.work().await;
        }
        app.billing.run(acme.id, app.clock.now()).await.unwrap();
        let refused = app.fleet.erase(acme.id, None).await.unwrap_err();
        assert!(matches!(&refused, FleetError::Refused(why) if why.contains("invoices")), "{refused}");
        assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "", "it is still there");
        let others = everything(&other).await;
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept.tar");
        app.gate.close_idle_stores(); // Nobody is connected to its store.
        let erased = app.fleet.erase(acme.id, Some(&kept)).await.unwrap();
        assert!(erased.invoices_kept > 0);
        assert!(archive::read_manifest(&kept).unwrap().tables.iter().any(|it| it.name == "invoices" && it.rows > 0));
        assert!(erased.remains.iter().any(|it| it.table == "bookings" && it.before == 1));
        let left: Vec<_> = erased.remains.iter().filter(|it| it.after > 0).map(|it| it.table.as_str()).collect();
        assert_eq!(left, ["directory.platform_events"], "{:?}", erased.remains);
        assert_eq!(erased.store_is_gone, (isolation != Isolation::Shared).then_some(true));
        assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "UNAUTHENTICATED");
        assert_eq!(everything(&other).await, others);
        for table in ["shared.tenant_state", "shared.users", "shared.audit_events", "directory.logins"] {
            let count = format!("select count(*) from {table} where tenant_id = '{}'", acme.id.0);
            assert_eq!(app.truth(&count).await, ["0"], "{table}");
        }
    }
}

async fn operator(app: &TestApp) -> String {
    let password = "an operators long secret";
    let _ = app.sign_in.add_operator("root@example.test", "Robin", password.into()).await.unwrap();
    let query = "mutation($p: String!) { platformLogin(input: { email: \"root@example.test\", password: $p }) { session { accessToken } } }";
    let answer = app.anonymous().run_with(query, json!({ "p": password })).await;
    answer["data"]["platformLogin"]["session"]["accessToken"].as_str().unwrap().to_owned()
}
