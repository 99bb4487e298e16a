"""Where keys come from: a file that changes, a URL that is fetched; rotation; and that what is bad never replaces what is good."""
import hashlib
import hmac
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time

from support import certificate, chain, raw, story, tokens
from support.daemon import Daemon, Refused, until
from support.events import Stream, Writer
from support.story import is_true, same
from support.tokens import bearer, claims, header, make

first, second, third = (tokens.Key("EdDSA", kid) for kid in ("first", "second", "third"))


def status(daemon, key, said=None, **head):
    with daemon.client() as client:
        return client.get("/v1/logs/anna/head", Authorization=bearer(make(key, said, head=header(key, **head)))[1]).status


def refused(**options):
    """The log of a start that must fail."""
    try:
        Daemon(options={"auth.mode": "jwt", **options}).destroy()
    except Refused as error:
        same(error.code, 1, "exit code")
        return error.log
    raise AssertionError("it started with %r" % options)


def write(name, text, mode=0o644):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(name, mode)
    return os.path.abspath(name)


# --- a file ---

@story.story
def a_bad_file_refuses_the_start_with_a_sentence():
    rsa = tokens.Key("RS256", "short", 1024)
    private = {**first.jwk(), "d": tokens.b64(bytes(32))}
    for name, text, words in (
            ("empty", "", "no JSON"), ("no JSON", "{", "no JSON"), ("a list", "[]", "no JSON Web Key Set"), ("no keys", '{"keys":[]}', "it has none"),
            ("keys no array", '{"keys":{}}', "no JSON Web Key Set"), ("keys twice", '{"keys":[],"keys":[]}', "no JSON"),
            ("a private key", json.dumps({"keys": [private]}), "private key"), ("RSA too short", json.dumps({"keys": [rsa.jwk()]}), "2048"),
            ("for encryption", json.dumps({"keys": [first.jwk(use="enc")]}), "use is not sig"),
            ("of another alg", json.dumps({"keys": [first.jwk(alg="ES256")]}), "alg is none for its kind"),
            ("no point of the curve", json.dumps({"keys": [tokens.Key("ES256", "x").jwk(x="AAAA")]}), "no key"),
            ("a key without its numbers", json.dumps({"keys": [first.jwk(x=None)]}), "no key"),
            ("a number too short", json.dumps({"keys": [first.jwk(x="AAAA")]}), "no key"),
            ("two keys alike", json.dumps({"keys": [first.jwk(), second.jwk(kid="first")]}), "same kid"),
            ("too large", "x" * (300 << 10), "more than")):
        log = refused(**{"auth.jwks_file": write("set.json", text)})
        is_true("auth.jwks_file" in log and words in log, "%s: %s", name, log)
    is_true("cannot be opened" in refused(**{"auth.jwks_file": "/nowhere/set.json"}), "a file that is not there")
    is_true("is no file" in refused(**{"auth.jwks_file": "/"}), "a folder")
    os.mkfifo("pipe")
    is_true("is no file" in refused(**{"auth.jwks_file": os.path.abspath("pipe")}), "a pipe")


@story.story
def bad_options_refuse_the_start_with_a_sentence():
    path = tokens.write_jwks("set.json", first)
    for options, words in (
            ({}, "auth.jwks_file or auth.jwks_url"), ({"auth.jwks_file": path, "auth.jwks_url": "https://a.example/"}, "one of them"),
            ({"auth.jwks_file": path, "auth.algorithms": "EdDSA,none"}, "none"), ({"auth.jwks_file": path, "auth.algorithms": ","}, "auth.algorithms"),
            ({"auth.jwks_file": path, "auth.own_log": "team-x"}, "auth.own_log"), ({"auth.jwks_file": path, "auth.own_log": "{sub}{sub}"}, "auth.own_log"),
            ({"auth.jwks_file": path, "auth.own_log": "a b{sub}"}, "auth.own_log"), ({"auth.jwks_url": "http://keys.example/set"}, "https://"),
            ({"auth.jwks_url": "file:///etc/passwd"}, "https://"), ({"auth.jwks_url": "https:"}, "https://"),
            ({"auth.jwks_url": "http://127.0.0.1.keys.example/"}, "https://"), ({"auth.jwks_url": "http://127.0.0.1@keys.example/"}, "https://")):
        log = refused(**options)
        is_true(words in log, "%r: %s", options, log)


@story.story
def check_config_looks_at_the_keys():
    for keys, code in ((first, 0), (first.jwk(use="enc"), 2)):
        path = tokens.write_jwks("set.json", keys)
        command = [os.path.join(story.BUILD, "edgereplayd"), "--check-config", "--auth.mode=jwt", "--auth.jwks_file=" + path]
        same(subprocess.run(command, capture_output=True, check=False).returncode, code, "exit code")


