"""config/compose.yaml, brought up for real: a phone syncs over HTTPS through Caddy, Prometheus has the daemon's figures.

Caddy and Prometheus are Debian's, in images that stand in for theirs. Grafana is not to be had: of it is checked that
what it is given fits together.
"""
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import chain, front, raw, story  # pylint: disable=wrong-import-position
from support.daemon import tool, until  # pylint: disable=wrong-import-position
from support.story import is_true, same  # pylint: disable=wrong-import-position

FILE = os.path.join(story.ROOT, "config/compose.yaml")
PROJECT = "edgereplay-test-%d" % os.getpid()
PORTS = {"EDGEREPLAY_HTTPS_PORT": front.free_port(), "EDGEREPLAY_HTTP_PORT": front.free_port()}
STAND_INS = {"CADDY_IMAGE": "caddy", "PROMETHEUS_IMAGE": "prometheus"}


def run(*command, expect=0):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if expect is not None:
        same(done.returncode, expect, "%s: %s%s, exit code" % (command, done.stdout[-1500:], done.stderr[-1500:]))
    return done


def stand_in(package):
    name, folder = "localhost/edgereplay-%s:bookworm" % package, tempfile.mkdtemp(prefix="context.")
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="ascii") as file:
        file.write("FROM localhost/edgereplay-base:bookworm\nRUN apt-get update && apt-get install --no-install-recommends -y"
                   " %s && rm -rf /var/cache/apt/archives\n" % package)
    run("podman", "build", "--isolation=chroot", "--network=host", "--pull=never", "--format=docker", "--tag", name, folder)
    return name


def compose(*arguments, expect=0):
    return run("podman-compose", "-p", PROJECT, "-f", FILE, *arguments, expect=expect)


def container(service):
    return "%s_%s_1" % (PROJECT, service)


def down():
    story.cleanups.pop(down, None)
    compose("down", "-v", "-t", "5", expect=None)
    for what in ("network", "volume"):
        for name in run("podman", what, "ls", "--format={{.Name}}", "--filter=label=io.podman.compose.project=" + PROJECT).stdout.split():
            run("podman", what, "rm", "--force", name, expect=None)


def up():
    os.environ.update({name: stand_in(package) for name, package in STAND_INS.items()})
    os.environ.update({name: str(port) for name, port in PORTS.items()})
    story.cleanups[down] = True
    # It does not know of conditions, so the keys first; nor of services that need not be there.
    for service in ("token", "edgereplay", "caddy", "prometheus"):
        compose("up", "-d", service)


def authority():
    """A file with that of the certificate that Caddy has made."""
    path = "/data/caddy/pki/authorities/local/root.crt"
    until(lambda: run("podman", "exec", container("caddy"), "test", "-e", path, expect=None).returncode == 0, "a certificate")
    with open("root.crt", "w", encoding="ascii") as file:
        file.write(run("podman", "exec", container("caddy"), "cat", path).stdout)
    return file.name


def token():
    return run("podman", "run", "--rm", "--no-healthcheck", "--network=none", "--volume=%s_secret:/data" % PROJECT, "--entrypoint=edgereplay",
               os.environ["EDGEREPLAY_IMAGE"], "token", "mint", "--key=/data/key.json", "--sub=me").stdout.strip()


def sample(expression):
    said = run("podman", "exec", container("prometheus"), "promtool", "query", "instant", "-o", "json", "http://localhost:9090",
               expression, expect=None)
    return [found["value"][1] for found in json.loads(said.stdout)] if said.returncode == 0 else []


