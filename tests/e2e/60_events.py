"""Server-sent events: the head now and after each commit, comments, reconnecting, draining, and what a waiter's place costs."""
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

from support import chain, raw, story, tokens
from support.daemon import Daemon, until
from support.events import Stream, Writer
from support.proxy import Proxy
from support.story import is_true, same


@story.story
def the_head_comes_at_once_and_after_each_commit():
    with Daemon() as daemon, daemon.client() as client:
        writer = Writer(client, "a|b")
        with Stream(daemon.address, "a|b", Accept_Encoding="gzip") as stream:
            answer = stream.answer
            same((answer.status, answer.header("content-type"), answer.header("cache-control"), answer.header("x-accel-buffering")),
                 (200, "text/event-stream", "no-store", "no"), "head of the answer")
            same(answer.header("content-encoding"), None, "coding")
            same(stream.head(), (0, chain.genesis("a|b").hex()), "first head")
            for _ in range(20):
                same(writer.append(), stream.head(), "the head after a commit")
            Writer(client, "another").append()
            for _ in range(50):
                writer.append(3)
            same(stream.until(writer.seq), writer.link.hex(), "the newest after a burst")
        with Stream(daemon.address, "a|b") as stream:
            same(stream.head(), (writer.seq, writer.link.hex()), "the first of another")


@story.story
def last_event_id_is_what_the_client_knows():
    with Daemon() as daemon, daemon.client() as client:
        writer = Writer(client, "log")
        genesis_id = writer.id
        with Stream(daemon.address, "log", last_id=genesis_id) as stream:
            same(stream.next().kind, "comment", "what begins a stream without news")
            writer.append()
            same(stream.head(), (1, writer.link.hex()), "first head")
        for known, is_told in ((writer.id, False), (genesis_id, True), ("1-0000000000000000", True), ("x", True),
                               (writer.id + "0", True), (" %s " % writer.id, False)):
            with Stream(daemon.address, "log", last_id=known) as stream:
                same((known, stream.next().kind), (known, "head" if is_told else "comment"), "begins with")


@story.story
def a_comment_comes_when_there_is_nothing_else():
    with Daemon() as daemon:
        with Stream(daemon.address, "log") as stream:
            same(stream.head()[0], 0, "first head")
            for _ in range(2):
                same(stream.next().kind, "comment", "next")


@story.story
def all_subscribers_see_the_last_head():
    """Many streams to few logs, many writers: whatever was merged, the last one comes."""
    with Daemon(options={"server.threads": 3}) as daemon:
        streams = [Stream(daemon.address, "log-%d" % (number % 8)) for number in range(64)]
        writers = []

        def write(number):
            with daemon.client() as client:
                writer = Writer(client, "log-%d" % number)
                for _ in range(200):
                    writer.append()
                writers.append(writer)
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        same(len(writers), 8, "writers that came to their end")
        links = {writer.log: writer.link.hex() for writer in writers}
        for stream in streams:
            same(stream.until(200), links[stream.log], "the last head of " + stream.log)
            stream.close()


@story.story
def a_commit_that_meets_a_stream_about_to_wait_is_not_missed():
    """Syncs in pairs, the second as soon as the first is answered: then the streams are on their way back to waiting."""
    with Daemon(options={"server.threads": 2}) as daemon, daemon.connection() as connection:
        streams = [Stream(daemon.address, "log") for _ in range(48)]
        seq, link = 0, chain.genesis("log")
        for stream in streams:
            same(stream.head()[0], 0, "first head")
        for _ in range(150):
            for _ in range(2):
                actions = [{"device": "d", "ts": seq + 1, "type": "t", "payload": ""}]
                body = raw.json.dumps(chain.sync_body(actions, seq, link)).encode()
                connection.send(raw.head("POST", "/v1/logs/log/sync", body, {"Content-Type": "application/json"}) + body)
                seq, link = seq + 1, chain.extend(link, actions)[-1]
            for _ in range(2):
                same(connection.response().status, 200, "status of a sync")
            for stream in streams:
                comments, head = 0, 0
                while head < seq:
                    event = stream.next()
                    comments = comments + 1 if event.kind == "comment" else 0
                    is_true(comments < 2, "a stream still says nothing of seq %d", seq)  # one may be on its way
                    head = raw.json.loads(event.data)["seq"] if event.kind == "head" else head
        for stream in streams:
            stream.close()


@story.story
def a_drain_says_when_to_come_back_and_ends_the_stream():
    with Daemon() as daemon:
        with daemon.client() as client:
            writer = Writer(client, "log")
            streams = [Stream(daemon.address, "log") for _ in range(20)]
            waiting = [Stream(daemon.address, "log", last_id=writer.id) for _ in range(20)]
            for stream in streams:
                same(stream.head()[0], 0, "first head")
            for stream in waiting:
                same(stream.next().kind, "comment", "first")
        daemon.stop()
        same(daemon.events("some requests did not end in time and are cut"), [], "what was cut")
        retries = []
        for stream in streams + waiting:
            event = stream.next()
            same(event.kind, "reconnect", "last event")
            retries.append(int(event.retry))
            same(stream.next(), None, "behind it")
            is_true(stream.connection.ended(), "the connection stays")
        is_true(all(500 <= retry <= 10_000 for retry in retries) and len(set(retries)) > 20, "no jitter: %s", retries)


