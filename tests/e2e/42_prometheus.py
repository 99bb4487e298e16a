"""Rules, dashboard and runbooks as a real Prometheus has them, scraping a daemon under load."""
import functools
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from support import chain, front, story, tokens
from support.daemon import Daemon, tool, until
from support.story import is_true, same, say

CONFIG = os.path.join(story.ROOT, "config")
RULES = os.path.join(CONFIG, "prometheus/rules.yml")
TESTS = [os.path.join(story.ROOT, "tests/prometheus", name) for name in ("rules_test.yml", "days_test.yml")]
RUNBOOKS = os.path.join(story.ROOT, "docs/operations.md")
TARGET = "127.0.0.1:9464"
VARIABLES = {"$__rate_interval": "10s", "$__range": "1m", "$instance": ".*"}

if not shutil.which("prometheus") or not shutil.which("promtool"):
    story.skip("prometheus is not installed")


def promtool(*arguments):
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    same(result.returncode, 0, "promtool %s:\n%s%s" % (" ".join(arguments), result.stdout, result.stderr))


class Prometheus:
    """The configuration of the tree, but with this target, scraped every second."""

    def __init__(self, target):
        text = open(os.path.join(CONFIG, "prometheus/prometheus.yml")).read()
        is_true(TARGET in text, "the target")
        text = text.replace(TARGET, target).replace("interval: 5s", "interval: 1s").replace("- rules.yml", "- " + RULES)
        with open("prometheus.yml", "w") as file:
            file.write(text)
        self.url = "http://127.0.0.1:%d" % front.free_port()
        self.log = open("prometheus.log", "w+")
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
             "--web.listen-address=" + self.url[len("http://"):]], stdout=self.log, stderr=self.log)
        story.cleanups[self.stop] = True
        until(self.is_ready, "Prometheus")

    def is_ready(self):
        is_true(self.process.poll() is None, "Prometheus ended: %s", open("prometheus.log").read()[-2000:])
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=10).status == 200
        except OSError:
            return False

    def ask(self, path, **query):
        url = "%s/api/v1/%s?%s" % (self.url, path, urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError("%s: %s" % (url, error.read())) from error

    def query(self, expression):
        """[(labels, value)]"""
        return [(series["metric"], float(series["value"][1])) for series in self.ask("query", query=expression)["result"]]

    def firing(self):
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def stop(self):
        story.cleanups.pop(self.stop, None)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


class Load(threading.Thread):
    """A phone that syncs, replays and waits, until it is told to stop."""

    def __init__(self, daemon, headers):
        super().__init__(daemon=True)
        self.daemon_address, self.over, self.syncs, self.failed = daemon.client, threading.Event(), 0, None
        self.headers = headers
        self.start()

    def run(self):
        try:
            with self.daemon_address() as client:
                client.headers = self.headers
                self.work(client)
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error

    def work(self, client):
        seq, link = 0, chain.genesis("phone")
        while not self.over.is_set():
            one = [{"device": "d", "ts": seq + 1, "type": "t", "payload": "x" * 100}]
            same(client.post("/v1/logs/phone/sync", chain.sync_body(one, seq, link)).status, 200, "sync")
            seq, link = seq + 1, chain.extend(link, one)[-1]
            same(client.get("/v1/logs/phone/actions?after=%d" % (seq - 1)).status, 200, "replay")
            same(client.get("/v1/logs/phone/head").status, 200, "head")
            same(client.get("/v1/info").status, 200, "info")
            self.syncs = seq
            time.sleep(0.02)

    def stop(self):
        self.over.set()
        self.join()
        is_true(self.failed is None, "the load: %r", self.failed)


def panels():
    """[(title, expression)] of the dashboard."""
    dashboard = json.load(open(os.path.join(CONFIG, "grafana/edgereplay.json")))
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            is_true("$" not in expression, "an unknown variable in %s", expression)
            found.append((panel["title"], expression))
    return found


def expression_of(title):
    found = [expression for panel, expression in panels() if panel == title]
    same(len(found), 1, "expressions of " + title)
    return found[0]


def evaluated(name, series, *cases):
    """cases: (panel, at, [(labels, value)]); one sample of a series in 5 seconds."""
    tests = [{"expr": expression_of(title), "eval_time": at,
              "exp_samples": [{"labels": labels, "value": value} for labels, value in wanted]} for title, at, wanted in cases]
    with open("panels_test.yml", "w", encoding="ascii") as file:
        json.dump({"evaluation_interval": "5s", "tests": [{
            "name": name, "interval": "5s", "promql_expr_test": tests,
            "input_series": [{"series": one, "values": values} for one, values in series.items()]}]}, file)
    promtool("test", "rules", "panels_test.yml")


@story.story
def the_first_panel_says_when_one_of_several_is_down_or_not_ready():
    up, ready = 'up{job="edgereplay",instance="%s"}', 'edgereplay_ready{job="edgereplay",instance="%s"}'
    evaluated("ready", {up % "a": "1x40", ready % "a": "1x40", up % "b": "1x20 0x19", ready % "b": "1x10 0x10 stale",
                        'up{job="other",instance="c"}': "0x40"},
              ("Ready", "30s", [("{}", 1)]), ("Ready", "80s", [("{}", 0)]), ("Ready", "180s", [("{}", 0)]))


@story.story
def a_share_of_no_requests_is_whole_and_of_no_daemon_is_none():
    good, bad = ('edgereplay_requests_total{route="sync",status="%d",code="%s"}' % end for end in ((200, "OK"), (503, "STORAGE_UNAVAILABLE")))
    evaluated("share", {good: "0x10 0+3x10 30x10 _x70", bad: "0x10 0+1x10 10x10 _x70"},
              *[("Answered without a 5xx", at, wanted) for at, wanted in
                (("40s", [("{}", 1)]), ("100s", [("{}", 0.75)]), ("150s", [("{}", 1)]), ("500s", []))])


@story.story
def the_age_of_the_last_backup_outlives_a_restart_and_is_none_where_there_was_none():
    last = 'edgereplay_backup_last_success_timestamp_seconds{instance="a",shard="%d"}'
    shard = 'edgereplay_shard_up{instance="a",shard="%d"}'
    evaluated("backup", {shard % 0: "1x120", shard % 1: "1x120", last % 0: "_x10 20x10 _x100", last % 1: "_x10 30x10 _x100"},
              ("Since the last backup", "40s", []), ("Since the last backup", "80s", [('{instance="a"}', 60)]),
              ("Since the last backup", "500s", [('{instance="a"}', 480)]))


def serve_keys(key):
    """The address of a set of keys."""
    tokens.write_jwks("jwks.json", key)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=os.getcwd())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "http://127.0.0.1:%d/jwks.json" % server.server_port


