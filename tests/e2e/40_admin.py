"""The operator's side: alive, ready and why not, the log's level; there while shards recover, and not there for phones."""
import os
import signal
import socket
import sqlite3
import stat
import threading
import time

from support import chain, story
from support.daemon import Daemon, Refused, until
from support.story import is_true, same, say

SOCKET = {"admin.listen": "unix:admin.sock"}  # the default
ROUTES = ("/livez", "/readyz", "/metrics", "/log-level")
RECOVERY_ACTIONS = 4000


def write(client, log, count, seq=0, previous=None, payload="p"):
    """Appends actions to a log; its new link."""
    previous = previous or chain.genesis(log)
    actions = [{"device": "d", "ts": seq + n + 1, "type": "t", "payload": payload} for n in range(count)]
    answer = client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, seq, previous))
    same(answer.status, 200, "sync: %s" % answer.body)
    return chain.extend(previous, actions)[-1]


def codes(answer, kind="reasons"):
    return [entry["code"] for entry in answer.json()[kind]]


@story.story
def it_answers_in_the_data_directory_and_only_its_owner_may_ask():
    with Daemon(options=SOCKET) as daemon, daemon.operator() as operator:
        path = os.path.join(daemon.dir, "admin.sock")
        same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "the socket's mode")
        alive = operator.get("/livez")
        same((alive.status, alive.body, alive.header("cache-control")), (200, b"alive\n", "no-store"), "alive")
        ready = operator.get("/readyz")
        same((ready.status, ready.json()), (200, {"ready": True, "reasons": [], "warnings": []}), "ready")
        same(operator.request("HEAD", "/readyz").status, 200, "HEAD")
        same([line for line in daemon.lines if "level=warn" in line], [], "warnings in the log")
    is_true(not os.path.exists(path), "the socket is gone with the daemon")


@story.story
def phones_cannot_reach_it():
    with Daemon(options=SOCKET) as daemon, daemon.client() as client, daemon.operator() as operator:
        for path in ROUTES:
            same(client.get(path).status, 404, path)
            same(client.request("PUT", path, b"debug").status, 404, "PUT " + path)
        same(operator.get("/v1/info").status, 404, "what phones ask, asked of the operator's side")
        same(operator.get("/nothing").json()["code"], "NOT_FOUND", "nothing")
        same(operator.request("POST", "/metrics", b"").header("allow"), "GET, HEAD", "Allow")
        same(operator.request("PUT", "/livez", b"x").status, 405, "PUT")


@story.story
def an_address_that_others_reach_is_refused_unless_allowed():
    for listen in ("0.0.0.0:0", ":0", "[::]:0"):
        try:
            Daemon(options={"admin.listen": listen})
            raise AssertionError("%s was not refused" % listen)
        except Refused as error:
            is_true("admin.allow_remote" in error.log, "it says what to do: %s", error.log)
    for bad in ("nonsense", "unix:", "127.0.0.1:99999"):
        try:
            Daemon(options={"admin.listen": bad})
            raise AssertionError("%s was not refused" % bad)
        except Refused as error:
            is_true("admin.listen" in error.log, "it says which option: %s", error.log)
    with Daemon(options={"admin.listen": "0.0.0.0:0", "admin.allow_remote": "true"}) as daemon:
        with daemon.operator() as operator:
            same(operator.get("/livez").status, 200, "allowed")
    with Daemon(options={"admin.listen": ""}) as daemon:
        same((daemon.events("admin listening"), os.path.exists(os.path.join(daemon.dir, "admin.sock"))),
             ([], False), "switched off")


