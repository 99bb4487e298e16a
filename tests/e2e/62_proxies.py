"""Events, waits and the webhook through nginx, HAProxy and Caddy, with the configurations in config/ and TLS."""
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from support import chain, front, raw, story
from support.certificate import make
from support.daemon import Daemon, tool, until
from support.events import Stream, Writer
from support.receiver import LINE, Receiver
from support.shipped import FILES, SOCKETS, USERS, Shipped
from support.story import is_true, same

PROXIES = [program for program in FILES if front.installed(program)]
if not PROXIES or shutil.which("openssl") is None:
    story.skip("openssl, and one of %s, are needed (make faults installs them)" % ", ".join(FILES))
story.say("through %s", ", ".join(PROXIES))


def each(check, programs=PROXIES, **options):
    """Runs check(daemon, proxy, client) through each, at once, the client behind it."""
    def through(program):
        with Daemon(options={name.replace("__", "."): value for name, value in options.items()}) as daemon, \
                Shipped(program, daemon.port) as proxy, raw.Client(proxy.address, tls=proxy.tls) as client:
            try:
                check(daemon, proxy, client)
            except Exception as error:
                raise AssertionError("through %s: %s\n%s" % (program, error, proxy.said())) from error
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(through, programs))


@story.story
def nothing_of_a_stream_is_held_back():
    def check(_, proxy, client):
        writer = Writer(client, "log")
        with Stream(proxy.address, "log", tls=proxy.tls, Accept_Encoding="gzip") as stream, \
                Stream(proxy.address, "log", last_id=writer.id, tls=proxy.tls) as silent:
            same((stream.answer.status, stream.answer.header("content-type"), stream.answer.header("content-encoding")),
                 (200, "text/event-stream", None), "head of the answer")
            same(stream.head(), (0, chain.genesis("log").hex()), "first head")
            same(silent.next().kind, "comment", "what begins a stream without news")
            for _ in range(20):
                wanted = writer.append()
                same(stream.head(), wanted, "the head after a commit")
                same(silent.head(), wanted, "the head after a commit, of the other")
            for _ in range(30):
                writer.append()
            same(stream.until(writer.seq), writer.link.hex(), "the newest after a burst")
            same(stream.next().kind, "comment", "what comes when nothing does")
    each(check)


@story.story
def a_drain_reaches_the_client():
    def check(daemon, proxy, client):
        writer = Writer(client, "log")
        with Stream(proxy.address, "log", tls=proxy.tls) as stream:
            same(stream.head()[0], 0, "first head")
            writer.append()
            same(stream.head()[0], 1, "second head")
            client.close()
            daemon.stop()
            same((stream.next().kind, stream.next()), ("reconnect", None), "the end")
    each(check)


@story.story
def waits_end_with_the_commit():
    def check(_, proxy, client):
        writer = Writer(client, "log")
        answers = {}

        def ask(name, path, **headers):
            with raw.Client(proxy.address, tls=proxy.tls) as asking:
                answers[name] = asking.get(path, **headers)
        threads = [threading.Thread(target=ask, args=("page", "/v1/logs/log/actions?wait=30")),
                   threading.Thread(target=ask, args=("lines", "/v1/logs/log/actions?wait=30"),
                                    kwargs={"Accept": "application/x-ndjson"}),
                   threading.Thread(target=ask, args=("head", "/v1/logs/log/head?wait=30"),
                                    kwargs={"If_None_Match": '"%s"' % writer.link.hex()})]
        for thread in threads:
            thread.start()
        Writer(client, "other").append()
        writer.append()
        for thread in threads:
            thread.join(120)
        same((answers["page"].json()["seq"], answers["lines"].lines()[-1]["count"], answers["head"].json()["seq"]), (1, 1, 1), "seq")
    each(check)


