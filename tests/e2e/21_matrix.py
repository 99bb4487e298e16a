"""Every route, every method, every kind of caller: a generated matrix. A route that the daemon has and this table has not fails it."""
import json
import os
import re
import time

from support import chain, story, tokens
from support.daemon import Daemon, tool
from support.events import Stream
from support.story import is_true, same
from support.tokens import bearer, claims, make

METHODS = ("PUT", "GET", "HEAD", "POST", "OPTIONS", "DELETE", "PATCH", "BREW")

# Per route: which methods it has, and whether it needs to be known who asks.
ROWS = {
    "/v1/info": (("GET", "HEAD"), False),
    "/v1/logs/{log}/sync": (("POST",), True),
    "/v1/logs/{log}/actions": (("GET", "HEAD"), True),
    "/v1/logs/{log}/head": (("GET", "HEAD"), True),
    "/v1/logs/{log}/snapshots/{seq}": (("GET", "HEAD", "PUT"), True),
    "/v1/logs/{log}/snapshots/latest": (("GET", "HEAD"), True),
    "/v1/logs/{log}/events": (("GET", "HEAD"), True),
}

key = tokens.Key("EdDSA", "ed")
GRANTS = {"logs": ["shared", "team-*"], "logs_ro": ["news", "feed-*", "team-news"]}

# Who asks for which log, and what they may do with it.
CALLERS = (
    ("own", "anna", "write"), ("granted", "shared", "write"), ("granted by prefix", "team-x", "write"),
    ("granted by the prefix itself", "team-", "write"), ("granted more than read-only", "team-news", "write"),
    ("read-only", "news", "read"), ("read-only by prefix", "feed-1", "read"),
    ("another's", "bob", None), ("another's that nobody has written", "nobody", None), ("nearly a prefix", "team", None),
    ("nearly one's own", "anna2", None), ("one's own in capitals", "Anna", None), ("a prefix's pattern", "feed", None),
    ("support", "bob", "write"), ("bound to a device", "anna", "write"),
    ("none", "anna", "unknown"), ("expired", "anna", "unknown"),
)


def credentials(caller):
    if caller == "none":
        return {}
    said = claims(**GRANTS)
    if caller == "expired":
        said = claims(**GRANTS, exp=int(time.time()) - 3600)
    elif caller == "support":
        said = claims(sub="helper", scope="other logs:all")
    elif caller == "bound to a device":
        said = claims(device="d")
    return dict([bearer(make(key, said))])


def served():
    path = tokens.write_jwks("jwks.json", key)
    return Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "auth.all_scope": "logs:all",
                           "rate.failures": 0, "rate.requests": 0})


def batch(log, actions=1, device="d"):
    made = [{"device": device, "ts": n + 1, "type": "t", "payload": "{}"} for n in range(actions)]
    return json.dumps(chain.sync_body(made, 0, chain.genesis(log))).encode()


def sent(method, route, log, actions):
    """The body of a request, and its headers: what a caller who may do it is answered 200."""
    if method == "PUT":
        made = [{"device": "d", "ts": 1, "type": "t", "payload": "{}"}]
        return b"state", {"Edgereplay-State-Hash": chain.extend(chain.genesis(log), made)[0].hex()}
    return (batch(log, actions), {}) if method == "POST" else (None, {})


def told(answer):
    document = answer.json()
    return json.dumps({name: value for name, value in document.items() if name not in ("requestId", "serverTimestamp")})


def routes(client):
    """As the daemon itself lists them for a path that there is not."""
    found = re.findall(r"/v1/[\w{}/]*[\w}]", client.get("/v1/nothing").json()["detail"])
    is_true(len(found) >= 4, "the daemon lists %r", found)
    return found


def wanted(route, method, access, writes):
    methods, guarded = ROWS[route]
    writes = writes or method == "PUT"
    if method == "OPTIONS":
        return 204
    if method not in methods:
        return 405
    if not guarded:
        return 200
    if access == "unknown":
        return 401
    if access is None or (writes and access == "read"):
        return 403
    if "snapshots" in route and access == "read":
        return 404  # nobody has put one there, as nobody has written
    return 200


def ask(daemon, client, method, route, log, body, headers):
    if (method, route) == ("GET", "/v1/logs/{log}/events"):
        with Stream(daemon.address, log, **headers) as stream:  # it does not end by itself
            return stream.answer
    target = route.replace("{log}", log).replace("{seq}", "1")
    return client.request(method, target, body, headers)


