"""Values, serializers and checks that schemathesis cannot derive from the description."""

import base64
import itertools
import json

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st

# Text without control characters (Cc), and without halves of surrogate pairs (Cs).
plain = st.characters(exclude_categories=["Cc", "Cs"])


def text(max_bytes):
    """1 to `max_bytes` bytes: no keyword of JSON Schema counts bytes."""
    return st.text(plain, min_size=1, max_size=max_bytes).filter(lambda text: len(text.encode()) <= max_bytes)


order_id = text(128)
schemathesis.openapi.format("order-id", order_id)
schemathesis.openapi.format("product-name", text(500))

money = st.integers(0, 10**17 - 1).map(lambda cents: f"{cents // 100}.{cents % 100:02}")
line = st.one_of(
    st.fixed_dictionaries({"total": money}, optional={"order_id": order_id, "idempotency_key": st.text()}),
    st.fixed_dictionaries(
        {"op": st.just("status"), "order_id": order_id, "status": st.sampled_from(["SENT", "LOST"])},
        optional={"if_match": st.one_of(st.integers(), st.text())},
    ),
    st.dictionaries(st.text(), st.one_of(st.none(), st.floats(), st.text())),
).map(json.dumps)
schemathesis.openapi.format("ndjson", st.lists(st.one_of(line, st.text(st.characters(codec="utf-8")))).map("\n".join))


@schemathesis.serializer("application/x-ndjson")
def ndjson(_, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


keys = itertools.count()


@schemathesis.hook
def before_call(_, case, __):
    """Replaces values that must depend on earlier answers, which no schema can express."""
    if not case.meta.generation.mode.is_positive:
        return
    if "after" in (case.query or {}):
        case.query["after"] = base64.urlsafe_b64encode(str(case.query["after"]).encode()).decode().rstrip("=")
    for name in case.headers or {}:
        if name.lower() == "idempotency-key":
            # A different request under a key that was used before is refused.
            case.headers[name] = f"{case.headers[name][:200]}-{next(keys)}"
        elif name.lower() == "if-match" and not case.headers[name].startswith(("*", '"', "W/")):
            # The coverage phase ignores the pattern.
            case.headers[name] = f'"{case.headers[name]}"'


@schemathesis.check
def bulk_results(_, response, case):
    """Checks every line of a bulk answer against the description."""
    if response.headers.get("content-type", [""])[0] != "application/x-ndjson":
        return
    components = case.operation.schema.raw_schema["components"]
    result = jsonschema_rs.validator_for({"$ref": "#/components/schemas/BulkResult", "components": components})
    for line in response.content.decode().removesuffix("\n").split("\n") if response.content else []:
        result.validate(json.loads(line))
