"""The daemon as a service: what systemd hears, how healthy it says it is, what `make install` puts in place, the manual."""
import glob
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from support import front, story
from support.daemon import Daemon, tool, until
from support.story import is_true, same

EXPOSURE_MAX = {"edgereplayd.service": 1.5, "edgereplay-backup.service": 1.0}  # of systemd-analyze security


def read(*path):
    with open(os.path.join(story.ROOT, *path), encoding="utf-8") as file:
        return file.read()


def installed():
    """What make install has put below a folder, with the programs that are there already."""
    folder = tempfile.mkdtemp(prefix="install.")
    subprocess.run(["make", "-s", "-C", story.ROOT, "install", "DESTDIR=" + os.path.realpath(folder), "PREFIX=/usr",
                    "BUILD=" + story.BUILD] + ["-o" + path for name in ("edgereplayd", "edgereplay")
                                               for path in [os.path.join(story.BUILD, name)]],
                   check=True, stdout=subprocess.DEVNULL)
    return folder


# --- systemd ---

@story.story
def the_watchdog_is_fed_for_as_long_as_it_serves():
    path = os.path.join(tempfile.mkdtemp(prefix="n.", dir="/tmp"), "n")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(120)
    try:
        with Daemon(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}) as daemon, daemon.client() as client:
            is_true(b"READY=1" in notify.recv(4096), "READY=1")
            for _ in range(3):
                same(notify.recv(4096), b"WATCHDOG=1", "what is heard next")
                same(client.get("/v1/info").status, 200, "status")
            daemon.signal(signal.SIGHUP)
            heard = b""
            while b"RELOADING=1" not in heard:
                heard = notify.recv(4096)
            while b"READY=1" not in heard:
                heard = notify.recv(4096)
            same(notify.recv(4096), b"WATCHDOG=1", "what is heard after a reload")
    finally:
        notify.close()
        shutil.rmtree(os.path.dirname(path))


@story.story
def the_unit_is_sound_and_confined():
    folder = installed()
    units = sorted(glob.glob(os.path.join(folder, "usr/lib/systemd/system/*.service")))
    is_true(units, "no unit in %s", folder)
    for unit in units:
        text = open(unit, encoding="utf-8").read()
        for program in re.findall(r"^Exec\w+=(/usr/bin/edgereplay\S*)", text, re.MULTILINE):
            is_true(os.access(folder + program, os.X_OK), "%s starts %s", unit, program)
    for name, most in EXPOSURE_MAX.items():
        done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=%d" % (most * 10),
                               os.path.join(folder, "usr/lib/systemd/system", name)],
                              capture_output=True, text=True, check=False)
        exposure = re.search(r"Overall exposure level for %s: ([0-9.]+)" % name, done.stdout)
        is_true(exposure is not None, "systemd-analyze says %s%s", done.stdout, done.stderr)
        story.say("systemd-analyze security %s: %s", name, exposure.group(1))
        is_true(float(exposure.group(1)) <= most and done.returncode == 0, "too much exposed: %s", done.stdout)
    same(sorted(os.path.basename(unit) for unit in units), sorted(EXPOSURE_MAX), "the services")


@story.story
def what_is_installed_first_is_what_a_target_needs():
    def wanted(target):
        said = subprocess.run(["make", "-n", "-C", story.ROOT, target, "BUILD=" + story.BUILD], check=True,
                              capture_output=True, text=True).stdout
        return {word for line in said.split("\n") if line.startswith("tests/lint/packages ") for word in line.split()[1:]}
    is_true({"gcc", "python3"} <= wanted("install"), "what make install installs: %s", wanted("install"))
    is_true({"gcc", "python3", "debhelper"} <= wanted("deps-deb"), "what make deb installs: %s", wanted("deps-deb"))
    same(wanted("demo"), wanted("install"), "what make demo installs")
    for target in ("programs", "install", "deps-deb"):
        same(wanted(target) & {"nginx-light", "haproxy", "caddy", "prometheus"}, set(), "servers that make %s installs" % target)


