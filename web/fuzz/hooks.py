"""What Schemathesis must know about the API, and what no answer may contain."""

import json
import os
import re
import urllib.request

import schemathesis
from hypothesis import strategies as st
from hypothesis_graphql import nodes

API = os.environ["FUZZ_API"]
# api.graphql's closed list: anything else in an answer is a leak.
CODES = {
    "UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "BAD_USER_INPUT", "RATE_LIMITED", "IDEMPOTENCY_CONFLICT", "TENANT_MISMATCH",
    "UNAVAILABLE", "TIMEOUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED",
    "GRAPHQL_PERSISTED_QUERY_NOT_FOUND",
}
# Words of PostgreSQL, Rust and this program that belong only in the log.
INTERNAL = re.compile(
    r"panicked|src/|\.rs:|DbError|SqlState|relation \\?\"|violates|duplicate key|syntax error at or near"
    r"|tenant_id|pg_|refinery|deadpool|tokio|-- [a-z]+\.[a-z_]+|Did you mean"
)


def call(query, variables=None, token=None):
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    with urllib.request.urlopen(urllib.request.Request(API, body, headers)) as answer:
        return json.load(answer)


LOGIN = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } } }"
EXISTING = (
    "{ tenant { id } users { nodes { id } } services { nodes { id } } bookings(first: 5) { nodes { id } } }"
)


def sign_in():
    login = {"email": "admin@acme.test", "password": "demo-demo-demo"}
    return call(LOGIN, {"input": login})["data"]["login"]["session"]["accessToken"]


TOKEN = sign_in()
IDS = re.findall(r"[a-z]{3}_[0-9a-z]{26}", json.dumps(call(EXISTING, token=TOKEN)))
assert len(IDS) > 5, "the demo data is not there"

# Valid values, beside anything else a client may write.
anything = st.text(max_size=20)
schemathesis.graphql.scalar("DateTime", (st.datetimes().map(lambda it: it.isoformat() + "Z") | anything).map(nodes.String))
schemathesis.graphql.scalar("Date", (st.dates().map(str) | anything).map(nodes.String))
schemathesis.graphql.scalar("LocalTime", (st.times().map(lambda it: it.strftime("%H:%M")) | anything).map(nodes.String))
schemathesis.graphql.scalar("Decimal", (st.decimals(allow_nan=False).map(str) | anything).map(nodes.String))
schemathesis.graphql.scalar("TimeZone", (st.sampled_from(["UTC", "Europe/Amsterdam"]) | anything).map(nodes.String))
schemathesis.graphql.scalar("CurrencyCode", (st.sampled_from(["EUR", "USD", "JPY"]) | anything).map(nodes.String))
schemathesis.graphql.scalar("ID", (st.sampled_from(IDS) | anything).map(nodes.String))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sends requests as an administrator, who may use most of the API."""
    case.headers = {**(case.headers or {}), "Authorization": f"Bearer {TOKEN}"}


@schemathesis.check
def codes_are_of_the_list(ctx, response, case):
    text = response.text
    assert response.status_code < 500, f"status {response.status_code}: {text[:500]}"
    found = INTERNAL.search(text)
    assert not found, f"internal text {found.group()!r} in {text[:500]}"
    for error in response.json().get("errors", []):
        code = error.get("extensions", {}).get("code")
        assert code in CODES, f"code {code}: {text[:500]}"
        assert error["extensions"].get("requestId"), f"no request id: {text[:500]}"
