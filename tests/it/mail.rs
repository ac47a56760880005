//! Mail and the outbox with a real mail server in its own process, and the state after the server is killed.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenantry::{db::roles, features::mail::MailSettings};

use crate::support::{Mail, Options, TestApp, TestDatabase, code, server};

/// How long something that background work does may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// aiosmtpd, with the handler of `support/smtp.py`. Ends with the test.
struct SmtpServer {
    child: Child,
    url: String,
    out: PathBuf,
    _folder: TempDir,
}

impl SmtpServer {
    /// `None` without aiosmtpd, which is allowed only outside CI.
    fn start() -> Option<Self> {
        let has_it = |python: &str| {
            Command::new(python)
                .args(["-c", "import aiosmtpd"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|it| it.success())
        };
        let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(|it| has_it(it)) else {
            assert!(std::env::var_os("CI").is_none(), "CI has to have aiosmtpd: apt-get install python3-aiosmtpd");
            eprintln!("SKIPPED: no aiosmtpd here (apt-get install python3-aiosmtpd, or pip install aiosmtpd)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("mails");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/smtp.py");
        let mut child =
            Command::new(python).arg(script).arg(&out).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { child, url: format!("smtp://127.0.0.1:{}", port.trim()), out, _folder: folder })
    }

    /// Everything that was delivered so far: recipient and text.
    fn received(&self) -> Vec<(String, Mail)> {
        let text = std::fs::read_to_string(&self.out).unwrap_or_default();
        let read = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let raw = STANDARD.decode(line["raw"].as_str().unwrap()).unwrap();
            (line["to"][0].as_str().unwrap().to_owned(), Mail::parse(&raw))
        };
        text.lines().map(read).collect()
    }

    fn received_by(&self, to: &str) -> Vec<Mail> {
        self.received().into_iter().filter(|it| it.0 == to).map(|it| it.1).collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn invite(app: &TestApp, admin: &crate::support::Person, email: &str) {
    let query = "mutation($e: String!) { inviteUser(input: { email: $e, role: USER }) { userErrors { code } } }";
    let answer = admin.run_with(query, json!({ "e": email })).await;
    assert_eq!(code(&answer), "", "{answer}");
    let _ = app;
}

/// Sent, refused permanently, refused temporarily, and cut off before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_at_least_once_and_under_one_name() {
    let Some(smtp) = SmtpServer::start() else { return };
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let worker = app.worker_with(&MailSettings::Smtp(smtp.url.clone()));
    for email in
        ["new@example.test", "refuse@example.test", "later@example.test", "once@example.test", "ünï@exämple.test"]
    {
        invite(&app, &acme.admin, email).await;
    }
    worker.run_until_idle().await;
    let mail = &smtp.received_by("new@example.test")[0];
    assert_eq!((mail.from.as_str(), mail.subject.as_str()), ("ACME", "ACME has invited you"));
    assert!(mail.html.contains(&mail.token()) && mail.text.contains("https://app.test/account#accept-invitation=tnl_"));
    assert_eq!(
        smtp.received_by("ünï@exämple.test").len() + smtp.received_by("ünï@xn--exmple-cua.test").len(),
        1,
        "{:?}",
        smtp.received().iter().map(|it| it.0.clone()).collect::<Vec<_>>()
    );
    let left = "select payload->>'invitation' is not null, attempts, dead_at is not null, last_error ~ '550', last_error ~ '451' from shared.outbox order by last_error ~ '550' desc, last_error ~ '451' desc";
    assert_eq!(app.truth(left).await, ["t | 1 | f | t | f", "t | 1 | f | f | t", "t | 1 | f | f | f"]);

    // A temporary refusal is retried after its delay, and not before; a mail that was cut off is resent with the same
    // id.
    worker.run_until_idle().await;
    assert_eq!(app.truth("select sum(attempts) from shared.outbox").await, ["3"]);
    app.clock.advance(SignedDuration::from_secs(15));
    worker.run_until_idle().await;
    let twice = smtp.received_by("once@example.test");
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].id, twice[1].id);
    assert_ne!(twice[0].token(), twice[1].token(), "no token is kept, so each mail has its own");
    let accept = async |token: String| {
        let query = "mutation($t: String!) { acceptInvitation(input: { token: $t, name: \"X\", password: \"nine quiet lamps\" }) { userErrors { code } } }";
        code(&app.anonymous().run_with(query, json!({ "t": token })).await).to_owned()
    };
    // Whichever arrived is valid, once.
    assert_eq!(accept(twice[0].token()).await, "");
    assert_eq!(accept(twice[1].token()).await, "TOKEN_INVALID");
    assert_eq!(
        app.truth("select attempts, dead_at is not null from shared.outbox order by attempts").await,
        ["2 | f", "2 | f"]
    );
    // It is given up in the end.
    for _ in 0..20 {
        app.clock.advance(SignedDuration::from_hours(8));
        worker.run_until_idle().await;
    }
    assert_eq!(
        app.truth("select attempts, dead_at is not null from shared.outbox order by attempts").await,
        ["4 | t", "17 | t"]
    );
}