@story.story
def a_changed_file_is_taken_over_by_itself():
    path = tokens.write_jwks("set.json", first)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "rate.failures": 0}) as daemon:
        token = bearer(make(first))[1]
        with daemon.client() as client:
            same(client.get("/v1/logs/anna/head", Authorization=token).status, 200, "status before")
            same(status(daemon, second), 401, "status of the new key before")
            tokens.write_jwks("set.json", first, second)
            until(lambda: status(daemon, second) == 200, "the new key")
            same(client.get("/v1/logs/anna/head", Authorization=token).status, 200, "status of the old key beside it")
            tokens.write_jwks("set.json", second)
            until(lambda: status(daemon, first) == 401, "the end of the old key")
            same(client.get("/v1/logs/anna/head", Authorization=token).status, 401, "status of a cached token of the old key")


@story.story
def sighup_reads_the_file_again_and_a_bad_one_changes_nothing():
    path = tokens.write_jwks("set.json", first)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "rate.failures": 0}) as daemon:
        for text in ("", "{", '{"keys":[]}', json.dumps({"keys": [second.jwk(use="enc")]})):
            before = len(daemon.events("keys not taken over, the old ones stay"))
            write("set.json", text)
            daemon.signal(signal.SIGHUP)
            daemon.await_event("keys not taken over, the old ones stay", before + 1)
            same(status(daemon, first), 200, "status after a bad file")
        os.unlink("set.json")
        daemon.signal(signal.SIGHUP)
        same(status(daemon, first), 200, "status without a file")
        tokens.write_jwks("set.json", second)
        daemon.signal(signal.SIGHUP)
        until(lambda: status(daemon, second) == 200, "the new key")
        same(status(daemon, first), 401, "status of the old key")


@story.story
def a_token_without_kid_needs_exactly_one_key_that_fits():
    path = tokens.write_jwks("set.json", first, tokens.Key("ES256", "es"))
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "rate.failures": 0}) as daemon:
        same(status(daemon, first, kid=None), 200, "status with one that fits")
        tokens.write_jwks("set.json", first, second)
        until(lambda: status(daemon, second) == 200, "the second key")
        for key in (first, second):
            same(status(daemon, key, kid=None), 401, "status with two that fit")
        tokens.write_jwks("set.json", first.jwk(kid=None), third)
        until(lambda: status(daemon, third) == 200, "the third key")
        same(status(daemon, first), 401, "status of a kid that no key has")


@story.story
def an_oct_key_beside_public_ones_is_no_way_around():
    """HS256 allowed, and a set that mixes: each algorithm takes only its own kind, whatever the kid says."""
    shared, public = tokens.Key("HS256", "same"), tokens.Key("ES256", "same")
    path = tokens.write_jwks("set.json", shared, public)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "auth.algorithms": "HS256,ES256"}) as daemon, daemon.client() as client:
        same((status(daemon, shared), status(daemon, public)), (200, 200), "statuses of the honest")
        forged = make(public, head=header(public, alg="HS256"), sign=lambda data: hmac.new(public.pem(), data, hashlib.sha256).digest())
        same(client.get("/v1/logs/anna/head", Authorization=bearer(forged)[1]).status, 401, "status of HS256 by the public key")
        same(status(daemon, shared, alg="ES256"), 401, "status of ES256 by the secret")


@story.story
def a_file_that_others_can_write_is_refused():
    for mode in (0o666, 0o620, 0o602, 0o664):
        log = refused(**{"auth.jwks_file": tokens.write_jwks("set.json", first, mode=mode)})
        is_true("auth.jwks_file" in log and "chmod go-w" in log, "mode %o: %s", mode, log)
    path = tokens.write_jwks("set.json", first, mode=0o644)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path}) as daemon:
        tokens.write_jwks("set.json", first, second, mode=0o666)
        daemon.await_event("keys not taken over, the old ones stay")
        same((status(daemon, first), status(daemon, second)), (200, 401), "statuses by keys that anybody may have put there")
        os.chmod("set.json", 0o644)
        until(lambda: status(daemon, second) == 200, "the second key")


