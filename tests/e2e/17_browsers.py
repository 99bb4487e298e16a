"""What answers say to browsers: that they are data, and which web pages may read them."""
from support import raw, story
from support.daemon import Daemon, Refused
from support.story import is_true, same

PAGE, OTHER = "https://app.example", "http://localhost:3000"
READABLE = ("ETag", "Edgereplay-App-Version", "Edgereplay-Seq", "Edgereplay-State-Hash", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id")


def ask(daemon, method="GET", target="/v1/logs/a/head", body=None, **headers):
    with raw.Connection(daemon.address) as connection:
        return connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})


def words(answer, name):
    return {word.strip().lower() for word in (answer.header(name) or "").split(",") if word.strip()}


def preflight(daemon, origin, target="/v1/logs/a/sync"):
    return ask(daemon, "OPTIONS", target, Origin=origin, Access_Control_Request_Method="POST",
               Access_Control_Request_Headers="authorization,content-type")


@story.story
def no_answer_is_taken_for_a_page():
    with Daemon() as daemon:
        for target in ("/v1/info", "/v1/logs/a/head", "/nothing", "/v1/logs/%00/head"):
            answer = ask(daemon, target=target, Sec_Fetch_Mode="navigate", Accept="*/*")
            same(answer.header("x-content-type-options"), "nosniff", "sniffing of " + target)
            same(answer.header("cross-origin-resource-policy"), "same-origin", "embedding of " + target)
            is_true("frame-ancestors 'none'" in answer.header("content-security-policy"), "frames of %s", target)
            is_true("html" not in answer.header("content-type"), "type of %s: %s", target, answer.header("content-type"))
            same(answer.header("server"), "edgereplay", "Server, without a version")
        same(ask(daemon).header("content-security-policy"), None, "what a phone is told about frames")


@story.story
def without_a_list_no_page_may_read():
    with Daemon() as daemon:
        for answer in (ask(daemon, Origin=PAGE), preflight(daemon, PAGE)):
            same([name for name, _ in answer.headers if name.startswith("access-control")], [], "permissions")
            is_true("origin" not in words(answer, "vary"), "it varies with the origin")


@story.story
def the_pages_on_the_list_may_read_and_no_others():
    with Daemon(options={"server.cors_origins": "%s, %s" % (PAGE, OTHER), "server.cors_max_age_sec": 77}) as daemon:
        for origin in (PAGE, OTHER):
            for answer in (ask(daemon, Origin=origin), ask(daemon, target="/nothing", Origin=origin),
                           ask(daemon, "POST", "/v1/logs/a/sync", b"{", Origin=origin),
                           ask(daemon, "POST", "/v1/logs/a/sync", b" " * 2_000_000, Origin=origin)):
                same(answer.header("access-control-allow-origin"), origin, "who may read a %d" % answer.status)
                same(words(answer, "access-control-expose-headers"), {name.lower() for name in READABLE}, "what he may read")
                same(answer.header("access-control-allow-credentials"), None, "with whose cookies")
                is_true("origin" in words(answer, "vary"), "a %d does not vary", answer.status)
            answer = preflight(daemon, origin)
            same((answer.status, answer.body), (204, b""), "preflight")
            same(answer.header("access-control-allow-origin"), origin, "who may ask")
            same(words(answer, "access-control-allow-methods"), {"get", "head", "post", "put"}, "methods")
            is_true({"authorization", "content-type", "content-encoding", "if-none-match", "edgereplay-state-hash", "edgereplay-app-version",
                     "traceparent", "tracestate", "x-request-id"} <=
                    words(answer, "access-control-allow-headers"), "headers: %s", answer.headers)
            same(answer.header("access-control-max-age"), "77", "how long")
        for origin in ("https://app.example.org", "https://app.exampl", "https://APP.example", "http://app.example", "null", "*",
                       "https://app.example:443", "https://app.example/", "https://evil.test https://app.example", ""):
            for answer in (ask(daemon, Origin=origin), preflight(daemon, origin)):
                same([name for name, _ in answer.headers if name.startswith("access-control")], [], "what %r may" % origin)
                is_true(answer.status in (200, 204) and "origin" in words(answer, "vary"), "%d %s", answer.status, answer.headers)
        with raw.Connection(daemon.address) as connection:
            connection.send(b"GET /v1/info HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\nOrigin: x\r\n\r\n" % PAGE.encode())
            same(connection.response().status, 400, "two origins")
        same(ask(daemon, "OPTIONS", "/v1/logs/a/head", Origin=PAGE).header("allow"), "GET, HEAD, OPTIONS", "OPTIONS as ever")


@story.story
def what_is_no_origin_refuses_the_start():
    for bad in ("*", "null", "app.example", "https://", "https://app.example/", "https://App.example", "https://a b", "ftp://a",
                "https://good.example,https://bad.example/x"):
        try:
            Daemon(options={"server.cors_origins": bad})
        except Refused as refused:
            is_true("server.cors_origins" in refused.log, "%s", refused.log)
        else:
            raise AssertionError("started with %r" % bad)


story.run()
