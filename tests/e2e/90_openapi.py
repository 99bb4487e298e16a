"""schema/openapi.yaml is what the daemon does: every route, status, code, header and member, and nothing besides."""
import copy
import json
import os
import re
import socket
import sqlite3
import sys
import threading

from support import chain, raw, story, tokens
from support.daemon import Daemon, databases, tool
from support.events import Stream
from support.openapi import METHODS, Document
from support.receiver import LINE, Receiver
from support.story import is_true, same, say
from support.tokens import bearer, claims, make

document = Document(os.path.join(story.ROOT, "schema/openapi.yaml"))
with open(os.path.join(story.ROOT, "schema/vectors.json"), encoding="utf-8") as vectors_file:
    VECTORS = json.load(vectors_file)["cases"]

# What this test cannot bring about, and where it is brought about if anywhere. If it comes after all, it goes from here.
NOT_DRIVEN = {
    "INTERNAL": "memory runs out, or a bug: unit/api_memory.c",
    "SHUTTING_DOWN": "past the drain time: 07_life_cycle.py",
}

SNAPSHOTS = [(method, "snapshots/" + which) for method in ("GET", "HEAD") for which in ("latest", "1")]
GUARDED = [("POST", "sync"), ("PUT", "snapshots/1"), ("GET", "actions"), ("HEAD", "actions"), ("GET", "head"), ("HEAD", "head"),
           ("GET", "events"), ("HEAD", "events")] + SNAPSHOTS
OPEN = [("GET", "/v1/info"), ("HEAD", "/v1/info"), ("OPTIONS", "/v1/info")] + [
    ("OPTIONS", "/v1/logs/a/" + name) for name in ("sync", "actions", "head", "events", "snapshots/latest", "snapshots/1")]
ALL = OPEN + [(method, "/v1/logs/a/" + name) for method, name in GUARDED]


