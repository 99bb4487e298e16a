"""Rate limits: who floods is refused while others are served, and an honest phone notices nothing, not even on a retry."""
import json
import os
import re
import signal
import time

from support import chain, raw, story, tokens
from support.daemon import Daemon, Refused, until, whole_log
from support.events import Stream
from support.story import is_true, same, say

# The proxy says who asks: each header is a subject of its own.
PROXY = {"auth.mode": "proxy", "auth.trusted": "127.0.0.1"}


def daemon_with(**options):
    return Daemon(options={**PROXY, **{"rate." + name: value for name, value in options.items()}})


class Phone:
    """A subject with its own log, and what it knows of it."""

    def __init__(self, daemon, name):
        self.client, self.name = daemon.client(), name
        self.headers = {"X-Remote-User": name}
        self.seq, self.link, self.ts = 0, chain.genesis(name), 0

    def request(self, method, what, body=None, **headers):
        return self.client.request(method, "/v1/logs/%s/%s" % (self.name, what), body, {**self.headers, **headers})

    def get(self, what, **headers):
        """What is a part of its log, or a whole path."""
        if what.startswith("/"):
            return self.client.request("GET", what, headers={**self.headers, **headers})
        return self.request("GET", what, **headers)

    def body(self, count, **more):
        actions = [{"device": "d", "ts": self.ts + n + 1, "type": "t", "payload": "x"} for n in range(count)]
        return json.dumps(chain.sync_body(actions, self.seq, self.link, **more)).encode()

    def send(self, body):
        return self.request("POST", "sync", body)

    def push(self, count):
        answer = self.send(self.body(count))
        if answer.status == 200:
            self.ts += count
            self.seq, self.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])
        return answer


def limits(answer):
    """RateLimit as {name: (left, seconds)}."""
    found = re.findall(r'"(\w+)";r=(\d+);t=(\d+)(?:, |$)', answer.header("ratelimit") or "")
    return {name: (int(left), int(seconds)) for name, left, seconds in found}


def check_429(answer, kind):
    problem = answer.json()
    same((answer.status, problem["code"], problem["retry"]), (429, "RATE_LIMITED", "after"), "problem %r" % problem)
    is_true(problem["retryAfterMs"] > 0, "retryAfterMs of %r", problem)
    seconds = int(answer.header("retry-after"))
    is_true(seconds * 1000 >= problem["retryAfterMs"] > (seconds - 1) * 1000, "Retry-After %d, %r", seconds, problem)
    if kind:
        same(limits(answer), {kind: (0, seconds)}, "RateLimit of a refusal")
    return problem


