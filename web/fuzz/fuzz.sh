#!/usr/bin/env bash
# Schemathesis against the running program, on a private PostgreSQL with demo data, as an administrator: no 5xx, no code
# outside the list, no internal text.
#   web/fuzz/fuzz.sh [cases for each root field, default 30: about 2,000 in total]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cases=${1:-30}
program=${TENANTRY:-$here/../../target/debug/tenantry}
scratch=$(mktemp -d)
server=''
stop() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  rm -rf "$scratch"
}
trap stop EXIT
chmod 755 "$scratch"
mkdir "$scratch/data"

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

export TENANTRY_DATA_DIR="$scratch/data/server"
PORT=0 RATE_USER=4000000000 RATE_TENANT=4000000000 RATE_ADDRESS=4000000000 \
  "$program" >"$scratch/server.log" 2>&1 &
server=$!
for _ in $(seq 1 240); do
  grep -q 'Stop with' "$scratch/server.log" && break
  kill -0 "$server" 2>/dev/null || { cat "$scratch/server.log"; exit 1; }
  sleep 0.5
done
FUZZ_API=$(grep -oE 'http://[0-9.]+:[0-9]+' "$scratch/server.log" | head -n 1)/graphql
export FUZZ_API
# No request may be refused for its cost: the plans get no cost limit per minute.
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 "$("$program" database-url --owner)" -c "
  alter table directory.plan_versions no force row level security;
  update directory.plan_versions set terms = terms #- '{limits,api_cost}';
  alter table directory.plan_versions force row level security"
failed=0
# From here, so that Schemathesis leaves no file in the sources.
cd "$scratch"
# `logout` would end the session that all later cases need.
SCHEMATHESIS_HOOKS="$here/hooks.py" PYTHONPATH="$here" "$scratch/venv/bin/schemathesis" run "$FUZZ_API" \
  --checks codes_are_of_the_list --exclude-name Mutation.logout \
  --max-examples "$cases" --continue-on-failure --seed 1 --suppress-health-check all --warnings off \
  --generation-database none || failed=1
# The log explains each server fault.
if grep -E 'ERROR' "$scratch/server.log"; then
  echo 'the server logged errors'
  failed=1
fi
exit "$failed"
