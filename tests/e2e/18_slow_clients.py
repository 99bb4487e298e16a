"""Clients that are slow on purpose, and honest ones beside them: heads and bodies that trickle in, answers that nobody takes,
the limit of connections, descriptors that run out, and the worst mix of them in little memory, in clear text and encrypted.

The short form checks that all honest clients are served and what is slow ends; EDGEREPLAY_SOAK=1 attacks for longer and also
checks how long honest clients wait.
"""
import gzip
import json
import os
import re
import resource
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time

from support import chain, raw, shipped, story, tokens
from support.daemon import PATIENCE, Daemon, until
from support.story import is_true, same, say
from support.tokens import bearer

SOAK = bool(os.environ.get("EDGEREPLAY_SOAK"))
DEADLINE = 10 if SOAK else 3
ATTACK_SECONDS = 60 if SOAK else 5
MIX_SECONDS = 600 if SOAK else 12
CONNECTIONS = 512
ATTACKERS = 400
MEMORY = 256 << 20


def attacked(**options):
    return Daemon(options={"server.connections": CONNECTIONS, "server.header_sec": DEADLINE, "server.body_sec": DEADLINE,
                           "server.send_sec": DEADLINE, **{"server." + name: value for name, value in options.items()}})


def sync_body(log, count, size):
    actions = [{"device": "d", "ts": ts, "type": "t", "payload": "%0*d" % (size, ts)} for ts in range(1, count + 1)]
    return json.dumps(chain.sync_body(actions, 0, chain.genesis(log))).encode()


def fill(daemon, tls=None, **headers):
    """A log whose page and stream are near a megabyte."""
    with raw.Client(daemon.address, tls=tls) as client:
        same(client.post("/v1/logs/large/sync", sync_body("large", 1000, 900), **headers).status, 200, "status")


class Honest(threading.Thread):
    """Writes an action and reads its log's head, one request a few milliseconds, until told to stop."""

    def __init__(self, daemon, name, pause=0.01):
        super().__init__(daemon=True)
        self.daemon_, self.name_, self.pause = daemon, name, pause
        self.took, self.failed, self.stopping = [], [], threading.Event()
        self.start()

    def run(self):
        seq, link = 0, chain.genesis(self.name_)
        with self.daemon_.client() as client:
            while not self.stopping.wait(self.pause):
                action = {"device": "h", "ts": seq + 1, "type": "t", "payload": "p"}
                began = time.monotonic()
                try:
                    answer = client.post("/v1/logs/%s/sync" % self.name_, chain.sync_body([action], seq, link))
                except OSError as error:
                    self.failed.append(repr(error))
                    return
                self.took.append(time.monotonic() - began)
                if answer.status != 200:
                    self.failed.append("%d %s" % (answer.status, answer.body[:200]))
                    return
                seq, link = seq + 1, bytes.fromhex(answer.json()["stateHash"])

    def p99(self):
        """Stops; milliseconds."""
        self.stopping.set()
        self.join(PATIENCE)
        same(self.failed, [], "what an honest client met")
        is_true(self.took, "no honest request")
        return 1000 * sorted(self.took)[len(self.took) * 99 // 100]


def p99_of(daemon, seconds, name):
    honest = Honest(daemon, name)
    time.sleep(seconds)
    return honest.p99()


# --- real tools ---

SLOWHTTPTEST = {
    "head": ["-H", "-i", "1", "-x", "24", "-t", "GET"],
    "body": ["-B", "-i", "1", "-x", "10", "-s", "8192", "-t", "POST", "-f", "application/json"],
    "read": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "1"],
}


