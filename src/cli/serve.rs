//! `tenantry serve`: starts everything that serves the API, and shuts it down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, signal::unix::SignalKind, sync::watch};
use tokio_util::task::TaskTracker;

use super::{
    CliError,
    database::Connected,
    parts::{sign_in, tokens},
};
use crate::{
    api::{ApiSchema, Services},
    base::{clock::Clock, egress::WebhookClient, footprint},
    config::{Config, Database, Environment, Payments},
    core::telemetry,
    db::{Gate, migrations, refuse_too_few_connections, refuse_unsafe},
    embedded::EmbeddedError,
    features::{
        billing::{Engine, payments::stripe::Stripe},
        mail::{MailSettings, Mailer},
    },
    fleet::{Fleet, Upgraded},
    graphql,
    http::{self, AppParts, Documents, Readiness, Sockets, router},
    seed,
    worker::{Worker, WorkerParts},
};

/// How long background work may continue after a stop: slightly longer than sending an email may take.
const WORKER_LIMIT: Duration = Duration::from_secs(crate::features::mail::SEND_LIMIT.as_secs() + 5);

/// Serves until Ctrl-C or SIGTERM, then lets open requests finish.
pub(super) async fn serve(config: &Config) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    telemetry::start_metrics();
    let mut connected = match config.database {
        // Serving twice from one folder is a mistake, so the second process is refused.
        Database::Private => Connected::start_private(config).await.map_err(explain)?,
        Database::Given { .. } => Connected::to(config).await?,
    };
    let ended = connected.cluster.as_mut().and_then(|cluster| cluster.ended());
    let result = Box::pin(serve_on(config, &connected, ended, started)).await;
    connected.stop().await;
    result
}

