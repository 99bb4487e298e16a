"""daemon: an edgereplayd of one's own: start, stop, kill, start again on the same folder; its log is read and judged.

Whatever way it ends, its log must hold no sanitizer's report; when it ends by itself its exit code must be the expected one.
"""
import glob
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

from support import chain, raw, story

# What runs the daemon in the place of the binary: tests/image/daemon. A daemon in a container has no descriptors but its own.
CONTAINER = os.environ.get("EDGEREPLAY_CONTAINER")
PATIENCE = int(os.environ.get("EDGEREPLAY_PATIENCE", "120"))  # seconds; only ever reached when something hangs, also under a sanitizer
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:",
           "check failed", "Assertion")

FIELD = re.compile(r'([A-Za-z_.]+)=("(?:[^"\\]|\\.)*"|\S*)')


def fields(line):
    """A logfmt line as a dict."""
    found = {}
    for name, value in FIELD.findall(line):
        found[name] = value[1:-1].replace('\\"', '"') if value.startswith('"') else value
    return found


def address_of(text):
    if text.startswith("unix:"):
        return text[5:]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Refused(Exception):
    """The daemon ended instead of listening."""

    def __init__(self, code, log):
        super().__init__("exit code %d: %s" % (code, log[-2000:]))
        self.code, self.log = code, log


class Daemon:
    """
    dir: the data folder, made if None. options: {"store.queue": 1, …}. The rest is for stories about starting: command
    in front of the binary, environment, descriptors to pass on, another binary.
    """

    def __init__(self, dir=None, options=None, start=True, listen="127.0.0.1:0", **how):
        self.dir = dir or tempfile.mkdtemp(prefix="data.")
        self.options = options or {}
        self.listen = listen
        self.how = how
        self.process = None
        self.lines = []
        if start:
            self.start()

    # --- life ---

    def command(self):
        flags = ["--store.dir=" + self.dir] + ["--%s=%s" % item for item in self.options.items()]
        if "admin.listen" not in self.options:
            flags.insert(1, "--admin.listen=")  # its socket would be in the way of who copies the folder
        if self.listen:
            flags.insert(0, "--server.listen=" + self.listen)
        binary = self.how.get("binary") or CONTAINER or os.path.join(story.BUILD, "edgereplayd")
        return self.how.get("before", []) + [binary] + flags + self.how.get("flags", [])

    def start(self):
        """Starts and waits until it listens; raises Refused when it ends instead."""
        self.lines = []
        self.listening = threading.Event()
        self.address_text = None
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env={**os.environ, **self.how.get("env", {})},
                                        pass_fds=self.how.get("pass_fds", ()),
                                        preexec_fn=self.how.get("preexec"))
        story.cleanups[self.destroy] = True
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        story.is_true(self.listening.wait(PATIENCE), "the daemon does not listen: %s", self.log())
        if self.address_text is None:
            code = self.wait()
            raise Refused(code, self.log())
        return self

    def _read(self, stream):
        for line in stream:
            line = line.decode(errors="replace")
            self.lines.append(line)
            if "event=listening" in line and self.address_text is None:
                self.address_text = fields(line)["address"]
                self.listening.set()
        self.listening.set()

    def wait(self, seconds=PATIENCE):
        """Waits for its end; the exit code."""
        code = self.process.wait(seconds)
        self.reader.join(PATIENCE)
        self.process.stderr.close()
        story.cleanups.pop(self.destroy, None)
        for report in REPORTS:
            story.is_true(report not in self.log(), "the daemon's log has %r:\n%s", report, self.log())
        return code

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stop(self):
        """A clean stop; returns the seconds it took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        story.same(self.wait(), 0, "exit code after SIGTERM:\n" + self.log()[-3000:] + "\nexit code")
        return time.monotonic() - began

    def kill(self):
        if CONTAINER:
            subprocess.run([CONTAINER, "--kill", str(self.process.pid)], check=True)
            story.same(self.wait(), 128 + signal.SIGKILL, "exit code")
        else:
            self.signal(signal.SIGKILL)
            story.same(self.wait(), -signal.SIGKILL, "exit code")

    def destroy(self):
        """For a story that failed: ends it and shows its log."""
        story.cleanups.pop(self.destroy, None)
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        print("--- the daemon's log ---\n" + self.log()[-6000:] + "---", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.process.poll() is None:
            self.stop()
        elif self.process.poll() is None:
            self.destroy()

    # --- its log ---

    def log(self):
        return "".join(self.lines)

    def events(self, event):
        """The log's lines with this event, as dicts."""
        return [found for found in map(fields, list(self.lines)) if found.get("event") == event]

    def await_event(self, event, count=1):
        until(lambda: len(self.events(event)) >= count, "event %s in the log" % event)

    # --- talking to it ---

    @property
    def address(self):
        """What raw.Connection takes."""
        return address_of(self.address_text)

    @property
    def port(self):
        return self.address[1]

    @property
    def url(self):
        return "http://" + self.address_text

    def client(self):
        return raw.Client(self.address)

    def operator(self):
        """A client of the operator's side (admin.listen), also while it is starting."""
        self.await_event("admin listening")
        client = raw.Client(address_of(self.events("admin listening")[-1]["address"]))
        client.headers = {"Host": "localhost"}  # another name it does not answer to
        return client

    def connection(self, timeout=PATIENCE):
        return raw.Connection(self.address, timeout)


