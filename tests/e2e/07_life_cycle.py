"""Starting, refusing to start, reloading, draining and stopping."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time

from support import chain, raw, story
from support.daemon import Daemon, Refused, at_rest, databases, tool, until, whole_log
from support.story import is_true, same, say

DRAIN_SECONDS = 10  # the promise; a sanitizer's own work at exit comes on top
SLOWER = 1 if "san" not in os.path.basename(story.BUILD) else 6


def refusal(words, **how):
    """The start is refused, with one line on stderr that has all these words."""
    try:
        daemon = Daemon(**how)
    except Refused as error:
        is_true(error.code not in (0, 99), "exit code %d", error.code)
        for word in words:
            is_true(word in error.log, "%r is not in:\n%s", word, error.log)
        return error.log
    daemon.destroy()
    raise AssertionError("it started")


def one_action(client, log="one"):
    answer = client.post("/v1/logs/%s/sync" % log, chain.sync_body(
        [{"device": "d", "ts": 1, "type": "t", "payload": "p"}], 0, chain.genesis(log)))
    same(answer.status, 200, "sync: %s" % answer.body)


@story.story
def a_second_daemon_on_the_folder_is_refused():
    with Daemon() as daemon:
        refusal([daemon.dir], dir=daemon.dir)
        with daemon.client() as client:
            one_action(client)
    with Daemon(dir=daemon.dir):
        pass  # the lock went with the process


@story.story
def another_shard_count_is_refused_with_both_numbers():
    with Daemon(options={"store.shards": 2}) as daemon:
        pass
    log = refusal(["2", "8", "shard"], dir=daemon.dir, options={"store.shards": 8})
    is_true("--store.shards=2" in log, "it says what to do: %s", log)
    with Daemon(dir=daemon.dir, options={"store.shards": 2}) as daemon:
        same(len(databases(daemon.dir)) >= 2, True, "shard files")


@story.story
def a_folder_that_others_can_write_is_told():
    for mode, count in ((0o777, 1), (0o1777, 1), (0o702, 1), (0o700, 0), (0o775, 0)):
        os.mkdir("open")
        os.chmod("open", mode)
        with Daemon(dir=os.path.abspath("open")) as daemon:
            told = [line for line in daemon.lines if "others can write the data directory" in line]
            same((len(told), "level=warn" in "".join(told)), (count, count == 1), "warnings about mode %o: %r" % (mode, told))
        shutil.rmtree("open")


@story.story
def a_newer_schema_a_missing_and_a_foreign_file_are_refused():
    two = {"store.shards": 2}
    with Daemon(options=two) as daemon, daemon.client() as client:
        for n in range(16):
            one_action(client, "log-%d" % n)
    files = databases(daemon.dir)
    same(len(files), 2, "two shard files: %r" % files)

    def copy_with(change):
        copy = tempfile.mkdtemp(prefix="copy.")
        shutil.copytree(daemon.dir, copy, dirs_exist_ok=True)
        change(os.path.join(copy, os.path.relpath(files[1], daemon.dir)))
        return copy

    def refused(words, change):
        """One of the two shards: its logs are not served, and those of the other are."""
        daemon = Daemon(dir=copy_with(change), options=two)
        problem = daemon.events("shard refused")[0]["problem"]
        for word in words:
            is_true(word in problem, "%r is not in %s", word, problem)
        with daemon.client() as client:
            answers = [client.get("/v1/logs/log-%d/head" % n) for n in range(16)]
            for n, answer in enumerate(answers):
                same(answer.status, 503 if chain.genesis("log-%d" % n)[0] >= 128 else 200, "status of log-%d" % n)
        daemon.stop()

    def newer(path):
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    refused([os.path.basename(files[1]), "99"], newer)
    copy = copy_with(newer)
    newer(os.path.join(copy, os.path.basename(files[0])))
    refusal([os.path.basename(files[0]), "99", "newer"], dir=copy, options=two)
    refused([os.path.basename(files[1]), "accept-loss", "shard-01.db-wal"], os.remove)
    refused([os.path.basename(files[1]), "accept-loss"], lambda path: shutil.copy(files[0], path))

    with Daemon(options=two) as other:
        pass
    copy = copy_with(lambda path: shutil.copy(os.path.join(other.dir, "manifest"), os.path.dirname(path)))
    refusal(["another store", "put its own back"], dir=copy, options=two)

    def rubbish(path):
        with open(path, "wb") as file:
            file.write(b"this is no database at all " * 500)
    refused([os.path.basename(files[1]), "accept-loss"], rubbish)
    copy = copy_with(rubbish)
    rubbish(os.path.join(copy, os.path.basename(files[0])))
    refusal([os.path.basename(files[0])], dir=copy, options=two)
    with Daemon(dir=copy_with(lambda path: None), options=two) as daemon, daemon.client() as client:
        for n in range(16):
            same(len(whole_log(client, "log-%d" % n)[0]), 1, "log-%d" % n)


@story.story
def strange_options_are_refused_with_range():
    for flag, words in (("--store.shards=3", ["store.shards"]), ("--store.shards=0", ["store.shards"]),
                        ("--store.nothing=1", ["store.nothing"]), ("--limits.payload_bytes=x", ["limits.payload_bytes"]),
                        ("--server.listen=nonsense", ["server.listen"]), ("--auth.mode=oauth", ["auth.mode"]),
                        ("--server.threads=100000000", ["server.threads"]), ("--nothing", ["--nothing"])):
        refusal(words, flags=[flag])
    for flag, mode in (("auth.jwks_file", "jwt"), ("auth.jwks_url", "jwt"), ("auth.secret_file", "proxy")):
        refusal([flag, "auth.mode=" + mode], flags=["--%s=/nowhere" % flag])  # else everybody would be let in, in silence
    refusal(["107 bytes, and not 121", "/" + "x" * 120], flags=["--admin.listen=unix:/" + "x" * 120])
    refusal(["EDGEREPLAY_STORE_SHARDS"], env={"EDGEREPLAY_STORE_SHARDS": "five"})
    with open("strange.ini", "w", encoding="utf-8") as file:
        file.write("[store]\nqueue = 5\n\n[limits]\nnothing = 1\n")
    refusal(["strange.ini:5", "nothing"], flags=["--config=strange.ini"])


@story.story
def later_sources_win():
    with open("daemon.ini", "w", encoding="utf-8") as file:
        file.write("[limits]\npage_actions = 11\nbatch_actions = 12\npayload_bytes = 1000\n")
    env = {"EDGEREPLAY_LIMITS_BATCH_ACTIONS": "13", "EDGEREPLAY_LIMITS_PAYLOAD_BYTES": "2000"}
    with Daemon(options={"limits.payload_bytes": 3000}, env=env, flags=["--config=daemon.ini"]) as daemon:
        with daemon.client() as client:
            limits = json.dumps(client.get("/v1/info").json()["limits"])
            for number in ("11", "13", "3000"):
                is_true(re.search(r"\b%s\b" % number, limits), "%s in %s", number, limits)


def daemon_says(*flags, env=None):
    return subprocess.run([os.path.join(story.BUILD, "edgereplayd"), *flags], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, **(env or {})})


@story.story
def check_config_help_and_version_do_not_serve():
    good = daemon_says("--check-config", "--store.dir=nowhere/at/all", "--server.listen=127.0.0.1:0")
    same(good.returncode, 0, "exit code: %s" % good.stderr)
    same(os.path.exists("nowhere"), False, "nothing was made")
    bad = daemon_says("--check-config", "--store.shards=5")
    is_true(bad.returncode != 0 and "store.shards" in bad.stderr, "bad: %r", bad.stderr)
    bad = daemon_says("--check-config", "--server.listen=nonsense")
    is_true(bad.returncode != 0 and "nonsense" in bad.stderr, "bad address: %r", bad.stderr)
    with open("secret", "w", encoding="utf-8") as file:
        file.write("whsec_" + 32 * "A" + "\n")
    os.chmod("secret", 0o600)
    url, files = "--webhook.url=http://127.0.0.1:9/", "--server.tls_cert=absent --server.tls_key=absent".split()
    for flags in (files, [url, "--webhook.secret_file=absent"], ["--webhook.url=ftp://x", "--webhook.secret_file=secret"]):
        bad = daemon_says("--check-config", *flags)
        same((bad.returncode, "good" in bad.stdout), (2, False), "what would refuse the start: %r %r" % (flags, bad.stderr))
    same(daemon_says("--check-config", url, "--webhook.secret_file=secret").returncode, 0, "a webhook")
    text = daemon_says("--print-config").stdout
    with open(os.path.join(os.environ["EDGEREPLAY_ROOT"], "config", "edgereplay.ini"), encoding="utf-8") as file:
        same(text, file.read(), "the reference file")
    text = daemon_says("--help")
    same(text.returncode, 0, "exit code")
    for word in ("server.listen", "store.shards", "limits.payload_bytes", "clock.monotonic", "--check-config"):
        is_true(word in text.stdout, "%s in the help", word)
    same(daemon_says("--version").returncode, 0, "exit code")


@story.story
def only_loopback_without_authentication():
    refusal(["auth.allow_insecure"], listen="0.0.0.0:0")
    refusal(["auth.allow_insecure"], listen="[::]:0")
    with Daemon(listen="0.0.0.0:0", options={"auth.allow_insecure": "true"}):
        pass


class Load(threading.Thread):
    """Appends one action after the other to a log of its own until the server goes away; remembers what was acknowledged."""

    def __init__(self, address, log):
        super().__init__(daemon=True)
        self.client, self.log, self.links = raw.Client(address), log, [chain.genesis(log)]
        self.stranger = None
        self.start()

    def run(self):
        try:
            while True:
                seq = len(self.links) - 1
                batch = [{"device": "d", "ts": seq + 1, "type": "t", "payload": "x" * 100}]
                body = chain.sync_body(batch, seq, self.links[-1])
                answer = self.client.post("/v1/logs/%s/sync" % self.log, body)
                if answer.status != 200:
                    same(answer.json()["code"], "SHUTTING_DOWN", "code")
                    return
                self.links.append(bytes.fromhex(answer.json()["stateHash"]))
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.stranger = error


def stuck_clients(daemon, stack):
    """Half a header, half a body, and one who asks for much and reads nothing."""
    data = json.dumps(chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "z" * 1000}], 0,
                                      chain.genesis("stuck"))).encode()
    for beginning in (b"GET /v1/in", b"GET /v1/info HTTP/1.1\r\nHost: x\r\n",
                      raw.head("POST", "/v1/logs/stuck/sync", data) + data[:500]):
        stack.append(daemon.connection())
        stack[-1].send(beginning)
    with daemon.client() as client:
        link, seq = chain.genesis("big"), 0
        for part in range(12):
            batch = [{"device": "d", "ts": part * 60 + n + 1, "type": "t", "payload": "%d " % n * 4000} for n in range(60)]
            batch = [{**a, "payload": a["payload"][:15000]} for a in batch]
            answer = client.post("/v1/logs/big/sync", chain.sync_body(batch, seq, link)).json()
            seq, link = answer["seq"], bytes.fromhex(answer["stateHash"])
    stack.append(daemon.connection())
    stack[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stack[-1].send(raw.head("GET", "/v1/logs/big/actions", None, {"Accept": "application/x-ndjson"}))


@story.story
def sigterm_under_load_loses_nothing_though_clients_are_stuck():
    daemon, stuck = Daemon(), []
    stuck_clients(daemon, stuck)
    loads = [Load(daemon.address, "load-%d" % n) for n in range(8)]
    until(lambda: all(len(load.links) > 20 for load in loads), "some load")
    took = daemon.stop()
    for load in loads:
        load.join(120)
        is_true(load.stranger is None, "%r", load.stranger)
    for connection in stuck:
        connection.close()
    say("stopped in %.1f s under load with stuck clients", took)
    is_true(took <= DRAIN_SECONDS * SLOWER, "it took %.1f s", took)
    at_rest(daemon.dir)
    with Daemon(dir=daemon.dir) as daemon, daemon.client() as client:
        acknowledged = 0
        for load in loads:
            links = whole_log(client, load.log)[1]
            same(links[:len(load.links)], load.links, "what was acknowledged of " + load.log)
            is_true(len(links) <= len(load.links) + 1, "more than was sent")
            acknowledged += len(load.links) - 1
        say("%d acknowledged actions, all there", acknowledged)
    tool("verify", daemon.dir)


@story.story
def sigint_stops_as_well():
    daemon = Daemon()
    with daemon.client() as client:
        one_action(client)
    daemon.signal(signal.SIGINT)
    same(daemon.wait(), 0, "exit code")
    at_rest(daemon.dir)


@story.story
def sighup_reloads_what_it_can_and_says_what_not():
    with open("reload.ini", "w", encoding="utf-8") as file:
        file.write("[limits]\nbatch_actions = 5\n[store]\nqueue = 100\n")
    with Daemon(flags=["--config=reload.ini"]) as daemon, daemon.client() as client:
        def push(count):
            batch = [{"device": "d", "ts": n + 1, "type": "t", "payload": ""} for n in range(count)]
            return client.post("/v1/logs/reload/sync", chain.sync_body(batch, 0, chain.genesis("reload"))).status
        same((push(5), push(6)), (200, 413), "before")
        with open("reload.ini", "w", encoding="utf-8") as file:
            file.write("[limits]\nbatch_actions = 6\n[store]\nqueue = 200\n[log]\nlevel = debug\n")
        daemon.signal(signal.SIGHUP)
        until(lambda: "store.queue" in daemon.log(), "a line about store.queue")
        until(lambda: push(6) == 200, "the new limit")
        line = [line for line in daemon.lines if "store.queue" in line][0]
        is_true("restart" in line, "it says that a restart is needed: %s", line)
        with open("reload.ini", "w", encoding="utf-8") as file:
            file.write("[limits]\nbatch_actions = nonsense\n")
        daemon.signal(signal.SIGHUP)
        until(lambda: "nonsense" in daemon.log() or "reload.ini:2" in daemon.log(), "the problem in the log")
        same((push(6), push(7)), (200, 413), "a bad file changes nothing")


@story.story
def an_inherited_socket_is_served():
    listening = socket.create_server(("127.0.0.1", 0))
    script = 'exec 3<&%d; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"' % listening.fileno()
    with Daemon(listen=None, before=["/bin/bash", "-c", script], pass_fds=(listening.fileno(),)) as daemon:
        same(daemon.port, listening.getsockname()[1], "port")
        with daemon.client() as client:
            one_action(client)
    listening.close()


@story.story
def a_unix_socket_has_its_mode():
    path = os.path.join(tempfile.mkdtemp(prefix="s.", dir="/tmp"), "s")
    try:
        for mode in ("600", "666"):
            with Daemon(listen="unix:" + path, options={"server.socket_mode": "0" + mode}) as daemon:
                same(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o" + mode, "mode")
                with daemon.client() as client:
                    one_action(client)
        daemon = Daemon(listen="unix:" + path)
        daemon.kill()
        is_true(os.path.exists(path), "a socket file is left")
        with Daemon(listen="unix:" + path, dir=daemon.dir) as daemon:
            refusal([path], listen="unix:" + path)
            with daemon.client() as client:
                same(client.get("/v1/info").status, 200, "status")
    finally:
        shutil.rmtree(os.path.dirname(path))


@story.story
def systemd_is_told():
    path = os.path.join(tempfile.mkdtemp(prefix="n.", dir="/tmp"), "n")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(120)
    try:
        with Daemon(env={"NOTIFY_SOCKET": path}) as daemon:
            is_true(b"READY=1" in notify.recv(4096), "READY=1")
            daemon.stop()
            is_true(b"STOPPING=1" in notify.recv(4096), "STOPPING=1")
    finally:
        notify.close()
        shutil.rmtree(os.path.dirname(path))


@story.story
def it_runs_as_process_1():
    if subprocess.run(["unshare", "-pf", "true"], capture_output=True, check=False).returncode != 0:
        say("unshare -p is not permitted here: process 1 not tried")
        return
    daemon = Daemon(before=["unshare", "-pf", "--kill-child"])
    with daemon.client() as client:
        one_action(client)
    with open("/proc/%d/task/%d/children" % (daemon.process.pid, daemon.process.pid), encoding="ascii") as file:
        inside = int(file.read().split()[0])
    os.kill(inside, signal.SIGTERM)
    same(daemon.wait(), 0, "exit code")
    at_rest(daemon.dir)


@story.story
def draining_serves_open_connections_and_says_close():
    daemon = Daemon()
    connection = daemon.connection()
    data = json.dumps(chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "p"}], 0,
                                      chain.genesis("one"))).encode()
    same(connection.request("GET", "/v1/info").status, 200, "before")
    connection.send(raw.head("POST", "/v1/logs/one/sync", data) + data[:-1])
    time.sleep(0.2)  # lets the head arrive; the story holds also if it does not
    daemon.signal(signal.SIGTERM)
    until(lambda: refuses(daemon), "the listening socket to close")
    connection.send(data[-1:])
    answer = connection.response()
    same((answer.status, answer.json()["fastForward"], answer.header("connection")), (200, True, "close"), "answer")
    same(daemon.wait(), 0, "exit code")
    at_rest(daemon.dir)


def refuses(daemon):
    try:
        daemon.connection().close()
        return False
    except ConnectionError:
        return True


story.run()