@story.story
def who_leaves_the_proxy_gives_its_place_back():
    def check(_, proxy, client):
        Writer(client, "log").append()
        for _ in range(2):
            with Stream(proxy.address, "log", tls=proxy.tls) as stream:
                same(stream.head()[0], 1, "head")
                same(client.get("/v1/logs/log/actions?after=1&wait=30").status, 429, "status without a place")
            waiting = raw.Connection(proxy.address, tls=proxy.tls)

            def wait():
                """Whoever asks first gets the place, so it may have to ask again."""
                try:
                    while waiting.request("GET", "/v1/logs/log/actions?after=1&wait=30").status == 429:
                        time.sleep(0.02)
                except OSError:
                    pass

            def is_held():
                held = client.get("/v1/logs/log/actions?after=1&wait=1").status == 429
                time.sleep(0 if held else 0.2)  # the other one's turn
                return held
            until(lambda: client.get("/v1/logs/log/actions?after=1&wait=1").status == 200, "the place of a stream")
            thread = threading.Thread(target=wait)
            thread.start()
            until(is_held, "the wait to wait")
            waiting.socket.shutdown(socket.SHUT_RDWR)
            thread.join()
            waiting.close()
            until(lambda: client.get("/v1/logs/log/actions?after=1&wait=1").status == 200, "the place of a wait")
    each(check, limits__waiters=1)


@story.story
def what_is_too_large_is_refused_in_our_words():
    def check(_, __, client):
        body = json.dumps({"device": "x" * 1_500_000}).encode()
        answer = client.post("/v1/logs/log/sync", body)
        same((answer.status, answer.json()["code"], answer.json()["limit"]), (413, "BODY_TOO_LARGE", 1048576), "answer")
        actions = [{"device": "d", "ts": ts, "type": "t", "payload": "x" * 900} for ts in range(1, 1001)]
        answer = client.post("/v1/logs/log/sync", chain.sync_body(actions, 0, chain.genesis("log")))
        same((answer.status, answer.json().get("seq")), (200, 1000), "a sync of 0.95 MiB")
    each(check)


@story.story
def a_sync_and_a_replay_pass_as_they_are():
    """Text of any kind, a percent-encoded name, pages, lines, gzip, conditional requests, the head of an answer."""
    log = "a|b@c+d:e"

    def check(daemon, _, client):
        actions = [{"device": "d", "ts": ts, "type": "note/ä", "payload": '{"text":"\\u00e4 ü \U0001f600 %d %s"}' % (ts, "x" * (ts % 300))}
                   for ts in range(1, 1001)]
        seq, link = 0, chain.genesis(log)
        for first in range(0, 1000, 250):
            answer = client.post("/v1/logs/%s/sync" % chain.path(log), chain.sync_body(actions[first:first + 250], seq, link),
                                 X_Request_Id="mine-%d" % first)
            seq, link = seq + 250, chain.extend(link, actions[first:first + 250])[-1]
            same((answer.status, answer.json()["seq"], answer.json()["stateHash"]), (200, seq, link.hex()), "answer to a sync")
            same(answer.header("cache-control"), "no-store", "Cache-Control")
        for coding in ("gzip", "identity"):
            answer = client.get("/v1/logs/%s/actions" % chain.path(log), Accept="application/x-ndjson", Accept_Encoding=coding)
            lines = answer.lines()
            same([(line["ts"], line["type"], line["payload"]) for line in lines[1:-1]],
                 [(action["ts"], action["type"], action["payload"]) for action in actions], "actions as lines")
            same((lines[-1]["count"], lines[-1]["stateHash"]), (1000, link.hex()), "last line")
            same(answer.header("content-encoding"), "gzip" if coding == "gzip" else None, "coding")
            page = client.get("/v1/logs/%s/actions?after=900&meta=1" % chain.path(log), Accept_Encoding=coding).json()
            same((len(page["actions"]), page["stateHash"]), (100, link.hex()), "page")
        with daemon.client() as direct:
            for path in ("/v1/logs/%s/head" % chain.path(log), "/v1/logs/none/actions?after=7", "/v1/nothing", "/v1/logs/a/sync"):
                through, near = client.get(path), direct.get(path)
                same((path, through.status, through.header("content-type"), through.header("etag")),
                     (path, near.status, near.header("content-type"), near.header("etag")), "answer")
        etag = client.get("/v1/logs/%s/head" % chain.path(log)).header("etag")
        same(client.get("/v1/logs/%s/head" % chain.path(log), If_None_Match=etag).status, 304, "not modified")
    each(check)


