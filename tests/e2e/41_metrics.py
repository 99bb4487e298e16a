"""What /metrics says is what was done; both formats are read by others' parsers; a request is found by its id and its trace."""
import json
import os
import re
import subprocess
import threading
import time

from support import chain, story, tokens
from support.daemon import Daemon, until
from support.story import is_true, same, say

ON = {"admin.listen": "unix:admin.sock"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = "00-%s-00f067aa0ba902b7-01" % TRACE
PYTHON = "/usr/bin/python3"

# In a process of its own: the parser's package is Debian's.
STRICT = """
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(json.dumps([[f.name, f.type, f.unit, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]]
                  for f in parse(sys.stdin.read())]))
"""


def parsed(text):
    """The families, as the reference parser of OpenMetrics reads them."""
    result = subprocess.run([PYTHON, "-c", STRICT], input=text, capture_output=True, text=True, check=False)
    same(result.returncode, 0, "the strict parser: " + result.stderr[-1000:])
    return json.loads(result.stdout)


def samples(operator):
    """{"name{label="value"}": value}"""
    found = {}
    for line in operator.get("/metrics").body.decode().split("\n"):
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def change(before, after):
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def action(device, ts, payload="p"):
    return {"device": device, "ts": ts, "type": "t", "payload": payload}


def requests(route, status, code):
    return 'edgereplay_requests_total{route="%s",status="%d",code="%s"}' % (route, status, code)


@story.story
def what_was_done_is_counted():
    options = {**ON, "clock.max_skew_ms": 60000, "store.shards": 2}
    with Daemon(options=options) as daemon, daemon.operator() as operator, daemon.client() as client:
        before = samples(operator)
        start = chain.genesis("a")
        three = [action("d", n) for n in (1, 2, 3)]
        links = chain.extend(start, three)
        url = "/v1/logs/a/sync"
        bodies = [
            (chain.sync_body(three, 0, start), 200),
            (chain.sync_body(three[1:], 1, links[0]), 200),  # again: duplicates
            (chain.sync_body([action("d", 2, "another"), action("e", 1 << 47)], 3, links[2]), 200),  # both are refused
            (chain.sync_body([action("f", 7)], 3, links[2], stateHash="0" * 64), 422),
            (chain.sync_body([action("f", 7)], 3, links[1]), 409),
            (chain.sync_body([action("f", 7)], 9, links[1]), 409),
        ]
        for body, status in bodies:
            answer = client.post(url, body)
            same(answer.status, status, "status of %s: %s" % (body, answer.body))
        etag = client.get("/v1/logs/a/head").header("etag")
        same(client.get("/v1/logs/a/head", If_None_Match=etag).status, 304, "not modified")
        same(client.get("/v1/logs/a/actions?after=0").status, 200, "replay")
        same(client.get("/v1/nothing").status, 404, "no path")
        same(client.request("OPTIONS", url).status, 204, "options")
        same(client.request("DELETE", url).status, 405, "delete")
        with daemon.connection() as leaving:
            leaving.send(b"GET /v1/logs/a/head?wait=30 HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n" % etag.encode())
            until(lambda: samples(operator)["edgereplay_waiters"] == 1, "a waiter")
            same(samples(operator)["edgereplay_connections"], 2, "connections")
        until(lambda: samples(operator)["edgereplay_waiters"] == 0, "no waiter, since its client left")
        same(client.post(url, chain.sync_body([action("g", 1)], 3, links[2])).status, 200, "another commit")
        until(lambda: sum(count for name, count in change(before, samples(operator)).items()
                          if name.startswith("edgereplay_requests_total")) == 14, "14 requests over")
        wanted = {
            requests("sync", 200, "OK"): 4,
            requests("sync", 422, "CHAIN_BROKEN"): 1,
            requests("sync", 409, "HASH_MISMATCH"): 1,
            requests("sync", 409, "SERVER_BEHIND"): 1,
            requests("sync", 405, "METHOD_NOT_ALLOWED"): 1,
            requests("actions", 200, "OK"): 1,
            requests("none", 404, "NOT_FOUND"): 1,
            requests("options", 204, "OK"): 1,
            'edgereplay_actions_total{result="applied"}': 4,
            'edgereplay_actions_total{result="duplicate"}': 2,
            'edgereplay_actions_total{result="refused"}': 2,
            'edgereplay_actions_refused_total{code="TIMESTAMP_TAKEN"}': 1,
            'edgereplay_actions_refused_total{code="CLOCK_SKEW"}': 1,
            'edgereplay_hash_verification_failures_total{where="received"}': 1,
            'edgereplay_replay_drift_total{source="hash_mismatch"}': 1,
            'edgereplay_replay_drift_total{source="server_behind"}': 1,
            'edgereplay_commits_total': 2,
            'edgereplay_request_duration_seconds_count{route="sync"}': 7,
            'edgereplay_request_duration_seconds_count{route="actions"}': 1,
            'edgereplay_sync_phase_seconds_count{phase="commit"}': 6,
        }
        got = change(before, samples(operator))
        for name, count in wanted.items():
            same(got.get(name), count, name)
        unchanged, to_nobody = (got.get(requests("head", *end), 0) for end in ((304, "OK"), (0, "UNANSWERED")))
        same(unchanged + to_nobody, 2, "not modified; and the waiter, whose answer may have met its client's end")
        journal = got["edgereplay_journal_sync_seconds_count"]
        is_true(journal >= 2, "the journal was synced %s times", journal)


@story.story
def who_is_refused_and_why_is_counted():
    key, foreign = tokens.Key("EdDSA", "ed"), tokens.Key("EdDSA", "ed")
    forbidden = {**tokens.header(key), "alg": "HS256"}
    options = {**ON, "auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks(os.path.abspath("jwks.json"), key),
               "auth.issuer": tokens.ISSUER, "auth.audience": tokens.AUDIENCE, "rate.failures": 0,
               "rate.requests": 1, "rate.requests_burst": 20}
    good = tokens.make(key)
    asked = [
        ("absent", 401, None),
        ("malformed", 401, "no token"),
        ("malformed", 401, "a.b.c"),
        ("algorithm", 401, tokens.make(key, head=forbidden)),
        ("key", 401, tokens.make(key, head=tokens.header(key, kid="other"))),
        ("signature", 401, tokens.make(foreign)),
        ("claims", 401, tokens.make(key, tokens.claims(exp=1))),
        ("subject", 403, tokens.make(key, tokens.claims("no/log/name"))),
    ]
    with Daemon(options=options) as daemon, daemon.operator() as operator, daemon.client() as client:
        before = samples(operator)
        for reason, status, token in asked:
            headers = {} if token is None else {"Authorization": "Bearer " + token}
            same(client.get("/v1/logs/anna/head", **headers).status, status, reason)
        statuses = [client.get("/v1/logs/anna/head", Authorization="Bearer " + good).status for _ in range(60)]
        same(client.get("/v1/logs/berta/head", Authorization="Bearer " + tokens.make(key, tokens.claims("carl"))).status, 403, "another's")
        limited = statuses.count(429)
        is_true(30 <= limited <= 40, "limited: %d", limited)
        until(lambda: change(before, samples(operator)).get(requests("head", 403, "FORBIDDEN")) == 2, "all are over")
        got = change(before, samples(operator))
        wanted = {'edgereplay_auth_failures_total{reason="%s"}' % reason: [one[0] for one in asked].count(reason) for reason, _, _ in asked}
        wanted.update({
            requests("head", 401, "UNAUTHENTICATED"): 7,
            requests("head", 429, "RATE_LIMITED"): limited,
            "edgereplay_rate_limited_total": limited,
            'edgereplay_token_cache_total{result="hit"}': 59,
            'edgereplay_token_cache_total{result="miss"}': 8,
        })
        for name, count in wanted.items():
            same(got.get(name), count, name)


def refused_connections(operator):
    return [samples(operator)['edgereplay_connections_refused_total{reason="%s"}' % reason] for reason in ("full", "address")]


@story.story
def connections_beyond_the_limits_are_counted():
    options = {**ON, "server.connections": 8, "server.address_connections": 0, "store.queue": 256, "store.shards": 2}
    with Daemon(options=options) as daemon, daemon.operator() as operator:
        found = samples(operator)
        same((found["edgereplay_connections_limit"], found['edgereplay_queue_limit_requests{shard="1"}']), (8, 256), "limits")
        same(refused_connections(operator), [0, 0], "refused at first")
        held = [daemon.connection() for _ in range(20)]
        until(lambda: refused_connections(operator) == [12, 0], "12 of 20 to be refused")
        same(samples(operator)["edgereplay_connections"], 8, "connections")
        for connection in held:
            connection.close()
    with Daemon(options={**options, "server.address_connections": 3}) as daemon, daemon.operator() as operator:
        held = [daemon.connection() for _ in range(8)]
        until(lambda: refused_connections(operator) == [0, 5], "5 of 8 to be refused")
        for connection in held:
            connection.close()


@story.story
def both_formats_are_read_by_other_parsers():
    with Daemon(options={**ON, "store.shards": 4}) as daemon, daemon.operator() as operator, daemon.client() as client:
        client.post("/v1/logs/a/sync", chain.sync_body([action("d", 1)], 0, chain.genesis("a")))
        answer = operator.get("/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1")
        same(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8", "type")
        text = answer.body.decode()
        is_true(text.endswith("\n# EOF\n"), "it ends with EOF: %s", text[-50:])
        families = parsed(text)
        is_true(len(families) > 30, "%d families", len(families))
        for name, kind, _, help_text, _ in families:
            is_true(help_text.endswith("."), "the help of %s is a sentence: %r", name, help_text)
            is_true(re.fullmatch(r"(edgereplay|process)_[a-z_]+", name), "name %s", name)
            is_true(kind in ("counter", "gauge", "histogram"), "type of %s: %s", name, kind)
        older = operator.get("/metrics", Accept="text/plain")
        same(older.header("content-type"), "text/plain; version=0.0.4; charset=utf-8", "type")
        checked = subprocess.run(["promtool", "check", "metrics"], input=older.body, capture_output=True, check=False)
        same((checked.returncode, checked.stdout + checked.stderr), (0, b""), "promtool check metrics")
        say("%d families, %d bytes with 4 shards", len(families), len(text))


@story.story
def nothing_that_a_client_chose_is_in_it():
    odd = "oddname"
    with Daemon(options=ON) as daemon, daemon.operator() as operator, daemon.client() as client:
        size = len(operator.get("/metrics").body)
        for n in range(200):
            log = "%s-%d" % (odd, n)
            client.post("/v1/logs/%s/sync" % log, chain.sync_body([action(odd + str(n), 1)], 0, chain.genesis(log)),
                        User_Agent=odd, X_Request_Id="%s-%d" % (odd, n))
            client.get("/%s/%d" % (odd, n))
            client.request("ODD" + str(n % 5), "/v1/info")
        body = operator.get("/metrics").body
        is_true(odd.encode() not in body, "a client's word")
        is_true(len(body) < size + 2000, "from %d to %d bytes", size, len(body))


@story.story
def the_process_is_what_the_kernel_says():
    with Daemon(options=ON) as daemon, daemon.operator() as operator:
        got, folder = samples(operator), "/proc/%d/" % daemon.process.pid
        same(got["process_threads"], len(os.listdir(folder + "task")), "threads")
        until(lambda: abs(samples(operator)["process_open_fds"] - len(os.listdir(folder + "fd"))) <= 2, "the same descriptors")
        status = dict(line.split(":", 1) for line in open(folder + "status"))
        memory = 1024 * int(status["VmRSS"].split()[0])
        is_true(0.8 < got["process_resident_memory_bytes"] / memory < 1.25, "memory: %s", got["process_resident_memory_bytes"])
        is_true(abs(time.time() - got["process_start_time_seconds"]) < 120, "start: %s", got["process_start_time_seconds"])
        is_true(got["process_cpu_seconds_total"] < 60, "CPU: %s", got["process_cpu_seconds_total"])
        disk = os.statvfs(daemon.dir)
        same(got["edgereplay_disk_size_bytes"], disk.f_blocks * disk.f_frsize, "the disk")


@story.story
def counting_from_many_threads_loses_nothing():
    """Scraped meanwhile: no counter ever falls."""
    with Daemon(options={**ON, "server.threads": 4, "limits.sync_msec": 0}) as daemon, daemon.operator() as operator:
        def load(number):
            with daemon.client() as client:
                log, link = "log-%d" % number, chain.genesis("log-%d" % number)
                for n in range(200):
                    one = [action("d", n + 1)]
                    same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(one, n, link)).status, 200, "sync")
                    link = chain.extend(link, one)[-1]
        threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        last = {}
        while any(thread.is_alive() for thread in threads):
            now = samples(operator)
            for name, value in now.items():
                if re.search(r"_(total|count|bucket|sum)\b", name):
                    is_true(value >= last.get(name, 0), "%s fell from %s to %s", name, last.get(name), value)
            last = now
        until(lambda: samples(operator)[requests("sync", 200, "OK")] == 1600, "1600 syncs")
        same(samples(operator)['edgereplay_actions_total{result="applied"}'], 1600, "applied")
        same(samples(operator)['edgereplay_sync_phase_seconds_count{phase="queue"}'], 1600, "phases")