async fn serve_on(
    config: &Config,
    connected: &Connected,
    ended: Option<std::sync::mpsc::Receiver<std::process::ExitStatus>>,
    started: std::time::Instant,
) -> Result<(), CliError> {
    if config.environment == Environment::Development
        && let Some(owner) = &connected.owner_url
    {
        let applied = migrations::migrate(owner).await?;
        if !applied.is_empty() {
            eprintln!("  applied {} migrations", applied.len());
        }
    }
    refuse_unsafe(connected.session_url()).await?;
    // Behind a pooler, the pooler limits the connections.
    if connected.direct_url.is_none() {
        refuse_too_few_connections(connected.session_url(), config.pool.most_connections()).await?;
    }
    let gate = connected.gate(config)?;
    let fleet = connected.logins()?.map(|logins| Fleet::new(gate.clone(), logins, Clock::system()));
    if let Some(fleet) = fleet.as_ref().filter(|_| config.environment == Environment::Development) {
        fleet.upgrade(fleet.stores().await?, tell_of_upgrade).await;
    }
    let tokens = tokens(config)?;
    let sign_in = Arc::new(sign_in(&gate, tokens.clone())?);
    let has_demo_data = match (config.environment, &config.database) {
        (Environment::Development, Database::Private) => {
            if !seed::is_complete(&gate).await? {
                eprintln!("  adding demo data (once, about a second)");
                seed::run(&gate, &sign_in).await?;
            }
            true
        }
        _ => seed::is_present(&gate).await?,
    };
    if has_demo_data && config.environment == Environment::Production {
        return Err("the database contains demo users with a publicly known password: refused in production".into());
    }

    let listener = listen(&config.host, config.port, "PORT").await?;
    let address = listener.local_addr()?;
    let (mailer, mail_goes_to) = mailer(config, address)?;
    let webhooks = WebhookClient::new(config.webhooks_may_be_private);
    let (stop, mut stopping) = watch::channel(None::<String>);
    let rates = Arc::new(crate::features::usage::rate_limits::Rates::new(config.rates, gate.clone()));
    let billing = engine(config, &gate, address, webhooks.clone())?;
    let services = Services {
        gate: gate.clone(),
        sign_in: sign_in.clone(),
        clock: Clock::system(),
        rates: rates.clone(),
        refusals: Arc::default(),
        look_every: graphql::LOOK_EVERY,
        webhooks: webhooks.clone(),
        billing: billing.clone(),
        places: Arc::new(config.places.clone()),
    };
    let documents = match &config.trusted_documents {
        Some(manifest) => Documents::try_trusted(manifest)?,
        None => Documents::any(),
    };
    let sockets = Sockets::new(config.sockets.clone(), gate.clone());
    let readiness = Arc::new(Readiness::new(connected.session_url()));
    let app = router(AppParts {
        schema: ApiSchema::new(config.limits, config.introspects),
        services,
        tokens,
        deadline: config.request_limit,
        limits: config.limits,
        body_patience: config.body_patience,
        shows_metrics: config.metrics_port.is_none() && config.environment == Environment::Development,
        documents,
        reader: graphql::DocumentCache::new(config.limits),
        sockets: sockets.clone(),
        origins: config.origins.clone(),
        proxies: config.proxies.clone(),
        hsts: config.hsts,
        bodies: http::body_shares(&config.limits),
        readiness: readiness.clone(),
        stopping: stopping.clone(),
    });
    let worker = Worker::new(WorkerParts {
        gate: gate.clone(),
        sign_in,
        mailer: Arc::new(mailer),
        webhooks,
        billing,
        rates,
        clock: Clock::system(),
    });
    let worker = worker.start(stopping.clone());
    let fleet = fleet.map(|it| it.start(stopping.clone()));
    let (carrier, url, until) = (gate.clone(), connected.session_url().to_owned(), stopping.clone());
    tokio::spawn(async move { carrier.changes().carry(&url, until).await });
    tokio::spawn(watch_signals(stop.clone(), readiness, config.stop_delay));
    if let Some(ended) = ended {
        watch_cluster(ended, stop.clone());
    }
    raise_file_limit();
    let mut metrics_at = None;
    if let Some(port) = config.metrics_port {
        let listener = listen(&config.host, port, "METRICS_PORT").await?;
        metrics_at = Some(listener.local_addr()?);
        tokio::spawn(http::serve(
            listener,
            http::metrics_router(gate.clone()),
            config.patience,
            config.proxies.clone(),
            TaskTracker::new(),
            stopping.clone(),
        ));
    }
    let patience = config.patience;
    print_banner(address, metrics_at, has_demo_data, &mail_goes_to, started.elapsed());

    let mut serving = tokio::spawn(http::serve(
        listener,
        app,
        patience,
        config.proxies.clone(),
        sockets.tasks.clone(),
        stopping.clone(),
    ));
    footprint::give_back_start();
    // It ends only after a stop, once open requests have finished.
    let reason = tokio::select! {
        biased;
        told = stopping.wait_for(Option::is_some) => told.ok().and_then(|it| it.clone()).unwrap_or_default(),
        // With nothing to drain, the stop and the end can both happen between these two checks.
        ended = &mut serving => match stop.borrow().clone() {
            Some(reason) => reason,
            None => return Err(format!("the server ended unexpectedly: {ended:?}").into()),
        },
    };
    eprintln!("Stopping: {reason}.");
    if !serving.is_finished()
        && let Ok(cut_off @ 1..) = serving.await
    {
        eprintln!("{cut_off} connections did not end within {} s and were cut off.", patience.drain.as_secs());
    }
    // The current work is completed; otherwise an email could be sent twice.
    if tokio::time::timeout(WORKER_LIMIT, worker).await.is_err() {
        eprintln!("Background work did not end within {} s and was cut off.", WORKER_LIMIT.as_secs());
    }
    // A running move releases its tenant's writers.
    if let Some(fleet) = fleet
        && tokio::time::timeout(WORKER_LIMIT, fleet).await.is_err()
    {
        eprintln!("Work on tenant stores did not end within {} s and was cut off.", WORKER_LIMIT.as_secs());
    }
    gate.close();
    if reason.starts_with("PostgreSQL") { Err(reason.into()) } else { Ok(()) }
}

fn tell_of_upgrade(it: &Upgraded) {
    match &it.applied {
        Ok(applied) if applied.is_empty() => {}
        Ok(applied) => eprintln!("  applied {} migrations to the store of {}", applied.len(), it.store.name),
        Err(why) => eprintln!("  the store of {} could not be migrated: {why}", it.store.name),
    }
}

