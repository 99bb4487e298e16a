"""Snapshots: stored only where the log has that state, the newest are kept, what has rotted is never served, and memory stays bounded."""
import gzip
import glob
import hashlib
import os
import random
import subprocess
import tempfile
import time
import urllib.request

from support import chain, story
from support.daemon import Daemon, until
from support.raw import head as head_of
from support.story import is_true, same, say

MIB = 1 << 20


def path(log, which):
    return "/v1/logs/%s/snapshots/%s" % (chain.path(log), which)


class Log:
    """A log that grows by one device, and its snapshots."""

    def __init__(self, client, name="a"):
        self.client, self.name, self.links = client, name, [chain.genesis(name)]

    @property
    def seq(self):
        return len(self.links) - 1

    def grow(self, count, device="d"):
        actions = [{"device": device, "ts": self.seq + n + 1, "type": "t", "payload": "{}"} for n in range(count)]
        body = chain.sync_body(actions, self.seq, self.links[-1])
        same(self.client.post("/v1/logs/%s/sync" % self.name, body).status, 200, "sync")
        self.links += chain.extend(self.links[-1], actions)

    def put(self, body, seq=None, link=None, **headers):
        seq = self.seq if seq is None else seq
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        said = {"Content-Type": None, "Edgereplay-State-Hash": (link or self.links[min(seq, self.seq)]).hex(), **headers}
        return self.client.request("PUT", path(self.name, seq), body, said)

    def stored(self, body, seq=None, **headers):
        answer = self.put(body, seq, **headers)
        same(answer.status, 200, "status of PUT: %s\nstatus" % answer.body)
        return answer.json()

    def get(self, which="latest", **headers):
        return self.client.get(path(self.name, which), **headers)

    def seq_of(self, which="latest"):
        answer = self.get(which)
        return int(answer.header("edgereplay-seq")) if answer.status == 200 else answer.json()["code"]


def files(daemon, pattern="*"):
    return sorted(glob.glob(os.path.join(daemon.dir, "snapshots/*/" + pattern)))


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


@story.story
def what_was_put_is_what_is_got():
    with Daemon() as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(7)
        body = noise(300000)
        answer = log.put(body, Content_Type="application/x-notes; v=2", Edgereplay_App_Version="4.2 (77)")
        same(answer.status, 200, "status")
        said = answer.json()
        same((said["seq"], said["stateHash"], said["bytes"], said["kept"]), (7, log.links[7].hex(), len(body), True), "answer")
        log.grow(2)
        for which in ("latest", "7", "latest?before=8"):
            got = log.get(which)
            same(got.status, 200, which)
            same(got.body, body, "body of " + which)
            for name, value in (("edgereplay-seq", "7"), ("edgereplay-state-hash", log.links[7].hex()), ("edgereplay-app-version", "4.2 (77)"),
                                ("content-type", "application/x-notes; v=2"), ("content-length", str(len(body))), ("etag", answer.header("etag")),
                                ("cache-control", "private, no-cache"), ("content-disposition", "attachment"), ("transfer-encoding", None),
                                ("content-encoding", None)):
                same(got.header(name), value, "%s of %s" % (name, which))
            head = client.request("HEAD", path("a", which))
            same((head.status, head.header("content-length"), head.header("etag"), head.body), (200, str(len(body)), answer.header("etag"), b""), "HEAD")
            none = log.get(which, If_None_Match='"x", %s' % answer.header("etag"))
            same((none.status, none.body, none.header("edgereplay-seq")), (304, b"", "7"), "If-None-Match")
        same(log.seq_of("latest?before=7"), "NO_SNAPSHOT", "before the first")
        same(log.seq_of("6"), "NO_SNAPSHOT", "another seq")
        same(Log(client, "nobody").seq_of(), "NO_SNAPSHOT", "of a log that nobody has written")
        info = client.get("/v1/info").json()
        is_true("snapshots" in info["features"] and info["limits"]["snapshotBytes"] == 64 * MIB, "%s", info)
        same(log.get("7", Accept="text/html").status, 200, "what a client accepts is not asked for opaque bytes")
        plain = log.stored(b"x", 9)
        same((plain["bytes"], log.get().header("content-type"), log.get().header("edgereplay-app-version")), (1, "application/octet-stream", None), "plain")