@story.story
def an_event_stream_ends_with_its_key():
    path = tokens.write_jwks("set.json", first, second, third)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path}) as daemon, daemon.client() as client:
        def stream(key):
            return Stream(daemon.address, "anna", Authorization=bearer(make(key))[1])

        def append(count):
            action = {"device": "d", "ts": count, "type": "t", "payload": "p"}
            answer = client.post("/v1/logs/anna/sync", chain.sync_body([action], writer.seq, writer.link), Authorization=bearer(make(first))[1])
            same(answer.status, 200, "status of a sync")
            writer.seq, writer.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])
        writer = Writer(client, "anna")
        with stream(first) as stays, stream(second) as ends, stream(third) as waits:
            for one in (stays, ends, waits):
                same(one.head()[0], 0, "head")
            append(1)
            for one in (stays, ends, waits):
                same(one.head()[0], 1, "head")
            # The keys that stay are written differently, and are the same.
            tokens.write_jwks("set.json", {**first.jwk(), "x5t": "ignored"})
            until(lambda: status(daemon, second) == 401, "the end of the second key")
            append(2)
            same(stays.head()[0], 2, "head by a key that is still there")
            for one in (ends, waits):
                event = one.next()
                while event.kind == "comment":
                    event = one.next()
                same((event.kind, one.next()), ("reconnect", None), "the last event by a key that is gone")


# --- a URL ---

class Issuer:
    """An HTTP server of keys, which can be made to fail; with TLS as localhost if there is a certificate."""

    def __init__(self, *keys, own=None):
        self.keys, self.answer, self.asked, self.hold = keys, 200, 0, None
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                if issuer.hold:
                    issuer.hold.wait(30)
                body = issuer.body()
                self.send_response(issuer.answer)
                self.send_header("Location", "http://127.0.0.1:%d/elsewhere" % issuer.port)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = "%s:%d/set" % ("https://localhost" if own else "http://127.0.0.1", self.port)
        if own:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(own + ".pem", own + ".key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def body(self):
        if isinstance(self.keys, bytes):
            return self.keys
        return json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.hold:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()


def following(issuer, **options):
    return Daemon(options={"auth.mode": "jwt", "rate.failures": 0, "auth.jwks_url": issuer.url, "auth.jwks_min_interval_sec": 1,
                           "admin.listen": "unix:admin.sock", **{"auth." + name: value for name, value in options.items()}})


@story.story
def keys_are_fetched_and_followed():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=1) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        issuer.keys = (first, second)
        until(lambda: status(daemon, second) == 200, "the second key")
        issuer.keys = (second,)
        until(lambda: status(daemon, first) == 401, "the end of the first key")
        same(status(daemon, second), 200, "status of the second")


def ages(daemon):
    """How old the keys are, and how often they are fetched, by the metrics."""
    with daemon.operator() as operator:
        text = operator.get("/metrics").body.decode()
    return [float(re.search(r"^edgereplay_keys_%s_seconds ([0-9.]+)$" % name, text, re.MULTILINE).group(1)) for name in ("age", "refresh")]


@story.story
def how_old_the_keys_are_is_told():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=2) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        same(ages(daemon)[1], 2, "how often")
        issuer.answer = 500
        until(lambda: ages(daemon)[0] > 6, "their age")
        issuer.answer = 200
        until(lambda: ages(daemon)[0] < 2, "fresh ones")


@story.story
def until_the_first_fetch_it_is_503_and_no_phone_stops():
    with Issuer(first) as issuer:
        issuer.answer = 500
        with following(issuer) as daemon, daemon.client() as client:
            answer = client.get("/v1/logs/anna/head", Authorization=bearer(make(first))[1])
            same((answer.status, answer.json()["code"], answer.json()["retry"]), (503, "STORAGE_UNAVAILABLE", "after"), "answer")
            is_true(int(answer.header("retry-after")) >= 1, "Retry-After")
            same(client.get("/v1/logs/anna/head").status, 401, "status without a token")
            same(client.get("/v1/logs/anna/head", Authorization="Bearer x.y.z").status, 401, "status of what is no token")
            same(client.get("/v1/info").status, 200, "status of /v1/info")
            issuer.answer = 200
            until(lambda: status(daemon, first) == 200, "the keys")


@story.story
def an_unknown_kid_asks_the_url_but_seldom():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=3600, jwks_min_interval_sec=3600) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        same(issuer.asked, 1, "fetches")
        for _ in range(50):
            same(status(daemon, third), 401, "status of an unknown kid")
        same(issuer.asked, 1, "fetches after 50 unknown kids within the interval")
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=3600) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        issuer.keys = (first, second)
        until(lambda: status(daemon, second) == 200, "a new key, long before the next refresh")
        is_true(issuer.asked == 2, "%d fetches", issuer.asked)


@story.story
def while_it_asks_an_unknown_kid_is_told_to_come_again():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=3600) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        issuer.keys, issuer.hold = (first, second), threading.Event()
        until(lambda: status(daemon, second) == 503, "503 while it is fetched")
        same(status(daemon, first), 200, "status of a known key meanwhile")
        issuer.hold.set()
        until(lambda: status(daemon, second) == 200, "the new key")


