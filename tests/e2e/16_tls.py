"""TLS without a proxy: versions, certificates and their reload, syncs, early answers and deadlines, as other libraries speak it."""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from support import chain, raw, story
from support.certificate import make
from support.daemon import Daemon, Refused, until
from support.events import Stream, Writer
from support.phone import Phone
from support.story import is_true, same, say

if shutil.which("openssl") is None:
    story.skip("openssl is not installed (make check installs it)")


def certificate(name, *more):
    """A self-signed certificate and its key as NAME.pem and NAME.key; its serial number."""
    make(name + ".pem", name + ".key", *more)
    text = subprocess.run(["openssl", "x509", "-in", name + ".pem", "-noout", "-serial"], check=True, capture_output=True)
    return text.stdout.decode().strip().split("=")[1]


def trusting(*names):
    """A client's context that trusts these certificates."""
    context = ssl.create_default_context()
    for name in names:
        context.load_verify_locations(name + ".pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def served(**options):
    certificate("server")
    return Daemon(options={"server.tls_cert": "server.pem", "server.tls_key": "server.key",
                           **{"server." + name: value for name, value in options.items()}})


def sync_body(log, count, size=100):
    actions = [{"device": "d", "ts": ts, "type": "t", "payload": "x" * size} for ts in range(1, count + 1)]
    return json.dumps(chain.sync_body(actions, 0, chain.genesis(log))).encode()


@story.story
def only_current_versions_are_spoken():
    with served() as daemon:
        for version, spoken in (("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % daemon.port, version, "-CAfile", "server.pem",
                                   "-cipher", "ALL:@SECLEVEL=0", "-alpn", "h2,http/1.1", "-servername", "localhost"],
                                  input=b"GET /v1/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", capture_output=True,
                                  timeout=60, check=False)
            said = done.stdout + done.stderr
            same(b"Verify return code: 0 (ok)" in said and b"Cipher is (NONE)" not in said, spoken, "%s\n%s\nspoken" % (
                version, said[-1500:].decode(errors="replace")))
            same(b"ALPN protocol: http/1.1" in said, spoken, "ALPN of " + version)
        with raw.Connection(daemon.address, tls=trusting("server")) as connection:
            same(connection.socket.version(), "TLSv1.3", "version")
            same(connection.socket.selected_alpn_protocol(), "http/1.1", "protocol")
            same(connection.request("GET", "/v1/info").status, 200, "status")
        with raw.Connection(daemon.address) as plain:
            plain.send(raw.head("GET", "/v1/info"))
            data = plain.socket.recv(1000)
            is_true(b"HTTP" not in data, "clear text is answered with %r", data)


@story.story
def syncs_and_replays_are_the_same():
    with served() as daemon:
        with raw.Client(daemon.address, tls=trusting("server")) as client:
            answer = client.post("/v1/logs/large/sync", sync_body("large", 1000, 800))
            same((answer.status, answer.json()["applied"]), (200, 1000), "a sync of 0.9 MiB")
            answer = client.get("/v1/logs/large/actions")
            same(len(answer.json()["actions"]), 1000, "actions of a page of %d bytes" % len(answer.body))
            lines = client.get("/v1/logs/large/actions", Accept="application/x-ndjson").lines()
            same(lines[-1]["count"], 1000, "count of a stream")
        phones = [Phone(daemon.address, "shared", "phone-%d" % i) for i in range(4)]
        for phone in phones:
            phone.client = raw.Client(daemon.address, tls=trusting("server"))

        def play(phone):
            for turn in range(30):
                phone.act("t", "%d" % turn)
                until(phone.sync, "an answer")

        threads = [threading.Thread(target=play, args=(phone,)) for phone in phones]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: phones[0].sync() and phones[0].base == 120, "all actions")


@story.story
def a_wait_is_answered_when_somebody_writes():
    with served() as daemon:
        with raw.Connection(daemon.address, tls=trusting("server")) as waiting:
            waiting.send(raw.head("GET", "/v1/logs/w/actions?wait=30"))
            with raw.Client(daemon.address, tls=trusting("server")) as writer:
                same(writer.post("/v1/logs/w/sync", sync_body("w", 1)).status, 200, "status")
            same(len(waiting.response().json()["actions"]), 1, "actions")


# --- what waits long, outside of the library that did the handshake ---

HELD = 256  # requests that wait inside of it, of a thread

CIPHERS = [("-tls1_3", "TLS_AES_128_GCM_SHA256", ()), ("-tls1_3", "TLS_AES_256_GCM_SHA384", ()),
           ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256", ()), ("-tls1_3", "TLS_AES_128_GCM_SHA256", ("-maxfraglen", "512")),
           ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256", ()), ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384", ()),
           ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305", ())]


