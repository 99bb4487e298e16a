"""What else is promised: gzip bodies, many requests on one connection, IPv6, bounded memory, logs as JSON, the written config."""
import gzip
import json
import os
import subprocess

from support import chain, raw, story
from support.daemon import Daemon, Refused, whole_log
from support.story import is_true, same, say


def batch(count, first=0, payload="p"):
    return [{"device": "d", "ts": first + n + 1, "type": "t", "payload": payload} for n in range(count)]


@story.story
def bodies_may_be_gzipped():
    with Daemon() as daemon, daemon.client() as client:
        body = chain.sync_body(batch(900, payload="the same again " * 30), 0, chain.genesis("zip"))
        packed = gzip.compress(json.dumps(body).encode())
        answer = client.post("/v1/logs/zip/sync", packed, Content_Encoding="gzip")
        same((answer.status, answer.json()["applied"]), (200, 900), "gzip")
        say("%d bytes for %d", len(packed), len(json.dumps(body)))
        for name, broken in (("cut", packed[:-20]), ("not gzip", b"this is no gzip"), ("checksum", packed[:-8] + b"\0" * 8),
                             ("more behind it", packed + b"x"), ("empty", b"")):
            answer = client.post("/v1/logs/zip/sync", broken, Content_Encoding="gzip")
            same((name, answer.status), (name, 400), "broken")
        limit = client.get("/v1/info").json()["limits"]["bodyBytes"]
        bomb = gzip.compress(b'{"x":"' + b"y" * 50_000_000 + b'"}', 9)
        answer = client.post("/v1/logs/zip/sync", bomb, Content_Encoding="gzip")
        same((answer.status, answer.json()["code"], answer.json()["limit"]), (413, "BODY_TOO_LARGE", limit), "a bomb")


@story.story
def chunked_bodies_are_taken_and_end_the_connection():
    with Daemon() as daemon, daemon.connection() as connection:
        data = json.dumps(chain.sync_body(batch(3), 0, chain.genesis("chunks"))).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:1], data[1:50], data[50:])) + b"0\r\n\r\n"
        connection.send(raw.head("POST", "/v1/logs/chunks/sync", b"", {
            "Transfer-Encoding": "chunked", "Content-Type": "application/json"}) + chunks)
        answer = connection.response()
        same((answer.json()["applied"], answer.header("connection")), (3, "close"), "applied")


@story.story
def a_thousand_requests_on_one_connection():
    with Daemon() as daemon, daemon.connection() as connection:
        link = chain.genesis("kept")
        for n in range(1000):
            actions = batch(1, n)
            body = json.dumps(chain.sync_body(actions, n, link)).encode()
            link = chain.extend(link, actions)[-1]
            answer = connection.request("POST", "/v1/logs/kept/sync", body)
            same((answer.status, answer.json()["stateHash"]), (200, link.hex()), "request %d" % n)


@story.story
def ipv6_and_host_names_may_be_listened_to():
    for listen, host in (("[::1]:0", "[::1]:"), ("localhost:0", "")):
        try:
            daemon = Daemon(listen=listen)
        except Refused as error:
            if "[::1]" in listen and not os.path.exists("/proc/net/if_inet6"):
                say("no IPv6 here: %s not tried", listen)
                continue
            raise error
        is_true(daemon.address_text.startswith(host), "address %s", daemon.address_text)
        with daemon.client() as client:
            same(client.get("/v1/info").status, 200, "status")
        daemon.stop()


@story.story
def an_address_in_use_is_refused():
    with Daemon() as daemon:
        try:
            Daemon(listen="127.0.0.1:%d" % daemon.port)
        except Refused as error:
            is_true(str(daemon.port) in error.log, "it names the address: %s", error.log)
            return
        raise AssertionError("two daemons on one port")


@story.story
def the_log_may_be_json_and_names_the_request():
    process = subprocess.Popen(
        [os.path.join(story.BUILD, "edgereplayd"), "--server.listen=127.0.0.1:0", "--store.dir=data", "--log.format=json",
         "--log.level=debug"], stderr=subprocess.PIPE)
    try:
        event = {}
        while event.get("event") != "listening":
            event = json.loads(process.stderr.readline())
        host, port = event["address"].rsplit(":", 1)
        with raw.Client((host, int(port))) as client:
            same(client.get("/nothing", X_Request_Id="find-me-again").status, 404, "status")
        process.terminate()
        rest = [json.loads(line) for line in process.stderr.read().decode().splitlines()]
        same(process.wait(120), 0, "exit code")
        is_true(any("find-me-again" in str(event) for event in rest), "the request's id in %r", rest)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@story.story
def a_client_cannot_flood_the_log():
    with Daemon() as daemon, daemon.client() as client:
        for _ in range(3000):
            client.post("/v1/logs/flood/sync", b"{")
        lines = len(daemon.lines)
        is_true(lines < 1000, "%d lines for 3000 malformed requests", lines)


@story.story
def the_written_configuration_is_the_default():
    path = os.path.join(story.ROOT, "config/edgereplay.ini")
    is_true(os.path.exists(path), "%s is missing", path)
    with Daemon() as daemon, daemon.client() as client:
        plain = client.get("/v1/info").json()["limits"]
    with Daemon(flags=["--config=" + path]) as daemon, daemon.client() as client:
        same(client.get("/v1/info").json()["limits"], plain, "limits")


def resident(process):
    with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) // 1024


@story.story
def a_stream_of_a_large_log_needs_little_memory():
    with Daemon() as daemon, daemon.client() as client:
        seq, link = 0, chain.genesis("wide")
        for _ in range(70):
            actions = batch(60, seq, "w" * 16000)
            answer = client.post("/v1/logs/wide/sync", chain.sync_body(actions, seq, link)).json()
            seq, link = answer["seq"], bytes.fromhex(answer["stateHash"])
        before = resident(daemon.process)
        connections, size = [], 0
        for _ in range(4):
            connections.append(daemon.connection())
            connections[-1].send(raw.head("GET", "/v1/logs/wide/actions", None, {"Accept": "application/x-ndjson"}))
        for connection in connections:
            size += len(connection.response().body)
            connection.close()
        grown = resident(daemon.process) - before
        say("4 streams, %d MiB in all: the daemon grew by %d MiB", size >> 20, grown)
        if "san" not in os.path.basename(story.BUILD):
            is_true(grown < 60, "it grew by %d MiB", grown)


@story.story
def what_is_written_is_the_same_after_a_restart_for_many_logs():
    with Daemon(options={"store.cache_logs": 16}) as daemon:
        heads = {}
        with daemon.client() as client:
            for turn in range(3):
                for n in range(200):
                    log = "many-%d" % n
                    seq, link = heads.get(log, (0, chain.genesis(log)))
                    actions = batch(1 + n % 3, seq)
                    answer = client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, seq, link)).json()
                    same(answer["fastForward"], True, "turn %d of %s" % (turn, log))
                    heads[log] = answer["seq"], bytes.fromhex(answer["stateHash"])
        daemon.stop()
        daemon.start()
        with daemon.client() as client:
            for log, (seq, link) in heads.items():
                actions, links = whole_log(client, log)
                same((len(actions), links[-1]), (seq, link), log)


story.run()