/// One tenant's thousand mails do not delay another's one, and two workers never send the same.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_take_turns_and_workers_share() {
    let app = TestApp::start().await;
    // On a free plan, so that no mail is about an invoice.
    let (acme, globex) = (app.tenant_on_plan("acme", "free").await, app.tenant_on_plan("globex", "free").await);
    app.by_hand(&format!(
        "insert into shared.outbox (tenant_id, id, kind, payload, created_at, available_at)
         select '{}', gen_random_uuid(), 'mail.password_changed', jsonb_build_object('user', '{}'), now(), now() from generate_series(1, 200)",
        acme.id.0, acme.user.id.0
    ))
    .await;
    app.by_hand(&format!(
        "insert into shared.outbox (tenant_id, id, kind, payload, created_at, available_at)
         select '{}', gen_random_uuid(), 'mail.password_changed', jsonb_build_object('user', '{}'), now() + interval '1 second', now() + interval '1 second'",
        globex.id.0, globex.user.id.0
    ))
    .await;
    let (stop, stopping) = tokio::sync::watch::channel(None::<String>);
    let folder = tempfile::tempdir().unwrap();
    let settings = MailSettings::Folder(folder.path().into());
    let workers = [app.worker_with(&settings).start(stopping.clone()), app.worker_with(&settings).start(stopping)];
    let begin = Instant::now();
    let left = async |tenant: &crate::support::TestTenant| -> usize {
        app.truth(&format!(
            "select count(*) from shared.outbox where kind !~ '^(billing|mail.invoice)' and tenant_id = '{}'",
            tenant.id.0
        ))
        .await[0]
            .parse()
            .unwrap()
    };
    while left(&globex).await > 0 {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(left(&acme).await > 50, "the other's mail went out long before the last of the many");
    while left(&acme).await > 0 {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.send_replace(Some("the test is over".into()));
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 201);
    assert_eq!(app.truth("select count(*) from shared.outbox where kind !~ '^(billing|mail.invoice)'").await, ["0"]);
}

/// An effect that this version does not know, as after a downgrade, waits and delays nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_effect_waits() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.by_hand(&format!(
        "insert into shared.outbox (tenant_id, id, kind, payload, created_at, available_at)
         values ('{}', gen_random_uuid(), 'future.effect', '{{\"x\": 1}}', now() - interval '1 hour', now() - interval '1 hour')",
        acme.id.0
    ))
    .await;
    invite(&app, &acme.admin, "new@example.test").await;
    app.mail_to("new@example.test").await;
    assert_eq!(
        app.truth("select kind, attempts, dead_at is null from shared.outbox where kind !~ '^(billing|mail.invoice)'")
            .await,
        ["future.effect | 1 | t"]
    );
}

/// A server as a process, on its own database, with a mail server.
struct Deployment {
    database: std::sync::Arc<TestDatabase>,
    data_dir: TempDir,
    smtp: SmtpServer,
    url: String,
    owner_url: String,
    /// In this process, to inspect and to prepare.
    app: TestApp,
}

impl Deployment {
    async fn start() -> Option<Self> {
        let smtp = SmtpServer::start()?;
        let database = std::sync::Arc::new(TestDatabase::create().await);
        let app = TestApp::on(database.clone(), Options::default()).await;
        let (url, owner_url) = (database.url(roles::APP).await, database.url(roles::OWNER).await);
        Some(Self { database, data_dir: server::folder(), smtp, url, owner_url, app })
    }

    fn serve(&self, fault: &str) -> server::Server {
        let environment = [
            ("DATABASE_URL", self.url.as_str()),
            ("DATABASE_OWNER_URL", &self.owner_url),
            ("SMTP_URL", &self.smtp.url),
            ("ACCOUNT_URL", "https://app.test/account"),
            ("TENANTRY_FAULT", fault),
        ];
        server::Server::start_with(server::program(), Path::new(self.data_dir.path()), &environment)
    }