@story.story
def only_a_state_that_the_log_has_is_stored():
    with Daemon(options={"limits.snapshot_bytes": 100000}) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(3)
        other = chain.extend(log.links[2], [{"device": "z", "ts": 1, "type": "t", "payload": ""}])[0]
        for seq, status, code, how in (
                (3, 409, "HASH_MISMATCH", {"link": other}), (2, 409, "HASH_MISMATCH", {"link": other}), (4, 409, "SERVER_BEHIND", {}),
                (3, 400, "MALFORMED", {"Edgereplay_State_Hash": None}), (3, 400, "MALFORMED", {"Edgereplay_State_Hash": "x"}),
                (3, 400, "MALFORMED", {"Edgereplay_State_Hash": log.links[3].hex().upper()}), (3, 400, "MALFORMED", {"Edgereplay_App_Version": "v" * 129}),
                (3, 400, "MALFORMED", {"Edgereplay_App_Version": "caf\xe9"}), (3, 400, "MALFORMED", {"Content_Type": "nothing"}),
                (0, 404, "NOT_FOUND", {}), (3, 406, "NOT_ACCEPTABLE", {"Accept": "text/html"}), (3, 415, "UNSUPPORTED_MEDIA_TYPE", {"Content_Encoding": "br"})):
            answer = log.put(b"state", seq, **how)
            same((answer.status, answer.json()["code"]), (status, code), "seq %d, %r" % (seq, how))
            if status == 409:
                same(answer.json()["head"], {"seq": 3, "stateHash": log.links[3].hex()}, "head")
        same(log.put(b"", 3).json()["code"], "MALFORMED", "an empty body")
        for which in ("latest?before=0", "latest?before=x", "latest?after=1", "3?before=4"):
            same(log.get(which).json()["code"], "MALFORMED", which)
        for which in ("", "03", "x", "latest/", "-1", "9007199254740992"):
            same(log.get(which).json()["code"], "NOT_FOUND", which)
        same(client.request("PUT", path("a", "latest"), b"x").status, 405, "PUT latest")
        same(client.request("DELETE", path("a", "3")).header("allow"), "GET, HEAD, PUT, OPTIONS", "Allow")
        too_long = log.put(b"x" * 100001, 9)
        same((too_long.status, too_long.json()["code"], too_long.json()["limit"]), (413, "BODY_TOO_LARGE", 100000), "too long, and wrong besides")
        same(log.stored(b"x" * 100000)["bytes"], 100000, "just not too long")
        same(len(files(daemon)), 1, "files")


@story.story
def a_body_may_be_chunked_or_gzipped_and_is_bounded_as_what_it_is():
    with Daemon(options={"limits.snapshot_bytes": 2 * MIB}) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(1)
        for body in (noise(5), noise(2 * MIB), b"\0" * (2 * MIB)):
            log.stored(gzip.compress(body), Content_Encoding="gzip")
            same(hashlib.sha256(log.get().body).digest(), hashlib.sha256(body).digest(), "what was gzipped")
        same(log.put(gzip.compress(b"\0" * (2 * MIB + 1)), Content_Encoding="gzip").status, 413, "one byte more, gzipped")
        same(log.put(gzip.compress(b"\0" * (900 * MIB)), Content_Encoding="gzip").status, 413, "a bomb")
        same(log.put(gzip.compress(noise(1000))[:-3], Content_Encoding="gzip").json()["code"], "MALFORMED", "cut off")
        for size, status in ((2 * MIB, 200), (2 * MIB + 1, 413)):
            body = noise(size)
            with daemon.connection() as connection:
                connection.send(head_of("PUT", path("a", 1), None, {"Transfer-Encoding": "chunked", "Edgereplay-State-Hash": log.links[1].hex()}))
                try:
                    for at in range(0, size, 100000):
                        piece = body[at:at + 100000]
                        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                    connection.send(b"0\r\n\r\n")
                except OSError:
                    pass  # it was refused before it was all here
                same(connection.response().status, status, "chunked, %d bytes" % size)
        same(log.get().body, noise(2 * MIB), "what was chunked")
        same(files(daemon, "*.new"), [], "left over")


