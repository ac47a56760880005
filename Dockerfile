# The server with the full GraphiQL, for a PostgreSQL that runs elsewhere: `docker compose up --build`. For amd64 and
# arm64: every stage uses the target platform (`docker buildx build --platform linux/arm64 .`).

# The base of the last stage. `.ci/image` uses a base of Debian's packages when no image registry is reachable.
ARG BASE=debian:bookworm-slim

# 1. GraphiQL as one HTML file.
FROM node:22-bookworm-slim AS web
WORKDIR /web/graphiql
COPY web/graphiql/package.json web/graphiql/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web /web
RUN npm run build

# 2. The server. build.rs finds the page and embeds it.
FROM rust:1.95-bookworm AS server
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
# Cargo requires every target in its manifest to exist.
COPY benches benches
COPY src src
COPY sql sql
COPY --from=web /web/pages web/pages
# The caches are not part of the image, so the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tenantry \
 && cp target/release/tenantry /usr/local/bin/tenantry

# 3. The final image: the program, run by an unprivileged user. It contains no PostgreSQL: DATABASE_URL is required.
FROM ${BASE}
# The certificate authorities, without which no webhook, payment or mail over TLS can be sent.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 tenantry \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tenantry --create-home --shell /usr/sbin/nologin tenantry \
 && install -d -m 0700 -o 10001 -g 10001 /var/lib/tenantry/data
COPY --from=server /usr/local/bin/tenantry /usr/local/bin/tenantry
LABEL org.opencontainers.image.title="Tenantry" \
      org.opencontainers.image.description="A multi-tenant booking platform: GraphQL over PostgreSQL row-level security" \
      org.opencontainers.image.licenses="MIT"
# By number, so that Kubernetes can verify that it is not root (runAsNonRoot).
USER 10001:10001
WORKDIR /var/lib/tenantry
# Development's signing key is kept in the data folder. HOST: a container's loopback is not reachable from outside.
ENV HOST=0.0.0.0 \
    PORT=8080 \
    TENANTRY_DATA_DIR=/var/lib/tenantry/data
VOLUME /var/lib/tenantry/data
EXPOSE 8080
# Open requests, and a mail that is being sent, are finished first.
STOPSIGNAL SIGTERM
# bash opens the connection itself, so neither curl nor wget is needed.
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["tenantry"]
CMD ["serve"]