def openssl(daemon, version, cipher, more):
    return subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % daemon.port, "-quiet", "-CAfile", "server.pem",
                             "-verify_return_error", version, "-ciphersuites" if version == "-tls1_3" else "-cipher", cipher, *more],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def waiting(**options):
    """A daemon where many may wait, and a function that awaits that so many do."""
    certificate("server")
    daemon = Daemon(options={"server.tls_cert": "server.pem", "server.tls_key": "server.key", "server.threads": 1,
                             "server.connections": 1000, "server.header_sec": 300, "admin.listen": "unix:admin.sock", **options})

    def await_waiters(count):
        with daemon.operator() as operator:
            until(lambda: b"\nedgereplay_waiters %d\n" % count in operator.get("/metrics").body, "%d who wait" % count)

    return daemon, await_waiters


@story.story
def what_waits_long_is_answered_in_every_cipher():
    """An answer of many records, behind which the connection is closed; and one to clients that want short records."""
    daemon, await_waiters = waiting()
    with daemon:
        tls = trusting("server")
        head = raw.head("GET", "/v1/logs/w/actions?wait=30")
        last = raw.head("GET", "/v1/logs/w/actions?wait=30", headers={"Connection": "close"})
        asking = [(openssl(daemon, *how), how) for how in CIPHERS]
        held = [raw.Connection(daemon.address, tls=tls) for _ in range(HELD)]
        cut = raw.Connection(daemon.address, tls=tls)
        for connection in held:
            connection.send(raw.head("GET", "/v1/logs/quiet/actions?wait=30"))
        await_waiters(HELD)
        for process, how in asking:
            process.stdin.write(last if how[2] else head)
            process.stdin.flush()
        cut.send(head)
        await_waiters(HELD + len(asking) + 1)
        cut.close()
        await_waiters(HELD + len(asking))
        with raw.Client(daemon.address, tls=tls) as writer:
            same(writer.post("/v1/logs/w/sync", sync_body("w", 300, 800)).status, 200, "status")
            wanted = writer.get("/v1/logs/w/actions").json()["actions"]
        for process, how in asking:
            out, problem = process.communicate(timeout=60)
            same((how, process.returncode), (how, 0), "how openssl ends, after %s" % problem[-1000:])
            top, body = out.split(b"\r\n\r\n", 1)
            same((how, top[:15], json.loads(body)["actions"] == wanted), (how, b"HTTP/1.1 200 OK", True), "an answer of %d bytes" % len(body))
            is_true(len(body) > 240_000, "only %d bytes", len(body))
        for connection in held:
            connection.close()


@story.story
def a_stream_ends_with_the_end_of_its_session():
    daemon, _ = waiting()
    with daemon:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            tls = trusting("server")
            tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
            tls.minimum_version = tls.maximum_version = version
            with raw.Client(daemon.address, tls=tls) as client, Stream(daemon.address, version.name, tls=tls) as stream:
                same(stream.head()[0], 0, "first head")
                writer = Writer(client, version.name)
                for _ in range(20):
                    same(writer.append(), stream.head(), "the head after a commit")
                with raw.Connection(daemon.address, tls=tls) as asking:
                    asking.send(raw.head("HEAD", "/v1/logs/a/events", headers={"Accept": "text/event-stream"}))
                    same(asking.response("HEAD").status, 200, "status of HEAD")
        stream = Stream(daemon.address, "a", tls=tls)
        stream.connection.socket.suppress_ragged_eofs = False
        stream.head()
        daemon.stop()
        same((stream.next().kind, stream.next()), ("reconnect", None), "the end")
        same(stream.connection.socket.recv(1), b"", "what follows")
        stream.close()


@story.story
def a_stream_takes_little_more_memory_than_in_clear_text():
    if story.SANITIZED:
        return
    daemon, await_waiters = waiting()
    with daemon:
        def resident():
            with open("/proc/%d/status" % daemon.process.pid, encoding="ascii") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

        tls = trusting("server")
        streams = []
        for count in (50, 400):  # the first take what is taken once
            before = resident()
            streams += [Stream(daemon.address, "log-%d" % number, tls=tls) for number in range(count)]
            for stream in streams[-count:]:
                stream.head()
            each = (resident() - before) / count
        for stream in streams:
            stream.close()
        await_waiters(0)
        say("%.1f KiB a stream", each)
        is_true(each < 20, "%.1f KiB a stream", each)


@story.story
def an_early_refusal_arrives_encrypted():
    with served(drain_bytes="64KiB") as daemon:
        for size in (2_000_000, 200_000_000):
            with raw.Connection(daemon.address, tls=trusting("server")) as connection:
                connection.send(raw.head("POST", "/v1/logs/a/sync", b"", {"Content-Length": str(size)}))
                connection.send(b" " * 30_000)
                answer = connection.response()
                same((answer.status, answer.json()["code"]), (413, "BODY_TOO_LARGE"), "a body of %d bytes" % size)