@story.story
def who_floods_is_refused_while_another_is_served():
    with daemon_with(requests=1, requests_burst=100) as daemon:
        flooder, phone = Phone(daemon, "flooder"), Phone(daemon, "phone")
        refused = 0
        for n in range(600):
            answer = flooder.get("head")
            if answer.status == 429:
                check_429(answer, "requests")
                refused += 1
            if n % 20 == 0:
                same(phone.push(5).status, 200, "the phone's sync")
        is_true(refused > 100, "only %d of 600 were refused", refused)
        same(whole_log(phone, phone.name)[1][-1], phone.link, "the phone's log")
        say("%d of the flooder's 600 requests refused, none of the phone's %d", refused, phone.seq // 5)
        daemon.signal(signal.SIGTERM)
        same(daemon.wait(), 0, "exit code")
        same(int(daemon.events("stopped")[0]["rate_limited"]), refused, "the counter")


@story.story
def a_week_offline_comes_back_with_the_defaults():
    with Daemon(options=PROXY) as daemon:
        phone = Phone(daemon, "phone")
        for _ in range(10):
            body = phone.body(1000)
            same(phone.push(1000).status, 200, "a batch of a thousand")
            same(phone.send(body).json()["duplicates"], 1000, "the same once more")
        new = Phone(daemon, "phone")
        answer = new.get("actions?after=0", Accept="application/x-ndjson")
        same((answer.status, answer.lines()[-1]["count"]), (200, 10000), "a new phone's replay")
        left = limits(phone.get("head"))["actions"][0]
        is_true(left >= 30000 - 11000, "only %d actions are left", left)


@story.story
def a_retry_after_a_lost_answer_is_not_refused():
    with daemon_with(actions=1, actions_burst=1000) as daemon:
        phone = Phone(daemon, "phone")
        first = phone.body(1000)
        same(phone.push(1000).status, 200, "all that there is")
        second = phone.body(1000)
        same(phone.push(1000).status, 200, "into debt")
        for _ in range(5):
            answer = phone.send(second)
            same((answer.status, answer.json()["duplicates"]), (200, 1000), "a retry in debt")
        same(phone.send(first).json()["duplicates"], 1000, "a retry of the one before")
        check_429(phone.push(1), "actions")
        # What adds nothing is not refused for it.
        same(phone.get("head").status, 200, "a read in debt")
        same(phone.send(phone.body(0)).status, 200, "a pull in debt")
        same(Phone(daemon, "other").push(1000).status, 200, "another's batch")


@story.story
def what_was_refused_is_served_after_the_time_that_was_told():
    for kind, limit in (("requests", {"requests": 2, "requests_burst": 5}),
                        ("actions", {"requests": 0, "actions": 1000, "actions_burst": 1000})):
        with daemon_with(**limit) as daemon:
            phone = Phone(daemon, "phone")
            answer = phone.push(1000)
            for _ in range(100):
                if answer.status == 429:
                    break
                answer = phone.push(1000)
            wait(check_429(answer, kind))
            same(phone.push(1000).status, 200, "after the wait")


def wait(problem):
    """As a client would: longer does no harm."""
    time.sleep(problem["retryAfterMs"] / 1000)


@story.story
def every_answer_of_who_is_limited_says_what_is_left():
    with daemon_with(requests=1, requests_burst=1000, actions=1, actions_burst=1000, bytes=1, bytes_burst=10000000) as daemon:
        phone = Phone(daemon, "phone")
        same(phone.push(3).status, 200, "a sync")
        wrong = json.loads(phone.body(1))
        wrong["stateHash"] = "0" * 64
        behind = json.loads(phone.body(1))
        behind["seq"] += 1
        answers = [
            (200, phone.push(1)),
            (200, phone.get("head")),
            (304, phone.get("head", **{"If-None-Match": phone.get("head").header("etag")})),
            (200, phone.get("actions?after=0")),
            (200, phone.get("actions?after=0", Accept="application/x-ndjson")),
            (200, phone.request("HEAD", "head")),
            (409, phone.get("actions?after=9")),
            (404, phone.get("actions?until=9")),
            (400, phone.get("head?x=1")),
            (406, phone.get("head", Accept="text/html")),
            (403, phone.get("/v1/logs/another/head")),
            (400, phone.send(b"{")),
            (422, phone.send(json.dumps(wrong).encode())),
            (409, phone.send(json.dumps(behind).encode())),
            (415, phone.request("POST", "sync", b"{}", **{"Content-Type": "text/plain"})),
            (413, phone.send(b" " * (1 << 20) + b" ")),
        ]
        left = {}
        for number, (status, answer) in enumerate(answers):
            same(answer.status, status, "answer %d: %s, status" % (number, answer.body[:300]))
            same(answer.header("ratelimit-policy"), '"requests";q=1000;w=1000, "actions";q=1000;w=1000;qu="actions", '
                 '"bytes";q=10000000;w=10000000;qu="content-bytes"', "RateLimit-Policy of answer %d" % number)
            same(set(limits(answer)), {"requests", "actions", "bytes"}, "RateLimit of answer %d" % number)
            left[number] = limits(answer)
        is_true(996 <= left[0]["actions"][0] < 1000, "actions left after four: %r", left[0])
        is_true(left[3]["bytes"][0] < left[2]["bytes"][0], "a page was not counted: %r", left)
        is_true(left[15]["requests"][0] < 1000, "requests left: %r", left[15])
        for method, target, headers in (("GET", "/v1/info", phone.headers), ("OPTIONS", "/v1/info", phone.headers),
                                        ("GET", "/v1/nothing", phone.headers), ("GET", "/v1/logs/phone/head", {})):
            answer = phone.client.request(method, target, headers=headers)
            same((answer.header("ratelimit"), answer.header("ratelimit-policy")), (None, None), "%s %s" % (method, target))


@story.story
def a_long_replay_is_broken_off_and_goes_on_later():
    with daemon_with(bytes=1 << 20, bytes_burst=1 << 20) as daemon:
        phone = Phone(daemon, "phone")
        payload = "x" * 10000
        links = [phone.link]
        for n in range(8):  # 6.4 MB
            actions = [{"device": "d", "ts": 100 * n + i + 1, "type": "t", "payload": payload} for i in range(80)]
            body = json.dumps(chain.sync_body(actions, phone.seq, phone.link)).encode()
            answer = phone.send(body)
            same(answer.status, 200, "a batch")
            phone.seq, phone.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])
        at, broken, refused = 0, 0, 0
        while at < phone.seq:
            answer = phone.get("actions?after=%d" % at, Accept="application/x-ndjson")
            if answer.status == 429:
                wait(check_429(answer, "bytes"))
                refused += 1
                continue
            lines = answer.lines()
            for line in lines[1:-1]:
                same(line["seq"], at + 1, "the next seq")
                at += 1
                links.append(chain.link(links[-1], chain.digest(line)))
            if "error" in lines[-1]:
                error = lines[-1]["error"]
                same((error["code"], error["retry"]), ("RATE_LIMITED", "after"), "the stream's end")
                broken += 1
                wait(error)
        same(links[-1], phone.link, "the log's end")
        is_true(broken >= 1, "all came at once")
        say("6.4 MB in %d streams that were broken off, %d requests refused", broken, refused)