@story.story
def the_newest_are_kept():
    with Daemon(options={"snapshots.keep": 2}) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(9)
        for seq in (3, 5, 7):
            same(log.stored(b"of %d" % seq, seq)["kept"], True, "kept")
        same([log.seq_of(which) for which in ("latest", "latest?before=7", "latest?before=5", "3")], [7, 5, "NO_SNAPSHOT", "NO_SNAPSHOT"], "seqs")
        same(log.stored(b"older than two", 4)["kept"], False, "one that two are newer than")
        same(len(files(daemon)), 2, "files")
        etag = log.get("7").header("etag")
        same(log.stored(b"of 7", 7)["kept"], True, "again the same")
        same((log.get("7").header("etag"), len(files(daemon))), (etag, 2), "again the same")
        log.stored(b"by another version", 7)
        same((log.get("7").body, log.get("7").header("etag") == etag, len(files(daemon))), (b"by another version", False, 2), "in its place")
        daemon.stop()
        daemon.start()
        log.client = daemon.client()
        same((log.seq_of(), log.get("5").body), (7, b"of 5"), "after a restart")


@story.story
def one_of_another_history_is_not_served_and_makes_room():
    with Daemon(options={"snapshots.keep": 2}) as daemon:
        with daemon.client() as client:
            log = Log(client)
            log.grow(5)
        daemon.stop()
        os.system("cp -r %s backup" % daemon.dir)
        daemon.start()
        with daemon.client() as client:
            log.client = client
            log.grow(5)
            for seq in (4, 8, 9):
                log.stored(b"before", seq)
        daemon.stop()
        os.system("cp -r %s/snapshots backup" % daemon.dir)
        with Daemon(dir=os.path.abspath("backup"), options=daemon.options) as restored, restored.client() as client:
            now = Log(client)
            now.links = log.links[:6]
            same(now.seq_of(), "NO_SNAPSHOT", "what is beyond the head")
            now.grow(4, "other")
            same((now.seq_of(), now.seq_of("8")), ("NO_SNAPSHOT", "NO_SNAPSHOT"), "what is of another history")
            same(now.stored(b"after", 6)["kept"], True, "older than they, and kept")
            same((now.seq_of(), len(files(restored))), (6, 1), "they are gone")
        daemon.start()


@story.story
def what_has_rotted_is_never_served():
    rolls = random.Random(story.seed())
    with Daemon(options={"admin.listen": "unix:admin.sock"}) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(9)
        for trial in range(12):
            for seq in (2, 4, 6):
                log.stored(noise(100000, seq), seq)
            newest = files(daemon)[-1]
            size = os.path.getsize(newest)
            with open(newest, "r+b") as file:
                if trial % 3 == 0:
                    file.truncate(rolls.randrange(size))
                else:
                    at = rolls.randrange(size) if trial % 3 == 1 else rolls.randrange(1024)
                    file.seek(at)
                    before = file.read(1)[0]
                    file.seek(at)
                    file.write(bytes([before ^ 1 << rolls.randrange(8)]))
            got = log.get() if trial % 2 else log.get("latest?before=7")
            same((got.status, got.header("edgereplay-seq")), (200, "4"), "trial %d: the next older one" % trial)
            is_true(got.body == noise(100000, 4), "its body")
            same(log.seq_of("6"), "NO_SNAPSHOT", "the one that has rotted")
            same(len(files(daemon, "*.rotten")), 1, "set aside")
        log.stored(b"new", 8)
        same(files(daemon, "*.rotten"), [], "gone with the next one")
        same(len(daemon.events("a snapshot has rotted and is not served")), 12, "in the log")
        with daemon.operator() as operator:
            metrics = operator.get("/metrics").body
            is_true(b"edgereplay_snapshots_rotten_total 12\n" in metrics, "counted")
            is_true(b'edgereplay_hash_verification_failures_total{where="snapshot"} 12\n' in metrics, "counted with what did not verify")


