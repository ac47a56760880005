//! What stands in the environment, as text. Each is a command line flag too.

use clap::Args;

/// What stands in the environment, as text: all of it is checked together by [`Config::try_from`](super::Config::try_from).
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "HOST", global = true, hide_env_values = true)]
    pub host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, env = "PORT", global = true, hide_env_values = true)]
    pub port: Option<String>,
    /// PostgreSQL as the app's restricted role, e.g. postgresql://tenantry_app:…@host/tenantry; without it a private
    /// PostgreSQL is started in the data folder
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// The same database as the owner of its tables, for migrations
    #[arg(long, env = "DATABASE_OWNER_URL", global = true, hide_env_values = true)]
    pub database_owner_url: Option<String>,
    /// transaction where DATABASE_URL leads to a pooler in transaction mode, such as PgBouncer: then nothing is left to a
    /// session and no statement has a name [default: none]
    #[arg(long, env = "DATABASE_POOLER", global = true, hide_env_values = true)]
    pub database_pooler: Option<String>,
    /// As DATABASE_URL, past the pooler: for listening, and for looking at the database. Required with DATABASE_POOLER.
    /// DATABASE_OWNER_URL and DATABASE_PLATFORM_URL always lead past it
    #[arg(long, env = "DATABASE_DIRECT_URL", global = true, hide_env_values = true)]
    pub database_direct_url: Option<String>,
    /// The same database as tenantry_platform, whom no policy binds: for making stores of tenants' own, moving, exporting and
    /// importing tenants. Without it and DATABASE_OWNER_URL another process has to do that
    #[arg(long, env = "DATABASE_PLATFORM_URL", global = true, hide_env_values = true)]
    pub database_platform_url: Option<String>,
    /// Other servers that may hold databases of tenants, as host:port with commas. The logins are the same there
    #[arg(long, env = "DATABASE_SERVERS", global = true, hide_env_values = true)]
    pub database_servers: Option<String>,
    /// Most connections to all schemas and databases of tenants' own together, 1 to 1000 [default: 16]
    #[arg(long, env = "DATABASE_STORE_CONNECTIONS", global = true, hide_env_values = true)]
    pub database_store_connections: Option<String>,
    /// Seconds that a connection to such a store is kept while nobody uses it [default: 60]
    #[arg(long, env = "DATABASE_STORE_IDLE", global = true, hide_env_values = true)]
    pub database_store_idle: Option<String>,
    /// Most connections to the tenant store, 1 to 1000 [default: 8]
    #[arg(long, env = "DATABASE_POOL_SIZE", global = true, hide_env_values = true)]
    pub database_pool_size: Option<String>,
    /// Most connections to the tenant store for one tenant, so that a flood of one leaves some for the others [default: three
    /// quarters of DATABASE_POOL_SIZE]
    #[arg(long, env = "DATABASE_TENANT_CONNECTIONS", global = true, hide_env_values = true)]
    pub database_tenant_connections: Option<String>,
    /// Threads that serve requests, 1 to 1024 [default: as many as there are CPUs; half of them beside a private PostgreSQL,
    /// which has the others]
    #[arg(long, env = "WORKER_THREADS", global = true, hide_env_values = true)]
    pub worker_threads: Option<String>,
    /// Folder of the private PostgreSQL and of development's signing key [default: .tenantry]
    #[arg(long, env = "TENANTRY_DATA_DIR", global = true, hide_env_values = true)]
    pub tenantry_data_dir: Option<String>,
    /// Folder that holds the programs postgres and initdb; without it the usual places are searched
    #[arg(long, env = "TENANTRY_PG_BIN", global = true, hide_env_values = true)]
    pub tenantry_pg_bin: Option<String>,
    /// development or production; production refuses demo data, missing secrets and an unsafe database role
    /// [default: development]
    #[arg(long, env = "TENANTRY_ENV", global = true, hide_env_values = true)]
    pub tenantry_env: Option<String>,
    /// Ed25519 private key in PEM format that signs access tokens (newlines may be written as \n); required in
    /// production, made once in development
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
    /// Mail server, e.g. smtp://localhost:1025 or smtps://user:password@mail.example.com; without it mail is written into
    /// the folder mail of the data folder. Required to serve in production
    #[arg(long, env = "SMTP_URL", global = true, hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Address that mail comes from; no-reply@localhost unless said
    #[arg(long, env = "MAIL_FROM", global = true, hide_env_values = true)]
    pub mail_from: Option<String>,
    /// Page that links in mail lead to, with the token behind # [default: /account of this server]. Required to serve in
    /// production
    #[arg(long, env = "ACCOUNT_URL", global = true, hide_env_values = true)]
    pub account_url: Option<String>,
    /// Most bytes of a request's body [default: 1048576]
    #[arg(long, env = "MAX_BODY_BYTES", global = true, hide_env_values = true)]
    pub max_body_bytes: Option<String>,
    /// Most tokens of a document [default: 10000]
    #[arg(long, env = "GRAPHQL_MAX_TOKENS", global = true, hide_env_values = true)]
    pub graphql_max_tokens: Option<String>,
    /// Most levels of a document [default: 15]
    #[arg(long, env = "GRAPHQL_MAX_DEPTH", global = true, hide_env_values = true)]
    pub graphql_max_depth: Option<String>,
    /// Most aliases of a document [default: 200]
    #[arg(long, env = "GRAPHQL_MAX_ALIASES", global = true, hide_env_values = true)]
    pub graphql_max_aliases: Option<String>,
    /// Most fields of an operation's root [default: 100]
    #[arg(long, env = "GRAPHQL_MAX_ROOT_FIELDS", global = true, hide_env_values = true)]
    pub graphql_max_root_fields: Option<String>,
    /// Most directives of one field [default: 10]
    #[arg(long, env = "GRAPHQL_MAX_DIRECTIVES", global = true, hide_env_values = true)]
    pub graphql_max_directives: Option<String>,
    /// Most fields of a document once its fragments are spread [default: 5000]
    #[arg(long, env = "GRAPHQL_MAX_SELECTIONS", global = true, hide_env_values = true)]
    pub graphql_max_selections: Option<String>,
    /// Most cost of a document [default: 20000]
    #[arg(long, env = "GRAPHQL_MAX_COST", global = true, hide_env_values = true)]
    pub graphql_max_cost: Option<String>,
    /// Most errors of a response [default: 20]
    #[arg(long, env = "GRAPHQL_MAX_ERRORS", global = true, hide_env_values = true)]
    pub graphql_max_errors: Option<String>,
    /// Cost that a user may ask for in a minute [default: 120000]
    #[arg(long, env = "RATE_USER", global = true, hide_env_values = true)]
    pub rate_user: Option<String>,
    /// Cost that an address may ask for in a minute without being signed in [default: 60000]
    #[arg(long, env = "RATE_ADDRESS", global = true, hide_env_values = true)]
    pub rate_address: Option<String>,
    /// Cost that a tenant may ask for in a minute, where its plan says nothing [default: 6000000]
    #[arg(long, env = "RATE_TENANT", global = true, hide_env_values = true)]
    pub rate_tenant: Option<String>,
    /// Whether clients may ask for the schema, on or off [default: on, in production off]
    #[arg(long, env = "GRAPHQL_INTROSPECTION", global = true, hide_env_values = true)]
    pub graphql_introspection: Option<String>,
    /// Port of /metrics alone; without it they are at /metrics of the API in development, and nowhere in production
    #[arg(long, env = "METRICS_PORT", global = true, hide_env_values = true)]
    pub metrics_port: Option<String>,
    /// Most bytes of an answer [default: 8388608]
    #[arg(long, env = "MAX_ANSWER_BYTES", global = true, hide_env_values = true)]
    pub max_answer_bytes: Option<String>,
    /// Most requests of a batch; without it batches are off
    #[arg(long, env = "GRAPHQL_MAX_BATCH", global = true, hide_env_values = true)]
    pub graphql_max_batch: Option<String>,
    /// Manifest of trusted documents, as graphql-codegen writes it: with it, no other document is run
    #[arg(long, env = "TRUSTED_DOCUMENTS", global = true, hide_env_values = true)]
    pub trusted_documents: Option<String>,
    /// Origins of other sites whose pages may use the API from a browser, with commas, e.g. `https://app.example.com`
    #[arg(long, env = "CORS_ORIGINS", global = true, hide_env_values = true)]
    pub cors_origins: Option<String>,
    /// Addresses or networks of proxies whose X-Forwarded-For is believed, with commas, e.g. 10.0.0.0/8
    #[arg(long, env = "TRUSTED_PROXIES", global = true, hide_env_values = true)]
    pub trusted_proxies: Option<String>,
    /// Seconds for which browsers are to come by HTTPS alone (Strict-Transport-Security); 0 sends no such header [default: 0]
    #[arg(long, env = "HSTS_MAX_AGE", global = true, hide_env_values = true)]
    pub hsts_max_age: Option<String>,
    /// Most connections at once of one address; an IPv6 /64 is one, trusted proxies aside [default: a quarter of MAX_CONNECTIONS]
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", global = true, hide_env_values = true)]
    pub max_connections_per_address: Option<String>,
    /// Most connections at once [default: 4096]
    #[arg(long, env = "MAX_CONNECTIONS", global = true, hide_env_values = true)]
    pub max_connections: Option<String>,
    /// Seconds that a request may take altogether [default: 30]
    #[arg(long, env = "REQUEST_TIMEOUT", global = true, hide_env_values = true)]
    pub request_timeout: Option<String>,
    /// Seconds that a statement may take [default: 10]
    #[arg(long, env = "STATEMENT_TIMEOUT", global = true, hide_env_values = true)]
    pub statement_timeout: Option<String>,
    /// Seconds for a whole header, and for the next request on a connection that is kept [default: 30]
    #[arg(long, env = "HEADER_TIMEOUT", global = true, hide_env_values = true)]
    pub header_timeout: Option<String>,
    /// Seconds that a client may take nothing of what is sent to it [default: 30]
    #[arg(long, env = "WRITE_TIMEOUT", global = true, hide_env_values = true)]
    pub write_timeout: Option<String>,
    /// Seconds that a body may pause [default: 10]
    #[arg(long, env = "BODY_TIMEOUT", global = true, hide_env_values = true)]
    pub body_timeout: Option<String>,
    /// Seconds that /readyz says no before the server stops, so that no new requests come [default: 0, in production 5]
    #[arg(long, env = "STOP_DELAY", global = true, hide_env_values = true)]
    pub stop_delay: Option<String>,
    /// Seconds for open requests and sockets once the server stops [default: 10]
    #[arg(long, env = "DRAIN_TIMEOUT", global = true, hide_env_values = true)]
    pub drain_timeout: Option<String>,
    /// Most sockets of a user [default: 20]
    #[arg(long, env = "SOCKETS_PER_USER", global = true, hide_env_values = true)]
    pub sockets_per_user: Option<String>,
    /// Most operations at once on a socket [default: 50]
    #[arg(long, env = "OPERATIONS_PER_SOCKET", global = true, hide_env_values = true)]
    pub operations_per_socket: Option<String>,
    /// Most bytes of a message on a socket [default: 65536]
    #[arg(long, env = "SOCKET_MESSAGE_BYTES", global = true, hide_env_values = true)]
    pub socket_message_bytes: Option<String>,
    /// Whether mutations may be sent over a socket, on or off [default: off]
    #[arg(long, env = "SOCKET_MUTATIONS", global = true, hide_env_values = true)]
    pub socket_mutations: Option<String>,
    /// Whether webhooks of tenants may go to private addresses, and without encryption, on or off; production refuses on
    /// [default: off]
    #[arg(long, env = "WEBHOOKS_ALLOW_PRIVATE", global = true, hide_env_values = true)]
    pub webhooks_allow_private: Option<String>,
    /// Collector of traces (OTLP over HTTP), e.g. `http://localhost:4318`
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Where a test has the process killed; nothing in a release build
    #[arg(long, env = "TENANTRY_FAULT", global = true, hide = true, hide_env_values = true)]
    pub tenantry_fault: Option<String>,
    /// Who takes payments: stripe, in-process (a page of play money, for development) or none (invoices are issued, and paid
    /// outside) [default: stripe with STRIPE_SECRET_KEY, else in-process, in production none]
    #[arg(long, env = "PAYMENT_PROVIDER", global = true, hide_env_values = true)]
    pub payment_provider: Option<String>,
    /// Name and address on invoices (newlines may be written as \n) [default: Tenantry]
    #[arg(long, env = "INVOICE_ISSUER", global = true, hide_env_values = true)]
    pub invoice_issuer: Option<String>,
    /// Secret key of Stripe
    #[arg(long, env = "STRIPE_SECRET_KEY", global = true, hide_env_values = true)]
    pub stripe_secret_key: Option<String>,
    /// Signing secrets of the endpoint /webhooks/stripe, with commas: several while one takes another's place
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", global = true, hide_env_values = true)]
    pub stripe_webhook_secret: Option<String>,
    /// Address of Stripe's API [default: `https://api.stripe.com`]
    #[arg(long, env = "STRIPE_API_URL", global = true, hide_env_values = true)]
    pub stripe_api_url: Option<String>,
}
