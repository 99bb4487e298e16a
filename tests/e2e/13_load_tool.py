"""edgereplay-load: short runs in every mode against a real daemon, and a server that lies, stalls or dies, which it must notice."""
import json
import os
import socketserver
import subprocess
import threading
import time

from support import chain, story
from support.daemon import PATIENCE, REPORTS, Daemon, whole_log
from support.story import is_true, same, say

TOOL = os.path.join(story.BUILD, "edgereplay-load")


class Run:
    """A run of the tool: its exit code, what it said, and its result."""

    def __init__(self, url, *flags, expect=0):
        self.flags = ["--url=" + url, "--json=result.json", "--settle=0", "--warmup=0", *flags]
        if os.path.exists("result.json"):
            os.remove("result.json")
        ended = subprocess.run([TOOL, *self.flags], capture_output=True, timeout=PATIENCE * 5, check=False)
        self.code, self.out, self.error = ended.returncode, ended.stdout.decode(), ended.stderr.decode()
        for report in REPORTS:
            is_true(report not in self.error, "the tool says %s", self.error)
        same(self.code, expect, "exit code of %s\n%s%s\nexit code" % (flags, self.out[-1500:], self.error[-1500:]))
        self.result = None
        if os.path.exists("result.json"):
            with open("result.json", encoding="utf-8") as file:
                self.result = json.load(file)

    def __getitem__(self, name):
        return self.result[name]


def check_sync(run, least=1):
    """What holds of every good run in mode sync."""
    result = run.result
    is_true(result["requests"] >= least, "requests: %r", result)
    same(result["statuses"]["200"], result["requests"], "statuses")
    same(result["latencyMs"]["count"], result["requests"], "latencies")
    same((result["wrongAnswers"], result["unexpectedStatuses"], result["transportErrors"]), (0, 0, 0), "failures")
    same((result["audit"]["missing"], result["audit"]["doubled"], result["audit"]["wrong"]), (0, 0, 0), "audit")
    is_true(result["audit"]["logs"] > 0, "nothing was audited")
    same(sum(step["requests"] for step in result["series"]), result["requests"], "series")
    same(sum(step["actions"] for step in result["series"]), result["actions"], "series")


# --- a real daemon ---


@story.story
def a_closed_loop_counts_what_the_log_has():
    with Daemon() as daemon:
        run = Run(daemon.url, "--fresh", "--requests=300", "--actions=3", "--users=5", "--connections=5", "--payload=0..300",
                  "--devices=4", "--pid=%d" % daemon.process.pid, "--plot=run.svg")
        check_sync(run)
        same((run["requests"], run["actions"]), (300, 900), "measured")
        same(run["audit"], {"logs": 5, "actions": 900, "missing": 0, "doubled": 0, "wrong": 0}, "audit")
        is_true(run["daemon"]["cpuSeconds"] > 0 and run["daemon"]["peakMemoryBytes"] > 0, "daemon: %r", run["daemon"])
        is_true("<svg" in open("run.svg", encoding="utf-8").read(), "no picture")
        with daemon.client() as client:
            logs = [whole_log(client, "user-%d" % n)[0] for n in range(5)]
        same(sum(len(log) for log in logs), 900, "actions in the logs")
        actions = [action for log in logs for action in log]
        same({action["device"] for action in actions}, {"phone-0%d" % n for n in range(4)}, "devices")
        is_true(max(len(action["payload"]) for action in actions) > 250, "payloads")
        for log in logs:
            is_true(all(a["ts"] < b["ts"] for a, b in zip(log, log[1:])), "stamps grow along a log")
        check_sync(Run(daemon.url, "--requests=100", "--users=7", "--connections=7"))  # goes on where the logs are
        with daemon.client() as client:
            whole_log(client, "user-0")


@story.story
def an_open_loop_keeps_its_rate():
    with Daemon() as daemon:
        for flags in (["--arrivals=constant"], ["--arrivals=poisson", "--order=random"]):
            run = Run(daemon.url, "--rate=200", "--duration=1.5", *flags)
            check_sync(run, 100)
            is_true(200 < run["offeredPerSecond"] * 1.5 < 420, "offered %r", run["offeredPerSecond"])
            is_true(run["latencyMs"]["max"] >= run["serviceMs"]["max"], "latency %r", run.result)


@story.story
def stale_bases_repeats_and_pulls_are_answered_as_expected():
    with Daemon(options={"limits.page_actions": 7}) as daemon:
        run = Run(daemon.url, "--fresh", "--requests=1200", "--stale=0.3", "--retries=0.3", "--pulls=0.2", "--devices=3",
                  "--actions=1:70,2..9:25,30:5", "--users=20", "--connections=10", "--sample=20")
        check_sync(run)
        is_true(run["duplicates"] > 300, "duplicates: %d", run["duplicates"])
        same(run["actions"] - run["duplicates"], run["audit"]["actions"], "applied and stored")
        run = Run(daemon.url, "--rate=400", "--duration=1.5", "--stale=0.3", "--retries=0.3", "--users=20", "--connections=10")
        check_sync(run)