@story.story
def the_demo_needs_nothing_but_python_itself():
    said = subprocess.run(["/usr/bin/python3", "-S", os.path.join(story.ROOT, "tests/demo.py"), story.BUILD], capture_output=True, text=True, check=False)
    same(said.returncode, 0, "exit code of the demo: %s%s" % (said.stdout[-1500:], said.stderr[-1500:]))


@story.story
def what_is_installed_serves_on_a_socket_that_it_is_given():
    folder, port = installed(), front.free_port()
    same(sorted(os.path.relpath(path, folder) for path in glob.glob(os.path.join(folder, "**"), recursive=True)
                if os.path.isfile(path)),
         ["etc/edgereplay/edgereplay.ini", "usr/bin/edgereplay", "usr/bin/edgereplayd",
          "usr/lib/systemd/system/edgereplay-backup.service", "usr/lib/systemd/system/edgereplay-backup.timer",
          "usr/lib/systemd/system/edgereplayd.service", "usr/lib/systemd/system/edgereplayd.socket",
          "usr/lib/sysusers.d/edgereplay.conf", "usr/lib/tmpfiles.d/edgereplay.conf",
          "usr/share/man/man1/edgereplay.1.gz", "usr/share/man/man8/edgereplayd.8.gz"], "what is installed")
    config = os.path.join(folder, "etc/edgereplay/edgereplay.ini")
    text = open(config, encoding="utf-8").read()
    is_true("dir = /var/lib/edgereplay\n" in text, "the data directory in %s", text)
    with open(config, "w", encoding="utf-8") as file:
        file.write(text.replace("/var/lib/edgereplay", os.path.realpath(tempfile.mkdtemp(prefix="data."))))
    command = re.search(r"^ExecStart=(.*)$", open(os.path.join(folder, "usr/lib/systemd/system/edgereplayd.service"),
                                                  encoding="utf-8").read(), re.MULTILINE).group(1).split()
    same(command[1:], ["--config=/etc/edgereplay/edgereplay.ini"], "the unit's flags")
    with Daemon(listen=None, binary=folder + command[0], flags=["--config=" + config],
                before=["systemd-socket-activate", "--listen=127.0.0.1:%d" % port], start=False) as daemon:
        # It is started by who connects, so somebody has to.
        knock(daemon, port)
        same(daemon.port, port, "the port")
        with daemon.client() as client:
            same(client.get("/v1/info").status, 200, "status")


def knock(daemon, port):
    thread = threading.Thread(target=until, args=(lambda: accepts(port), "the passed socket"), daemon=True)
    thread.start()
    daemon.start()
    thread.join()


