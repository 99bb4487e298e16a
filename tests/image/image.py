"""The image: what is in it, and what a container of it does, confined as an orchestrator would."""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import front, story  # pylint: disable=wrong-import-position
from support.daemon import Daemon, Refused, tool, until  # pylint: disable=wrong-import-position
from support.story import is_true, same  # pylint: disable=wrong-import-position

IMAGE = os.environ["EDGEREPLAY_IMAGE"]
SIZE_MAX = 100e6


def podman(*arguments, expect=0):
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False, timeout=120)
    if expect is not None:
        same(done.returncode, expect, "podman %s: %s%s, exit code" % (arguments, done.stdout[-500:], done.stderr[-2000:]))
    return done


def name(daemon):
    return "edgereplay-%d" % daemon.process.pid


@story.story
def the_image_says_what_it_is_and_is_small():
    image = json.loads(podman("image", "inspect", IMAGE).stdout)[0]
    config = image["Config"]
    story.say("%.1f MB", image["Size"] / 1e6)
    is_true(image["Size"] < SIZE_MAX, "it has %d bytes", image["Size"])
    same((config["User"], config["StopSignal"], list(config["Volumes"])), ("10001:10001", "SIGTERM", ["/data"]), "its configuration")
    same(image["Healthcheck"]["Test"][:4], ["CMD", "/usr/bin/edgereplay", "health", "--live"], "its health check")
    for label in ("title", "description", "version", "revision", "base.name"):
        is_true(config["Labels"].get("org.opencontainers.image." + label), "label %s in %s", label, config["Labels"])
    version = tool("--version").out.split()[1]
    same(config["Labels"]["org.opencontainers.image.version"], version, "its version")
    same(podman("image", "inspect", "--format={{.Id}}", "edgereplay").stdout.strip(), image["Id"], "what the documents call it")


@story.story
def it_has_the_programs_the_certificates_and_no_tools():
    with Daemon() as daemon:
        for program in ("edgereplay", "edgereplayd"):
            is_true(podman("exec", name(daemon), program, "--version").stdout.startswith(program), "%s", program)
        for absent in ("gcc", "cc", "make", "curl", "wget", "openssl", "python3", "perl5.36"):
            podman("exec", name(daemon), "sh", "-c", "! command -v " + absent)
        is_true("BEGIN CERTIFICATE" in podman("exec", name(daemon), "head", "-n", "2",
                                              "/etc/ssl/certs/ca-certificates.crt").stdout, "the certificates")


@story.story
def the_daemon_has_no_rights_and_writes_nowhere_but_to_its_data():
    with Daemon() as daemon:
        status = podman("exec", name(daemon), "cat", "/proc/1/status").stdout
        for line in ("Uid:\t10001\t10001", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
            is_true(line in status, "%r is not in %s", line, status)
        podman("exec", name(daemon), "sh", "-c", "touch /usr/bin/x /etc/x /data/../x", expect=1)
        limits = podman("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.ReadonlyRootfs}}", name(daemon)).stdout
        same(limits.strip(), "%d true" % (256 << 20), "the memory it may have, and its root")


@story.story
def it_refuses_to_serve_everybody_who_reaches_it():
    try:
        Daemon(listen=None).destroy()
        raise AssertionError("it started")
    except Refused as error:
        is_true("auth.mode=none" in error.log and error.code == 1, "%d %s", error.code, error.log)


@story.story
def its_health_is_what_the_check_says():
    with Daemon(options={"admin.listen": "unix:/data/admin.sock"}) as daemon:
        command = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["Healthcheck"]["Test"][1:]
        same(podman("exec", name(daemon), *command).stdout, "alive\n", "the check of one that lives")
    with Daemon() as daemon:
        podman("exec", name(daemon), *command, expect=3)


@story.story
def as_the_document_runs_it_it_serves_who_has_the_token_of_the_document():
    with open(os.path.join(story.ROOT, "docs/deployment.md"), encoding="utf-8") as file:
        text = re.search(r"^(# A key that signs.*?)^```", file.read(), re.DOTALL | re.MULTILINE).group(1)
    port, mine = front.free_port(), "edgereplay-test-%d" % os.getpid()
    text = text.replace("127.0.0.1:8080:", "127.0.0.1:%d:" % port).replace("--name edgereplay ", "--name %s " % mine)
    text = re.sub(r"--volume edgereplay\b", "--volume " + mine, text)
    text = "docker() { local what=$1; shift; podman $what --no-healthcheck --pull=never --label=edgereplay-test=$EDGEREPLAY_TEST \"$@\"; }\n" + text
    try:
        done = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, check=False, timeout=120)
        same(done.returncode, 0, "%s: %s%s, exit code" % (text, done.stdout, done.stderr[-2000:]))
        with open("token", "w", encoding="ascii") as file:
            file.write(done.stdout.split()[-1])
        url = "--url=http://127.0.0.1:%d" % port
        is_true(tool("head", url, "--log=me", "--token-file=token", "--give-up=60").out.startswith("0 "), "the head of its log")
        stranger = tool("head", url, "--log=me", "--give-up=0", expect=3).error
        is_true("UNAUTHENTICATED" in stranger, "without a token: %s", stranger)
    finally:
        podman("rm", "--force", "--time=0", mine, expect=None)
        podman("volume", "rm", "--force", *(mine + name for name in ("", "-secret", "-keys", "-backups")), expect=None)


@story.story
def stop_drains_it_within_what_orchestrators_allow():
    daemon = Daemon()
    with daemon.client() as client:
        same(client.get("/v1/info").status, 200, "status")
    began = time.monotonic()
    podman("stop", "--time", "30", name(daemon))
    same(daemon.wait(), 0, "exit code")
    is_true(daemon.events("stopped"), "it stopped by itself: %s", daemon.log())
    story.say("stopped after %.1f s", time.monotonic() - began)
    until(lambda: podman("container", "exists", name(daemon), expect=None).returncode == 1, "the container to be gone")


story.run()