@story.story
def whole_logs_are_replayed():
    with Daemon() as daemon:
        Run(daemon.url, "--fresh", "--requests=40", "--actions=500", "--users=4", "--connections=1")
        run = Run(daemon.url, "--mode=replay", "--requests=9", "--users=4", "--connections=3")
        same((run["requests"], run["replay"]["actions"]), (9, 45000), "streams")
        is_true(run["replay"]["bytes"] > 45000 * 100, "bytes: %r", run["replay"])
        Run(daemon.url, "--mode=replay", "--requests=1", "--users=4", "--prefix=nobody-", expect=1)


@story.story
def waiters_are_held_and_told():
    with Daemon() as daemon:
        run = Run(daemon.url, "--mode=wait", "--connections=100", "--duration=1", "--fresh")
        same((run["waiters"], run["requests"]), ({"held": 100, "answered": 0}, 0), "idle waiters")
        run = Run(daemon.url, "--waiters=40", "--rate=100", "--duration=1.5", "--users=20")
        check_sync(run)
        same(run["waiters"]["held"], 40, "held")
        is_true(run["waiters"]["answered"] > 50, "told %d times", run["waiters"]["answered"])


@story.story
def refusals_are_counted_and_no_failure():
    with Daemon(options={"store.queue": 1, "store.shards": 1, "store.group": 1}) as daemon:
        for _ in range(20):  # it would be strange if forty connections never met a queue of one
            run = Run(daemon.url, "--requests=500", "--connections=40", "--stale=0.2", "--retries=0.2")
            if "429" in run["statuses"]:
                break
        check_sync(run)
        same(run["codes"]["BACKPRESSURE"], run["statuses"]["429"], "codes")
        same(run["refusedMs"]["count"], run["statuses"]["429"], "refusals")
        say("%d of %d requests were refused", run["statuses"]["429"], 500)
        run = Run(daemon.url, "--requests=60", "--connections=20", "--honour-retry-after")
        check_sync(run)
        same(run["requests"], 60, "all of them in the end")


@story.story
def chaos_loses_and_doubles_nothing():
    with Daemon() as daemon:
        run = Run(daemon.url, "--chaos=%d" % story.seed(), "--requests=1500", "--stale=0.2", "--retries=0.2", "--actions=1..5",
                  "--users=30", "--connections=15", "--timeout=3")
        result = run.result
        same((result["requests"], result["wrongAnswers"]), (1500, 0), "answers")
        same((result["audit"]["logs"], result["audit"]["missing"], result["audit"]["doubled"], result["audit"]["wrong"]),
             (30, 0, 0, 0), "audit")
        harm = sum(result["chaos"][name] for name in ("cuts", "truncated", "swallowed", "resets"))
        is_true(harm > 10 and result["transportErrors"] > 10, "chaos: %r", result["chaos"])
        say("%d requests got no answer", result["transportErrors"])


@story.story
def a_daemon_that_dies_fails_the_run():
    daemon = Daemon()
    timer = threading.Timer(0.5, lambda: daemon.signal(9))
    timer.start()
    run = Run(daemon.url, "--duration=20", expect=1)
    timer.join()
    daemon.wait()
    is_true(run["transportErrors"] > 0 and "FAILED" in run.error, "%s", run.error)


