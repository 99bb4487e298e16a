"""backup and restore: what was acknowledged is in it, whole or not at all, and never taken for another thing."""
import glob
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

from support import chain, story
from support.certificate import make
from support.daemon import Daemon, Refused, tool, until, whole_log
from support.story import is_true, same, say

ADMIN = {"admin.listen": "unix:admin.sock"}
SLOW = "--rate=64KiB"


class Pushing(threading.Thread):
    """Appends to a log of its own until it is told to stop; how much was acknowledged is known at any moment."""

    def __init__(self, daemon, log, size=300, batch=20):
        super().__init__(daemon=True)
        self.client, self.log, self.size, self.batch = daemon.client(), log, size, batch
        self.links, self.acknowledged, self.stopping, self.error = [chain.genesis(log)], 0, False, None

    def push(self):
        seq = self.acknowledged
        actions = [{"device": "d", "ts": seq + n + 1, "type": "t", "payload": "p" * self.size} for n in range(self.batch)]
        answer = self.client.post("/v1/logs/%s/sync" % self.log, chain.sync_body(actions, seq, self.links[-1]))
        same(answer.status, 200, "%s: status" % answer.body[:300])
        self.links += chain.extend(self.links[-1], actions)
        self.acknowledged = seq + self.batch

    def run(self):
        try:
            while not self.stopping:
                self.push()
                time.sleep(0.002)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        self.stopping = True
        self.join(120)
        self.client.close()
        if self.error:
            raise self.error


def fill(daemon, log="filled", batches=60):
    """About a MiB."""
    pushing = Pushing(daemon, log, size=900)
    for _ in range(batches):
        pushing.push()
    pushing.client.close()
    return pushing


