"""export and import: a log as a file that proves itself, made anywhere, whole or not at all, and given to another server."""
import glob
import gzip
import http.server
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import threading

from support import chain, export, story
from support.daemon import Daemon, databases, tool, until, whole_log
from support.proxy import Proxy
from support.story import is_true, same, say

NAME = "sync.example.com"
NOWHERE = "http://127.0.0.1:9"
PAYLOADS = ["", '{"text":"milk"}', "\0", "\u2028 \U0001f4a5 é", '"\\\b\f\n\r\t\x01\x7f', "x" * 16000, "</script>", "[]"]


def actions_of(device, count, first=0):
    return [{"device": device, "ts": 1_790_000_000_000 + 10 * (first + n), "type": "note/add",
             "payload": PAYLOADS[n % len(PAYLOADS)] if n < 50 else '{"n":%d}' % (first + n)} for n in range(count)]


def push(client, log, actions, batch=400):
    """Appends them, whatever the log has."""
    for at in range(0, len(actions), batch):
        body = chain.sync_body(actions[at:at + batch], 0, chain.genesis(log), pull=0)
        answer = client.post("/v1/logs/%s/sync" % chain.path(log), body)
        same(answer.status, 200, "%s: status" % answer.body[:300])


def keygen():
    return tool("keygen", "--name=" + NAME, "key").out.strip()


