"""Requests as no well-behaved client sends them, straight to the daemon and through nginx, HAProxy and Caddy. Each case is
sent with a marker request right behind it, on one connection, and names what may come of it.

Whatever comes of it: no request is answered twice, none with another's answer, what lies inside of a body is never served
where its sender gets no answer to it, and who comes next over the same proxy gets his own answer.
"""
import collections
import itertools
import json
import re
import socket

from support import chain, front, raw, story
from support.daemon import Shared, until
from support.raw_cases import CASES
from support.story import is_true, same, say

PATIENCE = 30
numbers = itertools.count(1)  # of all cases, wherever they are sent
shared = Shared(options={"server.header_sec": 1, "server.body_sec": 1, "log.level": "debug", "server.threads": 2})

# What may come of a case: what was answered before the marker, and whether the marker was.
REFUSED = re.compile(r"(4\d\d |5\d\d )?closed")
CLOSED = re.compile(r"closed")
SERVED = re.compile(r"200 marker")
# libmicrohttpd says so twice (http/listener.h); the connection ends behind it.
REFUSED_TWICE = re.compile(r"(400|413) 0 closed")
LAST = re.compile(r"200 closed")
ANSWERED = re.compile(r"4\d\d marker")
ALLOWED = {"refused": [REFUSED], "refused twice": [REFUSED_TWICE], "closed": [CLOSED], "served": [SERVED], "last": [LAST],
           "answered": [ANSWERED]}
# A proxy keeps its client's connection whatever became of its own, which may end before it has read the refusal; and it may
# take what is behind a body for a request: then its sender gets an answer to it. nginx speaks HTTP/0.9, HAProxy HTTP/2.
KEPT = re.compile(r"[45]\d\d marker")
TWO = re.compile(r"\d\d\d \d\d\d (marker|closed)")
BEHIND = {"refused": [REFUSED, KEPT], "served": [SERVED], "either": [SERVED, LAST, REFUSED, KEPT, TWO],
          "foreign": [re.compile(r"0 closed"), REFUSED]}


def exchange(address, data):
    """Sends everything, reads until the other side closes; the bytes, or None when it does not close."""
    with socket.create_connection(address, PATIENCE) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass
        got = b""
        try:
            while True:
                piece = connection.recv(1 << 16)
                if not piece:
                    return got
                got += piece
        except ConnectionResetError:
            return got
        except socket.timeout:
            return None


def answers(data):
    """The answers in a stream of bytes, as raw.Response; what is no HTTP/1.1 answer has status 0 and is the last."""
    found = []
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        if not separator or not re.match(r"HTTP/1\.[01] \d\d\d", lines[0]):
            return found + [raw.Response(0, [], data)]
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        answer = raw.Response(int(lines[0][9:12]), headers, b"")
        if answer.header("transfer-encoding") == "chunked":
            while True:
                size, _, rest = rest.partition(b"\r\n")
                answer.body += rest[:int(size, 16)]
                rest = rest[int(size, 16) + 2:]
                if int(size, 16) == 0:
                    break
        elif answer.status >= 200:
            length = answer.header("content-length")
            length = len(rest) if length is None else int(length)
            answer.body, rest = rest[:length], rest[length:]
        if answer.status >= 200:
            found.append(answer)
        data = rest
    return found


def own_answer(answer, number):
    """Whether an answer that carries a request's id is that request's."""
    kind = answer.header("x-request-id").split("-")[0]
    if answer.status == 200 and kind in ("marker", "smuggled", "victim"):
        same(answer.json()["stateHash"], chain.genesis("%s-%d" % (kind, number)).hex(), "whose answer %s got" % kind)
    return kind


def outcome(found):
    """`200 marker`, `400 closed`: the statuses, and how it ended."""
    words, ended = [], "closed"
    for answer in found:
        if (answer.header("x-request-id") or "").startswith("marker"):
            ended = "marker"
        else:
            words.append(str(answer.status))
    return " ".join(words + [ended])


