"""Every error that can occur without authentication is a whole problem document; and how HTTP itself behaves."""
import json
import re

from support import chain, raw, story
from support.daemon import Daemon, Shared
from support.story import is_true, same

MEMBERS = {"type": str, "title": str, "status": int, "code": str, "detail": str, "retry": str, "requestId": str,
           "serverTimestamp": int}


def check(answer, status, code, retry, method="GET", **members):
    """A problem document with everything section 5 asks for."""
    same((answer.status, answer.header("content-type").split(";")[0]), (status, "application/problem+json"),
         "%s: %s" % (code, answer.body[:300]))
    if method == "HEAD":
        return None
    problem = answer.json()
    for name, kind in MEMBERS.items():
        is_true(isinstance(problem.get(name), kind), "%s of %r", name, problem)
    same((problem["code"], problem["status"], problem["retry"]), (code, status, retry), "code, status, retry")
    is_true(problem["type"].startswith("/problems/"), "type %s", problem["type"])
    same(answer.header("x-request-id"), problem["requestId"], "request id")
    same(answer.header("cache-control"), "no-store", "Cache-Control")
    for name, value in members.items():
        same(problem.get(name), value, name)
    return problem


shared = Shared(options={"limits.batch_actions": 10})


def body(log="p", actions=1, **members):
    batch = [{"device": "d", "ts": n + 1, "type": "t", "payload": "{}"} for n in range(actions)]
    return {**chain.sync_body(batch, 0, chain.genesis(log)), **members}


@story.story
def unknown_paths_are_404():
    with shared.daemon.client() as client:
        for path in ("/", "/v1", "/v1/", "/v2/info", "/v1/logs", "/v1/logs/", "/v1/logs/a", "/v1/logs/a/", "/v1/info/",
                     "/v1/logs/a/nothing", "/v1/logs/a/head/x", "/favicon.ico", "/v1/logs//head", "/v1//logs/a/head"):
            answer = client.get(path)
            is_true(answer.status in (400, 404), "%s: %d", path, answer.status)
            if answer.status == 404:
                check(answer, 404, "NOT_FOUND", "never")
        check(client.get("/nothing"), 404, "NOT_FOUND", "never")
        check(client.request("HEAD", "/nothing"), 404, "NOT_FOUND", "never", "HEAD")
        check(client.request("BREW", "/nothing"), 404, "NOT_FOUND", "never")


@story.story
def other_methods_are_405_with_allow():
    with shared.daemon.client() as client:
        for path, methods in (("/v1/logs/a/sync", "POST"), ("/v1/logs/a/head", "GET"), ("/v1/logs/a/actions", "GET"),
                              ("/v1/info", "GET")):
            for method in ("DELETE", "PUT", "PATCH", "BREW", "GET" if methods == "POST" else "POST"):
                answer = client.request(method, path, b"{}" if method != "GET" else None)
                check(answer, 405, "METHOD_NOT_ALLOWED", "never")
                is_true(methods in answer.header("allow"), "Allow: %s", answer.header("allow"))
            answer = client.request("OPTIONS", path)
            is_true(answer.status in (200, 204), "OPTIONS: %d", answer.status)
            is_true(methods in answer.header("allow") and "OPTIONS" in answer.header("allow"), "Allow")


@story.story
def head_answers_as_get_without_a_body():
    with shared.daemon.client() as client:
        client.post("/v1/logs/h/sync", body("h"))
        for path in ("/v1/logs/h/head", "/v1/logs/h/actions", "/v1/info"):
            get, head = client.get(path), client.request("HEAD", path)
            same((head.status, head.body), (200, b""), path)
            same(head.header("content-type"), get.header("content-type"), "Content-Type")
            same(head.header("etag"), get.header("etag"), "ETag")
        same(client.get("/v1/info").status, 200, "the connection is still in step")


@story.story
def media_types_are_judged():
    with shared.daemon.client() as client:
        for accept in ("text/html", "application/xml;q=1", "application/json;q=0", "image/*"):
            check(client.get("/v1/logs/a/actions", Accept=accept), 406, "NOT_ACCEPTABLE", "never")
        for accept in ("*/*", "application/*", "text/html, application/json;q=0.1", "APPLICATION/JSON"):
            same((accept, client.get("/v1/logs/a/actions", Accept=accept).status), (accept, 200), "status")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
            answer = client.post("/v1/logs/a/sync", body("a"), Content_Type=kind)
            check(answer, 415, "UNSUPPORTED_MEDIA_TYPE", "never")
        answer = client.post("/v1/logs/a/sync", body("a"), Content_Encoding="br")
        check(answer, 415, "UNSUPPORTED_MEDIA_TYPE", "never")
        for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
            same((kind, client.post("/v1/logs/a/sync", body("a"), Content_Type=kind).status), (kind, 200), "status")


