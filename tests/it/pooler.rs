//! Through PgBouncer in transaction mode: no state is left in a session, and no caller gets another's answer.

use std::sync::Arc;

use serde_json::json;
use tenantry::db::{Isolation, roles};

use crate::support::{Options, Person, TestApp, TestDatabase, code, pooler};

/// docs/decisions/0024: statements of several processes on the same two sessions, of two tenants and in three kinds of
/// store.
#[tokio::test(flavor = "multi_thread")]
async fn every_transaction_may_meet_another_session() {
    let database = Arc::new(TestDatabase::create().await);
    database.prepare_template().await;
    if pooler::url(&database.url(roles::APP).await).await.is_none() {
        return;
    }
    let options = |isolation| Options { through_pooler: true, isolation, ..Options::default() };
    let mut apps = Vec::new();
    for isolation in [Isolation::Shared, Isolation::Schema, Isolation::Database, Isolation::Shared] {
        apps.push(TestApp::on(database.clone(), options(isolation)).await);
    }
    let mut tenants = Vec::new();
    for (nth, app) in apps.iter().enumerate() {
        tenants.push(app.tenant(&format!("tenant-{nth}")).await);
    }
    for tenant in &tenants {
        tenant.booking(3).await;
    }
    let mut tasks = Vec::new();
    for nth in 0..24_usize {
        // Each request goes to any of the processes.
        let (app, tenant) = (apps[nth % apps.len()].clone(), tenants[(nth / 2) % tenants.len()].clone());
        tasks.push(tokio::spawn(async move {
            let person = |it: &Person| Person { app: app.clone(), ..it.clone() };
            let (user, admin) = (person(&tenant.user), person(&tenant.admin));
            for turn in 0..12 {
                let seen =
                    user.run("{ viewer { email } bookings { nodes { customer { email } service { name } } } }").await;
                let email = format!("user@{}.test", tenant.slug);
                assert_eq!(seen["data"]["viewer"]["email"], json!(email), "{seen}");
                assert_eq!(seen["data"]["bookings"]["nodes"][0]["customer"]["email"], json!(email), "{seen}");
                if turn % 4 == 0 {
                    let seen = admin.run("{ tenant { slug } users(first: 100) { nodes { email } } }").await;
                    assert_eq!(seen["data"]["tenant"]["slug"], json!(tenant.slug), "{seen}");
                    assert_eq!(seen.to_string().matches(&format!("@{}.test", tenant.slug)).count(), 4, "{seen}");
                    admin.create_service(json!({ "name": format!("S{nth}-{turn}") })).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // Nothing was left in a session: no statement name, no search path, no scope.
    let direct = database.connect("postgres").await;
    let leaked = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'tenantry_app' and query ilike 'prepare%'";
    assert_eq!(direct.query_one(leaked, &[]).await.unwrap().get::<_, i64>(0), 0);
    let through = pooler::url(&database.url(roles::APP).await).await.unwrap();
    for _ in 0..6 {
        let (client, connection) = tokio_postgres::connect(&through, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = "select current_setting('search_path'), coalesce(current_setting('app.tenant_id', true), ''), (select count(*)::text from pg_prepared_statements)";
        let rows = client.simple_query(sql).await.unwrap();
        let row = rows.iter().find_map(|it| match it {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), (Some("\"$user\", public"), Some(""), Some("0")));
    }
}

/// Events reach other processes by a connection past the pooler, which does not support listening.
#[tokio::test(flavor = "multi_thread")]
async fn hints_go_past_the_pooler() {
    let database = Arc::new(TestDatabase::create().await);
    let direct = database.url(roles::APP).await;
    if pooler::url(&direct).await.is_none() {
        return;
    }
    let options = || Options { through_pooler: true, isolation: Isolation::Shared, ..Options::default() };
    let (one, two) = (TestApp::on(database.clone(), options()).await, TestApp::on(database.clone(), options()).await);
    let (_stop, stopping) = tokio::sync::watch::channel(None);
    for app in [&one, &two] {
        let (app, direct, stopping) = (app.clone(), direct.clone(), stopping.clone());
        tokio::spawn(async move { app.gate.changes().carry(&direct, stopping).await });
    }
    let acme = one.tenant("acme").await;
    let mut watch = two.gate.changes().watch(acme.id);
    for days in 3.. {
        assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(days)).await), "");
        let heard = tokio::time::timeout(std::time::Duration::from_secs(2), watch.recv()).await;
        if let Ok(Ok(tenantry::db::Change::Booking { .. })) = heard {
            return;
        }
        assert!(days < 30, "nothing is heard");
    }
}