def slowhttptest(daemon, kind):
    target = {"head": "/v1/info", "body": "/v1/logs/a/sync", "read": "/v1/logs/large/actions"}[kind]
    return subprocess.Popen(["slowhttptest", *SLOWHTTPTEST[kind], "-c", str(ATTACKERS), "-r", "200", "-l", str(ATTACK_SECONDS), "-p", "3",
                             "-u", daemon.url + target], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


@story.story
def honest_clients_do_not_notice_slow_ones():
    if shutil.which("slowhttptest") is None:
        say("slowhttptest is not installed (make check installs it): not tried")
        return
    with attacked() as daemon:
        fill(daemon)
        idle = p99_of(daemon, 10 if SOAK else 1, "idle")
        for kind in SLOWHTTPTEST:
            honest = Honest(daemon, "beside-" + kind)
            done = slowhttptest(daemon, kind)
            story.cleanups[done.kill] = True
            done.wait(ATTACK_SECONDS + PATIENCE)
            story.cleanups.pop(done.kill)
            beside = honest.p99()
            say("slowhttptest %s, %d connections, %d s: %d honest requests, p99 %.1f ms (idle %.1f ms)", kind, ATTACKERS, ATTACK_SECONDS,
                len(honest.took), beside, idle)
            is_true(not SOAK or beside < max(5, 2 * idle), "p99 %.1f ms beside slow %s, %.1f ms idle", beside, kind, idle)


# --- every slow connection ends ---

class Slow:
    """Many connections; begin is sent on each, then a byte a while; when each is closed is measured."""

    def __init__(self, daemon, begin, trickle=b"", count=100, window=None):
        self.sockets = {}
        for _ in range(count):
            connection = socket.socket()
            if window:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            connection.connect(daemon.address)
            connection.send(begin)
            self.sockets[connection] = time.monotonic()
        self.trickle, self.reads, self.lasted = trickle, window is None, []

    def turn(self):
        """Sends a byte on each that is open; a reader takes a little."""
        for connection in list(self.sockets):
            try:
                if self.trickle:
                    connection.send(self.trickle)
            except OSError:
                self._ended(connection)
        for connection in list(self.sockets):
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            events = sum(event for _, event in poll.poll(0))
            try:
                if events & (select.POLLHUP | select.POLLERR):
                    self._ended(connection)
                elif events and connection.recv(1 << 16 if self.reads else 20) == b"":
                    self._ended(connection)
            except OSError:
                self._ended(connection)

    def _ended(self, connection):
        self.lasted.append(time.monotonic() - self.sockets.pop(connection))
        connection.close()


@story.story
def every_slow_connection_is_closed_by_its_deadline():
    with attacked(least_rate="4KiB") as daemon:
        fill(daemon)
        request = raw.head("GET", "/v1/logs/large/actions", headers={"Accept": "application/x-ndjson"})
        page = raw.head("GET", "/v1/logs/large/actions")
        slow = {
            "nothing": (Slow(daemon, b"", count=40), 1),
            "heads": (Slow(daemon, b"GET / HTTP/1.1\r\nX: ", b"x", 40), 1),
            "bodies": (Slow(daemon, raw.head("POST", "/v1/logs/a/sync", b"", {"Content-Length": "100000"}), b" ", 40), 1),
            # Counted from when there was something to take, and once over from when the last of it was.
            "pages": (Slow(daemon, page, count=20, window=4096), 2),
            "streams": (Slow(daemon, request, count=20, window=4096), 2),
        }
        honest = Honest(daemon, "beside")

        def all_closed():
            for those, _ in slow.values():
                those.turn()
            return not any(those.sockets for those, _ in slow.values())
        until(all_closed, "slow connections to be closed")
        for name, (those, times) in slow.items():
            longest = max(those.lasted)
            say("slow %s: %d connections, the last one closed after %.1f s (deadline %d s)", name, len(those.lasted), longest,
                times * DEADLINE)
            is_true(longest > DEADLINE - 0.5, "%s were closed after %.1f s", name, longest)
            is_true(not SOAK or longest < times * DEADLINE + 1, "%s were open for %.1f s", name, longest)
        honest.p99()


# --- limits ---

def serves(daemon, tls=None):
    try:
        with raw.Connection(daemon.address, 1, tls) as connection:
            return connection.request("GET", "/v1/info").status == 200
    except OSError:
        return False


def was_closed(connection):
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@story.story
def the_limit_of_connections_recovers_each_time():
    with attacked(connections=64, header_sec=60) as daemon:
        longest = 0
        for turn in range(20):
            held = []
            for _ in range(80):
                connection = socket.create_connection(daemon.address)
                try:
                    connection.send((b"POST /v1/logs/a/sync HTTP/1.1\r\nHo", b"G", b"")[turn % 3])
                except OSError:
                    pass
                held.append(connection)
            until(lambda: sum(map(was_closed, held)) >= 16, "what is beyond the limit to be closed")
            # Later those of the turn before may still have been there, and free their places only now.
            is_true(turn > 0 or not serves(daemon), "a connection beyond the limit is served")
            for connection in held:
                connection.close()
            began = time.monotonic()
            until(lambda: serves(daemon), "service after %d connections ended" % len(held))
            longest = max(longest, time.monotonic() - began)
        say("service %.2f s after the limit, at most, in 20 turns", longest)
        is_true(not SOAK or longest < 1, "no service for %.1f s", longest)


def processor_seconds(daemon):
    with open("/proc/%d/stat" % daemon.process.pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@story.story
def without_descriptors_it_waits_for_some():
    with attacked() as daemon:
        pid = daemon.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/%d/fd" % pid))
        for turn in range(3):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, before[1]))
            held = [socket.create_connection(daemon.address) for _ in range(200)]
            daemon.await_event("cannot accept connections", turn + 1)
            spent, size, began = processor_seconds(daemon), len(daemon.log()), time.monotonic()
            time.sleep(DEADLINE / 2)
            spent, size, took = processor_seconds(daemon) - spent, len(daemon.log()) - size, time.monotonic() - began
            is_true(spent < took / 5, "%.2f s of CPU in %.1f s", spent, took)
            is_true(size < 100_000, "%d bytes of log", size)
            for connection in held:
                connection.close()
            if turn == 0:
                say("without descriptors: %.2f s of CPU and %d bytes of log in %.1f s", spent, size, took)
                until(lambda: serves(daemon), "service with few descriptors")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            until(lambda: serves(daemon), "service with descriptors")