@story.story
def a_key_that_others_can_read_is_refused():
    certificate("server")
    for mode, good in ((0o600, True), (0o400, True), (0o640, True), (0o644, False), (0o604, False), (0o660, False)):
        os.chmod("server.key", mode)
        try:
            Daemon(options={"server.tls_cert": "server.pem", "server.tls_key": "server.key"}).stop()
            log = ""
        except Refused as error:
            log = error.log
        same(log == "", good, "mode %o: %s, starts" % (mode, log))
        is_true(good or ("server.key" in log and "chmod 600" in log), "mode %o: %s", mode, log)
    os.chmod("server.key", 0o600)
    with served() as daemon:
        trusted = trusting("server")
        certificate("server")
        os.chmod("server.key", 0o644)
        daemon.signal(signal.SIGHUP)
        until(lambda: "chmod 600" in daemon.log(), "a word on the key")
        with raw.Client(daemon.address, tls=trusted) as client:
            same(client.get("/v1/info").status, 200, "status by the certificate that was there before")


# --- deadlines ---

def processor_seconds(daemon):
    with open("/proc/%d/stat" % daemon.process.pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@story.story
def a_handshake_has_its_time_and_costs_nothing_meanwhile():
    with served(header_sec=3) as daemon:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        stuck = [socket.create_connection(daemon.address, 60) for _ in range(50)]
        before, began = processor_seconds(daemon), time.monotonic()
        for at in range(len(hello)):
            for connection in stuck:
                try:
                    connection.send(hello[at:at + 1])
                except OSError:
                    pass
        with raw.Client(daemon.address, tls=trusting("server")) as client:
            same(client.post("/v1/logs/a/sync", sync_body("a", 10)).status, 200, "status of somebody else")
        for connection in stuck:
            try:
                while connection.recv(100):
                    pass
            except ConnectionResetError:
                pass
            connection.close()
        spent = processor_seconds(daemon) - before
        say("50 stuck handshakes: closed after %.1f s, %.2f s of CPU", time.monotonic() - began, spent)
        is_true(spent < 1.5, "%.1f s of CPU for handshakes that stood still for 3 s", spent)


@story.story
def a_slow_request_gets_its_408_encrypted():
    with served(header_sec=1, body_sec=1) as daemon:
        for part in (b"GET /v1/in", raw.head("GET", "/v1/info")[:-2],
                     raw.head("POST", "/v1/logs/a/sync", b"", {"Content-Length": "100"}) + b"{"):
            with raw.Connection(daemon.address, tls=trusting("server")) as connection:
                connection.send(part)
                answer = connection.response()
                same((answer.status, answer.json()["code"]), (408, "TIMEOUT"), "answer to %r" % part)


# --- certificates ---

def serial(daemon, context):
    with raw.Connection(daemon.address, tls=context) as connection:
        return connection.socket.getpeercert()["serialNumber"]


@story.story
def a_new_certificate_serves_new_connections():
    with served() as daemon:
        old = trusting("server")
        first = serial(daemon, old)
        with raw.Connection(daemon.address, tls=old) as kept:
            same(kept.request("GET", "/v1/info").status, 200, "status")
            second = certificate("server")
            daemon.signal(1)
            daemon.await_event("certificate loaded", 2)
            same(serial(daemon, trusting("server")), second, "serial number after SIGHUP")
            is_true(first != second, "the same certificate")
            same(kept.request("GET", "/v1/info").status, 200, "status over the connection from before")
            for content in (b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"):
                with open("server.pem", "wb") as file:
                    file.write(content)
                seen = len(daemon.events("certificate not reloaded"))
                daemon.signal(1)
                daemon.await_event("certificate not reloaded", seen + 1)
            same(kept.request("GET", "/v1/info").status, 200, "status over the connection from before")
        os.rename("server.pem", "broken.pem")
        daemon.signal(1)
        daemon.await_event("certificate not reloaded", 3)
        with socket.create_connection(daemon.address) as connection:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(connection) as secured:
                is_true(secured.getpeercert(True), "no certificate")


def refused(words, **options):
    try:
        Daemon(options={"server." + name: value for name, value in options.items()})
    except Refused as refusal:
        is_true(all(word in refusal.log for word in words), "%s\nhas not all of %s", refusal.log, words)
        return refusal.code
    raise AssertionError("started with %s" % options)


@story.story
def what_cannot_work_refuses_the_start():
    certificate("one")
    certificate("other")
    same(refused(["server.tls_key", "both or none"], tls_cert="one.pem"), 2, "exit code")
    same(refused(["server.tls_key", "both or none"], tls_key="one.key"), 2, "exit code")
    same(refused(["absent.pem"], tls_cert="absent.pem", tls_key="one.key"), 1, "exit code")
    same(refused(["one.pem", "other.key"], tls_cert="one.pem", tls_key="other.key"), 1, "exit code")


story.run()