@story.story
def a_request_is_found_by_its_id_and_by_its_trace():
    with Daemon(options={**ON, "log.level": "debug", "log.slow_ms": 1}) as daemon, daemon.client() as client:
        same(client.get("/v1/nothing", X_Request_Id="id-1", traceparent=TRACEPARENT).status, 404, "status")
        many = [action("d", n + 1, "x" * 500) for n in range(1000)]
        same(client.post("/v1/logs/a/sync", chain.sync_body(many, 0, chain.genesis("a")), X_Request_Id="id-2",
                         traceparent=TRACEPARENT).status, 200, "sync")
        client.get("/v1/info", X_Request_Id="id-3", traceparent="00-nonsense")
        daemon.await_event("request over", 3)
        about = {event: daemon.events(event)[0] for event in ("request refused", "slow request")}
        same((about["request refused"]["request"], about["request refused"]["trace"]), ("id-1", TRACE), "refused")
        slow = about["slow request"]
        same((slow["request"], slow["trace"], slow["route"], slow["code"]), ("id-2", TRACE, "sync", "OK"), "slow")
        phases = sum(int(slow[phase + "_us"]) for phase in ("decode", "queue", "commit", "answer"))
        same(int(slow["total_us"]), phases, "the phases are the whole")
        is_true("receive_ms" in slow and "send_us" in slow, "the client's part: %s", slow)
        is_true("trace" not in daemon.events("request over")[2], "a bad traceparent is none")
    with Daemon(options={**ON, "log.slow_ms": 0}) as daemon, daemon.client() as client:
        client.post("/v1/logs/a/sync", chain.sync_body(many, 0, chain.genesis("a")))
        same(daemon.events("slow request"), [], "switched off")


if __name__ == "__main__":
    story.run()