class Judged:
    """A daemon whose every answer is held against the document."""

    def __init__(self, options=None, **how):
        self.daemon = Daemon(options=options, **how)

    def __enter__(self):
        self.client = self.daemon.client()
        return self

    def __exit__(self, *rest):
        self.client.close()
        self.daemon.__exit__(*rest)

    def ask(self, method, target, status, body=None, headers=()):
        if (method, status) == ("GET", 200) and target.endswith("/events"):
            with Stream(self.daemon.address, target.split("/")[3], **dict(headers)) as stream:
                answer = stream.answer
        else:
            answer = self.client.request(method, target, body, headers)
        same(answer.status, status, "%s %s: %s, status" % (method, target, answer.body[:500]))
        document.judge(method, target, answer)
        return answer

    def sync(self, body, status=200, code=None, log="a", **headers):
        answer = self.ask("POST", "/v1/logs/%s/sync" % log, status, json.dumps(body).encode(),
                          {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
        found = answer.json()
        same(found.get("code"), code, "code")
        if status == 200:
            same(document.faults(REQUEST, body), [], "what the schema has against a request that succeeds")
        return found


def media(operation, status=None):
    """The schema and the examples of an operation's JSON."""
    found = next(item for _, _, item in document.operations() if item["operationId"] == operation)
    found = document.at(found["responses"][status]) if status else found["requestBody"]
    return found["content"]["application/json"]


REQUEST = media("sync")["schema"]


def action(ts, payload="{}", device="d"):
    return {"device": device, "ts": ts, "type": "t", "payload": payload}


def batch(actions, seq=0, previous=None, log="a", **members):
    return chain.sync_body(actions, seq, previous or chain.genesis(log), **members)


def target_of(name, log="a"):
    return "/v1/logs/%s/%s" % (log, name)


def body_of(method, log="a"):
    return json.dumps(batch([], log=log)).encode() if method == "POST" else b"state" if method == "PUT" else None


@story.story
def the_document_is_one():
    document.check()


@story.story
def its_routes_and_methods_are_those_of_the_daemon():
    with Judged() as judged:
        with judged.daemon.client() as client:
            answer = client.get("/v1/nothing")
            document.judge_response(document.root["components"]["responses"]["NotFound"], "GET", answer, "an unknown path")
            same(answer.status, 404, "status")
            routes = re.findall(r"/v1/[\w{}/]*\w}?", answer.json()["detail"])
            same(sorted(routes), sorted(document.root["paths"]), "routes of the daemon, and of the document")
            for route in routes:
                for method in METHODS + ("brew",):
                    answer = client.request(method.upper(), route.replace("{log}", "a").replace("{seq}", "1"), None if method != "post" else b"{}",
                                            {"Accept": "text/html"})
                    documented = method in document.root["paths"][route]
                    same(answer.status != 405, documented, "%s %s: %d" % (method, route, answer.status))
                    if not documented:
                        document.judge_response(document.root["components"]["responses"]["MethodNotAllowed"], method.upper(), answer, route)


@story.story
def the_examples_are_what_the_daemon_says():
    first, pull = (media("sync")["examples"][name]["value"] for name in ("firstPush", "pull"))
    same([{k: a[k] for k in ("ts", "type", "payload")} for a in VECTORS[0]["actions"]], first["actions"], "actions of the vectors")
    same((first["prevHash"], first["stateHash"]), (VECTORS[0]["genesis"], VECTORS[0]["actions"][-1]["link"]), "hashes of the vectors")
    with Judged() as judged:
        for name, body in (("firstPush", first), ("pull", pull)):
            wanted = media("sync", "200")["examples"][name]["value"]
            said = judged.sync(body, log=VECTORS[0]["log"])
            same({**said, "serverTimestamp": wanted["serverTimestamp"]}, wanted, "answer to " + name)


@story.story
def every_answer_to_a_sync_is_documented():
    tool("keygen", "--name=sync.example.com", "key")
    options = {"limits.batch_actions": 10, "receipts.key": os.path.abspath("key"), "server.body_sec": 1, "server.least_rate": "1MiB"}
    with Judged(options) as judged:
        one, links = [action(n) for n in (1, 2, 3)], chain.extend(chain.genesis("a"), [action(n) for n in (1, 2, 3)])
        said = judged.sync(batch(one, device="d", receipt=True, state={"seq": 3, "digest": "0a", "app": "1.0"}))
        is_true("receipt" in said, "a receipt in %s", said)
        said = judged.sync(batch([], 3, links[2], device="e", state={"seq": 3, "digest": "0b", "app": "1.0"}))
        same(said["drift"], {"seq": 3, "agree": 1, "differ": 1}, "drift")
        said = judged.sync(batch([action(3), action(1, "x"), action(1, device="e")], 1, links[0]))
        same(said["results"], [{"seq": 3, "duplicate": True}, {"refused": "TIMESTAMP_TAKEN"}, {"seq": 4}], "results")
        same(judged.sync(batch([], 0, pull=1))["hasMore"], True, "hasMore")
        judged.sync({"seq": 0}, 400, "MALFORMED")
        judged.sync(batch([action(1), {**action(2), "ts": 1}]) | {"actions": [{"ts": 0, "type": "t", "payload": ""}]}, 400, "MALFORMED")
        judged.sync(batch([action(9)], 9, links[0]), 409, "SERVER_BEHIND")
        judged.sync(batch([action(9)], 2, links[0], locator=[[1, links[0].hex()], [0, chain.genesis("a").hex()]]), 409, "HASH_MISMATCH")
        judged.sync(batch([action(3), action(9)], 2, links[1], onConflict="reject"), 409, "CONFLICT")
        judged.sync(batch([action(9, "x" * 17000)]), 413, "PAYLOAD_TOO_LARGE")
        judged.sync(batch([action(n, "") for n in range(1, 12)]), 413, "BATCH_TOO_LARGE")
        judged.sync({"x": "y" * (1 << 20)}, 413, "BODY_TOO_LARGE")
        judged.sync(batch(one), 415, "UNSUPPORTED_MEDIA_TYPE", Content_Type="text/plain")
        judged.sync(batch(one), 415, "UNSUPPORTED_MEDIA_TYPE", Content_Encoding="br")
        judged.sync({**batch(one), "stateHash": "0" * 64}, 422, "CHAIN_BROKEN")
        newest = bytes.fromhex(said["stateHash"])
        judged.sync(batch([action(1, "x")], 4, newest, onConflict="reject"), 422, "TIMESTAMP_TAKEN")
        with judged.daemon.connection() as connection:
            connection.send(raw.head("POST", "/v1/logs/a/sync", b"", {"Content-Length": 10}))
            document.judge("POST", "/v1/logs/a/sync", connection.response())
    with Judged({"clock.max_skew_ms": 1000, "clock.monotonic": "true"}) as judged:
        for mode, status, codes in (("rebase", 200, (None, None)), ("reject", 422, ("CLOCK_SKEW", "NON_MONOTONIC_TIMESTAMP"))):
            judged.sync(batch([action(1 << 47)], log=mode, onConflict=mode), status, codes[0], mode)
            judged.sync(batch([action(5), action(4)], log=mode, onConflict=mode), status, codes[1], mode)
    narrow = {"server.body_memory": 131072, "limits.body_bytes": 81920, "limits.payload_bytes": 1024}
    with Judged(narrow) as judged, judged.daemon.connection() as other:
        other.send(raw.head("POST", "/v1/logs/a/sync", b"", {"Content-Length": 80000, "Expect": "100-continue"}))
        while b"100" not in other.buffer:
            other._fill()
        judged.sync({"x": "y" * 60000}, 429, "BACKPRESSURE")


@story.story
def a_request_that_the_schema_refuses_the_daemon_refuses():
    good = batch([action(n) for n in (1, 2)], locator=[[0, chain.genesis("a").hex()]], pull=5, onConflict="rebase", receipt=False,
                 device="d", state={"seq": 0, "digest": "0a", "app": "1"})
    changes = [("more", 1), ("seq", -1), ("seq", 1 << 53), ("seq", 0.5), ("prevHash", "0"), ("prevHash", "A" * 64), ("actions", {}),
               ("locator", [[0]]), ("locator", [[1, "0"]]), ("pull", -1), ("onConflict", "merge"), ("receipt", 1), ("device", "a/b"),
               ("device", "x" * 65), ("state", {"seq": 0}), ("state", {**good["state"], "digest": "A"}),
               ("stateHash", None), ("prevHash", None), ("actions", None), ("device", None)]
    with Judged() as judged:
        judged.sync(good)
        for name, value in changes:
            body = {**good, name: value} if value is not None else {k: v for k, v in good.items() if k != name}
            is_true(document.faults(REQUEST, body), "the schema takes %s: %r", name, value)
            judged.sync(body, 400, "MALFORMED")
        for name, value in (("ts", 0), ("ts", 1 << 48), ("type", ""), ("type", "x" * 129), ("type", "a\nb"), ("payload", {}), ("x", 1)):
            body = copy.deepcopy(good)
            body["actions"][0][name] = value
            is_true(document.faults(REQUEST, body), "the schema takes an action's %s: %r", name, value)
            judged.sync(body, 400, "MALFORMED")


@story.story
def every_answer_of_the_other_routes_is_documented():
    with Judged({"limits.waiters": 0}) as judged:
        for method in ("GET", "HEAD"):
            judged.ask(method, "/v1/logs/a/events", 404)
    with Judged({"limits.waiters": 1}) as judged, judged.daemon.connection() as holder:
        holder.send(raw.head("GET", "/v1/logs/a/events", b""))
        while b"event: head" not in holder.buffer:
            holder._fill()
        first = [action(n) for n in (1, 2, 3)]
        state = judged.sync(batch(first))["stateHash"]
        for method in ("GET", "HEAD"):
            judged.ask(method, "/v1/logs/a/actions?after=1&limit=1&meta=1", 200)
            judged.ask(method, "/v1/logs/a/actions?until=3:" + state, 200, headers={"Accept": "application/x-ndjson"})
            judged.ask(method, "/v1/logs/a/actions?until=9", 404)
            judged.ask(method, "/v1/logs/a/actions?after=9", 409)
            judged.ask(method, "/v1/logs/a/actions?after=3&wait=1", 429)
            judged.ask(method, "/v1/logs/a/head?wait=1", 429, headers={"If-None-Match": '"%s"' % state})
            judged.ask(method, "/v1/logs/a/head", 200)
            judged.ask(method, "/v1/logs/a/head", 304, headers={"If-None-Match": '"%s"' % state})
            judged.ask(method, "/v1/logs/a/events", 429)
            judged.ask(method, "/v1/info", 200)
    with Judged() as judged:
        for method, target in ALL:
            if method == "OPTIONS":
                judged.ask(method, target, 204)
            elif "snapshots" not in target or method == "PUT":
                judged.ask(method, target, 406, body_of(method), {"Accept": "text/html"})
            if method not in ("POST", "PUT"):
                judged.ask(method, target, 413, b"x")
            judged.ask(method, target, 431, body_of(method), {"X-Long": "y" * 9000})
            with judged.daemon.connection() as connection:  # a second Host
                connection.send(raw.head(method, target, headers={"Host": "a\r\nHost: b"}))
                document.judge(method, target, connection.response(method))
        for method in ("GET", "HEAD"):
            judged.ask(method, "/v1/logs/a/events", 200)
            for name in ("actions", "head", "events", "snapshots/latest", "snapshots/1"):
                judged.ask(method, target_of(name) + "?x=1", 400)


@story.story
def every_answer_about_who_asks_is_documented():
    key = tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("jwks.json", key), "limits.log_actions": 2,
               "rate.requests": 1, "rate.requests_burst": 8}
    with Judged(options) as judged:
        for number, (method, name) in enumerate(GUARDED):
            sub = "sub%d" % number
            headers = dict([bearer(make(key, claims(sub=sub)))])
            judged.ask(method, target_of(name, sub), 401, body_of(method, sub))
            judged.ask(method, target_of(name, sub), 401, body_of(method, sub), dict([bearer("x")]))
            judged.ask(method, target_of(name), 403, body_of(method), headers)
            for _ in range(20):
                with judged.daemon.client() as client:
                    answer = client.request(method, target_of(name, sub) + "?x=1", body_of(method, sub), headers)
                document.judge(method, target_of(name, sub), answer)
                if answer.status == 429:
                    break
            same(answer.status, 429, "status when too much was asked for")
        headers = dict([bearer(make(key, claims()))])
        judged.sync(batch([action(1)], log="anna"), log="anna", **headers)
        judged.sync(batch([action(n) for n in (1, 2, 3)], log="anna"), 403, "QUOTA_EXCEEDED", log="anna", **headers)
        answer = judged.ask("GET", "/v1/logs/anna/actions?meta=1", 200, headers=headers)
        same(answer.json()["actions"][0]["writer"], "anna", "writer")
        is_true(answer.header("ratelimit") and answer.header("ratelimit-policy"), "RateLimit of %s", answer.headers)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = "http://127.0.0.1:%d/" % taken.getsockname()[1]
    with Judged({"auth.mode": "jwt", "auth.jwks_url": nobody}) as judged:
        for method, name in GUARDED:
            judged.ask(method, target_of(name, "anna"), 503, body_of(method, "anna"), headers)


@story.story
def every_answer_about_snapshots_and_what_was_removed_is_documented():
    options = {"admin.listen": "unix:admin.sock", "limits.snapshot_bytes": 1000, "server.body_sec": 1, "server.least_rate": "1MiB"}
    with Judged(options) as judged:
        admin = "--url=unix:" + os.path.join(os.path.realpath(judged.daemon.dir), "admin.sock")
        actions = [action(n) for n in range(1, 6)]
        links = [link.hex() for link in chain.extend(chain.genesis("a"), actions)]
        for log in ("a", "b"):
            judged.sync(batch(actions, log=log), log=log)

        def put(seq, link, status, body=b"state", **headers):
            return judged.ask("PUT", "/v1/logs/a/snapshots/%d" % seq, status, body, {
                "Edgereplay-State-Hash": link, **{k.replace("_", "-"): v for k, v in headers.items()}})
        same(put(3, links[2], 200, Content_Type="application/x-app", Edgereplay_App_Version="4.2").json()["kept"], True, "kept")
        put(9, links[2], 409)
        put(2, links[2], 409)
        put(3, links[2], 413, b"x" * 1001)
        put(3, links[2], 415, Content_Encoding="br")
        with judged.daemon.connection() as connection:
            connection.send(raw.head("PUT", "/v1/logs/a/snapshots/3", b"", {"Content-Length": 10, "Edgereplay-State-Hash": links[2]}))
            document.judge("PUT", "/v1/logs/a/snapshots/3", connection.response())
        for method in ("GET", "HEAD"):
            for which in ("latest", "3"):
                answer = judged.ask(method, "/v1/logs/a/snapshots/" + which, 200)
                same((answer.header("content-type"), answer.header("edgereplay-app-version")), ("application/x-app", "4.2"), "headers")
                judged.ask(method, "/v1/logs/a/snapshots/" + which, 304, headers={"If-None-Match": answer.header("etag")})
            judged.ask(method, "/v1/logs/a/snapshots/latest?before=3", 404)
            judged.ask(method, "/v1/logs/a/snapshots/4", 404)
        tool("redact", "a", 4, admin)
        same(judged.ask("GET", "/v1/logs/a/actions?after=3&meta=1", 200).json()["actions"][0]["redacted"], True, "redacted")
        judged.ask("GET", "/v1/logs/a/actions?after=3", 200, headers={"Accept": "application/x-ndjson"})
        put(3, links[2], 200)
        tool("prune", "a", admin)
        for method in ("GET", "HEAD"):
            judged.ask(method, "/v1/logs/a/actions", 410)
        judged.sync(batch([]), 410, "PRUNED")
        put(2, links[1], 410)
        tool("erase", "a", admin)
        for method, name in GUARDED:
            headers = {"Edgereplay-State-Hash": links[0]} if method == "PUT" else {}
            judged.ask(method, target_of(name), 410, body_of(method), headers)
    with Judged({"snapshots.transfers": 1, "server.least_rate": 1}) as judged, judged.daemon.connection() as other:
        judged.sync(batch([action(1)]))
        state = {"Edgereplay-State-Hash": chain.extend(chain.genesis("a"), [action(1)])[0].hex()}
        other.send(raw.head("PUT", "/v1/logs/a/snapshots/1", b"", {"Content-Length": 10, "Expect": "100-continue", **state}))
        while b"100" not in other.buffer:
            other._fill()
        for method, name in SNAPSHOTS + [("PUT", "snapshots/1")]:
            judged.ask(method, target_of(name), 429, body_of(method), state)


@story.story
def every_answer_about_a_damaged_log_is_documented():
    with Judged() as judged:
        judged.sync(batch([action(n) for n in range(1, 6)]))
        judged.daemon.stop()
        for path in databases(judged.daemon.dir):
            with sqlite3.connect(path) as database:
                database.execute("UPDATE actions SET payload = 'x' WHERE seq = 3")
        judged.daemon.start()
        judged.client = judged.daemon.client()
        answer = judged.ask("GET", "/v1/logs/a/actions", 200, headers={"Accept": "application/x-ndjson"})
        same(answer.lines()[-1]["error"]["code"], "LOG_DAMAGED", "the stream's last line")
        state = {"Edgereplay-State-Hash": "0" * 64}
        for method, name in [found for found in GUARDED if found not in SNAPSHOTS]:
            name = "snapshots/4" if method == "PUT" else name  # beyond what verifies
            answer = judged.ask(method, target_of(name) + ("?after=2" if name == "actions" else ""), 503, body_of(method), state)
            is_true(method == "HEAD" or answer.json()["head"]["seq"] == 2, "head of %s", answer.body)


@story.story
def the_webhooks_notice_is_documented():
    operation = document.root["webhooks"]["logHasGrown"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    parameters = {document.at(p)["name"]: document.at(p) for p in operation["parameters"]}
    with open("secrets", "w", encoding="ascii") as file:
        file.write(LINE)
    os.chmod("secrets", 0o600)
    heads, done = [], threading.Event()

    class Kept(Receiver):
        def take(self, request):
            heads.append(dict(request.headers))
            super().take(request)
            done.set()
    with Kept() as receiver, Judged({"webhook.url": receiver.url, "webhook.secret_file": "secrets", "webhook.gather_msec": 0}) as judged:
        judged.sync(batch([action(1)]), traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
        is_true(done.wait(60), "a notice")
        same(document.faults(schema, receiver.attempts[0][1]), [], "faults of the notice")
        for name, parameter in parameters.items():
            is_true(name in heads[0], "no header %s in %s", name, heads[0])
            same(document.faults(parameter["schema"], heads[0][name]), [], "header " + name)


@story.story
def when_to_come_again_is_said_by_both_documents_alike():
    """Which codes have retryAfterMs: the table of protocol.md, and the schemas of their problems."""
    table = {}
    with open(os.path.join(story.ROOT, "schema/protocol.md"), encoding="utf-8") as file:
        for row in re.findall(r"^\| [0-9, ]+ \| (`[A-Z`, _]+) \| [a-z, ]+ \| (.*) \|$", file.read(), re.MULTILINE):
            table.update({code: ("`Retry-After`" in row[1], "`retryAfterMs`" in row[1]) for code in re.findall("[A-Z_]+", row[0])})
    schemas = {}
    for schema in document.root["components"]["schemas"].values():
        if "const" in schema.get("properties", {}).get("code", {}):
            says = "retryAfterMs" in schema["properties"]
            schemas[schema["properties"]["code"]["const"]] = (says, says)
    is_true({"RATE_LIMITED", "BACKPRESSURE", "SHUTTING_DOWN", "STORAGE_UNAVAILABLE"} <= set(table), "codes: %s", sorted(table))
    same({code: table[code] for code in table if code in schemas}, {code: schemas[code] for code in schemas if code in table}, "who says it")


@story.story
def all_that_is_documented_was_seen():
    if sys.argv[1:]:
        return  # a story alone
    wanted, count = set(), 0
    for _, method, operation in document.operations():
        if operation["operationId"] == "logHasGrown":
            continue
        for status, code in document.documented(operation):
            # The answer to HEAD does not show its code.
            seen = (operation["operationId"], status, None if method == "head" else code) in document.seen
            is_true(method == "head" or not (seen and code in NOT_DRIVEN), "%s comes after all", code)
            count += 1
            if not seen and code not in NOT_DRIVEN:
                wanted.add((operation["operationId"], status, code))
    same(wanted, set(), "documented, and never seen")
    say("%d routes, %d operations; %d documented answers, of which all but those of %s were seen", len(document.root["paths"]),
        len({seen[0] for seen in document.seen}), count, " and ".join(sorted(NOT_DRIVEN)))


story.run()