def bytes_left(answer):
    return limits(answer)["bytes"][0]


@story.story
def each_answer_is_paid_for_whatever_it_says():
    with daemon_with(requests=0, actions=0, bytes=1, bytes_burst=1 << 20) as daemon:
        phone = Phone(daemon, "phone")
        same(phone.push(3).status, 200, "a sync")
        left = bytes_left(phone.get("actions"))
        for what, status in (("head", 200), ("actions?until=9", 404), ("actions?until=" + "0" * 64, 404), ("actions?after=9", 409),
                             ("head?x=1", 400), ("/v1/logs/another/head", 403), ("snapshots/latest", 404)):
            answer = phone.get(what)
            same(answer.status, status, what)
            is_true(left - bytes_left(answer) >= len(answer.body) - 100, "%s of %d bytes: %d were left, now %d", what,
                    len(answer.body), left, bytes_left(answer))
            left = bytes_left(answer)
        stream = phone.get("actions?after=3", Accept="application/x-ndjson")
        same(len(stream.lines()), 2, "lines of a stream without actions")
        head = phone.get("head")
        is_true(left - bytes_left(head) >= len(stream.body) + len(head.body) - 100, "a stream was not counted")


@story.story
def an_event_stream_is_paid_for_and_ends_when_its_subject_read_too_much():
    key = tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks(os.path.abspath("jwks.json"), key), "rate.requests": 0,
               "rate.actions": 0, "rate.bytes": 1, "rate.bytes_burst": 1 << 20}

    def may(subject):
        return {"Authorization": "Bearer " + tokens.make(key, tokens.claims(subject, logs=["shared"]))}

    with Daemon(options=options) as daemon, daemon.client() as client:
        writer = Phone(daemon, "shared")
        writer.headers = may("writer")
        with Stream(daemon.address, "shared", **may("reader")) as stream:
            same(stream.head()[0], 0, "the head at once")
            for n in range(6):
                actions = [{"device": "d", "ts": 60 * n + i + 1, "type": "t", "payload": "x" * 16000} for i in range(60)]
                answer = writer.send(json.dumps(chain.sync_body(actions, writer.seq, writer.link)).encode())
                writer.seq, writer.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])
                writer.ts = 60 * n + 60
            same(stream.until(writer.seq), writer.link.hex(), "the newest head")
            replay = client.get("/v1/logs/shared/actions", Accept="application/x-ndjson", **may("reader"))
            same(replay.lines()[-1]["error"]["code"], "RATE_LIMITED", "all that may be read, and more")
            same(writer.push(1).status, 200, "another's batch")
            for _ in range(3):
                event = stream.next()
                if event is None or event.kind == "reconnect":
                    break
                is_true(event.kind == "comment" or event.id.startswith("361-"), "an event: %s", event)
            is_true(event is not None and event.kind == "reconnect", "what ends it: %s", event)
            refused = client.get("/v1/logs/shared/events", Accept="text/event-stream", **may("reader"))
            is_true(int(event.retry) >= check_429(refused, "bytes")["retryAfterMs"], "retry: %s", event)
            same(stream.next(), None, "what is behind it")
        with Stream(daemon.address, "shared", **may("writer")) as stream:
            same(stream.head()[0], 361, "another's stream")


def log_of(daemon, name, thousands):
    phone = Phone(daemon, name)
    for _ in range(thousands):
        same(phone.push(1000).status, 200, "a batch")
    return phone


def unknown(number):
    return "actions?limit=1&until=%064x" % number