@story.story
def large_bodies_are_413_with_the_limit_and_the_connection_or_its_end_is_clean():
    with shared.daemon.client() as client:
        limit = client.get("/v1/info").json()["limits"]["bodyBytes"]
        huge = b'{"x":"' + b"y" * limit + b'"}'
        check(client.post("/v1/logs/a/sync", huge), 413, "BODY_TOO_LARGE", "split", limit=limit)
        with shared.daemon.connection() as connection:
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                              for part in (huge[at:at + 65536] for at in range(0, len(huge), 65536)))
            try:
                connection.send(raw.head("POST", "/v1/logs/a/sync", b"", {
                    "Transfer-Encoding": "chunked", "Content-Type": "application/json"}) + chunks + b"0\r\n\r\n")
            except OSError:
                pass
            check(connection.response(), 413, "BODY_TOO_LARGE", "split", limit=limit)
        check(client.post("/v1/logs/a/sync", body("a", 11)), 413, "BATCH_TOO_LARGE", "split", limit=10)
        one = body("a")
        one["actions"][0]["payload"] = "x" * 16385
        check(client.post("/v1/logs/a/sync", one), 413, "PAYLOAD_TOO_LARGE", "never", limit=16384, index=0)
        with shared.daemon.connection() as connection:
            connection.send(raw.head("GET", "/v1/info", b"", {"Content-Length": "10"}) + b"0123456789")
            is_true(connection.response().status in (200, 413), "a GET with a body")


@story.story
def what_the_body_says_is_judged_in_order():
    with shared.daemon.client() as client:
        check(client.post("/v1/logs/a/sync", b"{"), 400, "MALFORMED", "never")
        check(client.post("/v1/logs/a/sync", b""), 400, "MALFORMED", "never")
        both = body("a", 11)
        both["actions"][10]["ts"] = 0
        check(client.post("/v1/logs/a/sync", both), 400, "MALFORMED", "never", index=10)
        both = body("a", 11)
        both["actions"][3]["payload"] = "x" * 20000
        check(client.post("/v1/logs/a/sync", both), 413, "BATCH_TOO_LARGE", "split", limit=10)
        actual = body("a")["stateHash"]
        check(client.post("/v1/logs/a/sync", body("a", stateHash="1" * 64)), 422, "CHAIN_BROKEN", "never",
              expected="1" * 64, actual=actual)


@story.story
def what_the_log_says_is_a_problem_too():
    with shared.daemon.client() as client:
        first = body("w", 3)
        same(client.post("/v1/logs/w/sync", first).status, 200, "status")
        head = {"seq": 3, "stateHash": first["stateHash"]}
        genesis = {"seq": 0, "stateHash": chain.genesis("w").hex()}
        new = [{"device": "d", "ts": 9, "type": "t", "payload": "new"}]

        def post(actions, seq, link, **members):
            return client.post("/v1/logs/w/sync", chain.sync_body(actions, seq, link, **members))
        check(post(new, 9, b"\1" * 32), 409, "SERVER_BEHIND", "rebase", head=head, ancestor=genesis)
        check(post(new, 2, b"\1" * 32), 409, "HASH_MISMATCH", "rebase", head=head, ancestor=genesis)
        problem = check(post(new, 0, chain.genesis("w"), onConflict="reject"), 409, "CONFLICT", "rebase", head=head,
                        hasMore=False, duplicates=[])
        same(len(problem["missed"]), 3, "missed")
        taken = [{"device": "d", "ts": 1, "type": "t", "payload": "other"}]
        check(post(taken, 3, bytes.fromhex(head["stateHash"]), onConflict="reject"), 422, "TIMESTAMP_TAKEN",
              "restamp", index=0)
        check(client.get("/v1/logs/w/actions?until=9"), 404, "UNKNOWN_STATE", "never")
        check(client.get("/v1/logs/w/actions?after=9"), 409, "SERVER_BEHIND", "rebase", head=head)
        check(client.get("/v1/logs/w/actions?after=x"), 400, "MALFORMED", "never")
        check(client.get("/v1/logs/%20/head"), 400, "MALFORMED", "never")
    with Daemon(options={"clock.max_skew_ms": 1000, "clock.monotonic": "true"}) as daemon, daemon.client() as client:
        ahead = [{"device": "d", "ts": 1 << 47, "type": "t", "payload": ""}]
        request = chain.sync_body(ahead, 0, chain.genesis("w"), onConflict="reject")
        check(client.post("/v1/logs/w/sync", request), 422, "CLOCK_SKEW", "restamp", index=0)
        late = [{"device": "d", "ts": 5, "type": "t", "payload": ""}, {"device": "d", "ts": 4, "type": "t", "payload": ""}]
        request = chain.sync_body(late, 0, chain.genesis("w"), onConflict="reject")
        check(client.post("/v1/logs/w/sync", request), 422, "NON_MONOTONIC_TIMESTAMP", "restamp", index=1)


