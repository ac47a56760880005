# The tasks of the project: https://just.systems. None of them is needed to run or test it.

# What there is to do.
default:
    @just --list

# Everything that CI checks: format, lints, documentation, GraphiQL, schema drift, tests.
check:
    .ci/run

# All tests, or those whose name holds the filter.
test *filter:
    cargo test {{ filter }}

# Serve, with a private PostgreSQL and demo data unless DATABASE_URL is set.
run *args:
    cargo run -- {{ args }}

# Write schema.graphql anew, from the code.
schema:
    cargo run --quiet -- schema > schema.graphql.new
    mv schema.graphql.new schema.graphql

# Write tests/it/policy_matrix.txt anew, from the policies. Read the difference: each line is a permission.
policy-matrix:
    UPDATE_POLICY_MATRIX=1 cargo test policy_matrix
    git --no-pager diff -- tests/it/policy_matrix.txt

# Build the full GraphiQL into the page that the next build of the server embeds.
graphiql:
    cd web/graphiql && npm ci && npm run build

# target/tuned/tenantry: the release program, compiled and laid out by what it does under load. Half an hour; .ci/tuned says what it needs.
tuned:
    .ci/tuned

# Requests a second, latency, CPU, memory of the tuned program beside pgbench; `scale`: as data grows.
bench *what: tuned
    BENCH_PROGRAM=target/tuned/tenantry cargo bench --bench throughput -- {{ what }}

# The same of what `cargo build --release` makes (Debian: wrk, postgresql); `against <program>`: beside another build.
bench-plain *what:
    cargo bench --bench throughput -- {{ what }}

# What a request costs in the process alone: tokens, documents, validation, answers, ids. Half a minute after the build.
bench-in-process:
    cargo bench --bench in_process

# Whether the time of an answer tells who exists: medians of 200 each, as a table. About two minutes after the build.
bench-equal-work:
    cargo bench --bench equal_work

# Whether a month of availability costs more with a million bookings than with a thousand, as a table. Some minutes.
bench-availability:
    cargo bench --bench availability

# How long `tenantry migrate` takes with 1,000 schemas and 200 databases (`schemas 100 databases 20` for fewer). Twenty minutes.
bench-fleet *what:
    cargo bench --bench fleet -- {{ what }}

# Schemathesis with some 2,000 cases against the server: no 5xx, no unknown code, no internal text. A minute (Python 3).
fuzz cases='36':
    cargo build
    web/fuzz/fuzz.sh {{ cases }}

# Every parser of bytes from outside against the release build as a child process: it must neither end nor answer 5xx.
fuzz-parsers cases='2000':
    FUZZ_CASES={{ cases }} cargo test --release --test fuzz -- --test-threads 1

# Licences, advisories, bans and sources of the dependencies (cargo install --locked cargo-deny).
deny:
    cargo deny check

# The documentation of the code, in a browser.
docs:
    cargo doc --no-deps --open

# Connect psql to the database of the running server, as the app's role.
psql *args:
    psql "$(cargo run --quiet -- database-url)" {{ args }}