@story.story
def a_search_for_a_link_is_paid_for_and_goes_no_further_down_than_after():
    with daemon_with(requests=0, actions=0, bytes=1, bytes_burst=1 << 20) as daemon:
        phone = log_of(daemon, "phone", 5)
        left = [bytes_left(phone.get("head"))]
        for query, status, links in ((unknown(1), 404, 5000), (unknown(1) + "&after=4900", 404, 100),
                                     ("actions?limit=1&until=" + phone.link.hex(), 200, 1)):
            answer = phone.get(query)
            same(answer.status, status, query)
            left.append(bytes_left(answer))
            is_true(32 * links <= left[-2] - left[-1] < 32 * links + 2000, "%s: left: %r", query, left)
        for number in range(100):
            answer = phone.get(unknown(number))
            if answer.status == 429:
                break
        check_429(answer, "bytes")
        is_true(1 < number < 1 + (1 << 20) // (32 * 5000), "refused after %d", number)


@story.story
def a_subject_searches_one_long_log_at_a_time():
    with Daemon(options={**PROXY, "rate.requests": 0, "rate.actions": 0, "rate.bytes": 0, "server.threads": 1}) as daemon:
        phones = [log_of(daemon, "phone", 12), log_of(daemon, "other", 12)]
        # A search takes several steps, but may have ended before the next connection is accepted: again until two meet.
        for _ in range(100):
            searches = [raw.Connection(daemon.address) for _ in range(4)]
            daemon.signal(signal.SIGSTOP)
            for number, search in enumerate(searches):
                phone = phones[number // 3]
                search.send(raw.head("GET", "/v1/logs/%s/%s" % (phone.name, unknown(number)), headers=phone.headers))
            daemon.signal(signal.SIGCONT)
            answers = [search.response() for search in searches]
            for search in searches:
                search.close()
            is_true({answer.status for answer in answers[:3]} <= {404, 429}, "three of one subject: %r", answers)
            same(answers[3].status, 404, "another's")
            refused = [answer for answer in answers if answer.status == 429]
            if refused:
                break
        is_true(refused, "no search was refused beside another of its subject")
        check_429(refused[0], None)
        same([phone.get(unknown(9)).status for phone in phones], [404, 404], "afterwards")


@story.story
def guessing_costs_the_address_that_guesses():
    with daemon_with(failures=1, failures_burst=50) as daemon:
        client, phone = daemon.client(), Phone(daemon, "phone")

        def guess(address):
            return client.get("/v1/logs/phone/head", **{"X_Forwarded_For": address})

        statuses = [guess("203.0.113.%d, 203.0.113.9" % (n % 200)).status for n in range(200)]
        same(statuses[:50], [401] * 50, "the first guesses")
        is_true(statuses.count(429) >= 100, "only %d were refused", statuses.count(429))
        check_429(guess("203.0.113.9"), None)
        # Another address is told that its credentials are not good; good ones of the same address are served.
        same(guess("203.0.113.8").status, 401, "another address")
        same(phone.get("head", **{"X-Forwarded-For": "203.0.113.9"}).status, 200, "a phone behind the same address")
        # A proxy that names nobody is not refused for all of its clients.
        same([client.get("/v1/logs/phone/head").status for _ in range(100)], [401] * 100, "without an address")


def daemon_with_tokens(key, listen="127.0.0.1:0", **options):
    path = tokens.write_jwks("set.json", key)
    return Daemon(listen=listen, options={"auth.mode": "jwt", "auth.jwks_file": path, "auth.leeway_sec": 0, "rate.failures": 1,
                                          "rate.failures_burst": 20, **options})


@story.story
def a_phone_whose_token_has_expired_is_told_so_whoever_guesses_at_its_address():
    key = tokens.Key("EdDSA", "one")
    with daemon_with_tokens(key) as daemon, daemon.client() as client:
        def ask(token):
            return client.get("/v1/logs/anna/head", Authorization=tokens.bearer(token)[1])

        old = tokens.claims(exp=int(time.time()) - 5)
        forged = tokens.make(key, old, sign=lambda data: bytes(64))
        is_true([ask(forged).status for _ in range(40)].count(429) >= 10, "guesses are not limited")
        answers = [ask(tokens.make(key, old)) for _ in range(40)]
        same({(answer.status, answer.json()["retry"]) for answer in answers}, {(401, "auth")}, "answers to a token that has expired")
        check_429(ask(forged), None)
        # That it has expired is no excuse for what else is wrong with it.
        same(ask(tokens.make(key, {**old, "sub": ""})).status, 429, "status of one without a subject")
        same(ask(tokens.make(key)).status, 200, "status of a good one")
    with daemon_with_tokens(key) as daemon, daemon.client() as client:
        same([client.get("/v1/logs/anna/head", Authorization=tokens.bearer(tokens.make(key, old))[1]).status for _ in range(40)], [401] * 40,
             "statuses of a token that has expired")
        same(client.get("/v1/logs/anna/head").status, 401, "status of who comes first without one: nothing was counted")


@story.story
def all_that_come_over_a_socket_that_is_not_trusted_are_limited_as_one():
    key = tokens.Key("EdDSA", "one")
    for trusted, limited in (("", True), ("127.0.0.1", True), ("unix", False)):
        with daemon_with_tokens(key, "unix:" + os.path.abspath("s"), **{"auth.trusted": trusted}) as daemon, daemon.client() as client:
            def ask(token):
                return client.get("/v1/logs/anna/head", Authorization="Bearer " + token).status
            same([ask("x.y.z") for _ in range(60)].count(429) >= 20, limited, "limited, trusted %r" % trusted)
            same(ask(tokens.make(key)), 200, "status of a good token")


@story.story
def many_addresses_take_no_memory():
    with daemon_with(failures=1, failures_burst=1000, owners=4096) as daemon:
        client = daemon.client()

        def resident():
            with open("/proc/%d/status" % daemon.process.pid, encoding="ascii") as file:
                return int(re.search(r"VmRSS:\s*(\d+)", file.read()).group(1))

        def guess(count, first):
            for n in range(count):
                answer = client.get("/v1/logs/phone/head", X_Forwarded_For="10.%d.%d.%d" % (
                    first + n // 65536, n // 256 % 256, n % 256))
                same(answer.status, 401, "a guess")

        guess(2000, 0)
        sizes = [resident()]
        for first in (0, 1):
            for _ in range(10):
                guess(2000, first)
                first += first > 0
            sizes.append(resident())
        say("after 20000 requests of 2000 addresses it grew by %d kB, of 20000 others by %d kB",
            sizes[1] - sizes[0], sizes[2] - sizes[1])
        # The first of them measures what a sanitizer takes.
        is_true(sizes[2] - sizes[1] < 2 * (sizes[1] - sizes[0]) + 1024, "it grew: %r", sizes)


@story.story
def without_authentication_addresses_are_limited_only_where_a_trusted_proxy_names_them():
    options = {"auth.mode": "none", "rate.requests": 1, "rate.requests_burst": 20}
    with Daemon(options={**options, "auth.trusted": "127.0.0.0/8"}) as daemon, daemon.client() as client:
        def ask(**headers):
            return client.get("/v1/logs/a/head", **headers).status

        statuses = [ask(X_Forwarded_For="203.0.113.7") for _ in range(60)]
        is_true(statuses.count(429) >= 30, "refused: %d of 60", statuses.count(429))
        same(ask(X_Forwarded_For="203.0.113.8"), 200, "another address")
        same([ask() for _ in range(60)], [200] * 60, "no address")
    with Daemon(options=options) as daemon, daemon.client() as client:
        same([ask(X_Forwarded_For="203.0.113.7") for _ in range(60)], [200] * 60, "no proxy is trusted")
    with Daemon(options={**options, "auth.trusted": "127.0.0.1", "rate.forwarded": "forwarded"}) as daemon, \
            daemon.client() as client:
        same([ask(X_Forwarded_For="203.0.113.7") for _ in range(60)], [200] * 60, "the other header")
        statuses = [ask(Forwarded='for="203.0.113.7:1"') for _ in range(60)]
        is_true(statuses.count(429) >= 30, "refused: %d of 60", statuses.count(429))


@story.story
def limits_are_reloaded_and_a_wrong_list_stops_the_start():
    with open("edgereplay.ini", "w", encoding="utf-8") as file:
        file.write("[rate]\nrequests = 1\nrequests_burst = 5\n")
    with Daemon(options=PROXY, flags=["--config=" + os.path.abspath("edgereplay.ini")]) as daemon:
        phone = Phone(daemon, "phone")
        is_true([phone.get("head").status for _ in range(20)].count(429) >= 10, "not limited")
        with open("edgereplay.ini", "w", encoding="utf-8") as file:
            file.write("[rate]\nrequests = 0\nactions = 0\nbytes = 0\n")
        daemon.signal(signal.SIGHUP)
        until(lambda: phone.get("head").header("ratelimit") is None, "the new limits")
        same([phone.get("head").status for _ in range(100)], [200] * 100, "without limits")
    for options, word in (({"auth.trusted": "10.0.0.0/8, nonsense"}, "auth.trusted"),
                          ({**PROXY, "rate.actions_burst": 999}, "rate.actions_burst"),
                          ({**PROXY, "rate.bytes_burst": 1000}, "rate.bytes_burst")):
        try:
            Daemon(options=options).stop()
            refused = ""
        except Refused as error:
            refused = error.log
        is_true(word in refused, "%r: %s", options, refused)


story.run()