/// The billing engine, with the configured payment provider.
fn engine(config: &Config, gate: &Gate, address: SocketAddr, pictures: WebhookClient) -> Result<Engine, CliError> {
    let engine = match &config.payments {
        Payments::Stripe { secret_key, webhook_secrets, base } => {
            let stripe = Stripe::new(secret_key.clone(), webhook_secrets.clone(), base.clone());
            Engine::with_stripe(gate.clone(), stripe)
        }
        Payments::InProcess => Engine::in_process(gate.clone(), format!("http://{address}")),
        Payments::None => Engine::without_provider(gate.clone()),
    };
    let engine = engine.with_pictures(pictures);
    Ok(match &config.invoice_issuer {
        Some(issuer) => engine.issued_by(issuer),
        None => engine,
    })
}

async fn listen(host: &str, port: u16, setting: &str) -> Result<TcpListener, CliError> {
    let bound = TcpListener::bind((host, port)).await;
    bound.map_err(|error| {
        format!("cannot listen on {host}:{port}: {error}. Set {setting} to another port, or to 0 for a free one").into()
    })
}

async fn watch_signals(stop: watch::Sender<Option<String>>, readiness: Arc<Readiness>, delay: Duration) {
    let terminated = async {
        match tokio::signal::unix::signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let reason = tokio::select! {
        _ = tokio::signal::ctrl_c() => "Ctrl-C",
        () = terminated => "SIGTERM",
    };
    // First, load balancers see that the server is about to stop; then it accepts no new connections.
    readiness.leave();
    let stopped = async {
        tokio::time::sleep(delay).await;
        stop.send_replace(Some(reason.to_owned()));
        std::future::pending().await
    };
    // A second Ctrl-C exits at once.
    tokio::select! {
        () = stopped => {}
        asked = tokio::signal::ctrl_c() => if asked.is_ok() {
            std::process::exit(130);
        }
    }
}

/// Raises the limit of open files to the maximum that the system allows: every connection is one.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
}

/// Without its database the server has nothing to serve, so it stops; its supervisor restarts it.
fn watch_cluster(ended: std::sync::mpsc::Receiver<std::process::ExitStatus>, stop: watch::Sender<Option<String>>) {
    std::thread::spawn(move || {
        if let Ok(status) = ended.recv() {
            stop.send_replace(Some(format!(
                "PostgreSQL ended unexpectedly ({status}); see postgres.log in the data folder"
            )));
        }
    });
}

fn explain(error: CliError) -> CliError {
    match error.downcast::<EmbeddedError>() {
        Ok(error) => error.to_string().into(),
        Err(error) => error,
    }
}

/// The mailer, and a description of where it sends emails.
fn mailer(config: &Config, address: SocketAddr) -> Result<(Mailer, String), CliError> {
    if config.environment == Environment::Production && (config.smtp_url.is_none() || config.account_url.is_none()) {
        return Err("SMTP_URL and ACCOUNT_URL are missing, expected both in production: users join by email".into());
    }
    let own_page = format!("http://{address}/account");
    let (settings, told) = match &config.smtp_url {
        Some(url) => (MailSettings::Smtp(url.clone()), "to the server of SMTP_URL".to_owned()),
        None => {
            let folder = config.data_dir.join("mail");
            let told = format!("into {}", folder.display());
            (MailSettings::Folder(folder), told)
        }
    };
    Ok((Mailer::try_new(&settings, &config.mail_from, config.account_url.as_deref().unwrap_or(&own_page))?, told))
}

fn print_banner(
    address: SocketAddr,
    metrics_at: Option<SocketAddr>,
    has_demo_data: bool,
    mail_goes_to: &str,
    took: Duration,
) {
    println!();
    println!("Tenantry serves at http://{address} (ready in {:.1} s)", took.as_secs_f64());
    println!("  GraphiQL   http://{address}/graphiql");
    println!("  GraphQL    http://{address}/graphql");
    if let Some(metrics_at) = metrics_at {
        println!("  Metrics    http://{metrics_at}/metrics");
    }
    println!("  Mail       {mail_goes_to}");
    if has_demo_data {
        println!("  Demo logins, all with the password {}:", seed::DEMO_PASSWORD);
        for tenant in &seed::DEMO_TENANTS {
            let people: Vec<String> = seed::DEMO_PEOPLE
                .iter()
                .map(|(local_part, _, _)| format!("{local_part}@{}.test", tenant.slug))
                .collect();
            println!("    {}", people.join("  "));
        }
        println!("    {} (platform administrator: platformLogin)", seed::DEMO_OPERATOR);
    }
    println!("Stop with Ctrl-C.");
}