def accepts(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(b"GET /v1/info HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return connection.recv(4) == b"HTTP"
    except ConnectionRefusedError:
        return False


# --- health ---

@story.story
def health_says_whether_to_send_traffic_and_if_not_why():
    with Daemon(options={"admin.listen": "127.0.0.1:0"}) as daemon:
        daemon.await_event("admin listening")
        url = "--url=http://" + daemon.events("admin listening")[-1]["address"]
        is_true('"ready":true' in tool("health", url).out, "ready")
        same(tool("health", "--live", url).out, "alive\n", "alive")
    same(tool("health", "--live", "--give-up=5", url, expect=3).out, "", "of one that stopped")
    gone = os.path.realpath("nobody.sock")
    said = tool("health", "--live", "--give-up=5", "--url=unix:" + gone, expect=3).error
    is_true(gone in said and "No such file" in said and "port" not in said, "which one does not answer, and why: %s", said)
    options = {"admin.listen": "unix:admin.sock", "store.shards": 2}
    with Daemon(options=options) as daemon:
        url = "--url=unix:" + os.path.realpath(os.path.join(daemon.dir, "admin.sock"))
    os.remove(os.path.join(daemon.dir, "shard-01.db"))
    with Daemon(dir=daemon.dir, options=options) as daemon:
        is_true("SHARD_REFUSED" in tool("health", url, expect=1).out, "the reason")
        same(tool("health", "--live", url).out, "alive\n", "alive, not ready")
        same(tool("health", "--url=http://" + daemon.address_text, expect=3).out, "", "of the phones' side")


# --- the manual ---

def page(folder, name):
    """As one reads it, without line ends; nothing in it may be wrong."""
    path = os.path.join(folder, "usr/share/man/man" + name[-1], name + ".gz")
    with gzip.open(path, "rt", encoding="utf-8") as file, open(name, "w", encoding="utf-8") as plain:
        plain.write(file.read())
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", name], capture_output=True, text=True, check=True,
                          env={**os.environ, "MANWIDTH": "1000"})
    same(done.stderr, "", "what man says of " + name)
    shown = subprocess.run(["man", "-E", "UTF-8", "-P", "cat", "-l", name], capture_output=True, text=True, check=True,
                           env={**os.environ, "MANWIDTH": "1000", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"}).stdout
    return " ".join(shown.split())


@story.story
def every_option_command_and_flag_is_in_the_manual():
    folder = installed()
    daemon, client = page(folder, "edgereplayd.8"), page(folder, "edgereplay.1")
    options = ["%s.%s" % pair for pair in re.findall(r"^\t(?:ROW|CHOICE)\((\w+), (\w+),", read("server/config.c"), re.MULTILINE)]
    commands = re.findall(r'^\t\{"([a-z -]+)", cmd_', read("server/cli/commands.c"), re.MULTILINE)
    flags = re.findall(r'^\t\[FLAG_\w+\] =\s+\w+\("([a-z-]+)"', read("server/cli/flags.c"), re.MULTILINE)
    is_true(len(options) > 70 and len(commands) > 15 and len(flags) > 30, "the tables: %s, %s, %s", options, commands, flags)
    for option in options:
        is_true(" %s " % option in daemon, "%s is not in edgereplayd(8)", option)
    for command in commands:
        is_true(" %s edgereplay %s " % (command, command) in client, "%s is not in edgereplay(1)", command)
    for flag in flags:
        is_true(re.search(r"--%s\b" % flag, client), "--%s is not in edgereplay(1)", flag)
    for text, codes in ((daemon, "012"), (client, "012345")):
        status = text[text.index("EXIT STATUS"):text.index("SEE ALSO")]
        same([code for code in "0123456789" if re.search(r"(^| )%s " % code, status)], list(codes), "exit codes in " + status)
    story.say("%d options, %d commands, %d flags", len(options), len(commands), len(flags))


@story.story
def the_units_of_sizes_are_the_same_everywhere():
    told = page(installed(), "edgereplayd.8")
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        subprocess.run([os.path.join(story.BUILD, "edgereplayd"), "--check-config", "--store.dir=d", "--store.free_min=1" + unit], check=True, capture_output=True)
        for what, text in (("the manual", told), ("--rate", tool("backup", "d", "--rate=much", expect=2).error),
                           ("the reference", read("config/edgereplay.ini"))):
            is_true(unit in text, "%s does not have %s", what, unit)


@story.story
def the_version_is_the_same_everywhere():
    version = re.search(r"^VERSION := (.*)$", read("Makefile"), re.MULTILINE).group(1)
    same(tool("--version").out, "edgereplay %s\n" % version, "the tool's")
    same(re.match(r"edgereplay \((.*?)\)", read("debian/changelog")).group(1), version, "the package's")
    same(re.search(r"^ARG VERSION=(.*)$", read("Dockerfile"), re.MULTILINE).group(1), version, "the image's")
    same(re.search(r"^\| the program \| (.*?) \|", read("docs/upgrade.md"), re.MULTILINE).group(1), version, "the document's")


story.run()
