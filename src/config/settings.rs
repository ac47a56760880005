//! The environment variables, as text. Each is also a command line flag.

use clap::Args;

/// The environment variables, as text. [`Config::try_from`](super::Config::try_from) checks all of them together.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "HOST", global = true, hide_env_values = true)]
    pub host: Option<String>,
    /// Port to listen on; 0 picks a free one [default: 8080]
    #[arg(long, env = "PORT", global = true, hide_env_values = true)]
    pub port: Option<String>,
    /// PostgreSQL URL of the restricted app role, e.g. postgresql://tenantry_app:…@host/tenantry; without it, a
    /// private PostgreSQL is started in the data folder
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// URL of the same database for the owner of its tables, for migrations
    #[arg(long, env = "DATABASE_OWNER_URL", global = true, hide_env_values = true)]
    pub database_owner_url: Option<String>,
    /// Set to transaction when DATABASE_URL points to a pooler in transaction mode, such as PgBouncer. The server
    /// then uses no session state and no named statements [default: none]
    #[arg(long, env = "DATABASE_POOLER", global = true, hide_env_values = true)]
    pub database_pooler: Option<String>,
    /// Like DATABASE_URL, but bypassing the pooler: for listening, and for inspecting the database. Required with
    /// DATABASE_POOLER. DATABASE_OWNER_URL and DATABASE_PLATFORM_URL always bypass it
    #[arg(long, env = "DATABASE_DIRECT_URL", global = true, hide_env_values = true)]
    pub database_direct_url: Option<String>,
    /// URL of the same database for tenantry_platform, which bypasses row-level security: for creating dedicated
    /// stores, and for moving, exporting and importing tenants. Without it and DATABASE_OWNER_URL, another process
    /// must do that
    #[arg(long, env = "DATABASE_PLATFORM_URL", global = true, hide_env_values = true)]
    pub database_platform_url: Option<String>,
    /// Other servers that may hold tenant databases, as comma-separated host:port. The logins are the same there
    #[arg(long, env = "DATABASE_SERVERS", global = true, hide_env_values = true)]
    pub database_servers: Option<String>,
    /// Maximum connections to all dedicated schemas and databases together, 1 to 1000 [default: 16]
    #[arg(long, env = "DATABASE_STORE_CONNECTIONS", global = true, hide_env_values = true)]
    pub database_store_connections: Option<String>,
    /// Seconds that an unused connection to such a store is kept [default: 60]
    #[arg(long, env = "DATABASE_STORE_IDLE", global = true, hide_env_values = true)]
    pub database_store_idle: Option<String>,
    /// Maximum connections to the shared tenant store, 1 to 1000 [default: 8]
    #[arg(long, env = "DATABASE_POOL_SIZE", global = true, hide_env_values = true)]
    pub database_pool_size: Option<String>,
    /// Maximum connections to the shared tenant store for one tenant, so that a flood from one leaves some for the
    /// others [default: three quarters of DATABASE_POOL_SIZE]
    #[arg(long, env = "DATABASE_TENANT_CONNECTIONS", global = true, hide_env_values = true)]
    pub database_tenant_connections: Option<String>,
    /// Threads that serve requests, 1 to 1024 [default: the number of CPUs; half of it with a private PostgreSQL,
    /// which uses the rest]
    #[arg(long, env = "WORKER_THREADS", global = true, hide_env_values = true)]
    pub worker_threads: Option<String>,
    /// Folder of the private PostgreSQL and the development signing key [default: .tenantry]
    #[arg(long, env = "TENANTRY_DATA_DIR", global = true, hide_env_values = true)]
    pub tenantry_data_dir: Option<String>,
    /// Folder of the programs postgres and initdb; without it, the usual places are searched
    #[arg(long, env = "TENANTRY_PG_BIN", global = true, hide_env_values = true)]
    pub tenantry_pg_bin: Option<String>,
    /// development or production; production refuses demo data, missing secrets and an unsafe database role
    /// [default: development]
    #[arg(long, env = "TENANTRY_ENV", global = true, hide_env_values = true)]
    pub tenantry_env: Option<String>,
    /// Ed25519 private key in PEM format that signs access tokens (newlines may be written as \n); required in
    /// production, generated once in development
    #[arg(long, env = "JWT_PRIVATE_KEY", global = true, hide_env_values = true)]
    pub jwt_private_key: Option<String>,
    /// Ed25519 public keys in PEM format, one after the other, whose tokens are still accepted after a rotation
    #[arg(long, env = "JWT_RETIRED_PUBLIC_KEYS", global = true, hide_env_values = true)]
    pub jwt_retired_public_keys: Option<String>,
    /// Claim iss of access tokens [default: tenantry]
    #[arg(long, env = "JWT_ISSUER", global = true, hide_env_values = true)]
    pub jwt_issuer: Option<String>,
    /// Claim aud of access tokens [default: tenantry-api]
    #[arg(long, env = "JWT_AUDIENCE", global = true, hide_env_values = true)]
    pub jwt_audience: Option<String>,
    /// Mail server, e.g. smtp://localhost:1025 or smtps://user:password@mail.example.com; without it, emails are
    /// written to the folder mail in the data folder. Required to serve in production
    #[arg(long, env = "SMTP_URL", global = true, hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Sender address of emails; no-reply@localhost by default
    #[arg(long, env = "MAIL_FROM", global = true, hide_env_values = true)]
    pub mail_from: Option<String>,
    /// Page that links in emails open, with the token behind # [default: /account of this server]. Required to serve
    /// in production
    #[arg(long, env = "ACCOUNT_URL", global = true, hide_env_values = true)]
    pub account_url: Option<String>,
    /// Maximum bytes of a request body [default: 1048576]
    #[arg(long, env = "MAX_BODY_BYTES", global = true, hide_env_values = true)]
    pub max_body_bytes: Option<String>,
    /// Maximum tokens of a document [default: 10000]
    #[arg(long, env = "GRAPHQL_MAX_TOKENS", global = true, hide_env_values = true)]
    pub graphql_max_tokens: Option<String>,
    /// Maximum depth of a document [default: 15]
    #[arg(long, env = "GRAPHQL_MAX_DEPTH", global = true, hide_env_values = true)]
    pub graphql_max_depth: Option<String>,
    /// Maximum aliases of a document [default: 200]
    #[arg(long, env = "GRAPHQL_MAX_ALIASES", global = true, hide_env_values = true)]
    pub graphql_max_aliases: Option<String>,
    /// Maximum root fields of an operation [default: 100]
    #[arg(long, env = "GRAPHQL_MAX_ROOT_FIELDS", global = true, hide_env_values = true)]
    pub graphql_max_root_fields: Option<String>,
    /// Maximum directives on one field [default: 10]
    #[arg(long, env = "GRAPHQL_MAX_DIRECTIVES", global = true, hide_env_values = true)]
    pub graphql_max_directives: Option<String>,
    /// Maximum fields of a document with its fragments expanded [default: 5000]
    #[arg(long, env = "GRAPHQL_MAX_SELECTIONS", global = true, hide_env_values = true)]
    pub graphql_max_selections: Option<String>,
    /// Maximum cost of a document [default: 20000]
    #[arg(long, env = "GRAPHQL_MAX_COST", global = true, hide_env_values = true)]
    pub graphql_max_cost: Option<String>,
    /// Maximum errors in a response [default: 20]
    #[arg(long, env = "GRAPHQL_MAX_ERRORS", global = true, hide_env_values = true)]
    pub graphql_max_errors: Option<String>,
    /// Cost that a user may spend per minute [default: 120000]
    #[arg(long, env = "RATE_USER", global = true, hide_env_values = true)]
    pub rate_user: Option<String>,
    /// Cost that a network address may spend per minute without being signed in [default: 60000]
    #[arg(long, env = "RATE_ADDRESS", global = true, hide_env_values = true)]
    pub rate_address: Option<String>,
    /// Cost that a tenant may spend per minute, unless its plan sets a limit [default: 6000000]
    #[arg(long, env = "RATE_TENANT", global = true, hide_env_values = true)]
    pub rate_tenant: Option<String>,
    /// Whether introspection is allowed, on or off [default: on, in production off]
    #[arg(long, env = "GRAPHQL_INTROSPECTION", global = true, hide_env_values = true)]
    pub graphql_introspection: Option<String>,
    /// Separate port for /metrics; without it, the metrics are at /metrics of the API in development, and disabled in
    /// production
    #[arg(long, env = "METRICS_PORT", global = true, hide_env_values = true)]
    pub metrics_port: Option<String>,
    /// Maximum bytes of a response [default: 8388608]
    #[arg(long, env = "MAX_ANSWER_BYTES", global = true, hide_env_values = true)]
    pub max_answer_bytes: Option<String>,
    /// Maximum requests in a batch; without it, batches are disabled
    #[arg(long, env = "GRAPHQL_MAX_BATCH", global = true, hide_env_values = true)]
    pub graphql_max_batch: Option<String>,
    /// Manifest of trusted documents, as written by graphql-codegen: with it, no other document runs
    #[arg(long, env = "TRUSTED_DOCUMENTS", global = true, hide_env_values = true)]
    pub trusted_documents: Option<String>,
    /// Origins of other sites whose pages may use the API from a browser, comma-separated, e.g. `https://app.example.com`
    #[arg(long, env = "CORS_ORIGINS", global = true, hide_env_values = true)]
    pub cors_origins: Option<String>,
    /// Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated, e.g. 10.0.0.0/8
    #[arg(long, env = "TRUSTED_PROXIES", global = true, hide_env_values = true)]
    pub trusted_proxies: Option<String>,
    /// Seconds for which browsers are to come by HTTPS alone (Strict-Transport-Security); 0 sends no such header [default: 0]
    #[arg(long, env = "HSTS_MAX_AGE", global = true, hide_env_values = true)]
    pub hsts_max_age: Option<String>,
    /// Most connections at once of one address; an IPv6 /64 is one, trusted proxies aside [default: a quarter of MAX_CONNECTIONS]
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", global = true, hide_env_values = true)]
    pub max_connections_per_address: Option<String>,
    /// Maximum open connections [default: 4096]
    #[arg(long, env = "MAX_CONNECTIONS", global = true, hide_env_values = true)]
    pub max_connections: Option<String>,
    /// Maximum seconds for a request [default: 30]
    #[arg(long, env = "REQUEST_TIMEOUT", global = true, hide_env_values = true)]
    pub request_timeout: Option<String>,
    /// Maximum seconds for a statement [default: 10]
    #[arg(long, env = "STATEMENT_TIMEOUT", global = true, hide_env_values = true)]
    pub statement_timeout: Option<String>,
    /// Seconds for a complete request header, and for the next request on a kept-alive connection [default: 30]
    #[arg(long, env = "HEADER_TIMEOUT", global = true, hide_env_values = true)]
    pub header_timeout: Option<String>,
    /// Seconds that a client may read nothing of what is sent to it [default: 30]
    #[arg(long, env = "WRITE_TIMEOUT", global = true, hide_env_values = true)]
    pub write_timeout: Option<String>,
    /// Seconds that a request body may pause [default: 10]
    #[arg(long, env = "BODY_TIMEOUT", global = true, hide_env_values = true)]
    pub body_timeout: Option<String>,
    /// Seconds that /readyz reports failure before the server stops, so that no new requests arrive [default: 0, in
    /// production 5]
    #[arg(long, env = "STOP_DELAY", global = true, hide_env_values = true)]
    pub stop_delay: Option<String>,
    /// Seconds for open requests and sockets to finish when the server stops [default: 10]
    #[arg(long, env = "DRAIN_TIMEOUT", global = true, hide_env_values = true)]
    pub drain_timeout: Option<String>,
    /// Maximum sockets of a user [default: 20]
    #[arg(long, env = "SOCKETS_PER_USER", global = true, hide_env_values = true)]
    pub sockets_per_user: Option<String>,
    /// Maximum running operations on a socket [default: 50]
    #[arg(long, env = "OPERATIONS_PER_SOCKET", global = true, hide_env_values = true)]
    pub operations_per_socket: Option<String>,
    /// Maximum bytes of a message on a socket [default: 65536]
    #[arg(long, env = "SOCKET_MESSAGE_BYTES", global = true, hide_env_values = true)]
    pub socket_message_bytes: Option<String>,
    /// Whether mutations may be sent over a socket, on or off [default: off]
    #[arg(long, env = "SOCKET_MUTATIONS", global = true, hide_env_values = true)]
    pub socket_mutations: Option<String>,
    /// Whether webhooks of tenants may use private addresses and no encryption, on or off; production refuses on
    /// [default: off]
    #[arg(long, env = "WEBHOOKS_ALLOW_PRIVATE", global = true, hide_env_values = true)]
    pub webhooks_allow_private: Option<String>,
    /// Collector of traces (OTLP over HTTP), e.g. `http://localhost:4318`
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Point at which a test kills the process; ignored in a release build
    #[arg(long, env = "TENANTRY_FAULT", global = true, hide = true, hide_env_values = true)]
    pub tenantry_fault: Option<String>,
    /// Payment provider: stripe, in-process (play money, for development) or none (invoices are issued, and paid
    /// outside) [default: stripe with STRIPE_SECRET_KEY, else in-process, in production none]
    #[arg(long, env = "PAYMENT_PROVIDER", global = true, hide_env_values = true)]
    pub payment_provider: Option<String>,
    /// Name and address on invoices (newlines may be written as \n) [default: Tenantry]
    #[arg(long, env = "INVOICE_ISSUER", global = true, hide_env_values = true)]
    pub invoice_issuer: Option<String>,
    /// Secret key of Stripe
    #[arg(long, env = "STRIPE_SECRET_KEY", global = true, hide_env_values = true)]
    pub stripe_secret_key: Option<String>,
    /// Signing secrets of the endpoint /webhooks/stripe, comma-separated: several during a rotation
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", global = true, hide_env_values = true)]
    pub stripe_webhook_secret: Option<String>,
    /// URL of Stripe's API [default: `https://api.stripe.com`]
    #[arg(long, env = "STRIPE_API_URL", global = true, hide_env_values = true)]
    pub stripe_api_url: Option<String>,
}
