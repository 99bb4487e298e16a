"""bench_tools: a daemon of one's own, a run of edgereplay-load or edgereplay-limits, and what the machine is."""
import contextlib
import ctypes
import ctypes.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

ACTION_BYTES = 120  # content of an action: stamp, device, type, payload
PAYLOAD_BYTES = ACTION_BYTES - 24
JSON_PAYLOAD_BYTES = 63  # with this payload an action is 120 bytes of JSON in a batch, comma included: see put_action in users.c
START_SEC, STOP_SEC = 30, 60


class Failed(Exception):
    """A program did not do what the bench needs of it; the text says which and why."""


class Daemon:
    """A fresh edgereplayd on a free port of 127.0.0.1 with a data folder of its own, which goes when it is closed."""

    def __init__(self, binary, folder, options=None):
        self.binary, self.options = binary, options or {}
        self.dir = tempfile.mkdtemp(prefix="data.", dir=folder)
        self.process = None
        # What earlier runs left to be written must not be paid for by this one.
        os.sync()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        flags = ["--server.listen=127.0.0.1:0", "--store.dir=" + self.dir]
        flags += ["--%s=%s" % item for item in self.options.items()]
        self.lines, self.address, self.ready = [], None, threading.Event()
        self.process = subprocess.Popen([self.binary, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.ready.wait(START_SEC) or self.address is None:
            raise Failed("edgereplayd does not listen:\n" + "".join(self.lines[-20:]))

    def _read(self):
        for line in self.process.stderr:
            line = line.decode(errors="replace")
            self.lines = self.lines[-100:] + [line]
            match = re.search(r'event=listening\b.*\baddress="?([^" ]+)', line)
            if match:
                self.address = match.group(1).strip()
                self.ready.set()
        self.ready.set()

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return "http://" + self.address

    def cpu_sec(self):
        """User and system so far, from /proc in ticks of 10 ms."""
        with open("/proc/%d/stat" % self.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name):
        """VmRSS or VmHWM, in bytes."""
        with open("/proc/%d/status" % self.pid) as file:
            return int(re.search(r"%s:\s+(\d+) kB" % name, file.read()).group(1)) * 1024

    def stop(self):
        """A clean stop: everything is applied and checkpointed. Start may follow, on the same data."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SEC)
        except subprocess.TimeoutExpired:
            raise Failed("edgereplayd does not stop:\n" + "".join(self.lines[-20:])) from None
        self.reader.join(START_SEC)
        self.process.stderr.close()
        self.process = None
        if code != 0:
            raise Failed("edgereplayd ended with %d:\n%s" % (code, "".join(self.lines[-20:])))

    def stored_bytes(self):
        """Of the data folder; to be asked after stop()."""
        return sum(os.path.getsize(os.path.join(folder, name))
                   for folder, _, names in os.walk(self.dir) for name in names)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.process is not None:
                self.stop()
        finally:
            self.close()


def _flags(options):
    """{"first_user": 5, "fresh": True} as ["--first-user=5", "--fresh"]; None and False are left out."""
    flags = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        flag = "--" + name.replace("_", "-")
        flags.append(flag if value is True else "%s=%s" % (flag, value))
    return flags


def load_command(build, daemon, **options):
    """
    The command line of a run of edgereplay-load against the daemon. Default: closed loop of 64 connections and logs,
    against a store where these logs do not exist.
    """
    known = {"url": daemon.url, "pid": daemon.pid, "connections": 64, "users": 64, "actions": 1, "fresh": True,
             "action_bytes": ACTION_BYTES}
    return [os.path.join(build, "edgereplay-load"), *_flags({**known, **options}), "--json"]


def load_result(command, code, out, err):
    """Its JSON. A run that failed (exit code 1: a wrong answer, a wrong hash) ends the scenario."""
    if code != 0:
        raise Failed("edgereplay-load ended with %d: %s\n%s" % (code, err.strip()[-1000:], " ".join(command)))
    return json.loads(out)


def load(build, daemon, **options):
    command = load_command(build, daemon, **options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return load_result(command, done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def load_beside(build, daemon, **options):
    """A run in the background, as long as the block: yields a function that waits for its result."""
    command = load_command(build, daemon, **options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result():
        out, err = process.communicate()
        return load_result(command, process.returncode, out, err)
    try:
        yield result
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def limit(build, name, **options):
    """The figures of one of edgereplay-limits' measurements. Its options are written with underscores."""
    command = [os.path.join(build, "edgereplay-limits"), name]
    command += ["--" + key if value is True else "--%s=%s" % (key, value) for key, value in options.items()] + ["--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed("edgereplay-limits ended with %d: %s\n%s" % (done.returncode, done.stderr.strip(), " ".join(command)))
    return json.loads(done.stdout)


# --- what was measured on ---

def _said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _library_version(library, function):
    path = ctypes.util.find_library(library)
    if path is None:
        return "?"
    say = getattr(ctypes.CDLL(path), function)
    say.restype = ctypes.c_char_p
    return say().decode()


def _in_file(path, pattern):
    with open(path) as file:
        match = re.search(pattern, file.read(), re.MULTILINE)
    return match.group(1).strip() if match else "?"


def file_system(folder):
    """Type and device of the mount that the folder is in."""
    best = ("", "?", "?")
    with open("/proc/self/mounts") as file:
        for line in file:
            device, mount, kind = line.split()[:3]
            inside = os.path.realpath(folder).startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best[0]):
                best = (mount, kind, device)
    return "%s on %s" % best[1:]


def machine(root, folder):
    """What a reader must know to compare, as (name, value) pairs."""
    changed = " with changes" if _said("git", "-C", root, "status", "--porcelain", "-uno") else ""
    memory = int(_in_file("/proc/meminfo", r"^MemTotal:\s+(\d+)")) / 1024 / 1024
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("commit", (_said("git", "-C", root, "rev-parse", "--short=12", "HEAD") or "?") + changed),
        ("CPU", "%s, %d cores for daemon and load tool together" % (
            _in_file("/proc/cpuinfo", r"^model name\s*:\s*(.*)"), len(os.sched_getaffinity(0)))),
        ("memory", "%.0f GiB" % memory),
        ("busy before the bench", "%.2f cores in the last minute" % os.getloadavg()[0]),
        ("kernel", "%s %s" % (platform.system(), platform.release())),
        ("file system of the data", file_system(folder)),
        ("gcc", (_said("gcc", "-dumpfullversion") or "?")),
        ("libmicrohttpd", _library_version("microhttpd", "MHD_get_version")),
        ("sqlite", _library_version("sqlite3", "sqlite3_libversion")),
        ("libsodium", _library_version("sodium", "sodium_version_string")),
    ]