class Judge:
    def __init__(self, address, where):
        self.address, self.where = address, where
        self.counts = {}
        self.read, self.served = 0, collections.Counter()

    def seen(self, path):
        """How often the daemon served it, by the log's new lines."""
        lines = shared.daemon.lines[self.read:]
        self.read += len(lines)
        self.served.update(line.split(" path=")[1].split(" ")[0] for line in lines if 'event="request over"' in line)
        return self.served[path]

    def try_case(self, number, case):
        name = "%s, %s" % (case.name, self.where)
        data = exchange(self.address, case.bytes(number))
        is_true(data is not None, "%s: neither answered nor closed", name)
        found = answers(data)
        wanted = ALLOWED[case.direct] if self.where == "direct" else BEHIND[case.behind]
        got = outcome(found)
        is_true(any(pattern.fullmatch(got) for pattern in wanted), "%s: %s, not %s\n%.1000r", name, got,
                [pattern.pattern for pattern in wanted], data)
        self.counts[got] = self.counts.get(got, 0) + 1
        kinds = [own_answer(answer, number) for answer in found if answer.header("x-request-id")]
        is_true(kinds.count("marker") <= 1, "%s: the marker was answered %d times", name, kinds.count("marker"))
        self.victim(number, name)
        # What was answered is in the log soon; what was not, before the victim's.
        until(lambda: self.seen("/v1/logs/victim-%d/head" % number) == 2, "the victim in the log")
        until(lambda: self.seen("/v1/logs/smuggled-%d/head" % number) >= kinds.count("smuggled"), "what was answered in the log")
        is_true(self.seen("/v1/logs/marker-%d/head" % number) <= 1, "%s: the marker was served twice", name)
        same(self.seen("/v1/logs/smuggled-%d/head" % number), kinds.count("smuggled"), name + ": served out of a body")

    def victim(self, number, name):
        """Somebody else's requests over the connections that the case may have left behind."""
        for _ in range(2):
            with raw.Connection(self.address, PATIENCE) as connection:
                answer = connection.request("GET", "/v1/logs/victim-%d/head" % number,
                                            headers={"X-Request-Id": "victim-%d" % number})
            same((answer.status, answer.header("x-request-id")), (200, "victim-%d" % number), name + ": the next client's")
            own_answer(answer, number)

    def run(self):
        complaints = []
        for case in CASES:
            try:
                self.try_case(next(numbers), case)
            except AssertionError as complaint:
                complaints.append(str(complaint))
        is_true(not complaints, "%d of %d cases:\n%s", len(complaints), len(CASES), "\n".join(complaints))
        say("%s: %d requests: %s", self.where, len(CASES),
            ", ".join("%s %d" % item for item in sorted(self.counts.items())))


@story.story
def each_case_has_its_outcome():
    is_true(len(CASES) >= 60, "%d cases", len(CASES))
    same(len({case.name for case in CASES}), len(CASES), "cases with a name of their own")
    Judge(shared.daemon.address, "direct").run()


@story.story
def the_judge_sees_a_request_that_is_smuggled():
    """A control: what a daemon that trusted the wrong length would have done is told from what it did."""
    stream = b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Request-Id: %s\r\n\r\n%s" % (len(body), name, body)
                      for name, body in ((b"first-1", b"{}"), (b"marker-1", b"{}"), (b"marker-1", b"{}")))
    same([answer.header("x-request-id") for answer in answers(stream)], ["first-1", "marker-1", "marker-1"], "answers")
    victim = answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Request-Id: victim-1\r\n\r\n%s" % (
        len(body := json.dumps({"stateHash": chain.genesis("smuggled-1").hex()}).encode()), body))[0]
    try:
        own_answer(victim, 1)
    except AssertionError:
        return
    raise AssertionError("another's answer was taken for the victim's")


def through(program, **how):
    if front.installed(program) is None:
        say("%s is not installed (make check installs it): not tried", program)
        return
    with front.Front(program, shared.daemon.port, **how) as proxy:
        Judge(proxy.address, "through %s%s" % (program, " unbuffered" if how else "")).run()


@story.story
def through_nginx():
    through("nginx")


@story.story
def through_nginx_that_does_not_wait_for_the_body():
    through("nginx", buffering="off")


@story.story
def through_haproxy():
    through("haproxy")


@story.story
def through_caddy():
    through("caddy")


try:
    story.run()
finally:
    shared.stop()