@story.story
def a_snapshot_passes_as_it_is():
    """Larger than any batch may be, and one that is too large is refused in our words."""
    def check(_, __, client):
        writer = Writer(client, "a|b")
        writer.append()
        target, state = "/v1/logs/%s/snapshots/" % chain.path("a|b"), os.urandom(5 << 20)
        headers = {"Edgereplay-State-Hash": writer.link.hex(), "Edgereplay-App-Version": "7", "Content-Type": "application/x-state"}
        answer = client.request("PUT", target + "1", state, headers)
        same((answer.status, answer.json().get("bytes")), (200, len(state)), "a snapshot of 5 MiB")
        got = client.get(target + "latest", Accept_Encoding="gzip")
        same((got.status, got.body == state, got.header("etag")), (200, True, answer.header("etag")), "what comes back")
        same((got.header("content-encoding"), got.header("content-type"), got.header("edgereplay-app-version"),
              got.header("edgereplay-seq"), got.header("edgereplay-state-hash")),
             (None, "application/x-state", "7", "1", writer.link.hex()), "headers")
        same(client.request("HEAD", target + "1").header("content-length"), str(len(state)), "size of a HEAD's")
        same(client.get(target + "1", If_None_Match=got.header("etag")).status, 304, "not modified")
        client.close()
        answer = client.request("PUT", target + "1", state + bytes(2 << 20), headers)
        same((answer.status, answer.json()["code"], answer.json()["limit"]), (413, "BODY_TOO_LARGE", 6 << 20), "one that is too large")
    each(check, limits__snapshot_bytes=6 << 20, server__drain_bytes=8 << 20)


@story.story
def a_refusal_for_asking_too_much_is_the_clients_own():
    """Who floods is told when to come back; another address behind the same proxy is served."""
    def check(_, proxy, __):
        def ask(source, count):
            with raw.Connection(proxy.address, tls=proxy.tls, source=source) as connection:
                return [connection.request("GET", "/v1/logs/log/head") for _ in range(count)]
        answers = ask("127.0.0.6", 8)
        refused = next(answer for answer in answers if answer.status != 200)
        same((refused.status, refused.header("content-type"), refused.json()["code"]), (429, "application/problem+json", "RATE_LIMITED"), "answer")
        is_true(int(refused.header("retry-after")) >= 1 and refused.json()["retryAfterMs"] >= 1, "when to come back: %s", refused.headers)
        is_true(refused.header("ratelimit") is not None, "no RateLimit")
        same([answer.status for answer in answers[:3]], [200, 200, 200], "requests at once")
        same(ask("127.0.0.7", 1)[0].status, 200, "status of another address")
    each(check, rate__requests=1, rate__requests_burst=3, rate__forwarded="x-forwarded-for", auth__trusted="127.0.0.1")


@contextlib.contextmanager
def open_folder():
    """What is made meanwhile is made in a folder that every user may pass through, as it is not with those of tests."""
    kept, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(prefix="p.", dir="/tmp")
    try:
        os.chmod(tempfile.tempdir, 0o711)
        yield tempfile.tempdir
    finally:
        shutil.rmtree(tempfile.tempdir)
        tempfile.tempdir = kept


@story.story
def over_a_unix_socket_each_is_let_in_by_its_group_and_believed():
    with open(os.path.join(story.ROOT, "docs/deployment.md"), encoding="utf-8") as file:
        document = file.read()
    options = {"server.socket_mode": "0660", "auth.trusted": "unix", "rate.requests": 1, "rate.requests_burst": 3}
    for program in PROXIES:
        is_true(SOCKETS[program] % "/run/edgereplay.sock" in document, "the document does not say how %s is told", program)
        with open_folder() as folder:
            path, owner = os.path.join(folder, "http.sock"), USERS[program] if os.geteuid() == 0 else None
            with Daemon(listen="unix:" + path, options=options) as daemon:
                if owner:
                    shutil.chown(path, None, owner)
                with Shipped(program, path, owner=owner) as proxy, raw.Client(proxy.address, tls=proxy.tls) as client:
                    try:
                        writer = Writer(client, "log")
                        writer.append()
                        with Stream(proxy.address, "log", tls=proxy.tls) as stream:
                            same(stream.head()[0], 1, "head")
                        with raw.Connection(proxy.address, tls=proxy.tls, source="127.0.0.6") as other:
                            statuses = [other.request("GET", "/v1/logs/log/head").status for _ in range(8)]
                        same((statuses[:3], statuses[-1]), ([200, 200, 200], 429), "statuses of another client")
                        same(client.get("/v1/logs/log/head").status, 200, "status of the first one")
                    except Exception as error:
                        raise AssertionError("through %s: %s\n%s\n%s" % (program, error, proxy.said(), daemon.log()[-2000:])) from error


