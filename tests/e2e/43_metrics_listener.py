"""The listener for Prometheus alone (admin.metrics_listen): it shows, and changes nothing; the operator's socket works beside it."""
import os
import signal
import socket
import subprocess
import threading

from support import chain, raw, story
from support.daemon import Daemon, Refused, address_of, tool, until
from support.story import is_true, same

METRICS = {"admin.metrics_listen": "127.0.0.1:0"}
BOTH = {"admin.listen": "unix:admin.sock", **METRICS}
SHOWN = ("/livez", "/readyz", "/metrics")
CHANGES = (("POST", "/erase", b'{"log":"notes"}'), ("POST", "/redact", b'{"log":"notes","seqs":[1]}'), ("POST", "/prune", b'{"log":"notes"}'),
           ("POST", "/reopen", b'{"log":"notes"}'), ("POST", "/overwrite", b'{"shard":0}'), ("PUT", "/log-level", b"debug"),
           ("POST", "/backup?shard=0", b'{"to":"/nowhere/x","rate":0}'), ("DELETE", "/backup?shard=0", b""))
JSON = {"Content-Type": "application/json"}


def metrics_address(daemon):
    daemon.await_event("metrics listening")
    return daemon.events("metrics listening")[-1]["address"]


def prometheus(daemon):
    client = raw.Client(address_of(metrics_address(daemon)))
    client.headers = {"Host": "localhost"}
    return client


def write(daemon):
    with daemon.client() as client:
        body = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "p"}], 0, chain.genesis("notes"))
        same(client.post("/v1/logs/notes/sync", body).status, 200, "sync")


def head(daemon):
    with daemon.client() as client:
        return client.get("/v1/logs/notes/head").json()["seq"]


@story.story
def it_shows_three_things_and_the_socket_is_there_beside_it():
    with Daemon(options=BOTH) as daemon, prometheus(daemon) as client, daemon.operator() as operator:
        write(daemon)
        same((client.get("/livez").body, client.get("/readyz").json()["ready"]), (b"alive\n", True), "alive and ready")
        is_true(b"\nedgereplay_ready 1\n" in client.get("/metrics").body and client.get("/metrics").body.endswith(b"# EOF\n"), "its figures")
        for path in SHOWN:
            same(client.request("HEAD", path).status, 200, "HEAD " + path)
            for method in ("POST", "PUT", "DELETE"):
                answer = client.request(method, path, b"x")
                same((answer.status, answer.header("allow")), (405, "GET, HEAD"), method + " " + path)
        same(tool("health", "--url=http://" + metrics_address(daemon)).out, operator.get("/readyz").body.decode(), "what health says of it")
        tool("backup", daemon.dir, "--to=copy")
        same(operator.request("POST", "/erase", b'{"log":"notes"}', JSON).status, 200, "an erasure by the socket")
        is_true("127.0.0.1" in metrics_address(daemon) and daemon.events("admin listening")[0]["address"].startswith("unix:"), "two addresses")


@story.story
def nothing_is_changed_by_it_whatever_is_allowed():
    for allowed in ("false", "true"):
        with Daemon(options={**BOTH, "admin.allow_changes": allowed}) as daemon, prometheus(daemon) as client, daemon.operator() as operator:
            write(daemon)
            for method, path, body in CHANGES:
                answer = client.request(method, path, body, JSON)
                same((answer.status, answer.json()["code"]), (404, "NOT_FOUND"), method + " " + path)
            for path in ("/log-level", "/backup?shard=0", "/snapshots", "/v1/info", "/v1/logs/notes/head", "/", "/erase"):
                same(client.get(path).status, 404, "GET " + path)
            same((head(daemon), operator.get("/log-level").body), (1, b"info\n"), "as before")


@story.story
def no_other_form_of_a_path_leads_further():
    forms = ("/metrics/../erase", "/livez/../erase", "//erase", "/./erase", "/%65rase", "/erase/", "/erase%00", "/metrics;/erase", "/metrics/erase",
             "http://localhost/erase", "http://localhost:1/erase", "*", "/ERASE")
    body = b'{"log":"notes"}'
    with Daemon(options=BOTH) as daemon, daemon.operator() as operator:
        write(daemon)
        for form in forms:
            with raw.Connection(address_of(metrics_address(daemon))) as connection:
                connection.send(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                                b"X-HTTP-Method-Override: POST\r\n\r\n%s" % (form.encode(), len(body), body))
                is_true(connection.response().status in (400, 404, 405), "POST %s", form)
        with raw.Connection(address_of(metrics_address(daemon))) as connection:
            connection.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
                            b"POST /erase HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            same([connection.response().status, connection.response().status], [200, 404], "a second request behind a scrape")
        same((head(daemon), operator.get("/livez").status), (1, 200), "as before")


