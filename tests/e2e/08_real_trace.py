"""
A real file's 18 335 edits: pushed by the tool over a bad network, in batches of 1, 7, 100 and 1000; replayed by a second
device they give exactly the text that was written. Also from two devices that take turns offline.
"""
import datetime
import gzip
import json
import os
import subprocess
import time

from support import story
from support.daemon import PATIENCE, Daemon, tool
from support.proxy import Proxy
from support.story import is_true, same, say

TRACE = os.path.join(story.ROOT, "../shared/data/sveltecomponent.json.gz")
if not os.path.exists(TRACE):
    story.skip("the trace is not here: " + TRACE)
with gzip.open(TRACE, "rt", encoding="utf-8") as stream:
    TRACE = json.load(stream)


def milliseconds(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def edits():
    """The trace as the tool's input; stamps by the rule `last + 1`."""
    last = 0
    for transaction in TRACE["txns"]:
        last = max(last + 1, milliseconds(transaction["time"]))
        yield {"type": "text/patch", "ts": last, "payload": json.dumps(transaction["patches"])}


def ndjson(actions):
    return "".join(json.dumps(action) + "\n" for action in actions).encode()


def reduce(actions):
    """The text after these actions: splices, by code points."""
    text = TRACE["startContent"]
    for action in actions:
        for position, deleted, inserted in json.loads(action["payload"]):
            text = text[:position] + inserted + text[position + deleted:]
    return text


def pulled(url, log):
    """What a second device sees: the tool verifies the chain as it pulls."""
    return [json.loads(line) for line in tool("pull", "-q", "--url=" + url, "--log=" + log).out.split("\n")[:-1]]


EDITS = list(edits())


def check_log(url, log):
    actions = pulled(url, log)
    same(len(actions), len(EDITS), "actions in the log")
    is_true(reduce(actions) == TRACE["endContent"], "the text of %s is another one", log)
    return actions


def push_through_cuts(daemon, size):
    with open("trace.ndjson", "wb") as file:
        file.write(ndjson(EDITS))
    began = time.monotonic()
    with Proxy(daemon.port, seed=size, bytes_between_cuts={1: 120_000, 7: 60_000}.get(size, 100_000),
               answers_lost=0.002 if size < 7 else 0.02) as proxy:
        tool("push", "-q", "--url=" + proxy.url, "--log=trace-%d" % size, "--state=phone-%d" % size, "--device=phone",
             "--batch=%d" % size, "trace.ndjson")
        is_true(proxy.cuts + proxy.lost > 3, "the network was too good: %d cuts", proxy.cuts)
        say("batches of %d: %d cuts, %d answers lost, %.1f s", size, proxy.cuts, proxy.lost, time.monotonic() - began)
    actions = check_log(daemon.url, "trace-%d" % size)
    same({action["device"] for action in actions}, {"phone"}, "device")
    same([(a["ts"], a["payload"]) for a in actions], [(a["ts"], a["payload"]) for a in EDITS], "the actions themselves")


@story.story
def pushed_in_any_batches_over_a_bad_network_it_replays_to_the_same_text():
    daemon = Daemon()
    for size in (7, 100, 1000) if story.SANITIZED else (1, 7, 100, 1000):
        push_through_cuts(daemon, size)
    daemon.stop()
    tool("verify", daemon.dir)
    daemon.start()
    check_log(daemon.url, "trace-7")  # now from the table
    daemon.stop()


@story.story
def two_devices_that_take_turns_offline_write_the_same_text():
    daemon = Daemon()
    with Proxy(daemon.port, seed=8, bytes_between_cuts=100_000, answers_lost=0.02) as proxy:
        at, turn = 0, 0
        while at < len(EDITS):
            size = 300 + turn * 137 % 900
            device = ("phone", "tablet")[turn % 2]
            for part in (EDITS[at:at + size // 2], EDITS[at + size // 2:at + size]):
                tool("push", "-q", "--url=" + proxy.url, "--log=turns", "--state=" + device, "--device=" + device,
                     "--batch=%d" % (50 + turn), "-", input=ndjson(part))
            at, turn = at + size, turn + 1
        say("%d turns, %d cuts, %d answers lost", turn, proxy.cuts, proxy.lost)
    actions = check_log(daemon.url, "turns")
    same({action["device"] for action in actions}, {"phone", "tablet"}, "devices")
    for device in ("phone", "tablet"):
        tool("pull", "-q", "--url=" + daemon.url, "--log=turns", "--state=" + device)
    heads = {json.loads(tool("status", "--json", "--state=" + device).out)["stateHash"] for device in ("phone", "tablet")}
    heads.add(json.loads(tool("head", "--json", "--url=" + daemon.url, "--log=turns").out)["stateHash"])
    same(len(heads), 1, "one state everywhere: %r" % heads)
    daemon.stop()
    tool("verify", daemon.dir)


@story.story
def a_push_that_is_killed_goes_on_where_it_was():
    with Daemon() as daemon:
        with open("trace.ndjson", "wb") as file:
            file.write(ndjson(EDITS))
        arguments = [story.TOOL, "push", "-q", "--url=" + daemon.url, "--log=killed", "--state=killed", "--device=phone",
                     "--batch=20"]
        kills = 0
        first = subprocess.Popen(arguments + ["trace.ndjson"])
        with daemon.client() as client:
            for share in (0.1, 0.3, 0.6):
                end = time.monotonic() + PATIENCE
                while client.get("/v1/logs/killed/head").json()["seq"] < share * len(EDITS):
                    is_true(time.monotonic() < end and first.poll() is None, "the push ended or hangs")
                    time.sleep(0.002)
                first.kill()
                first.wait()
                kills += 1
                first = subprocess.Popen(arguments + ["--resume"])
        same(first.wait(PATIENCE * 5), 0, "exit code")
        check_log(daemon.url, "killed")
        say("killed %d times", kills)


story.run()
