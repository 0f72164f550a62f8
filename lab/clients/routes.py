"""Other HTTP clients that use every route of the ingress.

A caller is a program that reads requests from stdin, one a line,

    {"method", "path", "headers": {...}, "body": text or null}

sends them to http://$PRODUCER_HTTP_ADDR with its library, and prints a line for each:
{"status", "headers": {lower-case name: text}, "body": text}, or {"error": text}.
"""

import contextlib
import json
import subprocess
import threading
import urllib.parse
from dataclasses import dataclass, field

import writers

JSON = {"content-type": "application/json"}
# The seconds that a client has for all its cases.
DEADLINE = 120
BULK_LINES = 5000
BULK_ORDER_EACH = 500


@dataclass
class Answer:
    status: int
    headers: dict
    body: str

    def json(self):
        return json.loads(self.body)


def expect(what, found, wanted):
    assert found == wanted, f"{what}: {found!r} instead of {wanted!r}"


@dataclass
class Caller:
    name: str
    command: list
    # HttpURLConnection refuses to send PATCH; a line of a bulk request does the same.
    can_patch: bool = True
    # Cases that the client does not support.
    skips: tuple = ()
    # Each case, and what is wrong with it.
    cases: list = field(default_factory=list)
    # What must become of its orders.
    expected: dict = field(default_factory=dict)

    def run(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        # Ends a client that waits for ever; its remaining cases fail then.
        killer = threading.Timer(DEADLINE, self.process.kill)
        killer.start()
        try:
            for case in CASES:
                if case in self.skips:
                    continue
                wrong = None
                try:
                    case(self)
                except Exception as problem:
                    wrong = f"{type(problem).__name__}: {problem}"
                self.cases.append((case.__doc__, wrong))
        finally:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.wait()
            killer.cancel()

    def ask(self, method, path, body=None, headers=None):
        asked = {"method": method, "path": path, "headers": headers or {}, "body": body}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the program ended"
        answer = json.loads(line)
        assert not answer.get("error"), f"{method} {path}: {answer['error']}"
        return Answer(answer["status"], answer["headers"], answer["body"])

    def post(self, path, value, **headers):
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", path, json.dumps(value), {**JSON, **named})

    def order(self, name, outcome=writers.NONE):
        order_id = f"{self.name} {name}"
        self.expected[order_id] = outcome
        return order_id

    def set_status(self, order_id, status, version=None):
        """Changes an order's status; returns the status of the answer and the order's new version."""
        if not self.can_patch:
            line = {"op": "status", "order_id": order_id, "status": status}
            if version is not None:
                line["if_match"] = version
            answer = self.bulk([line])
            [result] = map(json.loads, answer.body.splitlines())
            return result["status"], result.get("order", {}).get("version")
        headers = {**JSON} if version is None else {**JSON, "if-match": f'"{version}"'}
        answer = self.ask("PATCH", path_of(order_id), json.dumps({"status": status}), headers)
        if answer.status == 200:
            expect("etag", answer.headers["etag"], f'"{answer.json()["version"]}"')
        else:
            is_problem(answer, answer.status)
        return answer.status, answer.json().get("version")

    def bulk(self, lines):
        body = "".join(json.dumps(line) + "\n" for line in lines)
        return self.ask("POST", "/orders/bulk", body, {"content-type": "application/x-ndjson"})


def path_of(order_id):
    return "/orders/" + urllib.parse.quote(order_id, safe="")


def is_problem(answer, status, kind=None):
    expect("status", answer.status, status)
    expect("content-type", answer.headers["content-type"], "application/problem+json")
    expect("status in the body", answer.json()["status"], status)
    if kind:
        expect("type", answer.json()["type"], f"urn:problem-type:{kind}")


def place(caller):
    """an order is placed, and once under its key"""
    order_id = caller.order("placed")
    wanted = {"order_id": order_id, "total": "120.50"}
    key = f"key of {caller.name}".replace(" ", "-")
    first = caller.post("/orders", wanted, idempotency_key=key)
    expect("status", first.status, 201)
    expect("content-type", first.headers["content-type"], "application/json")
    expect("location", first.headers["location"], path_of(order_id))
    expect("etag", first.headers["etag"], '"1"')
    order = first.json()
    expect("order", [order[name] for name in ("order_id", "status", "total", "currency", "version")],
           [order_id, "PENDING", "120.50", "EUR", 1])
    again = caller.post("/orders", wanted, idempotency_key=key)
    expect("repeated", [again.status, again.body], [201, first.body])
    expect("idempotency-replayed", again.headers["idempotency-replayed"], "true")
    other = caller.post("/orders", {**wanted, "total": "1"}, idempotency_key=key)
    is_problem(other, 422, "idempotency-key-reused")
    is_problem(caller.post("/orders", wanted), 409, "order-exists")


def texts(caller):
    """text beyond ASCII, and a content type with its charset"""
    order_id = caller.order("ä/ß ?#%2F 🧥")
    products = [{"name": "Regenjacke „grün“ 🧥", "price": 99.5}]
    headers = {"content-type": "application/json; charset=utf-8"}
    body = json.dumps({"order_id": order_id, "total": 99.5, "products": products}, ensure_ascii=False)
    placed = caller.ask("POST", "/orders", body, headers)
    expect("status", placed.status, 201)
    read = caller.ask("GET", placed.headers["location"])
    expect("status", read.status, 200)
    expect("order", read.json(), placed.json())
    expect("names", [read.json()["order_id"], read.json()["products"][0]["name"]], [order_id, products[0]["name"]])


def change(caller):
    """a status is changed, guarded by a version"""
    order_id = caller.order("changed", writers.VOUCHER)
    expect("status", caller.post("/orders", {"order_id": order_id, "total": 100}).status, 201)
    expect("other version", caller.set_status(order_id, "SENT", 7), (412, 1 if caller.can_patch else None))
    expect("same version", caller.set_status(order_id, "SENT", 1), (200, 2))
    expect("once more", caller.set_status(order_id, "SENT"), (200, 2))
    expect("impossible", caller.set_status(order_id, "PENDING")[0], 409)
    read = caller.ask("GET", path_of(order_id))
    expect("read", [read.status, read.headers["etag"], read.json()["status"]], [200, '"2"', "SENT"])
    known = caller.ask("GET", path_of(order_id), headers={"if-none-match": '"2"'})
    expect("known version", [known.status, known.body], [304, ""])
    is_problem(caller.ask("GET", "/orders/no-such-order"), 404, "order-not-found")


def pages(caller):
    """orders are listed in pages"""
    first = caller.ask("GET", "/orders?limit=1")
    expect("status", first.status, 200)
    path = first.json()["next"]
    expect("orders", len(first.json()["orders"]), 1)
    expect("link", first.headers["link"], f'<{path}>; rel="next"')
    second = caller.ask("GET", path)
    expect("status", second.status, 200)
    assert second.json()["orders"][0]["order_id"] > first.json()["orders"][0]["order_id"], "the same page"


def bulk(caller):
    """a large bulk has a result for each line"""
    lines = []
    for at in range(BULK_LINES):
        if at % BULK_ORDER_EACH == 0:
            sent = at % (2 * BULK_ORDER_EACH) == 0
            order_id = caller.order(f"bulk {at}", writers.VOUCHER if sent else writers.NONE)
            lines.append({"order_id": order_id, "total": "250.00"})
            if sent:
                lines.append({"order_id": order_id, "status": "SENT"})
        else:
            lines.append({"total": "-1", "note": "x" * 60})
    answer = caller.bulk(lines)
    expect("status", answer.status, 200)
    expect("content-type", answer.headers["content-type"], "application/x-ndjson")
    results = [json.loads(line) for line in answer.body.splitlines()]
    wanted = [200 if "status" in line else 201 if "order_id" in line else 422 for line in lines]
    expect("lines", [result["line"] for result in results], list(range(1, len(lines) + 1)))
    expect("statuses", [result["status"] for result in results], wanted)


def old_routes(caller):
    """the old system's routes answer as it did"""
    products = [{"name": "shirt", "price": 150}]
    created = caller.post("/order/create", {"total": 150, "products": products})
    expect("status", created.status, 200)
    order = created.json()
    assert isinstance(order["id"], int), order
    expect("order", [order["total"], order["status"], order["products"][0]["name"]], [150, "PENDING", "shirt"])
    caller.expected[str(order["id"])] = writers.VOUCHER
    sent = caller.post("/order/status-update", {"id": order["id"], "status": "SENT"})
    expect("status", sent.status, 200)
    expect("order", [sent.json()[name] for name in ("id", "total", "status")], [order["id"], "150.00", "SENT"])
    is_problem(caller.post("/order/status-update", {"id": "none", "status": "SENT"}), 404)


def errors(caller):
    """errors are problems, and are read after a long body too"""
    is_problem(caller.ask("POST", "/orders", '{"total":', JSON), 400, "malformed-json")
    is_problem(caller.ask("POST", "/orders", '{"total":1}', {"content-type": "text/plain"}), 415)
    is_problem(caller.post("/orders", {"total": "12O.00"}), 422, "invalid")
    is_problem(caller.post("/orders", {"total": 1, "note": "x" * 300_000}), 413, "too-large")
    is_problem(caller.ask("GET", "/no-such-path"), 404, "no-such-path")
    wrong = caller.ask("DELETE", "/orders/17")
    is_problem(wrong, 405)
    expect("allow", set(wrong.headers["allow"].split(",")), {"GET", "HEAD", "PATCH"})


def health(caller):
    """health, metrics and the API's description"""
    for path in ("/healthz", "/readiness"):
        answer = caller.ask("GET", path)
        expect(path, [answer.status, answer.body], [200, "OK"])
    for path in ("/healthz", "/readiness", "/livez", "/readyz"):
        head = caller.ask("HEAD", path)
        expect(f"HEAD {path}", [head.status, head.body], [200, ""])
    for path in ("/livez", "/readyz", "/metrics", "/docs/"):
        expect(path, caller.ask("GET", path).status, 200)
    routes = caller.ask("GET", "/openapi.json").json()["paths"]
    expect("routes", set(routes), {
        "/orders", "/orders/{order_id}", "/orders/bulk", "/order/create", "/order/status-update"})


CASES = [place, texts, change, pages, bulk, old_routes, errors, health]


def callers(work, sources):
    """Returns all HTTP clients, with programs below `work`."""
    python = [work / "venv/bin/python", sources / "python/ask.py"]
    java = ["java", "-cp", work / "java/*", sources / "java/Ask.java"]
    node = ["node", work / "node/ask.js"]
    return [
        Caller("Python requests", [*python, "requests"]),
        Caller("Python http.client", [*python, "http.client"]),
        Caller("Java HttpURLConnection", [*java, "HttpURLConnection"], can_patch=False),
        Caller("Java HttpClient, HTTP/2 offered", [*java, "HttpClient"]),
        # JDK 17 waits for ever when it is refused in place of a 100 (JDK-8286171).
        Caller("Java HttpClient, expectContinue", [*java, "HttpClient expectContinue"], skips=(errors,)),
        Caller("Node fetch", [*node, "fetch"]),
        Caller("Node http, in chunks", [*node, "http"]),
        Caller("Go net/http", [work / "go/ask"]),
        Caller("curl, HTTP/1.1", [*python, "curl", "--http1.1"]),
        Caller("curl, HTTP/2 prior knowledge", [*python, "curl", "--http2-prior-knowledge"]),
        Caller("curl, HTTP/2 by an upgrade", [*python, "curl", "--http2"]),
        Caller("curl --compressed", [*python, "curl", "--compressed"]),
        Caller("curl, Expect: 100-continue", [*python, "curl", "--header", "Expect: 100-continue"]),
        Caller("curl, in chunks from stdin", [*python, "curl", "--upload-file", "-"]),
    ]