@story.story
def what_makes_no_plan_is_refused():
    for flags in (["--mode=push"], ["--rate"], ["--rate=-1"], ["--rate=1e99"], ["--actions=3..1"], ["--actions=1:0"], ["--fresh=yes"],
                  ["--unknown=1"], ["--prefix=a/b"], ["--connections=65"], ["--stale=0.7", "--pulls=0.7"], ["plain"],
                  ["--duration=0"], ["--payload=1..2..3"]):
        run = Run("http://127.0.0.1:1", *flags, expect=2)
        is_true(run.error.count("\n") == 1 and run.result is None, "%s: %s", flags, run.error)
    for url in ("ftp://127.0.0.1:1", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:1/v1"):
        Run(url, expect=2)


# --- a server of this test's own ---


class Liar(socketserver.ThreadingTCPServer):
    """Answers syncs as the protocol says, keeping only heads; what is asked of it may change any answer."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, change):
        super().__init__(("127.0.0.1", 0), Handler)
        self.change, self.count, self.lock, self.logs = change, 0, threading.Lock(), {}
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that goes away is none of this test's business."""


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line:
                return
            length = 0
            for header in iter(self.rfile.readline, b"\r\n"):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            if not self.answer(line.decode().split(" ")[1], self.rfile.read(length)):
                return

    def answer(self, path, body):
        log = path.split("/")[3]
        status, kind = 200, "application/json"
        if path.endswith("/sync"):
            status, text = self.sync(log, json.loads(body))
        elif path.endswith("/head"):
            text = json.dumps({"seq": 0, "stateHash": chain.genesis(log).hex(), "serverTimestamp": 1})
        else:
            text, kind = self.stream(log), "application/x-ndjson"
        if status == 0:
            return False
        self.wfile.write(b"HTTP/1.1 %d Told\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            status, kind.encode(), len(text), text.encode()))
        return True

    def sync(self, log, request):
        with self.server.lock:
            self.server.count += 1
            number = self.server.count
            self.server.logs.setdefault(log, []).extend(
                dict(action, device=request["device"]) for action in request["actions"])
        answer = {"seq": request["seq"] + len(request["actions"]), "stateHash": request["stateHash"], "serverTimestamp": 1,
                  "applied": len(request["actions"]), "duplicates": 0, "refused": 0, "fastForward": True, "backoffMs": 0}
        changed = self.server.change(number, answer)
        return changed if changed is not None else (200, json.dumps(answer))

    def stream(self, log):
        lines, link = [{"after": 0, "prevHash": chain.genesis(log).hex()}], chain.genesis(log)
        for seq, action in enumerate(self.server.logs.get(log, []), 1):
            lines.append({"seq": seq, **action})
            link = chain.link(link, chain.digest(action))
        lines.append({"count": len(lines) - 1, "seq": len(lines) - 1, "stateHash": link.hex(), "serverTimestamp": 1})
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


FEW = ("--fresh", "--requests=40", "--users=4", "--connections=2", "--actions=2")


@story.story
def a_server_that_tells_the_truth_is_believed():
    with Liar(lambda number, answer: None) as server:
        check_sync(Run(server.url, *FEW))
        check_sync(Run(server.url, "--prefix=asked-", *FEW[1:]))


@story.story
def each_wrong_answer_fails_the_run():
    def lie(name, value):
        def change(number, answer):
            if number == 20:
                answer[name] = value(answer[name])
        return change

    lies = {"stateHash": lambda hash: "%064x" % (int(hash, 16) ^ 1), "seq": lambda seq: seq + 1,
            "applied": lambda count: count - 1, "duplicates": lambda count: count + 1, "refused": lambda count: 1,
            "fastForward": lambda truth: False}
    for name, value in lies.items():
        with Liar(lie(name, value)) as server:
            run = Run(server.url, "--sample=0", *FEW, expect=1)
            same(run["wrongAnswers"], 1, "wrong answers for %s: %s" % (name, run.error))
            is_true("user-" in run.error, "the log is not named: %s", run.error)


@story.story
def other_statuses_and_no_answers_fail_the_run():
    problem = json.dumps({"status": 500, "code": "INTERNAL", "detail": "nothing"})
    for answer, what in (((500, problem), "unexpectedStatuses"), ((409, problem), "unexpectedStatuses"),
                         ((200, "{"), "wrongAnswers"), ((200, ""), "wrongAnswers"), ((0, ""), "transportErrors")):
        with Liar(lambda number, _, answer=answer: answer if number == 20 else None) as server:
            run = Run(server.url, "--sample=0", *FEW, expect=1)
            same(run[what], 1, what)


@story.story
def what_was_acknowledged_and_is_not_there_fails_the_audit():
    with Liar(lambda number, answer: None) as server:
        def forget(number, _):
            if number == 40:
                server.logs["user-0"].pop()
        server.change = forget
        run = Run(server.url, *FEW, expect=1)
        same((run["wrongAnswers"], run["audit"]["missing"]), (0, 1), "audit: %r of %s, wrong and missing" % (
            run["audit"], run.error))


@story.story
def a_stall_counts_for_everybody_who_would_have_come():
    """The server stops for half a second once: of 100 requests due in that time each waits, though one alone is sent."""
    def stall(number, _):
        if number == 50:
            time.sleep(0.5)

    with Liar(stall) as server:
        run = Run(server.url, "--fresh", "--sample=0", "--rate=200", "--duration=2", "--users=4", "--connections=1")
        is_true(run["latencyMs"]["max"] >= 490, "latency %r", run["latencyMs"])
        is_true(run["latencyMs"]["p90"] >= 200, "omitted: %r", run["latencyMs"])
        is_true(run["serviceMs"]["p90"] < run["latencyMs"]["p90"] / 2, "service %r", run["serviceMs"])
        is_true(run["late"] >= 50, "late: %d", run["late"])


story.run()