@story.story
def a_phone_syncs_over_https_with_a_token():
    ca, site = authority(), {"Host": "localhost"}
    headers = {"Authorization": "Bearer " + token(), **site}
    address = ("127.0.0.1", PORTS["EDGEREPLAY_HTTPS_PORT"])
    until(lambda: run("podman", "exec", container("edgereplay"), "edgereplay", "health", "--live", "--url=unix:/data/admin.sock",
                      expect=None).returncode == 0, "the daemon")
    with raw.Client(address, tls=ssl.create_default_context(cafile=ca)) as client:
        same(client.get("/v1/info", **site).json()["protocol"], 1, "what needs no token")
        body = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "p"}], 0, chain.genesis("me"))
        same(client.post("/v1/logs/me/sync", body, **site).status, 401, "status without a token")
        same(client.post("/v1/logs/me/sync", body, **headers).status, 200, "status")
        same(client.get("/v1/logs/me/head", **headers).json()["seq"], 1, "seq")
    with open("token", "w", encoding="ascii") as file:
        file.write(headers["Authorization"].split()[1])
    url = "--url=https://localhost:%d" % address[1]
    is_true(tool("head", url, "--log=me", "--ca-file=" + ca, "--token-file=token").out.startswith("1 "), "the tool, which trusts Caddy's authority")
    is_true("--ca-file" in tool("head", url, "--log=me", expect=3).error, "what the tool says that does not")


@story.story
def the_daemon_does_not_see_the_key_that_signs():
    run("podman", "exec", container("edgereplay"), "sh", "-c", "test -e /keys/jwks.json && ! test -e /keys/key.json && ! test -e /data/key.json")


@story.story
def a_backup_is_the_line_that_the_document_has():
    with open(os.path.join(story.ROOT, "docs/operations.md"), encoding="utf-8") as file:
        line = re.search(r"^docker compose -f config/compose.yaml exec -T edgereplay sh -c '(.*)'$", file.read(), re.MULTILINE).group(1)
    run("podman", "exec", container("edgereplay"), "sh", "-c", line)
    made = run("podman", "exec", container("edgereplay"), "ls", "/backups").stdout.split()
    same(len(made), 1, "backups: %s" % made)

    def offline(*command):
        return run("podman", "run", "--rm", "--no-healthcheck", "--network=none", "--volume=%s_backups:/backups" % PROJECT,
                   "--entrypoint=edgereplay", os.environ["EDGEREPLAY_IMAGE"], *command).stdout
    offline("verify", "/backups/" + made[0])
    is_true('"payload":"p"' in offline("export", "me", "--from=/backups/" + made[0]), "what the phone has synced is in it")


@story.story
def prometheus_has_the_figures_and_the_alerts():
    until(lambda: sample("edgereplay_ready") == ["1"], "edgereplay_ready")
    rules = run("podman", "exec", container("prometheus"), "promtool", "check", "config", "/tmp/prometheus.yml").stdout
    is_true("rules found" in rules and "SUCCESS" in rules, "the rules: %s", rules)


@story.story
def what_grafana_is_given_fits_together():
    with open(FILE, encoding="utf-8") as file:
        services = yaml.safe_load(file)["services"]
    config = os.path.dirname(FILE)
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"] if volume.startswith("./"))
    for path in mounts:
        is_true(os.path.exists(os.path.join(config, path)), "%s is there", path)
    provisioning = os.path.join(config, "grafana/provisioning")
    with open(os.path.join(provisioning, "datasources/prometheus.yaml"), encoding="utf-8") as file:
        source = yaml.safe_load(file)["datasources"][0]
    same((source["type"], source["url"]), ("prometheus", "http://prometheus:9090"), "where the figures come from")
    is_true(set(services["grafana"]["networks"]) & set(services["prometheus"]["networks"]), "a network with Prometheus")
    with open(os.path.join(provisioning, "dashboards/edgereplay.yaml"), encoding="utf-8") as file:
        folder = yaml.safe_load(file)["providers"][0]["options"]["path"]
    same(os.path.dirname(mounts["./grafana/edgereplay.json"]), folder, "where the dashboard is")


@story.story
def only_the_proxy_and_prometheus_reach_the_daemon():
    with open(FILE, encoding="utf-8") as file:
        said = yaml.safe_load(file)
    same((said["services"]["edgereplay"]["networks"], said["networks"]["operator"]), (["operator"], {"internal": True}), "its network")
    same([name for name, service in said["services"].items() if "operator" in service.get("networks", [])],
         ["token", "edgereplay", "prometheus"], "who is on it")
    is_true("ports" not in said["services"]["edgereplay"], "no port of it is published")


try:
    up()
    story.run()
finally:
    down()
