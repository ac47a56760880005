# The tasks of the project: https://just.systems. None of them is required to run or test it.

# List the tasks.
default:
    @just --list

# Run everything that CI checks: format, lints, documentation, GraphiQL, schema drift, tests.
check:
    .ci/run

# Run all tests, or those whose name contains the filter.
test *filter:
    cargo test {{ filter }}

# All tests with every case of theirs: long properties, and every suite in every isolation mode. CI runs these.
test-all *filter:
    TENANTRY_TEST_ALL=1 cargo test {{ filter }}

# Serve, with a private PostgreSQL and demo data unless DATABASE_URL is set.
run *args:
    cargo run -- {{ args }}

# Regenerate schema.graphql from the code.
schema:
    cargo run --quiet -- schema > schema.graphql.new
    mv schema.graphql.new schema.graphql

# Regenerate tests/it/policy_matrix.txt from the policies. Read the difference: each line is a permission.
policy-matrix:
    UPDATE_POLICY_MATRIX=1 cargo test policy_matrix
    git --no-pager diff -- tests/it/policy_matrix.txt

# Build the full GraphiQL into the page that the next build of the server embeds.
graphiql:
    cd web/graphiql && npm ci && npm run build

# Build target/tuned/tenantry: the release program, optimised by its behaviour under load. Half an hour; .ci/tuned lists what it needs.
tuned:
    .ci/tuned

# Measure requests a second, latency, CPU and memory of the tuned program, compared with pgbench; `scale`: as data grows.
bench *what: tuned
    BENCH_PROGRAM=target/tuned/tenantry cargo bench --bench throughput -- {{ what }}

# The same for the program of `cargo build --release` (Debian: wrk, postgresql); `against <program>`: compared with another build.
bench-plain *what:
    cargo bench --bench throughput -- {{ what }}

# Measure what a request costs in the process alone: tokens, documents, validation, answers, ids. Half a minute after the build.
bench-in-process:
    cargo bench --bench in_process

# Measure whether response times reveal which accounts exist: medians of 200 each, as a table. About two minutes after the build.
bench-equal-work:
    cargo bench --bench equal_work

# Compare a month of availability with a million bookings and with a thousand, as a table. Some minutes.
bench-availability:
    cargo bench --bench availability

# Measure how long `tenantry migrate` takes with 1,000 schemas and 200 databases (`schemas 100 databases 20` for fewer). Twenty minutes.
bench-fleet *what:
    cargo bench --bench fleet -- {{ what }}

# Run Schemathesis with about 2,000 cases against the server: no 5xx, no unknown code, no internal text. A minute (Python 3).
fuzz cases='36':
    cargo build
    web/fuzz/fuzz.sh {{ cases }}

# Fuzz every parser of outside input against the release build as a child process: it must neither exit nor answer 5xx.
fuzz-parsers cases='2000':
    FUZZ_CASES={{ cases }} cargo test --release --test fuzz -- --test-threads 1

# Check licences, advisories, bans and sources of the dependencies (cargo install --locked cargo-deny).
deny:
    cargo deny check

# Open the code's documentation in a browser.
docs:
    cargo doc --no-deps --open

# Connect psql to the database of the running server, as the app's role.
psql *args:
    psql "$(cargo run --quiet -- database-url)" {{ args }}