@story.story
def over_tcp_it_changes_nothing_and_answers_no_web_page():
    erase = ("POST", "/erase", b'{"log":"notes"}')
    changes = (erase, ("POST", "/redact", b'{"log":"notes","seqs":[1]}'), ("POST", "/prune", b'{"log":"notes"}'),
               ("POST", "/reopen", b'{"log":"notes"}'), ("POST", "/overwrite", b'{"shard":0}'),
               ("POST", "/backup?shard=0", b'{"to":"/nowhere/x","rate":0}'), ("DELETE", "/backup?shard=0", b""), ("PUT", "/log-level", b"debug"))
    with Daemon(options={"admin.listen": "127.0.0.1:0"}) as daemon, daemon.operator() as operator, daemon.client() as client:
        write(client, "notes", 2)
        for method, path, body in changes:
            answer = operator.request(method, path, body)
            same((answer.status, "admin.allow_changes" in answer.json()["detail"]), (403, True), path)
        same((operator.get("/livez").status, operator.get("/log-level").body), (200, b"info\n"), "it answers")
    for allowed in ("false", "true"):
        options = {"admin.listen": "127.0.0.1:0", "admin.allow_changes": allowed, "admin.hosts": "metrics.example, Edgereplay"}
        with Daemon(options=options) as daemon, daemon.operator() as operator, daemon.client() as client:
            write(client, "notes", 2)
            for host in ("evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", ""):
                same(operator.get("/metrics", Host=host).status, 403, "GET of " + host)
                same(operator.request(*erase, {"Host": host, "Content-Type": "application/json"}).status, 403, "POST to " + host)
            for host in ("localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7", "edgereplay:9464", "metrics.example"):
                same(operator.get("/metrics", Host=host).status, 200, "GET of " + host)
            for origin in ("http://evil.example", "http://localhost:9464", "null"):
                same(operator.get("/metrics", Origin=origin).status, 403, "GET from " + origin)
                same(operator.request(*erase, {"Origin": origin, "Content-Type": "application/json"}).status, 403, "POST from " + origin)
            same(client.get("/v1/logs/notes/head").status, 200, "the log is there")
            same(operator.request(*erase, {"Content-Type": "application/json"}).status, 200 if allowed == "true" else 403, "the operator")
    with Daemon(options=SOCKET) as daemon, daemon.operator() as operator, daemon.client() as client:
        write(client, "notes", 2)
        same(operator.request(*erase, {"Host": "anything", "Content-Type": "application/json"}).status, 200, "by the socket")


@story.story
def no_backup_is_made_inside_the_data_directory():
    with Daemon(options=SOCKET) as daemon, daemon.operator() as operator:
        os.symlink(os.path.realpath(daemon.dir), "way")
        os.mkdir("other")
        real, here = os.path.realpath(daemon.dir), os.path.realpath(".")
        for to in (real + "/shard-01.db", real + "/snapshots/x", here + "/way/x", here + "/other/../" + os.path.basename(real) + "/x"):
            if os.path.isdir(os.path.dirname(to)):
                same(operator.post("/backup?shard=0", b'{"to":"%s"}' % to.encode()).status, 400, to)
        same(operator.post("/backup?shard=0", b'{"to":"%s"}' % (here + "/other/x").encode()).status, 202, "beside it")


@story.story
def it_answers_while_shards_recover():
    """A journal that was never put in place is, action by action, at the next start."""
    options = {**SOCKET, "store.slice": 1, "store.tail_bytes": "64MiB", "limits.sync_msec": 0}
    daemon = Daemon(options=options)
    with daemon.client() as client:
        link = None
        for seq in range(0, RECOVERY_ACTIONS, 1000):
            link = write(client, "long", 1000, seq, link)
    daemon.kill()
    starter = threading.Thread(target=daemon.start)
    daemon.lines = []
    starter.start()
    with daemon.operator() as operator:
        seen = []
        while not seen or seen[-1].status != 200:
            same(operator.get("/livez").status, 200, "alive")
            same(operator.get("/metrics").status, 200, "metrics")
            seen.append(operator.get("/readyz"))
            if seen[-1].status != 200:
                same((seen[-1].status, codes(seen[-1])), (503, ["STARTING"]), "while it recovers")
            time.sleep(0.01)
    starter.join()
    is_true(len(seen) > 1, "it answered before the recovery was over")
    say("%d times not ready while %d actions were recovered", len(seen) - 1, RECOVERY_ACTIONS)
    with daemon.client() as client:
        same(client.get("/v1/logs/long/head").json()["seq"], RECOVERY_ACTIONS, "seq")
    daemon.stop()


@story.story
def a_daemon_that_drains_is_alive_and_not_ready():
    with Daemon(options=SOCKET) as daemon, daemon.operator() as operator:
        slow = daemon.connection()
        slow.send(b"POST /v1/logs/a/sync HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 100\r\n\r\n{")
        with daemon.client() as client:
            client.get("/v1/info")
        daemon.signal(signal.SIGTERM)
        until(lambda: operator.get("/readyz").status == 503, "not ready")
        same(codes(operator.get("/readyz")), ["DRAINING"], "reasons")
        same(operator.get("/livez").status, 200, "alive")
        is_true(b"\nedgereplay_ready 0\n" in operator.get("/metrics").body, "the metric says so, too")
        slow.close()
        same(daemon.wait(), 0, "exit code")