# --- the worst mix ---

def is_sanitized():
    """A sanitizer needs much more memory than what it watches."""
    with open(os.path.join(story.BUILD, "edgereplayd"), "rb") as file:
        binary = file.read()
    return b"__asan_" in binary or b"__tsan_" in binary


def control_group():
    """A folder of a memory control group of our own, or None where the machine allows none."""
    name = "edgereplay-test-%d" % os.getpid()
    for base, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        folder = os.path.join(base, name)
        try:
            os.mkdir(folder)
            with open(os.path.join(folder, limit), "r+", encoding="ascii") as file:
                file.write(str(MEMORY))
            return folder
        except OSError:
            if os.path.isdir(folder):
                os.rmdir(folder)
    return None


def enter(folder):
    with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def resident(daemon, what="VmRSS"):
    with open("/proc/%d/status" % daemon.process.pid, encoding="ascii") as file:
        return [int(line.split()[1]) * 1024 for line in file if line.startswith(what + ":")][0]


class Tokens:
    """For the logs of the mix: one to attack with, many good ones that all fill the cache, and no good ones."""

    def __init__(self):
        key = tokens.Key("EdDSA", "mix")
        self.jwks = tokens.write_jwks("mix.json", key)
        granted = ["*"] + ["granted-%d" % number for number in range(60)]
        self.good = [tokens.make(key, tokens.claims("user-%d" % number, logs=granted)) for number in range(300)]
        expired = [tokens.make(key, tokens.claims("user-%d" % number, exp=1)) for number in range(30)]
        forged = [token[:-20] + "A" * 20 for token in self.good[:30]]
        unknown = [tokens.make(key, head=tokens.header(key, kid="made up %d" % number)) for number in range(30)]
        self.bad = ["x.y.z"] * 30 + expired + forged + unknown
        self.one = bearer(self.good[0])