class Shared:
    """One daemon for several stories; a fresh one after a story failed and took it down."""

    def __init__(self, **how):
        self.how, self.running = how, None

    @property
    def daemon(self):
        if self.running is None or self.running.process.poll() is not None:
            self.running = Daemon(**self.how)
            self.open = self.running.client()
        return self.running

    @property
    def client(self):
        return self.daemon and self.open

    def stop(self):
        if self.running and self.running.process.poll() is None:
            self.running.stop()


def until(condition, what, seconds=PATIENCE):
    """Polls until the condition holds. The time is patience, not part of any claim."""
    end = time.monotonic() + seconds
    while not condition():
        story.is_true(time.monotonic() < end, "waited in vain for %s", what)
        time.sleep(0.01)


def databases(dir):
    return sorted(path for path in glob.glob(os.path.join(dir, "**"), recursive=True)
                  if os.path.isfile(path) and open(path, "rb").read(15) == b"SQLite format 3")


def at_rest(dir):
    """After a clean stop no journal record and no WAL is left, and of the journal's files their heads."""
    files = databases(dir)
    story.is_true(len(files) >= 1, "no shard files in %s", os.listdir(dir))
    for path in files:
        wal = path + "-wal"
        story.is_true(not os.path.exists(wal) or os.path.getsize(wal) == 0, "a WAL beside %s", path)
        database = sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True)
        story.same(database.execute("SELECT count(*) FROM journal").fetchone()[0], 0, "journal records in " + path)
        story.same(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity of " + path)
        database.close()
        for which in "01":
            story.same(os.path.getsize(path[:-len("db")] + "journal-" + which), 64,
                       "journal %s beside %s" % (which, path))


def tool(*arguments, input=None, expect=0, timeout=PATIENCE * 5):
    """Runs edgereplay; its output as text. expect: the exit code, or None for any."""
    result = subprocess.run([story.TOOL, *map(str, arguments)], input=input, capture_output=True, timeout=timeout,
                            check=False)
    error = result.stderr.decode(errors="replace")
    for report in REPORTS:
        story.is_true(report not in error, "the tool says %s", error)
    if expect is not None:
        story.same(result.returncode, expect, "exit code of edgereplay %s\n%s%s\nexit code" % (
            arguments[:1], result.stdout[-500:].decode(errors="replace"), error[-2000:]))
    return Output(result.returncode, result.stdout.decode(), error)


class Output:
    def __init__(self, code, out, error):
        self.code, self.out, self.error = code, out, error


def whole_log(client, log):
    """All actions of a log by the JSON pages, the chain recomputed; (actions, links)."""
    actions, links = [], [chain.genesis(log)]
    while True:
        answer = client.get("/v1/logs/%s/actions?after=%d" % (chain.path(log), len(actions)))
        story.same(answer.status, 200, "status of a page: %s, status" % answer.body[:500])
        page = answer.json()
        story.same(page["prevHash"], links[-1].hex(), "the page's prevHash")
        for action in page["actions"]:
            story.same(action.pop("seq"), len(actions) + 1, "seq")
            actions.append(action)
            links.append(chain.link(links[-1], chain.digest(action)))
        story.same((page["seq"], page["stateHash"]), (len(actions), links[-1].hex()), "the page's end")
        if not page["hasMore"]:
            story.same(page["head"], {"seq": len(actions), "stateHash": links[-1].hex()}, "the log's head")
            return actions, links