    /// Runs a document that kills the server on its way.
    fn run_and_die(&self, fault: &str, query: &str) {
        let mut server = self.serve(fault);
        let _ = server.try_run(query, None);
        assert_eq!(server.exit_code(), None, "killed at {fault}");
    }

    async fn until(&self, what: &str, sql: &str, expected: &str) {
        let begin = Instant::now();
        loop {
            let found = self.app.truth(sql).await;
            if found == [expected] {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: {found:?} in {}", self.database.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Killed at every step of signing up: after a restart there is either no tenant, and the slug is free, or a complete
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_business_signs_up() {
    let Some(deployment) = Deployment::start().await else { return };
    for (fault, whole) in [
        ("create.nothing", false),
        ("create.registered", false),
        ("create.begun", false),
        ("create.completed", true),
        ("create.activated", true),
    ] {
        let slug = fault.replace('.', "-");
        let email = format!("{slug}@example.test");
        let sign_up = format!(
            "mutation {{ signUp(input: {{ tenantName: \"X\", slug: \"{slug}\", name: \"X\", email: \"{email}\", password: \"nine quiet lamps\" }}) {{
               session {{ accessToken }} userErrors {{ code }} }} }}"
        );
        deployment.run_and_die(fault, &sign_up);
        // A minute passes.
        deployment
            .app
            .by_hand(
                "update directory.tenants set created_at = created_at - interval '2 minutes' where state = 'CREATING'",
            )
            .await;
        deployment.app.by_hand("update shared.outbox set available_at = now()").await; // and every lease expires
        let server = deployment.serve("");
        deployment.until(fault, "select count(*) from directory.tenants where state = 'CREATING'", "0").await;
        let login = format!(
            "mutation {{ login(input: {{ email: \"{email}\", password: \"nine quiet lamps\", tenant: \"{slug}\" }}) {{ session {{ accessToken }} userErrors {{ code }} }} }}"
        );
        assert_eq!(code(&server.run(&login, None)), if whole { "" } else { "WRONG_CREDENTIALS" }, "{fault}");
        assert_eq!(code(&server.run(&sign_up, None)), if whole { "SLUG_TAKEN" } else { "" }, "{fault}");
        assert_eq!(code(&server.run(&login, None)), "", "{fault}");
        deployment
            .until(fault, "select count(*) from shared.outbox where kind !~ '^(billing|mail.invoice)'", "0")
            .await;
        let mails = deployment.smtp.received_by(&email);
        assert!(!mails.is_empty() && mails.iter().all(|it| it.id == mails[0].id), "{fault}");
    }
    assert_eq!(deployment.app.truth("select count(*) from shared.tenant_state where state = 'CREATING'").await, ["0"]);
}

/// Killed at every step of accepting an invitation: either it was not accepted, and still can be, or the account
/// exists.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_somebody_joins() {
    let Some(deployment) = Deployment::start().await else { return };
    let acme = deployment.app.tenant("acme").await;
    for (fault, joined) in [("accept.claimed", false), ("accept.uncommitted", false), ("accept.committed", true)] {
        let email = format!("{}@example.test", fault.replace('.', "-"));
        invite(&deployment.app, &acme.admin, &email).await;
        let token = deployment.app.mail_to(&email).await.token();
        let accept = format!(
            "mutation {{ acceptInvitation(input: {{ token: \"{token}\", name: \"X\", password: \"nine quiet lamps\" }}) {{ session {{ accessToken }} userErrors {{ code }} }} }}"
        );
        deployment.run_and_die(fault, &accept);
        let server = deployment.serve("");
        let login = format!(
            "mutation {{ login(input: {{ email: \"{email}\", password: \"nine quiet lamps\" }}) {{ session {{ accessToken }} userErrors {{ code }} }} }}"
        );
        assert_eq!(code(&server.run(&login, None)), if joined { "" } else { "WRONG_CREDENTIALS" }, "{fault}");
        assert_eq!(code(&server.run(&accept, None)), if joined { "TOKEN_INVALID" } else { "" }, "{fault}");
        assert_eq!(code(&server.run(&login, None)), "", "{fault}");
    }
    let users = "select count(*), count(distinct email) from shared.users where email like 'accept-%'";
    assert_eq!(deployment.app.truth(users).await, ["3 | 3"]);
    let verified = acme.admin.run("{ verifyAuditChain { intact } }").await;
    assert_eq!(verified["data"]["verifyAuditChain"]["intact"], true, "{verified}");
}