@story.story
def every_route_method_and_caller_is_answered_as_the_table_says():
    asked, bodies = 0, {401: set(), 403: set()}
    with served() as daemon, daemon.client() as client:
        client.post("/v1/logs/bob/sync", batch("bob"), **{"Authorization": credentials("support")["Authorization"]})
        same(sorted(routes(client)), sorted(ROWS), "routes of the daemon, and rows of the matrix")
        for caller, log, access in CALLERS:
            headers = credentials(caller)
            for route in ROWS:
                for method in METHODS:
                    for actions in (0, 1) if method == "POST" else (0,):
                        body, added = sent(method, route, log, actions)
                        answer = ask(daemon, client, method, route, log, body, {**headers, **added})
                        what = "%s %s by %s (%s, %d actions)" % (method, route, caller, log, actions)
                        status = wanted(route, method, access, actions > 0)
                        same(answer.status, status, what + ": status with %r" % answer.body[:300])
                        if status in bodies and method != "HEAD" and access != "read":
                            bodies[status].add(told(answer))
                        asked += 1
    same({status: len(found) for status, found in bodies.items()}, {401: 1, 403: 1}, "different bodies of 401 and 403")
    story.say("%d requests: %d routes, %d methods, %d callers", asked, len(ROWS), len(METHODS), len(CALLERS))


@story.story
def who_asks_comes_after_404_and_405_and_before_all_else():
    with served() as daemon, daemon.client() as client:
        other, own = credentials("own"), credentials("own")
        for method, target, body, headers, nobody, stranger in (
                ("GET", "/v1/nothing", None, {}, 404, 404), ("PUT", "/v1/logs/bob/head", None, {}, 405, 405),
                ("GET", "/v1/logs/bob/head", None, {"Accept": "text/html"}, 401, 403),
                ("GET", "/v1/logs/bob/head?x=1", None, {}, 401, 403),
                ("POST", "/v1/logs/bob/sync", b"{", {"Content-Type": "text/plain"}, 401, 403),
                ("POST", "/v1/logs/bob/sync", b"x" * (2 << 20), {}, 401, 403),
                ("POST", "/v1/logs/bob/sync", b"{", {}, 401, 403),
                ("GET", "/v1/logs/bob/actions?after=99", None, {}, 401, 403),
                ("PUT", "/v1/logs/bob/snapshots/1", b"x" * (2 << 20), {}, 401, 403), ("PUT", "/v1/logs/bob/snapshots/1?x=1", b"x", {}, 401, 403),
                ("GET", "/v1/logs/bob/snapshots/latest?before=0", None, {}, 401, 403),
                ("GET", "/v1/logs/a%2fb/head", None, {}, 401, 400), ("GET", "/v1/logs/../head", None, {}, 401, 400)):
            same(client.request(method, target, body, headers).status, nobody, "%s %s by nobody" % (method, target))
            same(client.request(method, target, body, {**headers, **other}).status, stranger, "%s %s by another" % (method, target))
        same(client.request("GET", "/v1/logs/%61nna/head", None, own).status, 200, "status of one's own, percent-encoded")
        same(client.request("OPTIONS", "*").status, 204, "OPTIONS *")


@story.story
def what_was_written_names_the_subject():
    with served() as daemon, daemon.client() as client:
        auth = credentials("own")["Authorization"]
        same(client.post("/v1/logs/team-x/sync", batch("team-x"), Authorization=auth).status, 200, "status")
        action = client.get("/v1/logs/team-x/actions?meta=1", Authorization=auth).json()["actions"][0]
        same(action["writer"], "anna", "writer")


@story.story
def a_device_in_the_token_binds_what_the_batch_adds_on_its_own_behalf():
    with served() as daemon, daemon.client() as client:
        auth = credentials("bound to a device")["Authorization"]
        other = [{"device": "tablet", "ts": 5, "type": "t", "payload": "{}"}]
        start = chain.genesis("anna")
        mine = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "{}"}], 0, start)
        theirs = chain.sync_body(other, 0, start)
        link = chain.extend(start, [{"device": "x", "ts": 1, "type": "t", "payload": "{}"}])[0].hex()
        as_own = {"device": "x", "seq": 0, "prevHash": start.hex(), "stateHash": link, "actions": [{"ts": 1, "type": "t", "payload": "{}"}]}
        same(client.post("/v1/logs/anna/sync", as_own, Authorization=auth).status, 403, "status as another device")
        same(client.post("/v1/logs/anna/sync", {**mine, "device": "x"}, Authorization=auth).status, 403, "the same, unused")
        same(client.post("/v1/logs/anna/sync", {**theirs, "device": "d"}, Authorization=auth).status, 200, "healing another's action")
        same(client.get("/v1/logs/anna/head", Authorization=auth).json()["seq"], 1, "seq")
        own = {**as_own, "device": "d", "stateHash": chain.extend(start, [{"device": "d", "ts": 1, "type": "t", "payload": "{}"}])[0].hex()}
        same(client.post("/v1/logs/anna/sync", own, Authorization=auth).status, 200, "status as itself")