@story.story
def while_it_asks_who_makes_up_kids_is_limited():
    options = {"auth.mode": "jwt", "auth.jwks_min_interval_sec": 1, "auth.jwks_refresh_sec": 3600, "auth.trusted": "127.0.0.1",
               "rate.failures": 1, "rate.failures_burst": 20}
    with Issuer(first) as issuer, Daemon(options={**options, "auth.jwks_url": issuer.url}) as daemon, daemon.client() as client:
        def ask(token, address):
            return client.get("/v1/logs/anna/head", Authorization=bearer(token)[1], X_Forwarded_For=address).status
        until(lambda: ask(make(first), "203.0.113.1") == 200, "the first key")
        issuer.keys, issuer.hold = (first, second), threading.Event()
        until(lambda: ask(make(second), "203.0.113.2") == 503, "503 while it is fetched")
        statuses = [ask(make(third, head=header(third, kid="made up %d" % n)), "203.0.113.3") for n in range(60)]
        is_true(statuses[0] == 503 and statuses.count(429) >= 10, "statuses of kids that are made up: %r", statuses)
        same(ask(make(second), "203.0.113.4"), 503, "status of another address")
        same(ask(make(first), "203.0.113.3"), 200, "status of a good token of the same address")
        issuer.hold.set()
        until(lambda: ask(make(second), "203.0.113.3") == 200, "the new key at the address of who guesses")


@story.story
def what_is_fetched_badly_changes_nothing():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=1) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        event = "keys not fetched, the old ones stay"
        secret = tokens.Key("HS256", "hs")
        for answer, body in ((500, issuer.keys), (302, issuer.keys), (200, b"{"), (200, b'{"keys":[]}'), (200, b"x" * (300 << 10)), (200, (secret,))):
            issuer.answer, issuer.keys = answer, body
            asked, said = issuer.asked, len(daemon.events(event))
            until(lambda: issuer.asked > asked and len(daemon.events(event)) > said, "a fetch that fails with %d" % answer)
            same(status(daemon, first), 200, "status of a known key")
            until(lambda: status(daemon, second) == 401, "the end of asking for an unknown one")
        issuer.server.shutdown()
        same(status(daemon, first), 200, "status while nobody answers")


@story.story
def a_server_of_keys_is_known_by_its_certificate():
    for name in ("own", "other"):
        certificate.make(name + ".pem", name + ".key")
    with Issuer(first, own="own") as issuer:
        for ca_file in ("", "other.pem"):
            with following(issuer, jwks_ca_file=ca_file and os.path.abspath(ca_file)) as daemon:
                daemon.await_event("keys not fetched, the old ones stay", 1)
                same((status(daemon, first), issuer.asked), (503, 0), "status, and requests of one who was not believed")
        with following(issuer, jwks_ca_file=os.path.abspath("own.pem")) as daemon:
            until(lambda: status(daemon, first) == 200, "the keys")
        issuer.url = issuer.url.replace("localhost", "127.0.0.1")
        with following(issuer, jwks_ca_file=os.path.abspath("own.pem")) as daemon:
            daemon.await_event("keys not fetched, the old ones stay", 1)
            same(status(daemon, first), 503, "status by a name that is not in the certificate")
    log = refused(**{"auth.jwks_url": "https://localhost/set", "auth.jwks_ca_file": "/nowhere/ca.pem"})
    is_true("auth.jwks_ca_file /nowhere/ca.pem cannot be read" in log, "the log of a start without the file: %s", log)


@story.story
def sighup_fetches_at_once():
    with Issuer(first) as issuer, following(issuer, jwks_refresh_sec=3600, jwks_min_interval_sec=3600) as daemon:
        until(lambda: status(daemon, first) == 200, "the first key")
        issuer.keys = (second,)
        daemon.signal(signal.SIGHUP)
        until(lambda: status(daemon, second) == 200, "the second key")
        until(lambda: status(daemon, first) == 401, "the end of the first, as soon as the fetch is over")


@story.story
def a_stop_does_not_wait_for_a_fetch():
    with Issuer(first) as issuer:
        issuer.hold = threading.Event()
        daemon = following(issuer)
        until(lambda: issuer.asked == 1, "the fetch")
        is_true(daemon.stop() < 9, "the stop waited for the fetch's own limit")


@story.story
def a_held_request_ends_as_it_began_though_its_token_expires():
    path = tokens.write_jwks("set.json", first)
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "auth.leeway_sec": 0}) as daemon, daemon.connection() as connection:
        token = make(first, claims(exp=int(time.time()) + 2))
        connection.send(raw.head("GET", "/v1/logs/anna/actions?wait=4", headers=[bearer(token)]))
        same(connection.response().status, 200, "status of the held request")
        same(connection.request("GET", "/v1/logs/anna/head", headers=[bearer(token)]).status, 401, "status of the next one")


story.run()