@story.story
def web_pages_and_strange_names_are_refused_as_on_the_operators_side():
    with Daemon(options={**METRICS, "admin.hosts": "metrics.example, Edgereplay"}) as daemon, prometheus(daemon) as client:
        for host in ("evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""):
            same(client.get("/metrics", Host=host).status, 403, "GET of " + host)
        for host in ("localhost", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7", "edgereplay:9464", "metrics.example"):
            same(client.get("/metrics", Host=host).status, 200, "GET of " + host)
        for origin in ("http://evil.example", "http://localhost:9464", "null"):
            same(client.get("/metrics", Origin=origin).status, 403, "GET from " + origin)
        for method, path, body in CHANGES:
            same(client.request(method, path, body, {**JSON, "Origin": "http://evil.example"}).status, 403, path)
        same(daemon.events("admin listening"), [], "the operator's side, which is switched off")


@story.story
def a_bad_address_is_named_before_anything_starts():
    for bad in ("nonsense", "unix:", "127.0.0.1:99999", "unix:/" + "x" * 4000):
        try:
            Daemon(options={"admin.metrics_listen": bad})
            raise AssertionError("%s was not refused" % bad)
        except Refused as error:
            is_true("admin.metrics_listen" in error.log, "it says which option: %s", error.log)
        done = subprocess.run([os.path.join(story.BUILD, "edgereplayd"), "--check-config", "--store.dir=d", "--admin.metrics_listen=" + bad],
                              capture_output=True, text=True, check=False)
        same((done.returncode, "admin.metrics_listen" in done.stderr), (2, True), "--check-config: " + done.stderr)
    for taken in ("unix:admin.sock", None):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            try:
                Daemon(options={**BOTH, "admin.metrics_listen": taken or "127.0.0.1:%d" % other.getsockname()[1]})
                raise AssertionError("an address that is taken was not refused")
            except Refused as error:
                is_true("(admin.metrics_listen)" in error.log, "it says which option: %s", error.log)
                same(error.code, 1, "exit code")


@story.story
def what_other_machines_reach_is_allowed_for_figures_and_not_for_the_operator():
    with Daemon(options={**BOTH, "admin.metrics_listen": "0.0.0.0:0"}) as daemon:
        with raw.Client(("127.0.0.1", address_of(metrics_address(daemon))[1])) as client:
            same(client.get("/metrics", Host="10.0.0.7:9464").status, 200, "a scrape")
        same([line["option"] for line in daemon.events("other machines reach it")], ["admin.metrics_listen"], "what the log says of it")
    with Daemon(options={**METRICS, "admin.listen": "0.0.0.0:0", "admin.allow_remote": "true"}) as daemon:
        same([line["option"] for line in daemon.events("other machines reach it")], ["admin.listen"], "what the log says of it")
    try:
        Daemon(options={"admin.listen": "0.0.0.0:0", **METRICS})
        raise AssertionError("it was not refused")
    except Refused as error:
        is_true("admin.allow_remote" in error.log, "it says what to do: %s", error.log)


@story.story
def a_socket_of_its_own_is_in_the_data_directory():
    with Daemon(options={**BOTH, "admin.metrics_listen": "unix:metrics.sock"}) as daemon, prometheus(daemon) as client:
        path = os.path.join(daemon.dir, "metrics.sock")
        same((client.get("/metrics").status, client.request("POST", "/erase", b'{"log":"notes"}', JSON).status), (200, 404), "by a socket")
        is_true(os.path.exists(path), "where a relative path leads")
    is_true(not os.path.exists(path), "the socket is gone with the daemon")


@story.story
def it_answers_until_all_is_at_rest():
    with Daemon(options=BOTH) as daemon, prometheus(daemon) as client:
        slow = daemon.connection()
        slow.send(b"POST /v1/logs/a/sync HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        with daemon.client() as phone:
            phone.get("/v1/info")
        daemon.signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status == 503, "not ready")
        same([reason["code"] for reason in client.get("/readyz").json()["reasons"]], ["DRAINING"], "why")
        is_true(b"\nedgereplay_ready 0\n" in client.get("/metrics").body, "the figures say so, too")
        slow.close()
        same(daemon.wait(), 0, "exit code")


@story.story
def another_address_needs_a_restart():
    with open("edgereplay.ini", "w", encoding="ascii") as file:
        file.write("[admin]\nmetrics_listen = 127.0.0.1:0\n")
    with Daemon(flags=["--config=" + os.path.realpath("edgereplay.ini")]) as daemon, prometheus(daemon) as client:
        with open("edgereplay.ini", "w", encoding="ascii") as file:
            file.write("[admin]\nmetrics_listen =\n")
        daemon.signal(signal.SIGHUP)
        daemon.await_event("option needs a restart")
        same(daemon.events("option needs a restart")[0]["option"], "admin.metrics_listen", "which")
        same(client.get("/metrics").status, 200, "a scrape after it")


@story.story
def both_sides_are_asked_at_once():
    """Two threads of the daemon look at the same figures while they change."""
    options = {**BOTH, "store.shards": 2}
    with Daemon(options=options) as daemon:
        statuses = []

        def ask(clients):
            with clients() as client:
                statuses.extend(client.get(path).status for _ in range(50) for path in SHOWN)
        threads = [threading.Thread(target=ask, args=(clients,)) for clients in (daemon.operator, lambda: prometheus(daemon))]
        for thread in threads:
            thread.start()
        with daemon.client() as client:
            for log in range(100):
                body = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "p"}], 0, chain.genesis("log-%d" % log))
                same(client.post("/v1/logs/log-%d/sync" % log, body).status, 200, "sync")
        for thread in threads:
            thread.join()
        same((len(statuses), set(statuses)), (2 * 50 * len(SHOWN), {200}), "answers")


@story.story
def its_places_are_its_own():
    """Who holds all of one listener's connections takes none of the other's."""
    with Daemon(options={**BOTH, "admin.connections": 4}) as daemon:
        held = [socket.create_connection(address_of(metrics_address(daemon))) for _ in range(10)]
        same(tool("health", "--url=unix:" + os.path.realpath(os.path.join(daemon.dir, "admin.sock")), "--live").out, "alive\n", "the operator")
        for one in held:
            one.close()

        def answered():
            try:
                with prometheus(daemon) as client:
                    return client.get("/livez").status == 200
            except OSError:
                return False  # its places are not free yet
        until(answered, "Prometheus, once there is room")


if __name__ == "__main__":
    story.run()