def attackers(known):
    """What each does with a connection, again and again: bytes to send at once, a byte to trickle, whether it reads."""
    def head(method, target, body=None, headers=()):
        return raw.head(method, target, body, dict([known.one], **dict(headers)))

    def post(headers, body):
        return head("POST", "/v1/logs/mix/sync", b"", headers) + body

    def asks(those):
        return b"".join(raw.head("GET", "/v1/logs/mix/head", headers=[bearer(token)]) for token in those)
    bomb = gzip.compress(b" " * 1_000_000)
    many = sync_body("mix", 1000, 10)
    empty = {"If-None-Match": '"%s"' % chain.genesis("empty").hex()}  # without the tag it would be answered at once
    events = {"Accept": "text/event-stream"}
    return [
        (post({"Content-Length": "1000000"}, b"{" + b" " * 900_000), b" ", True),
        (post({"Transfer-Encoding": "chunked", "Content-Type": "application/json"}, b"dbba0\r\n" + b"[" * 900_000), b"[", True),
        (post({"Content-Length": str(len(bomb)), "Content-Encoding": "gzip"}, bomb[:-1]), b"", True),
        (post({"Content-Length": str(len(bomb)), "Content-Encoding": "gzip"}, bomb), b"", True),
        (post({"Content-Length": str(len(many))}, many), b"", True),
        (post({"Content-Length": "100000"}, b'{"actions":' + b"[" * 99_989), b"", True),
        (head("GET", "/v1/logs/large/actions"), b"", False),
        (head("GET", "/v1/logs/large/actions", headers={"Accept": "application/x-ndjson"}), b"", False),
        (head("GET", "/v1/logs/large/actions", headers={"Accept-Encoding": "gzip"}), b"", False),
        (head("GET", "/v1/logs/empty/head?wait=30", headers=empty) * 10, b"", False),
        (head("GET", "/v1/logs/empty/actions?wait=30") * 10, b"", True),
        (head("GET", "/v1/logs/live/events", headers=events), b"", True),
        (head("GET", "/v1/logs/live/events", headers=events) * 10, b"", False),
        (asks(known.good), b"", True),
        (asks(known.bad), b"", True),
        (asks(known.good), b"", False),
        (raw.head("GET", "/v1/info", headers={"X": "y" * 7000})[:-2], b"x", True),
        (head("GET", "/v1/logs/a%00/head") * 50, b"", False),
    ]


class Mix(threading.Thread):
    """Keeps so many connections busy with the kinds of attackers() in turn."""

    def __init__(self, daemon, count, kinds, tls):
        super().__init__(daemon=True)
        self.address, self.count, self.kinds, self.tls = daemon.address, count, kinds, tls
        self.opened, self.stopping = 0, threading.Event()
        self.start()

    def open(self):
        data, trickle, reads = self.kinds[self.opened % len(self.kinds)]
        self.opened += 1
        connection = socket.socket()
        connection.settimeout(10)
        try:
            connection.connect(self.address)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_hostname="localhost")
            connection.setblocking(False)
        except OSError:
            connection.close()
            return None
        return connection, [data, trickle, reads, time.monotonic()]

    def run(self):
        held = {}
        while not self.stopping.is_set():
            for _ in range(min(20, self.count - len(held))):
                made = self.open()
                if made:
                    held[made[0]] = made[1]
            self.turn(held)
            time.sleep(0.02)
        for connection in held:
            connection.close()

    def turn(self, held):
        for connection, state in list(held.items()):
            data, trickle, reads, began = state
            try:
                if data:
                    state[0] = data[connection.send(data[:100_000]):]
                elif trickle:
                    connection.send(trickle)
                if reads and connection.recv(1 << 16) == b"":
                    raise ConnectionResetError
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError:
                connection.close()
                del held[connection]
                continue
            if time.monotonic() - began > 4 * DEADLINE:
                connection.close()
                del held[connection]


def waiting(operator):
    """How many requests and event streams wait now."""
    return int(re.search(rb"^edgereplay_waiters (\d+)", operator.get("/metrics").body, re.MULTILINE).group(1))