@story.story
def request_ids_are_taken_over_if_sane():
    with shared.daemon.client() as client:
        same(client.get("/nothing", X_Request_Id="abc-123_x.Y").json()["requestId"], "abc-123_x.Y", "sane")
        same(client.get("/v1/info", X_Request_Id="abc").header("x-request-id"), "abc", "on a success")
        for strange in ("a b", "x" * 129, 'a"b', "\u00e9", "a\tb", ""):
            made = client.get("/nothing", X_Request_Id=strange).json()["requestId"]
            is_true(re.fullmatch(r"[A-Za-z0-9._-]{8,128}", made) and made != strange, "made: %r", made)
        ids = {client.get("/v1/info").header("x-request-id") for _ in range(50)}
        same(len(ids), 50, "different ids")


@story.story
def info_says_what_the_server_is():
    with shared.daemon.client() as client:
        info = client.get("/v1/info").json()
        is_true(info["serverTimestamp"] > 0 and isinstance(info["features"], list), "info %r", info)
        text = json.dumps(info)
        for number in ("16384", "1048576", "1000"):
            is_true(number in text, "%s in %s", number, text)


@story.story
def pipelined_requests_are_answered_in_order():
    with shared.daemon.connection() as connection:
        count, log, requests = 60, "pipe", b""
        link = chain.genesis(log)
        for n in range(count):
            batch = [{"device": "d", "ts": n + 1, "type": "t", "payload": str(n)}]
            data = json.dumps(chain.sync_body(batch, n, link)).encode()
            link = chain.extend(link, batch)[-1]
            requests += raw.head("POST", "/v1/logs/%s/sync" % log, data) + data
            requests += raw.head("GET", "/v1/logs/%s/head" % log) + raw.head("GET", "/nothing%d" % n)
        connection.send(requests)
        for n in range(count):
            sync, head, nothing = connection.response(), connection.response(), connection.response()
            same((sync.status, sync.json()["seq"], sync.json()["fastForward"]), (200, n + 1, True), "sync")
            same((head.status, head.json()["seq"]), (200, n + 1), "head")
            same(nothing.status, 404, "nothing")


@story.story
def a_request_may_arrive_byte_by_byte_and_expect_100():
    with shared.daemon.connection() as connection:
        data = json.dumps(body("slow")).encode()
        for byte in raw.head("POST", "/v1/logs/slow/sync", data) + data:
            connection.send(bytes([byte]))
        same(connection.response().status, 200, "byte by byte")
        connection.send(raw.head("POST", "/v1/logs/slow/sync", data, {"Expect": "100-continue"}))
        while b"100" not in connection.buffer:
            connection._fill()
        connection.send(data)
        same(connection.response().json()["duplicates"], 1, "after 100 Continue")


@story.story
def what_smuggles_requests_is_400_and_the_end():
    for lines in ("Content-Length: 2\r\nTransfer-Encoding: chunked", "Content-Length: 2\r\nContent-Length: 3",
                  "Transfer-Encoding: xchunked", "Transfer-Encoding: gzip, chunked", "Content-Length: -1",
                  "Content-Length: 2, 2", "Host: other"):
        with shared.daemon.connection() as connection:
            connection.send(("POST /v1/logs/a/sync HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s\r\n\r\n{}"
                             % lines).encode())
            answer = connection.response()
            same((lines, answer.status // 100), (lines, 4), "status")
            is_true(connection.closed or connection.ended(), "%s: the connection goes on", lines)
    for target in ("/v1/logs/a%00b/head", "/v1/logs/%00/head"):
        with shared.daemon.connection() as connection:
            same((target, connection.request("GET", target).status), (target, 400), "NUL in a path")


@story.story
def headers_without_end_are_refused():
    with shared.daemon.connection() as connection:
        try:
            connection.send(b"GET /v1/info HTTP/1.1\r\nHost: a\r\n" + b"X-Long: " + b"y" * 200_000 + b"\r\n\r\n")
            answer = connection.response()
            same(answer.status, 431, "status")
        except (raw.Cut, ConnectionError):
            pass  # the answer was lost to the reset: also an end
    with shared.daemon.client() as client:
        same(client.get("/v1/info").status, 200, "the server goes on")
    shared.stop()


story.run()