@story.story
def a_refused_shard_is_a_reason_unless_it_is_excluded():
    options = {**SOCKET, "store.shards": 2}
    with Daemon(options=options) as daemon:
        pass
    os.unlink(os.path.join(daemon.dir, "shard-01.journal-0"))
    with Daemon(dir=daemon.dir, options=options) as daemon, daemon.operator() as operator:
        answer = operator.get("/readyz")
        same((answer.status, codes(answer)), (503, ["SHARD_REFUSED"]), "not ready")
        is_true("Shard 1" in answer.json()["reasons"][0]["detail"], "which: %s", answer.body)
        for query in ("?exclude=SHARD_REFUSED", "?exclude=SHARD_DOWN,SHARD_REFUSED"):
            answer = operator.get("/readyz" + query)
            same((answer.status, codes(answer), codes(answer, "warnings")), (200, [], ["SHARD_REFUSED"]), query)
        same(operator.get("/readyz?exclude=DRAINING").status, 503, "another one excluded")
        for query in ("?exclude=NONSENSE", "?other=1", "?exclude=SHARD_DOWN;x", "?exclude"):
            same(operator.get("/readyz" + query).status, 400, query)
        metrics = operator.get("/metrics").body.decode()
        is_true('edgereplay_shard_up{shard="0"} 1' in metrics, "the other one serves")
        is_true('edgereplay_shard_up{shard="1"} 0' in metrics, "this one does not")


@story.story
def a_damaged_log_is_a_warning():
    options = {**SOCKET, "store.scrub_rate": 0}
    with Daemon(options=options) as daemon, daemon.client() as client:
        write(client, "rotten", 10)
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    database.execute("UPDATE actions SET payload = 'q' WHERE seq = 5")
    database.commit()
    database.close()
    with Daemon(dir=daemon.dir, options=options) as daemon, daemon.operator() as operator:
        with daemon.client() as client:
            client.get("/v1/logs/rotten/actions?after=0")
        answer = operator.get("/readyz")
        same((answer.status, codes(answer), codes(answer, "warnings")), (200, [], ["LOGS_DAMAGED"]), "ready")
        metrics = operator.get("/metrics").body.decode()
        is_true('edgereplay_damaged_logs{shard="0"} 1' in metrics, "counted")
        is_true('edgereplay_hash_verification_failures_total{where="stored"} 1' in metrics, "a hash that did not verify")


@story.story
def the_logs_level_is_set_at_run_time():
    with Daemon(options=SOCKET) as daemon, daemon.operator() as operator, daemon.client() as client:
        same(operator.get("/log-level").body, b"info\n", "as configured")
        client.get("/v1/info")
        same(daemon.events("request over"), [], "debug lines")
        same(operator.request("PUT", "/log-level", b"debug\n").body, b"debug\n", "set")
        client.get("/v1/info")
        daemon.await_event("request over")
        for bad in (b"", b"DEBUG", b"loud", b"debug debug"):
            same(operator.request("PUT", "/log-level", bad).status, 400, "PUT %r" % bad)
        same(operator.request("PUT", "/log-level", b"x" * 100).status, 413, "a long body")
        same(operator.get("/log-level").body, b"debug\n", "unchanged")
        daemon.signal(signal.SIGHUP)
        until(lambda: operator.get("/log-level").body == b"info\n", "the configured level")
        same(operator.request("PUT", "/log-level", b"error").status, 200, "the least")


@story.story
def its_clients_and_the_phones_do_not_take_each_others_places():
    options = {**SOCKET, "admin.connections": 4, "server.connections": 4}
    with Daemon(options=options) as daemon:
        path = os.path.join(daemon.dir, "admin.sock")
        held = []
        for _ in range(10):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(path)
        with daemon.client() as client:
            same(client.get("/v1/info").status, 200, "a phone")
        for one in held:
            one.close()
        held = [socket.create_connection(daemon.address) for _ in range(10)]

        def answered():
            try:
                with daemon.operator() as operator:
                    return operator.get("/livez").status == 200
            except OSError:
                return False  # its places are not free yet
        until(answered, "the operator while phones have every place")
        for one in held:
            one.close()


if __name__ == "__main__":
    story.run()