/// Killed at every step of sending: no mail is lost, and none has two ids.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_mail_is_sent() {
    let Some(deployment) = Deployment::start().await else { return };
    let acme = deployment.app.tenant("acme").await;
    for (fault, deliveries) in [("outbox.taken", 1), ("outbox.written", 1), ("outbox.sent", 2), ("outbox.noted", 1)] {
        let email = format!("{}@example.test", fault.replace('.', "-"));
        invite(&deployment.app, &acme.admin, &email).await;
        // This process's clock is in the future; the server's is not.
        deployment.app.by_hand("update shared.outbox set available_at = now()").await;
        let mut server = deployment.serve(fault);
        assert_eq!(server.exit_code(), None, "killed at {fault}");
        drop(server);
        // Its worker is gone, and the lease expires.
        deployment.app.by_hand("update shared.outbox set available_at = now()").await;
        let server = deployment.serve("");
        deployment
            .until(fault, "select count(*) from shared.outbox where kind !~ '^(billing|mail.invoice)'", "0")
            .await;
        let mails = deployment.smtp.received_by(&email);
        assert_eq!(mails.len(), deliveries, "{fault}");
        assert!(mails.iter().all(|it| it.id == mails[0].id), "{fault}");
        let token = mails.last().unwrap().token();
        let accept = format!(
            "mutation {{ acceptInvitation(input: {{ token: \"{token}\", name: \"X\", password: \"nine quiet lamps\" }}) {{ userErrors {{ code }} }} }}"
        );
        assert_eq!(code(&server.run(&accept, None)), "", "{fault}");
    }
}

/// A business is deleted, and the server killed before the directory is updated: background work copies it, so the
/// tenant is neither listed as active nor kept forever.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_tenant_is_deleted() {
    let Some(deployment) = Deployment::start().await else { return };
    let acme = deployment.app.tenant("acme").await;
    deployment.app.sign_in.add_operator("root@example.test", "Robin", "an operators long secret".into()).await.unwrap();
    let sign_in = "mutation { platformLogin(input: { email: \"root@example.test\", password: \"an operators long secret\" }) { session { accessToken } } }";
    let delete = format!("mutation {{ deleteTenant(input: {{ id: \"{}\" }}) {{ userErrors {{ code }} }} }}", acme.id);
    for (fault, deleted) in [("platform.uncommitted", false), ("platform.committed", true)] {
        let mut server = deployment.serve(fault);
        let answer = server.run(sign_in, None);
        let token =
            answer["data"]["platformLogin"]["session"]["accessToken"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let _ = server.try_run(&delete, Some(token));
        assert_eq!(server.exit_code(), None, "killed at {fault}");
        drop(server);
        deployment
            .app
            .by_hand("update directory.tenants set sync_wanted_at = sync_wanted_at - interval '2 minutes'")
            .await;
        let _server = deployment.serve("");
        deployment.until(fault, "select count(*) from directory.tenants where sync_wanted_at is not null", "0").await;
        let expected = if deleted { "DELETED | t" } else { "ACTIVE | f" };
        assert_eq!(
            deployment.app.truth("select state, erase_after is not null from directory.tenants").await,
            [expected],
            "{fault}"
        );
        assert_eq!(
            deployment.app.truth("select state, erase_after is not null from shared.tenant_state").await,
            [expected],
            "{fault}"
        );
    }
}

/// The server is stopped while a mail is being sent: it finishes, and the mail is not sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_sends_nothing_twice() {
    let Some(deployment) = Deployment::start().await else { return };
    let acme = deployment.app.tenant("acme").await;
    invite(&deployment.app, &acme.admin, "slow@example.test").await;
    deployment.app.by_hand("update shared.outbox set available_at = now()").await;
    let mut server = deployment.serve("");
    let begin = Instant::now();
    while deployment.smtp.received_by("slow@example.test").is_empty() {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.signal(nix::sys::signal::Signal::SIGTERM); // it waits for the mail server's answer
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(
        deployment.app.truth("select count(*) from shared.outbox where kind !~ '^(billing|mail.invoice)'").await,
        ["0"]
    );
    assert_eq!(deployment.smtp.received_by("slow@example.test").len(), 1);
}