@story.story
def what_was_refused_is_in_the_proxys_log_with_its_id_and_nothing_else_is():
    def check(_, proxy, client):
        same(client.get("/v1/logs/log/head", X_Request_Id="good-1").status, 200, "status")
        same(client.get("/v1/nothing", X_Request_Id="refused-1").status, 404, "status")
        made = client.get("/v1/logs/log/nothing").header("x-request-id")
        same(client.get("/v1/logs/log/head", X_Request_Id="good-2").status, 200, "status")
        until(lambda: made in proxy.said() and "refused-1" in proxy.said(), "the lines of what was refused")
        is_true(" 404 " in proxy.said() or '"status":404' in proxy.said(), "the status")
        is_true("good-" not in proxy.said(), "what was not refused is there")
    each(check)


@story.story
def a_body_that_does_not_come_ends_with_the_daemons_deadline():
    """Behind HAProxy and Caddy, that is; nginx takes the whole of it before it asks the daemon, and has a deadline of its own."""
    def check(_, proxy, __):
        with raw.Connection(proxy.address, tls=proxy.tls) as slow:
            slow.send(raw.head("POST", "/v1/logs/log/sync", headers={"Content-Type": "application/json", "Content-Length": "1000"}) + b"{")
            same(slow.response().status, 408, "status")
    each(check, [program for program in PROXIES if program != "nginx"], server__body_sec=1, server__least_rate=1 << 20)