@story.story
def nobody_takes_the_places_of_all():
    key = tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks(os.path.abspath("jwks.json"), key), "auth.issuer": tokens.ISSUER,
               "auth.audience": tokens.AUDIENCE, "limits.subject_waiters": 3, "admin.listen": "unix:admin.sock"}
    with Daemon(options=options) as daemon, daemon.operator() as operator, daemon.client() as client:
        def bearer(sub):
            return tokens.bearer(tokens.make(key, tokens.claims(sub=sub)))[1]

        def subscribe(sub):
            return Stream(daemon.address, sub, Authorization=bearer(sub))
        streams = [subscribe("anna") for _ in range(3)]
        for stream in streams:
            same(stream.head()[0], 0, "first head")
        with subscribe("anna") as refused:
            same((refused.answer.status, refused.answer.json()["code"]), (429, "RATE_LIMITED"), "a fourth")
            is_true(int(refused.answer.header("retry-after")) >= 1, "when to come again")
        same(client.get("/v1/logs/anna/actions?wait=1", Authorization=bearer("anna")).json()["code"], "RATE_LIMITED", "a wait")
        same(client.get("/v1/logs/anna/actions", Authorization=bearer("anna")).status, 200, "status of what does not wait")
        with subscribe("bob") as other:
            same(other.head()[0], 0, "the head of another subject")
        for stream in streams:
            stream.close()
        until(lambda: waiters(operator) == 0, "the places to be free")
        with subscribe("anna") as again:
            same(again.head()[0], 0, "the head, with a place again")


@story.story
def a_stream_ends_with_its_token():
    key = tokens.Key("EdDSA", "ed")
    path = tokens.write_jwks(os.path.abspath("jwks.json"), key)
    options = {"auth.mode": "jwt", "auth.jwks_file": path, "auth.leeway_sec": 0, "auth.issuer": tokens.ISSUER, "auth.audience": tokens.AUDIENCE}
    with Daemon(options=options) as daemon:
        def subscribe(**said):
            return Stream(daemon.address, "anna", Authorization=tokens.bearer(tokens.make(key, tokens.claims(**said)))[1])
        end = int(time.time()) + 3
        with subscribe() as longer, subscribe(exp=end) as stream:
            same((longer.head()[0], stream.head()[0]), (0, 0), "first heads")
            same((stream.next().kind, stream.next()), ("reconnect", None), "the end")
            is_true(end <= time.time() < end + 60, "it ended %.1f s after its token", time.time() - end)
            same(subscribe(exp=end).answer.status, 401, "status of another with the same token")
            daemon.stop()
            while (event := longer.next()).kind == "comment":
                pass
            same(event.kind, "reconnect", "the end of the longer one")


@story.story
def head_and_what_cannot_be_answered():
    with Daemon() as daemon, daemon.client() as client:
        for method, accept, status in (("HEAD", "text/event-stream", 200), ("HEAD", "application/json", 406),
                                       ("GET", "application/json", 406), ("POST", "*/*", 405), ("OPTIONS", "*/*", 204)):
            answer = client.request(method, "/v1/logs/log/events", headers={"Accept": accept})
            same((method, accept, answer.status), (method, accept, status), "status")
            same(answer.body if method == "HEAD" else b"", b"", "a body for HEAD")
        same(client.get("/v1/logs/log/events?wait=1").json()["code"], "MALFORMED", "code")
        same(client.get("/v1/logs/./events", Accept="text/event-stream").json()["code"], "MALFORMED", "code")
        is_true("events" in client.get("/v1/info").json()["features"], "events is no feature")
        with daemon.connection() as old:
            old.send(b"GET /v1/logs/log/events HTTP/1.0\r\n\r\n")
            data = b""
            while b"\n\n" not in data:
                data += old.socket.recv(1000)
            is_true(b"\r\n\r\nevent: head\n" in data and b"chunked" not in data, "HTTP/1.0 gets %r", data)


@story.story
def what_no_place_is_there_for_is_no_feature():
    subjects, both = {"auth.mode": "proxy", "auth.trusted": "127.0.0.1"}, {"events", "wait"}
    for options, features, wait_sec in (({"limits.waiters": 0}, set(), 0), ({"limits.wait_sec": 0}, {"events"}, 0), ({}, both, 30),
                                        ({"limits.subject_waiters": 0}, both, 30),  # where nobody says who he is, it is nobody's
                                        ({"limits.subject_waiters": 0, **subjects}, set(), 0), (subjects, both, 30)):
        with Daemon(options=options) as daemon, daemon.client() as client:
            client.headers = {"X-Remote-User": "log"}
            info = client.get("/v1/info").json()
            same(({"events", "wait"} & set(info["features"]), info["limits"]["waitSec"]), (features, wait_sec), "features with %s" % options)
            if not features:
                answer = client.get("/v1/logs/log/events", Accept="text/event-stream")
                same((answer.status, answer.json()["code"], answer.json()["retry"]), (404, "NOT_FOUND", "never"), "events")
            if "wait" not in features:
                same(client.get("/v1/logs/log/actions?wait=30").status, 200, "a request that is not held")