class Live:
    """A log that grows, for its event streams. Refusals for want of memory are a part of the attack."""

    def __init__(self, daemon, known, tls):
        self.client, self.known = raw.Client(daemon.address, tls=tls), known
        self.seq, self.link = 0, chain.genesis("live")

    def grow(self):
        action = {"device": "l", "ts": self.seq + 1, "type": "t", "payload": "p"}
        try:
            answer = self.client.post("/v1/logs/live/sync", chain.sync_body([action], self.seq, self.link), Authorization=self.known.one[1])
        except OSError:
            return
        is_true(answer.status in (200, 429), "%d %s", answer.status, answer.body)
        if answer.status == 200:
            self.seq, self.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])


def watch(daemon, known, tls, seconds):
    """Attacks for so long. How often; most bytes resident in each half; most that waited; how far the log grew."""
    kinds = attackers(known)
    mixes = [Mix(daemon, ATTACKERS // 2, kinds, tls) for _ in range(2)]
    live, halves, waiters = Live(daemon, known, tls), [0, 0], 0
    began = time.monotonic()
    with daemon.operator() as operator:
        while time.monotonic() - began < seconds:
            is_true(daemon.process.poll() is None, "the daemon ended")
            half = int(2 * (time.monotonic() - began) / seconds) & 1
            halves[half] = max(halves[half], resident(daemon))
            waiters = max(waiters, waiting(operator))
            live.grow()
            time.sleep(0.1)
    for mix in mixes:
        mix.stopping.set()
    for mix in mixes:
        mix.join(PATIENCE)
    live.client.close()
    return sum(mix.opened for mix in mixes), halves, waiters, live.seq


def the_worst_mix(seconds, options, tls=None):
    sanitized = is_sanitized()
    folder = None if sanitized else control_group()
    how = {"preexec": lambda: enter(folder)} if folder else {}
    known = Tokens()
    try:
        with Daemon(options={"server.connections": CONNECTIONS, "server.header_sec": DEADLINE, "server.body_sec": DEADLINE,
                             "server.send_sec": DEADLINE, "auth.mode": "jwt", "auth.jwks_file": known.jwks, "auth.cache_bytes": "1MiB",
                             "rate.requests": 0, "rate.actions": 0, "rate.bytes": 0, "admin.listen": "unix:" + os.path.abspath("admin"),
                             **options}, **how) as daemon:
            fill(daemon, tls, Authorization=known.one[1])
            attacks, halves, waiters, seq = watch(daemon, known, tls, seconds)
            until(lambda: serves(daemon, tls), "service after the mix")
            say("%d attacks in %d s%s, %s: at most %.0f MiB resident, first half %.0f, second half %.0f; %d waited, a log grew to %d", attacks,
                seconds, ", encrypted" if tls else "", "in a control group of 256 MiB" if folder else "in no control group",
                max(halves) / 2**20, halves[0] / 2**20, halves[1] / 2**20, waiters, seq)
            is_true(waiters > 0, "no attacker was made to wait")
            is_true(sanitized or max(halves) < MEMORY, "%d MiB resident", max(halves) >> 20)
            is_true(not SOAK or halves[1] < 1.2 * halves[0] + (8 << 20), "it grew from %d to %d MiB", halves[0] >> 20, halves[1] >> 20)
    finally:
        if folder:
            until(lambda: not open(os.path.join(folder, "cgroup.procs"), encoding="ascii").read(), "the control group to be empty")
            os.rmdir(folder)


@story.story
def the_worst_mix_stays_within_its_memory():
    the_worst_mix(MIX_SECONDS, {})


@story.story
def so_it_does_where_it_is_encrypted():
    if shutil.which("openssl") is None:
        say("openssl is not installed (make check installs it): not tried")
        return
    tls = shipped.certificate(".")
    files = {"server.tls_cert": os.path.abspath("cert.pem"), "server.tls_key": os.path.abspath("key.pem")}
    the_worst_mix(MIX_SECONDS if SOAK else MIX_SECONDS / 2, files, tls)


story.run()