def peak(daemon):
    for line in open("/proc/%d/status" % daemon.process.pid, encoding="ascii"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@story.story
def a_large_one_goes_through_bounded_memory_and_syncs_go_on():
    body = noise(64 * MIB)
    with Daemon() as daemon, daemon.client() as client, daemon.client() as other:
        log, beside = Log(client), Log(other, "beside")
        log.grow(3)
        beside.grow(1)
        before = peak(daemon)
        began = time.monotonic()
        log.stored(body)
        put = time.monotonic() - began
        gzipped = gzip.compress(body, 1)
        log.stored(gzipped, Content_Encoding="gzip")
        began = time.monotonic()
        with urllib.request.urlopen(daemon.url + path("a", "latest")) as answer:
            same(hashlib.sha256(answer.read()).digest(), hashlib.sha256(body).digest(), "what came back")
        got = time.monotonic() - began
        beside.grow(1)
        grown = peak(daemon) - before
        if "asan" not in story.BUILD and "tsan" not in story.BUILD:
            is_true(grown < 16 * MIB, "the daemon grew by %d bytes", grown)
        say("64 MiB: put in %.0f ms, got in %.0f ms, the daemon grew by %.1f MiB", 1000 * put, 1000 * got, grown / MIB)


@story.story
def who_leaves_in_the_middle_leaves_nothing():
    with Daemon(options={"snapshots.transfers": 3}) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(1)
        put = head_of("PUT", path("a", 1), None, {"Content-Length": "3000000", "Edgereplay-State-Hash": log.links[1].hex()})
        for _ in range(3):
            leaving = [daemon.connection() for _ in range(3)]
            for connection in leaving:
                connection.send(put + noise(1000000))
            until(lambda: len(files(daemon, "*.new")) == 3, "three drafts")
            busy = log.put(b"one more")
            same((busy.status, busy.json()["code"]), (429, "BACKPRESSURE"), "beyond snapshots.transfers")
            is_true(int(busy.header("retry-after")) >= 1, "Retry-After")
            for connection in leaving:
                connection.close()
            until(lambda: files(daemon) == [], "no drafts")
        log.stored(noise(5 * MIB))
        for _ in range(6):  # a slow reader that leaves
            with daemon.connection() as connection:
                connection.send(head_of("GET", path("a", "latest")))
                connection.socket.recv(1000)
        until(lambda: log.get().status == 200, "they are not counted any more")
        with daemon.connection() as connection:
            connection.send(put + noise(1000))
            until(lambda: len(files(daemon, "*.new")) == 1, "a draft")
            daemon.kill()
        same(len(files(daemon, "*.new")), 1, "left by the kill")
        daemon.start()
        same(len(files(daemon, "*.new")), 0, "left after a start")
        log.client = daemon.client()
        same(log.seq_of(), 1, "what was stored")


@story.story
def on_a_full_disk_none_is_stored_and_those_that_are_there_are_sent():
    disk = tempfile.mkdtemp(prefix="disk.")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        say("not done: a tmpfs cannot be mounted")
        return
    try:
        options = {"store.free_min": 20 * MIB, "snapshots.keep": 9}
        with Daemon(dir=os.path.join(disk, "data"), options=options) as daemon, daemon.client() as client:
            log = Log(client)
            log.grow(9)
            log.stored(noise(MIB), 1)
            with open(os.path.join(disk, "filling"), "wb") as filling:
                free = os.statvfs(disk)
                os.posix_fallocate(filling.fileno(), 0, free.f_bavail * free.f_frsize - 10 * MIB)
            until(lambda: log.put(b"x", 2).status == 503, "the first refusal")
            answer = log.put(b"x", 2)
            same((answer.json()["code"], answer.header("retry-after")), ("STORAGE_UNAVAILABLE", "10"), "refused")
            is_true(log.get("1").body == noise(MIB), "what is there is sent")
            daemon.stop()
            daemon.options["store.free_min"] = 0
            daemon.start()
            log.client = daemon.client()
            answer = log.put(noise(12 * MIB), 3)
            same((answer.status, answer.json()["code"]), (503, "STORAGE_UNAVAILABLE"), "in the middle of the body")
            until(lambda: len(files(daemon)) == 2, "no draft")
            os.unlink(os.path.join(disk, "filling"))
            log.stored(noise(20 * MIB), 3)
            is_true(log.seq_of("3") == 3 and log.seq_of("1") == 1, "both")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@story.story
def who_is_limited_pays_for_both_ways():
    options = {"rate.bytes": 100000, "rate.bytes_burst": 2 * MIB, "auth.trusted": "127.0.0.1"}
    with Daemon(options=options) as daemon, daemon.client() as client:
        log = Log(client)
        log.grow(1)
        owner = {"X_Forwarded_For": "10.0.0.1"}
        same(log.put(noise(3 * MIB), **owner).status, 200, "let in without a debt, however large")
        answer = log.put(b"x", **owner)
        same((answer.status, answer.json()["code"]), (429, "RATE_LIMITED"), "and then not")
        same(log.get(**owner).status, 429, "nor to read")
        reader = {"X_Forwarded_For": "10.0.0.2"}
        same(len(log.get(**reader).body), 3 * MIB, "another's read")
        same(log.get(**reader).status, 429, "and then not")
        same(client.request("HEAD", path("a", "latest"), headers={"X-Forwarded-For": "10.0.0.3"}).header("content-length"), str(3 * MIB), "HEAD")
        same(log.get(X_Forwarded_For="10.0.0.3").status, 200, "HEAD costs no bytes")


story.run()