@story.story
def a_restart_is_a_pause():
    """A phone that does what section 7 says, and a subscriber that comes back, through a stop and a start."""
    def check(daemon, proxy, client):
        daemon.listen = "127.0.0.1:%d" % daemon.port
        stop, statuses, heads, faults = threading.Event(), [], [], []

        def push():
            seq, link = 0, chain.genesis("log")
            with raw.Client(proxy.address, tls=proxy.tls) as phone:
                while not stop.is_set():
                    actions = [{"device": "d", "ts": seq + 1, "type": "t", "payload": ""}]
                    body = chain.sync_body(actions, seq, link)
                    while True:
                        try:
                            answer = phone.post("/v1/logs/log/sync", body)
                        except OSError:
                            continue
                        statuses.append(answer.status)
                        if answer.status == 200:
                            break
                        time.sleep(0.05)
                    seq, link = seq + 1, chain.extend(link, actions)[-1]
                    if (answer.json()["seq"], answer.json()["stateHash"]) != (seq, link.hex()):
                        faults.append("seq %d: %s" % (seq, answer.body))
                        return
            heads.append((seq, link.hex()))

        def follow():
            last_id, seen = None, []
            while not heads or not seen or seen[-1] != heads[0]:
                try:
                    with Stream(proxy.address, "log", last_id, tls=proxy.tls) as stream:
                        while not heads or not seen or seen[-1] != heads[0]:
                            event = stream.next()
                            if event is None or event.kind == "reconnect":
                                break
                            if event.kind == "head":
                                data = json.loads(event.data)
                                if seen and data["seq"] <= seen[-1][0]:
                                    faults.append("head %d behind %d" % (data["seq"], seen[-1][0]))
                                last_id = event.id
                                seen.append((data["seq"], data["stateHash"]))
                except (OSError, ValueError, AssertionError):
                    time.sleep(0.05)
        threads = [threading.Thread(target=work, daemon=True) for work in (push, follow)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            count = statuses.count(200)
            until(lambda: statuses.count(200) >= count + 30, "syncs")
            client.close()
            daemon.stop()
            time.sleep(0.2)
            daemon.start()
        stop.set()
        for thread in threads:
            thread.join(120)
        same((faults, [thread.is_alive() for thread in threads]), ([], [False, False]), "faults, and who is still at it")
        same(set(statuses) - {200, 502, 503, 504}, set(), "other statuses")
    each(check)


@story.story
def a_client_of_http_2_has_events_at_once():
    """nginx, HAProxy and Caddy speak it with phones; curl does here."""
    features = subprocess.run(["curl", "--version"], capture_output=True, check=False).stdout.split() if shutil.which("curl") else []
    if b"HTTP2" not in features:
        return

    def check(daemon, proxy, client):
        writer = Writer(client, "log")
        curl = subprocess.Popen(["curl", "-sSN", "--http2", "--cacert", proxy.ca, "-D", "-", "-H", "Accept: text/event-stream",
                                 proxy.url + "/v1/logs/log/events"], stdout=subprocess.PIPE)
        try:
            lines = iter(curl.stdout.readline, b"")
            same(next(lines).split()[:2], [b"HTTP/2", b"200"], "status")
            for _ in range(5):
                wanted = b"id: " + writer.id.encode() + b"\n"
                while next(lines) != wanted:
                    pass
                writer.append()
            client.close()
            daemon.stop()
            is_true(b"event: reconnect\n" in list(lines), "no end")
            same(curl.wait(60), 0, "exit code of curl")
        finally:
            curl.kill()
            curl.wait()
    each(check)


@story.story
def the_tool_trusts_the_authority_that_it_is_given_and_no_other():
    with open("new", "w", encoding="utf-8") as file:
        file.write('{"type":"t","payload":"p"}\n')
    with open("snapshot", "w", encoding="utf-8") as file:
        file.write("state")
    make("other.pem", "other.key")

    def check(_, proxy, client):
        client.close()
        url, ca, log = "--url=" + proxy.url, "--ca-file=" + proxy.ca, "--log=log"
        state = "--state=%s.state" % os.path.basename(proxy.folder)
        tool("push", url, ca, log, state, "new")
        head = tool("head", url, ca, log).out
        same(head.split()[0], "1", "seq")
        is_true('"payload":"p"' in tool("pull", url, ca, log).out, "what is pulled")
        tool("snapshot", "put", url, ca, log, state, "snapshot")
        tool("snapshot", "get", url, ca, log, os.path.join(proxy.folder, "got"))
        export = os.path.join(proxy.folder, "log.ndjson")
        tool("export", "log", "--from=" + proxy.url, ca, "--out=" + export)
        tool("import", export, url, ca, "--as=copy")
        same(tool("replay", "log", "--from=" + proxy.url, ca).out.count("\n"), 1, "actions that are replayed")
        is_true("same" in tool("bisect", "log", "--with=" + export, "--from=" + proxy.url, ca).out, "what bisect says")
        is_true("protocol" in tool("stat", proxy.url, ca).out, "what stat says")
        for flags, said in (((), "if its authority is one of your own, name it with --ca-file=FILE"),
                            (("--ca-file=other.pem",), "it is of no authority in --ca-file"),
                            (("--ca-file=/etc/ssl/certs/ca-certificates.crt",), "it is of no authority in --ca-file")):
            done = tool("head", url, log, *flags, expect=3)
            is_true("certificate" in done.error and said in done.error, "with %s it says %s", flags, done.error)
            is_true(said in tool("push", url, log, state, "--give-up=0", *flags, "new", expect=3).error, "push with %s", flags)
        done = tool("head", url.replace("localhost", "127.0.0.1"), ca, log, expect=3)
        is_true("--url must have a name that the certificate is for" in done.error, "by another name it says %s", done.error)
    each(check)


@story.story
def a_file_of_authorities_that_cannot_be_used_is_named():
    os.mkdir("folder")
    for name, content in (("empty", ""), ("key", "-----BEGIN PRIVATE KEY-----\nx\n")):
        with open(name, "w", encoding="ascii") as file:
            file.write(content)
    for name, said in (("absent", "No such file"), ("folder", "Is a directory"), ("empty", "no certificate in it"), ("key", "no certificate in it")):
        for command in (("head", "--log=log"), ("health",)):
            error = tool(*command, "--url=https://localhost:1", "--ca-file=" + name, expect=2).error
            is_true("--ca-file=%s: " % name in error and said in error, "of %s it says %s", name, error)
    tool("status", "--state=x", "--ca-file=absent", expect=2)


@story.story
def the_webhook_goes_through_them_too():
    with open("secrets", "w", opener=lambda path, flags: os.open(path, flags, 0o600), encoding="ascii") as file:
        file.write(LINE)
    for program in PROXIES:
        with Receiver() as receiver, Shipped(program, receiver.port) as proxy, \
                Daemon(options={"webhook.url": proxy.url + "/hook", "webhook.secret_file": "secrets", "webhook.ca_file": proxy.ca,
                                "webhook.gather_msec": 20}) as daemon, daemon.client() as client:
            wanted = {name: Writer(client, name).append() for name in ("a", "b", "c", "d", "e", "f")}
            receiver.await_newest(wanted)


story.run()