@story.story
def the_rules_are_right():
    promtool("check", "config", os.path.join(CONFIG, "prometheus/prometheus.yml"))
    promtool("test", "rules", *TESTS)


@story.story
def each_alert_is_tested_and_has_a_runbook():
    rules = open(RULES).read()
    tests = "".join(open(path).read() for path in TESTS)
    sections = re.findall(r"^### (\w+)$", open(RUNBOOKS).read(), re.MULTILINE)
    alerts = re.findall(r"- alert: (\w+)", rules)
    same(sorted(sections), sorted(alerts), "the runbooks' sections")
    for alert in re.split(r"- alert: ", rules)[1:]:
        name = alert.split()[0]
        is_true(name in tests, "%s is not tested", name)
        is_true("runbook_url: docs/operations.md#%s\n" % name.lower() in alert, "%s has no runbook", name)
        is_true(re.search(r"severity: (critical|warning)\}", alert) and "summary: " in alert, "%s says too little", name)


@story.story
def a_dashboard_of_a_loaded_daemon_has_data_and_an_alert_fires():
    key = tokens.Key("EdDSA", "ed")
    headers = {"Authorization": "Bearer " + tokens.make(key, tokens.claims("phone"))}
    options = {"admin.listen": "unix:admin.sock", "admin.metrics_listen": "127.0.0.1:0", "store.shards": 2, "store.scrub_rate": 100000,
               "auth.mode": "jwt", "auth.jwks_url": serve_keys(key), "rate.requests": 0}
    with Daemon(options=options) as daemon:
        target = daemon.events("metrics listening")[0]["address"]
        with daemon.client() as client:
            until(lambda: client.get("/v1/logs/phone/head", **headers).status != 503, "the keys")
        prometheus, load = Prometheus(target), Load(daemon, headers)
        until(lambda: prometheus.query('up{job="edgereplay"} == 1'), "a scrape")
        same(prometheus.query(expression_of("Since the last backup")), [], "before there was one")
        tool("backup", daemon.dir, "--to=backup", "--rate=0")
        # Whatever is a share of nothing at first has a value once there was load over a rate's time.
        empty = None

        def all_have_data():
            nonlocal empty
            empty = [title for title, expression in panels()
                     if not any(value == value for _, value in prometheus.query(expression))]
            return not empty
        try:
            until(all_have_data, "data in every panel", 60)
        except AssertionError as error:
            raise AssertionError("panels without data: %s" % empty) from error
        say("%d expressions of the dashboard have data after %d syncs", len(panels()), load.syncs)
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        same({rule["health"] for rule in rules} - {"unknown"}, {"ok"}, "rules that cannot be evaluated")
        is_true(not prometheus.firing() & {"EdgereplayReplayDrift", "EdgereplayHashVerificationFailure", "EdgereplayDown"},
                "nothing is wrong, but %s", prometheus.firing())
        with daemon.client() as client:
            client.headers = headers
            one = [{"device": "e", "ts": 1, "type": "t", "payload": ""}]
            same(client.post("/v1/logs/phone/sync", chain.sync_body(one, 1, chain.genesis("wrong"))).status, 409, "drift")
            same(client.post("/v1/logs/phone/sync", chain.sync_body(one, 0, chain.genesis("phone"),
                                                                     stateHash="0" * 64)).status, 422, "a broken chain")
        until(lambda: {"EdgereplayReplayDrift", "EdgereplayHashVerificationFailure"} <= prometheus.firing(), "both alerts")
        load.stop()
        same([value for _, value in prometheus.query(expression_of("Ready"))], [1], "ready")
        daemon.stop()
        until(lambda: [value for _, value in prometheus.query(expression_of("Ready"))] == [0], "the first panel to say that nobody answers")
        prometheus.stop()


if __name__ == "__main__":
    story.run()
