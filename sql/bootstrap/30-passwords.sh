#!/bin/sh
# For the PostgreSQL image of docker-compose only: the private cluster of a first run authenticates its clients by their
# operating system user and has no passwords.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set owner="$TENANTRY_OWNER_PASSWORD" --set app="$TENANTRY_APP_PASSWORD" \
  --set platform="$TENANTRY_PLATFORM_PASSWORD" <<'SQL'
alter role tenantry_owner password :'owner';
alter role tenantry_app password :'app';
alter role tenantry_platform password :'platform';
SQL