def start_tool(*arguments):
    running = subprocess.Popen([story.TOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    story.cleanups[running.kill] = True
    return running


def end_tool(running, expect):
    out, error = running.communicate(timeout=120)
    story.cleanups.pop(running.kill, None)
    same(running.returncode, expect, "%s\nexit code" % error.decode())
    return out.decode(), error.decode()


def partial(path):
    return glob.glob(path + ".partial-*")


def until_it_does_not_run(daemon):
    with daemon.operator() as operator:
        until(lambda: operator.get("/backup?shard=0").json()["state"] != "running", "the end of it")


def head_of(daemon, log):
    with daemon.client() as client:
        return client.get("/v1/logs/%s/head" % log).json()


def made(batches=3, **options):
    """A stopped daemon's directory with a log, and its head."""
    daemon = Daemon(options={**ADMIN, **options})
    links = fill(daemon, batches=batches).links
    daemon.stop()
    return daemon, links


@story.story
def it_ends_also_while_the_file_grows_as_fast_as_it_can():
    with Daemon(options={**ADMIN, "store.shards": 1}) as daemon:
        load = subprocess.Popen([os.path.join(story.BUILD, "edgereplay-load"), "--url=" + daemon.url, "--connections=32",
                                 "--users=100", "--fresh", "--actions=100", "--warmup=0", "--requests=100000", "--honour-retry-after"],
                                stdout=subprocess.DEVNULL)
        story.cleanups[load.kill] = True
        path = os.path.join(daemon.dir, "shard-00.db")
        until(lambda: os.path.getsize(path) > 16 << 20, "it to grow")
        before = os.path.getsize(path)
        tool("backup", daemon.dir, "--to=beside", "--rate=0", "-q")
        same(load.poll(), None, "what the load has ended with")
        is_true(os.path.getsize(path) > before, "the file grew meanwhile")
        load.kill()
        load.wait()
    tool("verify", "beside")


@story.story
def a_running_daemon_s_backup_has_what_was_acknowledged_before_it_began():
    with Daemon(options={**ADMIN, "store.shards": 2}) as daemon:
        fill(daemon)
        pushing = [Pushing(daemon, "log-%d" % n) for n in range(4)]
        for one in pushing:
            one.start()
        until(lambda: all(one.acknowledged > 200 for one in pushing), "some to be acknowledged")
        for n in range(3):
            before, began = {one.log: one.acknowledged for one in pushing}, time.time()
            said = json.loads(tool("backup", daemon.dir, "--to=backup-%d" % n, "--json").out)
            same((said["live"], said["shards"], said["findings"]), (True, 2, 0), "said")
            tool("restore", "backup-%d" % n, "restored-%d" % n)
            tool("verify", "restored-%d" % n)
            with Daemon(dir=os.path.realpath("restored-%d" % n), options={"store.shards": 2}) as restored:
                for one in pushing:
                    head = head_of(restored, one.log)
                    is_true(head["seq"] >= before[one.log], "%s: %d of %d", one.log, head["seq"], before[one.log])
                    same(head["stateHash"], one.links[head["seq"]].hex(), "its link")
                same(head_of(restored, "filled")["seq"], 1200, "what was there")
        for one in pushing:
            one.end()
        say("3 backups while %d actions came", sum(one.acknowledged for one in pushing))
        with daemon.operator() as operator:
            metrics = operator.get("/metrics").body.decode()
        times = [float(found) for found in re.findall(r"^edgereplay_backup_last_success_timestamp_seconds\{shard=.[01].\} ([0-9.]+)$", metrics, re.MULTILINE)]
        is_true(len(times) == 2 and all(began <= found <= time.time() for found in times), "when the last ended: %s", times)
    same(partial("backup-*"), [], "what is half done")


@story.story
def a_restored_directory_starts_as_it_is_and_goes_on():
    daemon, links = made()
    tool("backup", daemon.dir, "--to=b")
    shutil.rmtree(daemon.dir)
    tool("restore", "b", daemon.dir)
    with Daemon(dir=daemon.dir) as again, again.client() as client:
        same(whole_log(client, "filled")[1], links, "the log")
        same(again.events("shard refused") + again.events("journal record kept"), [], "what it complains of")
        fill(again, "another")


@story.story
def what_only_a_killed_daemon_s_journal_has_is_in_it():
    daemon = Daemon(options={**ADMIN, "store.tail_bytes": "64MiB"})
    links = fill(daemon, batches=5).links
    daemon.kill()
    before = {name: open(name, "rb").read() for name in glob.glob(daemon.dir + "/*") if os.path.isfile(name)}
    said = json.loads(tool("backup", daemon.dir, "--to=b", "--json").out)
    same((said["live"], said["actions"]), (False, 100), "said")
    for name, content in before.items():
        if not name.endswith(("-shm", ".sock", "lock")):
            is_true(open(name, "rb").read() == content, "%s was changed", name)
    tool("restore", "b", "r")
    with Daemon(dir=os.path.realpath("r")) as restored:
        head = head_of(restored, "filled")
        same((head["seq"], head["stateHash"]), (100, links[-1].hex()), "the head")


@story.story
def a_half_backup_is_never_taken_for_one():
    with Daemon(options=ADMIN) as daemon:
        fill(daemon)
        for number, code in ((signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM),
                             (signal.SIGKILL, -signal.SIGKILL)):
            running = start_tool("backup", daemon.dir, "--to=b", SLOW)
            until(lambda: glob.glob("b.partial-*/shard-00.db"), "the copy to begin")
            same(json.loads(tool("backup", daemon.dir, "--to=c", expect=3).out or "null"), None, "a second one")
            running.send_signal(number)
            end_tool(running, code)
            same(os.path.exists("b"), False, "a backup")
            if number == signal.SIGKILL:
                break
            same(partial("b") + partial("c"), [], "what is half done")
            until_it_does_not_run(daemon)
        is_true(partial("b"), "what a kill leaves")
        tool("restore", partial("b")[0], "r", expect=1)
        same(os.path.exists("r"), False, "a directory")
        with daemon.operator() as operator:
            operator.request("DELETE", "/backup?shard=0")
        until_it_does_not_run(daemon)
        tool("backup", daemon.dir, "--to=b")
        same(head_of(daemon, "filled")["seq"], 1200, "the daemon goes on")


@story.story
def a_stop_is_not_waiting_for_a_backup():
    with Daemon(options=ADMIN) as daemon:
        fill(daemon)
        running = start_tool("backup", daemon.dir, "--to=b", SLOW)
        until(lambda: glob.glob("b.partial-*/shard-00.db"), "the copy to begin")
        daemon.stop()
        out, error = running.communicate(timeout=120)
        story.cleanups.pop(running.kill, None)
        is_true(running.returncode in (3, 4), "exit code %d: %s", running.returncode, error)
        same((os.path.exists("b"), partial("b")), (False, []), "what it leaves")


@story.story
def the_operator_s_route_refuses_what_it_must():
    with Daemon(options=ADMIN) as daemon, daemon.operator() as operator, daemon.client() as client:
        good = json.dumps({"to": os.path.realpath(".") + "/x", "rate": 0}).encode()
        headers = [("Content-Type", "application/json")]
        for query in ("", "?shard=1", "?shard=x", "?shard=00", "?shards=0"):
            same(operator.get("/backup" + query).json()["code"], "MALFORMED", query)
        same(operator.request("POST", "/backup?shard=0", good, [("Content-Type", "text/plain")]).status, 415, "a web page's")
        for body in (b"", b"{}", b'{"to":"x"}', b'{"to":"/x","other":1}', b'{"to":"/x\\u0000"}', b'{"to":"/x","rate":-1}'):
            same(operator.request("POST", "/backup?shard=0", body, headers).status, 400, body)
        same(operator.request("PUT", "/backup?shard=0", good, headers).header("allow"), "GET, HEAD, POST, DELETE", "Allow")
        for method in ("GET", "POST", "DELETE"):
            same(client.request(method, "/backup?shard=0", good if method == "POST" else None, headers).status, 404,
                 method + " of a phone")
        bad = json.dumps({"to": "/nowhere/at/all", "rate": 0}).encode()
        same(operator.request("POST", "/backup?shard=0", bad, headers).status, 202, "begun")
        until(lambda: operator.get("/backup?shard=0").json()["state"] == "failed", "it to fail")
        is_true("No such file" in operator.get("/backup?shard=0").json()["problem"], "why")
        fill(daemon, batches=1)


@story.story
def a_daemon_of_another_directory_is_refused_and_leaves_nothing():
    with Daemon(options=ADMIN) as one, Daemon(options=ADMIN) as other:
        admin = "--admin=unix:" + os.path.join(os.path.realpath(other.dir), "admin.sock")
        is_true("directory is" in tool("backup", one.dir, admin, "--to=mixed", expect=2).error, "it says which")
        same(glob.glob("mixed*"), [], "what is left")
        os.symlink(other.dir, "way")
        tool("backup", "way", admin, "--to=whole")


class Front(threading.Thread):
    """TLS in front of a socket, for as many connections as are told."""

    def __init__(self, path, cert, key, count):
        super().__init__(daemon=True)
        self.path, self.count = path, count
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "https://localhost:%d" % self.socket.getsockname()[1]
        self.start()

    def run(self):
        for _ in range(self.count):
            try:
                with self.context.wrap_socket(self.socket.accept()[0], server_side=True) as client, socket.socket(socket.AF_UNIX) as behind:
                    behind.connect(self.path)
                    while request := client.recv(65536):
                        behind.sendall(request)
                        client.sendall(behind.recv(65536))
            except OSError:
                pass  # a client that does not trust it


@story.story
def a_listener_behind_tls_is_asked_with_an_authority_of_its_own():
    make("own.pem", "own.key")
    with Daemon(options=ADMIN) as daemon:
        fill(daemon)
        front = Front(os.path.join(os.path.realpath(daemon.dir), "admin.sock"), "own.pem", "own.key", 2)
        is_true("nobody answers" in tool("backup", daemon.dir, "--admin=" + front.url, "--to=no", expect=3).error, "a stranger's certificate")
        tool("backup", daemon.dir, "--admin=" + front.url, "--ca-file=own.pem", "--to=whole")
        front.join()
    is_true("absent" in tool("backup", daemon.dir, "--admin=https://localhost:1", "--ca-file=absent", expect=2).error, "a file that is not there")


@story.story
def wrong_uses_say_what_is_wrong():
    daemon, _ = made()
    os.mkdir("there")
    for arguments, code in (([daemon.dir, "--to=there"], 4), (["nowhere"], 4), ([daemon.dir, "--to=no/where/b"], 4),
                            ([daemon.dir, "--admin=unix:/nowhere"], 3), ([daemon.dir, "--admin=127.0.0.1:9"], 3),
                            ([daemon.dir, "--admin=unix:no/whole/path"], 2), ([daemon.dir, "--rate=fast"], 2), ([], 2)):
        said = tool("backup", *arguments, expect=code).error
        is_true(said and "--url" not in said, "%r says %r", arguments, said)
    is_true("unix:/" in tool("stat", "unix:no/whole/path", expect=2).error, "what is an address, and what a file")
    same(partial("*"), [], "what is half done")
    tool("backup", daemon.dir, "--to=b/")
    tool("restore", "b", daemon.dir, expect=4)
    tool("restore", "there", "r", expect=1)
    tool("restore", "b", expect=2)
    with Daemon(dir=daemon.dir):  # nobody listens for an operator
        is_true("--admin" in tool("backup", daemon.dir, "--to=c", expect=4).error, "it says what to name")


@story.story
def what_is_in_the_way_of_a_backup_is_named():
    daemon, _ = made(**{"store.shards": 2})
    os.remove(os.path.join(daemon.dir, "shard-01.db"))
    with Daemon(dir=daemon.dir, options={**ADMIN, "store.shards": 2}):
        is_true("shard 1" in tool("backup", daemon.dir, "--to=b", expect=3).error, "which shard does not serve")
    daemon, _ = made()
    size = 1 << 42
    os.truncate(os.path.join(daemon.dir, "shard-00.journal-1"), size)
    said = tool("backup", daemon.dir, "--to=b", expect=4).error
    free, needed = [int(word) for word in said.split() if word.isdigit()]
    is_true(free < size < needed, "so much must be free: %s", said)


def content(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)
            if os.path.isfile(os.path.join(folder, name))}


@story.story
def a_backup_that_has_changed_is_refused_and_leaves_nothing():
    daemon, _ = made()
    tool("backup", daemon.dir, "--to=b")
    for name in os.listdir("b"):
        for change in ("flip", "cut", "gone"):
            shutil.rmtree("c", ignore_errors=True)
            shutil.copytree("b", "c")
            path = os.path.join("c", name)
            data = bytearray(open(path, "rb").read())
            if change == "cut" and not data:
                continue
            if data:
                data[len(data) // 2] ^= 0x10
            else:
                data = bytearray(b"x")
            if change == "gone":
                os.remove(path)
            else:
                with open(path, "wb") as file:
                    file.write(data if change == "flip" else data[:len(data) // 2])
            if name == "backup.json" and change == "flip":
                continue
            is_true(tool("restore", "c", "r", expect=None).code in (1, 4), "%s %s", change, name)
            same(os.path.exists("r"), False, "%s %s: a directory" % (change, name))
    os.mkdir("r")
    tool("restore", "b", "r")
    tool("verify", "r")


@story.story
def a_restore_that_is_cut_off_is_no_directory_and_done_again():
    daemon, links = made(batches=200)
    tool("backup", daemon.dir, "--to=b")
    killed = interrupted = 0
    for _ in range(300):
        if killed == 3 and interrupted == 2:
            break
        number, to = (signal.SIGKILL, "r") if killed < 3 else (signal.SIGINT, "s")
        running = start_tool("restore", "b", to)
        until(lambda: os.path.exists(to + "/shard-00.db") or running.poll() is not None, "it to begin")
        running.send_signal(number)
        running.communicate(timeout=120)
        story.cleanups.pop(running.kill, None)
        if os.path.exists(to + "/manifest"):
            shutil.rmtree(to)
        elif number == signal.SIGINT:
            interrupted += 1
            same(os.path.exists(to), False, "what Ctrl-C leaves")
        else:
            killed += 1
            try:
                Daemon(dir=os.path.realpath(to))
                raise AssertionError("a half restore was served")
            except Refused as error:
                is_true("restore" in error.log, "it says what it is: %s", error.log)
            os.remove(to + "/shard-00.db")
    same((killed, interrupted), (3, 2), "cut off")
    tool("restore", "b", "r")
    with Daemon(dir=os.path.realpath("r")) as again:
        same(head_of(again, "filled")["stateHash"], links[-1].hex(), "the head")


@story.story
def what_is_damaged_is_backed_up_and_said():
    daemon, _ = made()
    with Daemon(dir=daemon.dir) as again:
        fill(again, "whole", batches=2)
    database = sqlite3.connect(daemon.dir + "/shard-00.db")
    database.execute("UPDATE actions SET payload = 'other' WHERE seq = 7 AND log = 1")
    database.commit()
    database.close()
    said = json.loads(tool("backup", daemon.dir, "--to=b", "--json", expect=1).out.splitlines()[-1])
    same(said["findings"], 1, "findings")
    is_true("action 7" in tool("restore", "b", "r", expect=1).error, "it says where")
    with Daemon(dir=os.path.realpath("r")) as again:
        same(head_of(again, "whole")["seq"], 40, "the other log")


@story.story
def a_restored_shard_must_have_what_the_backup_had():
    """Not what the lost machine had: its anchor is the copy's own."""
    with Daemon(options=ADMIN) as daemon:
        fill(daemon, batches=3)
        tool("backup", daemon.dir, "--to=older")
        with daemon.client() as client:
            body = chain.sync_body([{"device": "e", "ts": 1, "type": "t", "payload": ""}], 0, chain.genesis("filled"), pull=0)
            same(client.post("/v1/logs/filled/sync", body).status, 200, "one action more")
        tool("backup", daemon.dir, "--to=newer")
    for backup in ("older", "newer"):
        tool("restore", backup, "r-" + backup)
    same(os.path.getsize("r-older/shard-00.db"), os.path.getsize("r-newer/shard-00.db"), "the size tells nothing")
    shutil.copy("r-older/shard-00.db", "r-newer/shard-00.db")
    try:
        Daemon(dir=os.path.realpath("r-newer"))
        raise AssertionError("a shorter log was served")
    except Refused as error:
        is_true("accept-loss" in error.log, "what it says: %s", error.log)


@story.story
def the_service_of_the_timer_makes_one_and_takes_out_old_ones():
    with open(os.path.join(story.ROOT, "config/edgereplay-backup.service"), encoding="utf-8") as file:
        lines = [line.split("=", 1) for line in file.read().replace("\\\n", " ").split("\n") if line.startswith("Exec")]
    same([name for name, _ in lines], ["ExecStart", "ExecStartPost"], "commands")
    os.makedirs("backups/20200101T000000Z")
    os.utime("backups/20200101T000000Z", (0, 0))
    os.makedirs("backups/20200102T000000Z.partial-abcdef")
    os.utime("backups/20200102T000000Z.partial-abcdef", (0, 0))
    os.makedirs("backups/somebody-s")
    with Daemon(options=ADMIN) as daemon:
        fill(daemon, batches=2)
        for _, command in lines:
            command = command.replace("%%", "%").replace("$$", "$").replace("/usr/bin/edgereplay", story.TOOL)
            command = command.replace("/var/lib/edgereplay", daemon.dir).replace("/var/backups/edgereplay", os.path.realpath("backups"))
            result = subprocess.run(shlex.split(command), capture_output=True, timeout=120, check=False)
            same(result.returncode, 0, result.stderr.decode())
    made_now = sorted(os.listdir("backups"))
    same((len(made_now), made_now[1]), (2, "somebody-s"), "what is left: %r" % made_now)
    tool("restore", "backups/" + made_now[0], "r")


@story.story
def files_of_snapshots_come_along():
    daemon, _ = made()
    os.makedirs(daemon.dir + "/snapshots/4f")
    for name in ("4f/one", "4f/two.new"):
        with open(os.path.join(daemon.dir, "snapshots", name), "w", encoding="utf-8") as file:
            file.write(name)
    tool("backup", daemon.dir, "--to=b")
    same(sorted(os.listdir("b/snapshots/4f")), ["one"], "what is whole")
    tool("restore", "b", "r")
    same(open("r/snapshots/4f/one", encoding="utf-8").read(), "4f/one", "its content")
    os.makedirs("s/snapshots")
    tool("restore", "b", "s", expect=4)


story.run()
