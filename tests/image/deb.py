"""The Debian package in a container whose process 1 is systemd: installed, started, upgraded under load, hung, removed, purged.

It has no network: the dependencies are in its image, and what asks the daemon is the package's own tool.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import story  # pylint: disable=wrong-import-position
from support.daemon import until  # pylint: disable=wrong-import-position
from support.story import is_true, same  # pylint: disable=wrong-import-position

IMAGE, NAME = "localhost/edgereplay-systemd:bookworm", "edgereplay-deb-%d" % os.getpid()
DATA, BACKUPS, URL = "/var/lib/edgereplay", "/var/backups/edgereplay", "--url=http://127.0.0.1:8080"
PACKAGES = glob.glob(os.path.join(story.BUILD, "edgereplay_*.deb"))
PUSH = "echo '{\"type\":\"t\",\"payload\":\"%s\"}' | edgereplay push -q " + URL + " --log=me --state=/root/state -"


def run(*command, expect=0, **how):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **how)
    if expect is not None:
        same(done.returncode, expect, "%s: %s%s, exit code" % (command, done.stdout[-1500:], done.stderr[-1500:]))
    return done


def inside(*command, expect=0):
    return run("podman", "exec", NAME, *command, expect=expect)


def shell(text, expect=0):
    return inside("sh", "-c", text, expect=expect).stdout


def dependencies():
    """What the package says that it needs, the first of several."""
    said = run("dpkg-deb", "-f", PACKAGES[0], "Depends").stdout
    return sorted(alternatives.split("|")[0].split("(")[0].strip() for alternatives in said.split(","))


def start():
    folder = tempfile.mkdtemp(prefix="context.")
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="ascii") as file:
        file.write("FROM localhost/edgereplay-base:bookworm\nRUN apt-get update && apt-get install --no-install-recommends -y"
                   " systemd-sysv %s && rm -rf /var/cache/apt/archives\nCMD [\"/lib/systemd/systemd\"]\n" % " ".join(dependencies()))
    run("podman", "build", "--isolation=chroot", "--network=host", "--pull=never", "--format=docker", "--tag", IMAGE, folder)
    run("podman", "run", "--detach", "--rm", "--name", NAME, "--systemd=always", "--network=none",
        "--volume=%s:/packages:ro" % os.path.realpath(newer()), IMAGE)
    story.cleanups[stop] = True
    until(lambda: inside("systemctl", "is-system-running", expect=None).stdout.strip() in ("running", "degraded"), "systemd")


def stop():
    story.cleanups.pop(stop, None)
    subprocess.run(["podman", "rm", "--force", "--volumes", "--time=0", NAME], capture_output=True, check=False)


def newer():
    """A folder with the package, old.deb, the same with a higher version, new.deb, and what make install puts in place."""
    folder = tempfile.mkdtemp(prefix="packages.")
    run("cp", PACKAGES[0], os.path.join(folder, "old.deb"))
    content = os.path.join(folder, "content")
    run("dpkg-deb", "-R", PACKAGES[0], content)
    run("sed", "-i", r"s/^Version: .*/&+next/", os.path.join(content, "DEBIAN/control"))
    run("dpkg-deb", "-b", content, os.path.join(folder, "new.deb"))
    run("rm", "-r", content)
    run("make", "-s", "-C", story.ROOT, "install", "DESTDIR=" + os.path.realpath(os.path.join(folder, "sources")),
        "BUILD=" + story.BUILD)
    return folder


def active(unit="edgereplayd.service"):
    return inside("systemctl", "is-active", unit, expect=None).stdout.strip() == "active"


def serves():
    return inside("edgereplay", "head", URL, "--log=me", "--give-up=5", expect=None).returncode == 0


def blocks(document, heading, language="sh"):
    """The blocks of code below a heading, up to the next one."""
    with open(os.path.join(story.ROOT, "docs", document), encoding="utf-8") as file:
        section = re.split(r"^#+ ", file.read().split("# %s\n" % heading)[1], flags=re.MULTILINE)[0]
    return [textwrap.dedent(block) for block in re.findall(r"^ *```%s\n(.*?)^ *```" % language, section, re.DOTALL | re.MULTILINE)]


def shown(name):
    return inside("systemctl", "show", "--value", "--property=" + name, "edgereplayd.service").stdout.strip()


def files():
    """All there is, but for what the system writes anyway."""
    return set(shell("find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' -not -path"
                     " '/var/log/*' -not -path '/var/lib/dpkg/*' -not -path '/root/*' -not -path '/var/tmp/*'").split("\n"))


@story.story
def it_is_installed_and_serves_confined():
    global before  # pylint: disable=global-statement
    before = files()
    inside("dpkg", "-i", "/packages/old.deb")
    is_true(active() and active("edgereplayd.socket"), "it runs: %s", shell("systemctl status edgereplayd.service", None))
    shell(PUSH % "first")
    same(shell("edgereplay health --url=unix:%s/admin.sock" % DATA), '{"ready":true,"reasons":[],"warnings":[]}\n', "its health")
    process = shell("cat /proc/%s/status" % shown("MainPID"))
    for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        is_true(line in process, "%r is not in %s", line, process)
    same(shell("stat -c '%%U %%a' %s" % DATA), "edgereplay 700\n", "who may enter the data directory")
    for unit in ("service", "socket"):
        same(shell("systemd-analyze verify --man=no edgereplayd.%s 2>&1" % unit), "", "what is wrong with the unit")


@story.story
def its_backup_is_one_command_away():
    same(shell("systemctl is-enabled edgereplay-backup.timer", None), "disabled\n", "whether backups are made by themselves")
    shell("systemctl enable --now edgereplay-backup.timer && systemctl start edgereplay-backup.service")
    made = shell("ls %s" % BACKUPS).split()
    same(len(made), 1, "backups")
    shell("edgereplay restore %s/%s /root/restored" % (BACKUPS, made[0]))
    same(shell("edgereplay export me --from=/root/restored | grep -c first"), "1\n", "what was there before")


@story.story
def a_restore_is_as_the_document_says_and_phones_bring_back_the_rest():
    backup = "%s/%s" % (BACKUPS, shell("ls " + BACKUPS).split()[0])
    shell(PUSH % "second")
    backs_up, restores = blocks("operations.md", "Backups")
    shell("set -e; cd /root\n" + restores.replace(BACKUPS + "/today", backup))
    until(serves, "the daemon")
    same(shell("edgereplay pull %s --log=me | grep -c 'first\\|second'" % URL), "1\n", "actions that were in the backup")
    shell(PUSH % "third")
    same(shell("edgereplay pull %s --log=me | grep -c 'first\\|second\\|third'" % URL), "3\n", "actions, with the phone's")
    shell("rm -r %s.old; set -e; cd /root\n%srm -r %s/today" % (DATA, backs_up, BACKUPS))


@story.story
def a_log_is_repaired_as_the_runbook_says():
    backup = "%s/%s" % (BACKUPS, shell("ls " + BACKUPS).split()[0])
    repair, = blocks("operations.md", "EdgereplayDamagedLogs")
    shell("systemctl stop edgereplayd.socket edgereplayd.service; set -e; cd /root\n"
          + repair.replace("LOG", "me").replace(BACKUPS + "/today", backup) + "systemctl start edgereplayd.socket edgereplayd.service")
    until(serves, "the daemon")


@story.story
def another_address_is_taken_as_the_document_says_whoever_connects_meanwhile():
    dropin, = blocks("deployment.md", "A service of systemd", "ini")
    again = blocks("deployment.md", "A service of systemd")[1]
    folder = "/etc/systemd/system/edgereplayd.socket.d"
    shell("systemd-run --unit=knocks sh -c 'while :; do edgereplay head %s --log=me --give-up=0; edgereplay head %s --log=me --give-up=0; done'"
          % (URL, "--url=unix:/run/edgereplay.sock"))
    shell("mkdir %s; cat >%s/override.conf <<'END'\n%sEND\n" % (folder, folder, dropin))
    head = "edgereplay head --url=unix:/run/edgereplay.sock --log=me --give-up=%d"
    for _ in range(5):
        shell("set -e\n%s" % again)
        shell("runuser -u www-data -- " + head % 10)
    shell("runuser -u nobody -- " + head % 0, expect=3)
    shell("edgereplay head %s --log=me --give-up=0" % URL, expect=3)
    shell("rm -r %s; set -e\n%ssystemctl stop knocks.service" % (folder, again))
    until(serves, "the daemon")


@story.story
def an_upgrade_starts_it_again_and_nobody_is_refused():
    asked, failed, done = [0], [], threading.Event()

    def ask():
        while not done.is_set():
            answer = inside("edgereplay", "head", URL, "--log=me", "--give-up=30", expect=None)
            asked[0] += 1
            if answer.returncode != 0:
                failed.append(answer.stderr)
    process = shown("MainPID")
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside("dpkg", "-i", "/packages/new.deb")
    until(lambda: shown("MainPID") not in ("0", process), "the new daemon")
    until(lambda: asked[0] >= 20, "a few more to ask")
    done.set()
    for thread in threads:
        thread.join()
    same(failed, [], "who was refused, of %d" % asked[0])
    story.say("%d asked meanwhile, one process a request", asked[0])
    same(shell("edgereplay pull %s --log=me | grep -c first" % URL), "1\n", "what was there before")


@story.story
def one_that_hangs_is_started_again():
    shell("mkdir -p /run/systemd/system/edgereplayd.service.d && printf '[Service]\\nWatchdogSec=2s\\nTimeoutStopSec=5s\\n'"
          " > /run/systemd/system/edgereplayd.service.d/test.conf && systemctl daemon-reload && systemctl restart edgereplayd.service")
    until(serves, "the daemon")
    process = shown("MainPID")
    shell("sleep 5")
    same((shown("MainPID"), shown("NRestarts")), (process, "0"), "one that serves is left alone")
    shell("kill -STOP " + process)
    until(lambda: shown("NRestarts") == "1" and active(), "the restart")
    until(serves, "the daemon")
    is_true("watchdog" in shell("journalctl --no-pager -u edgereplayd.service").lower(), "the journal says why")


def fails_again_and_again():
    """More often than systemd tries by default, with somebody who connects all the time."""
    before_it = int(shown("NRestarts"))

    def have_failed():
        shell("edgereplay head %s --log=me --give-up=1" % URL, expect=None)
        return int(shown("NRestarts")) >= before_it + 6
    until(have_failed, "six more starts")
    is_true(active("edgereplayd.socket"), "the socket: %s", shell("systemctl status edgereplayd.socket", None))


@story.story
def stopped_with_its_socket_it_stays_stopped():
    shell("systemctl stop edgereplayd.socket edgereplayd.service")
    shell("edgereplay head %s --log=me --give-up=1" % URL, expect=None)
    shell("edgereplay verify " + DATA)
    is_true(not active() and not active("edgereplayd.socket"), "it does not run")
    shell("systemctl start edgereplayd.socket edgereplayd.service")
    until(serves, "the daemon")


@story.story
def a_directory_that_is_in_use_is_waited_for():
    shell("systemctl stop edgereplayd.service")
    shell("systemd-run --unit=offline flock %s/lock sleep infinity" % DATA)
    fails_again_and_again()
    is_true("in use by another process" in shell("journalctl --no-pager -u edgereplayd.service"), "the journal says why")
    shell("systemctl stop offline.service")
    until(serves, "the daemon, by itself")


@story.story
def a_wrong_configuration_is_said_and_the_right_one_is_taken_up():
    shell("echo 'nonsense = 1' >> /etc/edgereplay/edgereplay.ini; systemctl restart edgereplayd.service", expect=None)
    fails_again_and_again()
    same(shown("ExecMainStatus"), "2", "exit status")
    is_true("nonsense" in shell("journalctl --no-pager -u edgereplayd.service"), "the journal says what")
    shell("sed -i '/^nonsense/d' /etc/edgereplay/edgereplay.ini")
    until(serves, "the daemon, by itself")


@story.story
def removed_it_leaves_the_data_and_installed_again_it_has_it():
    inside("dpkg", "-r", "edgereplay")
    is_true(not active() and not active("edgereplayd.socket"), "it does not run")
    shell("test -e %s/shard-00.db && test -e /etc/edgereplay/edgereplay.ini" % DATA)
    inside("dpkg", "-i", "/packages/new.deb")
    until(serves, "the daemon")
    same(shell("edgereplay pull %s --log=me | grep -c first" % URL), "1\n", "what was there before")


@story.story
def purged_it_leaves_nothing_but_data():
    done = inside("dpkg", "-P", "edgereplay")
    is_true("has data and is kept" in done.stderr + done.stdout, "it says so: %s", done.stderr)
    left = {path for path in files() - before if not path.startswith((DATA, BACKUPS))}
    # The user stays, as Debian has it; these are its backups, and what systemd writes by itself.
    left -= {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock",
             "/var/lib/systemd/timers/stamp-edgereplay-backup.timer"}
    same(sorted(left), [], "what is left")
    shell("rm -r %s %s && dpkg -i --no-triggers /packages/old.deb && systemctl stop edgereplayd.socket edgereplayd.service"
          " && rm -r %s/* && dpkg -P edgereplay && ! test -e %s && ! test -e %s" % (DATA, BACKUPS, DATA, DATA, BACKUPS))


@story.story
def from_the_sources_it_is_installed_as_the_document_says():
    shell("cp -a /packages/sources/. /")
    with open(os.path.join(story.ROOT, "docs/deployment.md"), encoding="utf-8") as file:
        said = re.search(r"^make install && (.*)$", file.read(), re.MULTILINE).group(1)
    shell(said)
    until(serves, "the daemon")
    shell("systemctl start edgereplay-backup.service")
    same(len(shell("ls " + BACKUPS).split()), 1, "backups")


@story.story
def what_the_readme_links_to_comes_along():
    folder = tempfile.mkdtemp(prefix="package.")
    run("dpkg-deb", "-x", PACKAGES[0], folder)
    folder = os.path.join(folder, "usr/share/doc/edgereplay")
    with open(os.path.join(folder, "README.md"), encoding="utf-8") as file:
        targets = set(re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", file.read()))
    is_true(len(targets) > 10, "links: %s", targets)
    # Which Debian has under another name.
    is_true("CHANGELOG.md" in targets and os.path.exists(os.path.join(folder, "changelog.gz")), "the changelog")
    same(sorted(name for name in targets if not os.path.exists(os.path.join(folder, name))), ["CHANGELOG.md"], "what is missing")


@story.story
def servers_that_only_tests_need_become_no_services():
    said = run("podman", "run", "--rm", "--network=host", "--volume=%s:/install:ro" % os.path.join(story.ROOT, "tests/lint/packages"), IMAGE, "sh", "-c",
               "sh /install haproxy >&2 && command -v haproxy && ! test -e /usr/sbin/policy-rc.d && ! systemctl is-enabled haproxy").stdout
    same(said.split(), ["/usr/sbin/haproxy", "disabled"], "what is there, and as what")


os.environ["CONTAINERS_CONF"] = os.path.join(story.ROOT, "tests/image/containers.conf")
same(len(PACKAGES), 1, "packages in " + story.BUILD)
before = set()
start()
story.run()