def written(daemon, log="notes", count=300):
    """A log of two devices."""
    with daemon.client() as client:
        push(client, log, actions_of("phone", count // 2))
        push(client, log, actions_of("tablet", count // 3, 7) + actions_of("phone", 5, 5000))
        return whole_log(client, log)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def without_receipt(path):
    *lines, last = export.lines_of(path)
    last = json.loads(last)
    last.pop("receipt", None)
    return lines + [last]


@story.story
def an_export_is_the_log_and_proves_itself():
    vkey = keygen()
    with Daemon(options={"receipts.key": "key"}) as daemon:
        actions, links = written(daemon)
        source = "--from=" + daemon.url
        said = json.loads(tool("export", "notes", source, "--out=a.ndjson", "--json").out)
        same(said, {"log": "notes", "count": len(actions), "stateHash": links[-1].hex(), "receipt": "included"}, "said")
        tool("export", "notes", source, "--out=a.ndjson.gz")
        with open("a.txt", "w", encoding="utf-8") as file:
            file.write(tool("export", "notes", source).out)
        for path in ("a.ndjson", "a.ndjson.gz", "a.txt"):
            same(export.judge(path, "notes", [vkey]), (actions, links), path)
            is_true("receipt: verified" in tool("export", "--check", path, "--vkey=" + vkey).error, "the receipt")
        with open("a.ndjson.gz", "rb") as file:
            same(file.read(2), b"\x1f\x8b", "it is compressed")
        other = tool("keygen", "--name=" + NAME, "other").out.strip()
        tool("export", "--check", "a.ndjson", "--vkey=" + other, expect=1)
        tool("export", "nobody", source, "--out=b", expect=1)
        tool("export", "notes", "--from=" + NOWHERE, "--out=b", "--give-up=0", expect=3)
        tool("export", "not/a/name", source, "--out=b", expect=2)
        same(os.path.exists("b"), False, "a file of nothing")
    tool("export", "notes", "--from=" + daemon.dir, "--out=b.ndjson")
    same(without_receipt("b.ndjson"), without_receipt("a.ndjson"), "from the directory")
    tool("export", "notes", "--from=a.ndjson.gz", "--out=c.ndjson")
    same(content("c.ndjson"), content("b.ndjson"), "from an export")
    tool("export", "--check", "b.ndjson", "--vkey=" + vkey, expect=1)


@story.story
def the_largest_action_that_a_log_can_have_goes_round():
    """All of its payload is escapes."""
    action = {"device": "phone", "ts": 1, "type": "note/add", "payload": "\x01" * (16 << 20)}
    options = {"limits.payload_bytes": "16MiB", "limits.body_bytes": "100MiB", "store.tail_bytes": "256MiB",
               "server.body_memory": "256MiB", "server.answer_memory": "256MiB"}
    with Daemon(options=options) as daemon:
        with daemon.client() as client:
            push(client, "notes", [action])
        tool("export", "notes", "--from=" + daemon.url, "--out=of-server")
        is_true(len(tool("pull", "--url=" + daemon.url, "--log=notes").out) > 96 << 20, "it was pulled")
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=state")
        daemon.stop()
        tool("export", "notes", "--from=" + daemon.dir, "--out=of-directory")
    tool("export", "notes", "--from=state", "--out=of-phone")
    for path in ("of-server", "of-directory", "of-phone"):
        tool("export", "--check", path)
        os.remove(path)


@story.story
def a_phones_state_is_exported_too():
    with Daemon() as daemon:
        lines = "".join(json.dumps({"type": "t", "payload": p}) + "\n" for p in PAYLOADS)
        tool("push", "--url=" + daemon.url, "--log=notes", "--state=state", "--device=phone", "-", input=lines.encode())
        tool("export", "notes", "--from=state", "--out=a")
        with daemon.client() as client:
            same(export.judge("a", "notes"), whole_log(client, "notes"), "the phone's and the server's")
        tool("export", "another", "--from=state", "--out=b", expect=2)


@story.story
def what_only_the_journal_has_is_exported_with_its_times():
    daemon = Daemon()
    written(daemon)
    tool("export", "notes", "--from=" + daemon.url, "--out=a")
    daemon.kill()
    before = {path: content(path) for path in glob.glob(daemon.dir + "/*") if not path.endswith("-shm")}
    tool("export", "notes", "--from=" + daemon.dir, "--out=b")
    same(content("b"), content("a"), "as the crash left it")
    same({path for path in before if content(path) != before[path]}, set(), "changed files")


def alterations(lines):
    """(what, lines) of one thing changed each; the lines are JSON objects."""
    rows = len(lines) - 2
    for at in (1, rows // 2, rows):
        for member, value in (("payload", "other"), ("type", "u"), ("device", "other"), ("ts", 17), ("seq", 9_999),
                              ("id", "01a00000-0000-8000-8000-000000000000"), ("link", "00" * 32), ("payload", 5)):
            yield "%s of %d" % (member, at), lines[:at] + [{**lines[at], member: value}] + lines[at + 1:]
        yield "no link in %d" % at, lines[:at] + [{k: v for k, v in lines[at].items() if k != "link"}] + lines[at + 1:]
        yield "without %d" % at, lines[:at] + lines[at + 1:]
        yield "%d twice" % at, lines[:at] + [lines[at]] + lines[at:]
        yield "cut before %d" % at, lines[:at]
    yield "two swapped", lines[:5] + [lines[6], lines[5]] + lines[7:]
    yield "received earlier", lines[:rows] + [{**lines[rows], "receivedAt": 5}] + lines[rows + 1:]
    for member, value in (("log", "other"), ("genesis", "00" * 32), ("version", 2), ("format", "x"), ("log", "a/b")):
        yield "first line's " + member, [{**lines[0], member: value}] + lines[1:]
    for member, value in (("count", rows - 1), ("seq", rows + 1), ("stateHash", "00" * 32), ("receipt", "x"), ("count", "5")):
        yield "last line's " + member, lines[:-1] + [{**lines[-1], member: value}]
    yield "no last line", lines[:-1]
    yield "no first line", lines[1:]
    yield "more behind it", lines + [lines[1]]
    yield "nothing", []


@story.story
def a_changed_file_is_refused_and_nothing_of_it_is_sent():
    with Daemon() as daemon:
        written(daemon)
        tool("export", "notes", "--from=" + daemon.url, "--out=a")
    lines = [json.loads(line) for line in export.lines_of("a")]
    with Daemon() as other, other.client() as client:
        count = 0
        for what, changed in alterations(lines):
            with open("changed", "w", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in changed))
            result = tool("export", "--check", "changed", expect=None)
            same((result.code, result.out), (1, ""), what)
            count += 1
        tool("import", "changed", "--url=" + other.url, expect=1)
        packed = gzip.compress(content("a"))
        for size in (10, len(packed) // 2, len(packed) - 1):
            with open("cut.gz", "wb") as file:
                file.write(packed[:size])
            is_true(tool("import", "cut.gz", "--url=" + other.url, expect=None).code in (1, 4), "cut at %d", size)
        export.write("redacted", "notes", [{**a, "redacted": i == 3} for i, a in enumerate(actions_of("p", 9))])
        tool("export", "--check", "redacted")
        is_true("action 4" in tool("import", "redacted", "--url=" + other.url, expect=1).error, "it names the redacted one")
        same(client.get("/v1/logs/notes/head").json()["seq"], 0, "sent")
        say("%d changed files refused", count)


@story.story
def a_damaged_log_is_not_exported_but_is_named():
    daemon = Daemon()
    written(daemon)
    daemon.stop()
    with sqlite3.connect(databases(daemon.dir)[0]) as database:
        database.execute("UPDATE actions SET payload = 'changed' WHERE seq = 77")
    database.close()
    is_true("action 77 is damaged" in tool("export", "notes", "--from=" + daemon.dir, "--out=a", expect=1).error, "named")
    with sqlite3.connect(databases(daemon.dir)[0]) as database:
        database.execute("DELETE FROM actions WHERE seq = 55")
    database.close()
    is_true("action 55 is missing" in tool("export", "notes", "--from=" + daemon.dir, "--out=a", expect=1).error, "missing")
    with Daemon(dir=daemon.dir) as again:
        tool("export", "notes", "--from=" + again.url, "--out=a", "--give-up=0", expect=None)
    same(os.path.exists("a"), False, "a file")
    tool("replay", "notes", "--from=" + daemon.dir, "--until=54")  # what is before it is good


# --- whole or not at all ---

class Stalling(http.server.BaseHTTPRequestHandler):
    """A server that stops in the middle of a stream, and answers nothing else."""

    def do_GET(self):
        if "/actions" not in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        self.wfile.write(b"\n".join(self.server.lines) + b"\n")
        self.wfile.flush()
        self.server.stalled.set()
        self.server.released.wait(60)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stalled.set()
        self.server.released.wait(60)

    def log_message(self, *_):
        pass


class Stall:
    """What sends those lines and no more."""

    def __init__(self, lines):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling)
        self.server.lines, self.server.stalled, self.server.released = lines, threading.Event(), threading.Event()
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self, command, number):
        """Runs the tool until it waits for more, and ends it so; the exit code."""
        running = subprocess.Popen([story.TOOL, *command], stderr=subprocess.DEVNULL)
        is_true(self.server.stalled.wait(60), "it never waited for more")
        running.send_signal(number)
        code = running.wait(60)
        self.server.released.set()
        self.server.shutdown()
        self.server.server_close()
        return code


@story.story
def killed_in_the_middle_it_leaves_no_file():
    with Daemon() as daemon:
        written(daemon)
        tool("export", "notes", "--from=" + daemon.url, "--out=a")
    genesis = chain.genesis("notes").hex()
    stream = [json.dumps({"after": 0, "prevHash": genesis}).encode()] + export.lines_of("a")[1:90]
    whole = content("a")
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for out in ("b", "b.gz", "a"):
            stall = Stall(stream)
            same(stall.end(["export", "notes", "--from=" + stall.url, "--out=" + out], number), -number, "exit code")
            same((sorted(os.path.basename(path) for path in glob.glob("*") if not path.startswith("data")), content("a")),
                 (["a"], whole), "files after signal %d" % number)


def actions_in(text):
    """All lines but the last, which has a receipt of its own."""
    return text.splitlines()[:-1]


def nodes():
    """Of one's own, like /dev/null and /dev/full; none where that is not allowed."""
    for name, minor in (("null", 3), ("full", 7)):
        try:
            os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            os.close(os.open(name, os.O_WRONLY))
        except PermissionError:
            say("no devices of one's own here")
            return
        yield name


@story.story
def what_is_no_file_is_written_to_and_stays_what_it_is():
    vkey = keygen()
    with Daemon(options={"receipts.key": "key"}) as daemon, daemon.client() as client:
        _, links = written(daemon, count=2000)
        client.request("PUT", "/v1/logs/notes/snapshots/9", b"a state" * 9000, {"Content-Type": None, "Edgereplay-State-Hash": links[9].hex()})
        source, server = "--from=" + daemon.url, "--url=" + daemon.url
        whole = tool("export", "notes", source).out
        for name in nodes():
            tool("export", "notes", source, "--out=" + name, expect=4 if name == "full" else 0)
            is_true(stat.S_ISCHR(os.lstat(name).st_mode), "%s is a device", name)
        os.mkfifo("pipe")
        push_it = ["push", server, "--log=notes", "--state=phone", "--receipt=pipe"]
        for command, judge in ((["export", "notes", source, "--out=pipe"], lambda got: actions_in(got) == actions_in(whole)),
                               (["snapshot", "get", server, "--log=notes", "pipe"], lambda got: got == "a state" * 9000),
                               (push_it, lambda got: "sync.example.com" in got)):
            with open("got", "wb") as file:
                reader = subprocess.Popen(["timeout", "60", "cat", "pipe"], stdout=file)
            tool(*command)
            reader.wait()
            is_true(judge(content("got").decode()), "%s: what came through", command[0])
            is_true(stat.S_ISFIFO(os.lstat("pipe").st_mode), "the pipe")
        # As /dev/stdout is.
        os.symlink("/proc/self/fd/1", "stdout")
        same(actions_in(tool("export", "notes", source, "--out=stdout").out), actions_in(whole), "through a pipe")
        with open("file", "w", encoding="utf-8") as file:
            subprocess.run([story.TOOL, "export", "notes", source, "--out=stdout"], stdout=file, check=True, timeout=60)
        tool("export", "--check", "file", "--vkey=" + vkey)
        # What is appended to keeps what it has.
        with open("all", "w", encoding="utf-8") as file:
            file.write("before\n")
        with open("all", "a", encoding="utf-8") as file:
            for out in ("/dev/stdout", "stdout", "/proc/self/fd/%d" % file.fileno()):
                subprocess.run([story.TOOL, "export", "notes", source, "--out=" + out], stdout=file, pass_fds=[file.fileno()], check=True, timeout=60)
        same(content("all").decode().splitlines()[0], "before", "what was there")
        same(len(content("all").splitlines()), 1 + 3 * len(whole.encode().splitlines()), "lines")
        os.symlink("file", "link")
        os.truncate("file", 5)
        tool("export", "notes", source, "--out=link")
        tool("export", "--check", "file")
        os.symlink("missing", "dangling")
        tool("export", "notes", source, "--out=dangling", expect=4)
        same([os.path.islink(name) for name in ("stdout", "link", "dangling")], [True] * 3, "the links")


@story.story
def a_stream_that_is_cut_is_gone_on_with():
    with Daemon() as daemon:
        with daemon.client() as client:
            rng = random.Random(story.seed())
            push(client, "notes", [{**action, "payload": rng.randbytes(200).hex()} for action in actions_of("phone", 3000)])
            wanted = whole_log(client, "notes")
        with Proxy(daemon.port, seed=5, bytes_between_cuts=60_000) as proxy:
            tool("export", "notes", "--from=" + proxy.url, "--out=a", "-q")
            is_true(proxy.cuts > 2, "the network was too good: %d cuts", proxy.cuts)
            say("%d cuts", proxy.cuts)
        same(export.judge("a", "notes"), wanted, "the log")
        tool("export", "notes", "--from=" + daemon.url, "--out=b")
        same(content("a"), content("b"), "as without cuts")


# --- import ---

def imported(path, url, *more, expect=0):
    return json.loads(tool("import", path, "--url=" + url, "--json", "-q", *more, expect=expect).out)


@story.story
def another_server_gets_the_same_history_and_only_once():
    with Daemon() as daemon:
        actions, links = written(daemon)
        tool("export", "notes", "--from=" + daemon.url, "--out=a.gz")
    other = Daemon()
    first = imported("a.gz", other.url, "--batch=37")
    same(first, {"log": "notes", "count": len(actions), "applied": len(actions), "present": 0, "refused": 0, "setAside": 0,
                 "seq": len(actions), "stateHash": links[-1].hex(), "sameHistory": True}, "the first time")
    again = imported("a.gz", other.url)
    same((again["applied"], again["present"], again["sameHistory"]), (0, len(actions), True), "again")
    renamed = imported("a.gz", other.url, "--as=copy")
    same((renamed["log"], renamed["applied"], renamed["sameHistory"]), ("copy", len(actions), False), "under another name")
    is_true("made anew" in tool("import", "a.gz", "--url=" + other.url, "--as=copy").error, "it says so")
    with other.client() as client:
        same(whole_log(client, "notes"), (actions, links), "the log")
        same(whole_log(client, "copy")[0], actions, "the copy")
    other.stop()
    tool("verify", other.dir)


@story.story
def a_server_that_has_a_part_and_more_gets_what_it_lacks():
    with Daemon() as daemon:
        actions, _ = written(daemon)
        tool("export", "notes", "--from=" + daemon.url, "--out=a")
    with Daemon() as other, other.client() as client:
        mine = [{**actions[70], "payload": "another"}]  # the same device and stamp
        push(client, "notes", actions[:50] + actions_of("desk", 20) + mine)
        said = imported("a", other.url)
        same((said["count"], said["applied"], said["present"], said["setAside"]), (len(actions), len(actions) - 50, 50, 0), "said")
        is_true(said["refused"] >= 1, "the one whose stamp was taken was refused, and stamped anew")
        after = whole_log(client, "notes")[0]
        wanted = [chain.key(a) for a in actions if a != actions[70]] + [chain.key({**actions[70], "ts": actions[70]["ts"] + 1})]
        is_true(set(wanted) <= {chain.key(a) for a in after}, "everything is there")
        same(len(after), len(actions) + 21, "and nothing twice")
        imported("a", other.url)
        same(whole_log(client, "notes")[0], after, "again")


@story.story
def an_import_that_is_interrupted_leaves_nothing_here_and_goes_on():
    with Daemon() as daemon:
        with daemon.client() as client:
            push(client, "notes", actions_of("phone", 2000))
            wanted = whole_log(client, "notes")
        tool("export", "notes", "--from=" + daemon.url, "--out=a")
    os.mkdir("scratch")
    os.environ["TMPDIR"] = os.path.realpath("scratch")
    for number in (signal.SIGINT, signal.SIGTERM):
        stall = Stall([])
        same(stall.end(["import", "a", "--url=" + stall.url], number), -number, "exit code")
        same(os.listdir("scratch"), [], "what is left")
    with Daemon() as other:
        with Proxy(other.port) as proxy, other.client() as client:
            running = subprocess.Popen([story.TOOL, "import", "a", "-q", "--batch=5", "--url=" + proxy.url])
            until(lambda: client.get("/v1/logs/notes/head").json()["seq"] > 100, "the import to begin")
            running.kill()
            running.wait()
        os.environ["TMPDIR"] = os.getcwd()
        said = imported("a", other.url)
        same((said["sameHistory"], said["applied"] + said["present"]), (True, 2000), "gone on with")
        say("killed with %d of 2000 there", said["present"])
        with other.client() as client:
            same(whole_log(client, "notes"), wanted, "the log")
        same(imported("a", other.url)["applied"], 0, "again")
        tool("import", "a", "--url=" + NOWHERE, "--give-up=0", expect=3)
        tool("import", "missing", "--url=" + other.url, expect=4)


@story.story
def a_random_log_goes_round():
    rng = random.Random(story.seed())
    actions = []
    for n in range(400):
        text = "".join(chr(rng.choice([rng.randrange(0x20), rng.randrange(0x80, 0xD800), rng.randrange(0x10000, 0x110000)]))
                       for _ in range(rng.randrange(8)))
        actions.append({"device": "d%d" % rng.randrange(90), "ts": 1 + n * 7 + rng.randrange(5), "type": "t",
                        "payload": text})
    with Daemon() as daemon, daemon.client() as client:
        push(client, "a|b+c=d", actions, batch=20)
        tool("export", "a|b+c=d", "--from=" + daemon.url, "--out=a.gz")
        same(export.judge("a.gz", "a|b+c=d")[0], actions, "exported")
    with Daemon() as other, other.client() as client:
        same(imported("a.gz", other.url)["sameHistory"], True, "imported")
        same(whole_log(client, "a|b+c=d")[0], actions, "there")


story.run()