@story.story
def a_subject_that_no_log_name_can_be_made_of_is_forbidden_and_logged():
    with served() as daemon, daemon.client() as client:
        bodies = set()
        for sub in ("anna smith", "..", "a/b", "é", "x" * 129, "auth0|x y"):
            for log in ("shared", "anna"):
                answer = client.get("/v1/logs/%s/head" % log, Authorization=bearer(make(key, claims(sub=sub, **GRANTS)))[1])
                same(answer.status, 403, "status of %r" % sub)
                bodies.add(told(answer))
        same(len(bodies), 1, "bodies")
        daemon.await_event("no log name can be made of a subject (auth.own_log)")
        good = bearer(make(key, claims(sub="auth0|7-a@b:c+d=e~f_g.h")))[1]
        same(client.get("/v1/logs/auth0%7C7-a@b:c+d=e~f_g.h/head", Authorization=good).status, 200, "status of a good one")


@story.story
def a_prefix_keeps_names_and_shared_logs_apart():
    path = tokens.write_jwks("jwks.json", key)
    options = {"auth.mode": "jwt", "auth.jwks_file": path}
    warning = "a token grants logs, and auth.own_log has nothing before {sub}"
    for own_log, statuses, warned in (("{sub}", {"team-x": 200, "u:team-x": 403}, 1), ("u:{sub}", {"team-x": 403, "u:team-x": 200}, 0)):
        with Daemon(options={**options, "auth.own_log": own_log}) as daemon, daemon.client() as client:
            for log, status in statuses.items():
                answer = client.get("/v1/logs/%s/head" % log, Authorization=bearer(make(key, claims(sub="team-x", logs=["a"])))[1])
                same(answer.status, status, "status of %s with %s" % (log, own_log))
        same(sum(warning in line for line in daemon.lines), warned, "warnings with " + own_log)


@story.story
def the_tool_pauses_at_a_401_and_goes_on_with_a_good_token():
    with served() as daemon:
        with open("lines", "w", encoding="ascii") as file:
            file.write('{"type":"a","payload":"{}"}\n')
        url, log, state = "--url=" + daemon.url, "--log=anna", "--state=s.db"
        result = tool("push", url, log, state, "lines", expect=3)
        is_true("UNAUTHENTICATED" in result.error, "it says %s", result.error)
        for name, said in (("old", claims(exp=1)), ("good", claims())):
            with open(name, "w", encoding="ascii") as file:
                file.write(make(key, said) + "\n")
        tool("push", url, log, state, "--token-file=old", expect=3)
        same(json.loads(tool("status", state, "--json").out)["queued"], 1, "queued after two refusals")
        tool("push", url, log, state, "--token-file=good")
        is_true(tool("head", url, log, "--token-file=good").out.startswith("1 "), "head")
        same(len(tool("pull", url, log, "--token-file=good").out.splitlines()), 1, "lines of pull")
        tool("head", url, "--log=bob", "--token-file=good", expect=1)
        os.environ["EDGEREPLAY_TOKEN"] = make(key)
        is_true(tool("head", url, log).out.startswith("1 "), "head with the environment's token")
        del os.environ["EDGEREPLAY_TOKEN"]


@story.story
def the_tools_own_tokens_are_good():
    tool("token", "keygen", "--key=k", "--jwks=set")
    same(os.stat("k").st_mode & 0o777, 0o600, "mode of the key")
    tool("token", "keygen", "--key=k", "--jwks=set", expect=4)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": os.path.abspath("set")}) as daemon, daemon.client() as client:
        made = tool("token", "mint", "--key=k", "--sub=me", "--logs=a,b-*", "--logs-ro=c", "--device=d", "--expires=60").out.strip()
        for log, status in (("me", 200), ("a", 200), ("b-1", 200), ("c", 200), ("x", 403)):
            same(client.get("/v1/logs/%s/head" % log, Authorization="Bearer " + made).status, status, "status of " + log)


story.run()