def waiters(operator):
    """Places that are taken."""
    return next(int(line.split()[1]) for line in operator.get("/metrics").body.decode().split("\n") if line.startswith("edgereplay_waiters "))


@story.story
def who_leaves_gives_the_place_back():
    """Two places; whoever has them leaves: with an end, with a reset, and with the end of what it sends alone."""
    wait = "/v1/logs/log/actions?after=1&wait=30"
    with Daemon(options={"limits.waiters": 2, "admin.listen": "unix:admin.sock"}) as daemon, daemon.operator() as operator:
        with daemon.client() as client:
            Writer(client, "log").append()
        for leave in ("half", "end", "reset"):
            with Stream(daemon.address, "log") as stream, daemon.connection() as waiting:
                same(stream.head()[0], 1, "first head")
                waiting.send(raw.head("GET", wait))
                until(lambda: waiters(operator) == 2, "both places to be taken")
                with Stream(daemon.address, "log") as third, daemon.client() as fourth:
                    refused = [third.answer, fourth.get(wait)]
                    same([(answer.status, answer.json()["code"]) for answer in refused], 2 * [(429, "BACKPRESSURE")], "a third, a fourth")
                for connection in (stream.connection, waiting):
                    if leave == "reset":
                        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if leave == "half":
                        connection.socket.shutdown(socket.SHUT_WR)
                    else:
                        connection.close()
                if leave == "half":
                    same(stream.next().kind, "reconnect", "what ends the stream")
                until(lambda: waiters(operator) == 0, "the places to be free after: " + leave, 20)  # by itself a wait ends in 30 s


@story.story
def whatever_is_cut_each_subscriber_ends_with_the_right_head():
    """A proxy cuts connections at random; a subscriber comes back with the last id that it got."""
    with Daemon() as daemon, daemon.client() as client, \
            Proxy(daemon.port, seed=story.seed(), bytes_between_cuts=3000) as proxy:
        writers = [Writer(client, "log-%d" % number) for number in range(5)]
        faults, ends, came_back = [], [], [0]

        def subscribe(log, wanted):
            last_id, seq = None, -1
            while seq < wanted:
                try:
                    with Stream(("127.0.0.1", proxy.port), log, last_id) as stream:
                        came_back[0] += 1
                        while seq < wanted:
                            event = stream.next()
                            if event is None or event.kind != "head":
                                continue
                            now = raw.json.loads(event.data)["seq"]
                            if now < seq or (now == seq and event.id == last_id):
                                faults.append("%s: %d behind %d" % (log, now, seq))
                            last_id, seq = event.id, now
                except (OSError, ValueError, AssertionError):
                    continue
            ends.append((log, last_id))
        threads = [threading.Thread(target=subscribe, args=(writer.log, 100)) for writer in writers for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            for writer in writers:
                writer.append()
        for thread in threads:
            thread.join(120)
        is_true(not any(thread.is_alive() for thread in threads), "a subscriber never sees the last head")
        same(faults, [], "faults")
        same(sorted(ends), sorted(4 * [(writer.log, writer.id) for writer in writers]), "what each ends with")
        is_true(proxy.cuts > 20, "only %d cuts", proxy.cuts)
        story.say("%d cuts, %d streams for %d subscribers", proxy.cuts, came_back[0], len(threads))


@story.story
def it_is_the_same_with_tls_and_over_a_unix_socket():
    """Where what is sent has to be encrypted, and where nobody knows what was acknowledged."""
    path = os.path.join(os.getcwd(), "http.sock")
    with Daemon(listen="unix:" + path) as daemon, daemon.client() as client:
        events(daemon, client, None)
    if shutil.which("openssl") is None:
        return
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True)
    tls = ssl.create_default_context(cafile="cert.pem")
    with Daemon(options={"server.tls_cert": "cert.pem", "server.tls_key": "key.pem"}) as daemon, \
            raw.Client(daemon.address, tls=tls) as client:
        events(daemon, client, tls)


def events(daemon, client, tls):
    streams = [Stream(daemon.address, "log-%d" % (number % 4), tls=tls) for number in range(12)]
    writers = [Writer(client, "log-%d" % number) for number in range(4)]
    for stream in streams:
        same(stream.head()[0], 0, "first head")
    for _ in range(30):
        for number, writer in enumerate(writers):
            wanted = writer.append()
            for stream in streams[number::4]:
                same(stream.head(), wanted, "the head after a commit")
    client.close()
    daemon.stop()
    for stream in streams:
        same((stream.next().kind, stream.next()), ("reconnect", None), "the end")


story.run()
