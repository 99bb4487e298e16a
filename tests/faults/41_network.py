"""
A network that delays, slices, cuts, resets, loses answers after the commit, and brings copies of requests at once or long
after; and partitions, in both directions and in one: everything acknowledged is in its log once, nothing is doubled, and
all phones agree. Phones in Python meet the oddities, the load tool brings the bulk.
"""
import collections
import concurrent.futures
import json
import os
import random
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import chain, raw, story  # noqa: E402
from support.daemon import REPORTS, Daemon, tool, until  # noqa: E402
from support.story import is_true, same, say  # noqa: E402
import fleet  # noqa: E402
from bad_network import BadNetwork  # noqa: E402

BATCHES = fleet.times(4000, 40_000)
BATCHES_A_WORLD = 2000
BULK = fleet.times(8000, 980_000)
PARTITIONS = fleet.times(9, 300)
USERS = 12
SEED = story.seed()


# --- one request after the other is harmed ---


def use(user, batches):
    while user.batches < batches:
        user.round()


def world(seed, batches, network=BadNetwork, harm=0.15):
    """A daemon, a network before it, and users who bring so many batches; the network brings its last copies at the end."""
    daemon = Daemon(options={"limits.page_actions": 40, "store.shards": 2})
    between = network(daemon.port, seed, harm).__enter__()
    users = [fleet.User(n, between.address, "net-%d" % (n % 4), seed, batch=(1, 3, 50)[n % 3], locator=n % 4 != 0)
             for n in range(USERS)]
    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        for one in [pool.submit(use, user, batches // USERS + 1) for user in users]:
            one.result(1200)
    between.harm = 0
    fleet.settle(users)
    between.flush()
    return daemon, between, users


def ended(daemon, between):
    between.__exit__()
    daemon.stop()
    tool("verify", daemon.dir)


@story.story
def whatever_happens_to_requests_each_batch_is_there_once():
    counts, batches, kept = collections.Counter(), 0, 0
    for first in range(0, BATCHES, BATCHES_A_WORLD):
        daemon, between, users = world("%d %d" % (SEED, first), BATCHES_A_WORLD)
        with daemon.client() as client:
            kept += sum(len(actions) for actions in fleet.judge(client, users).values())
        ended(daemon, between)
        counts += between.counts
        batches += sum(user.batches for user in users)
        for user in users:
            counts["409 of " + user.phone.log] += sum(user.phone.statistics.get(code, 0)
                                                      for code in ("HASH_MISMATCH", "SERVER_BEHIND"))
    for harm in BadNetwork.HARMS + ("copies answered",):
        is_true(counts[harm] > 0, "the network did nothing of %s: %r", harm, counts)
    for log in range(4):
        same(counts["409 of net-%d" % log], 0, "a base that was acknowledged and is not there")
    say("%d batches, %d actions in the logs; %s", batches, kept,
        ", ".join("%s %d" % one for one in sorted(counts.items()) if one[1]))


@story.story
def the_load_tool_audits_every_log_after_chaos():
    with Daemon(options={"store.shards": 2}) as daemon:
        command = [os.path.join(story.BUILD, "edgereplay-load"), "--url=" + daemon.url, "--json", "--settle=0", "--warmup=0",
                   "--fresh", "--chaos=%d" % (SEED % 1_000_000 + 1), "--requests=%d" % BULK, "--users=%d" % max(BULK // 40, 50),
                   "--actions=1..5", "--stale=0.2", "--retries=0.1", "--devices=3", "--connections=64"]
        run = subprocess.run(command, capture_output=True, check=False, timeout=fleet.times(300, 7200))
        said = run.stderr.decode(errors="replace")
        is_true(not any(report in said for report in REPORTS), "the tool says %s", said)
        same(run.returncode, 0, "exit code of the tool: %s" % said[-2000:])
        result = json.loads(run.stdout)
    audit = result["audit"]
    same((audit["missing"], audit["doubled"], audit["wrong"], result["wrongAnswers"]), (0, 0, 0, 0), "missing, doubled, wrong")
    faults = {name: count for name, count in result["chaos"].items() if name not in ("connections", "exchanges")}
    is_true(all(faults.values()), "a fault was never tried: %r", faults)
    say("%d batches by the load tool, %d actions in %d logs; %s", result["requests"], audit["actions"], audit["logs"],
        ", ".join("%s %d" % one for one in sorted(faults.items())))


# --- partitions ---


class Island:
    """A network namespace, the cable to it, and what can be wrong with that."""

    def __init__(self):
        pid = os.getpid()
        self.name, self.near, self.far = "er%d" % pid, "er%da" % pid, "er%db" % pid
        first = (10 << 24) + (213 << 16) + (pid & 0x3fff) * 4
        self.here, self.there = (".".join(str(first + n >> shift & 255) for shift in (24, 16, 8, 0)) for n in (1, 2))

    def build(self):
        """Whether this machine permits it."""
        story.cleanups[self.remove] = True
        steps = (["netns", "add", self.name], ["netns", "exec", self.name, "true"],
                 ["link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name],
                 ["addr", "add", self.here + "/30", "dev", self.near], ["link", "set", self.near, "up"],
                 ["-n", self.name, "addr", "add", self.there + "/30", "dev", self.far],
                 ["-n", self.name, "link", "set", "lo", "up"], ["-n", self.name, "link", "set", self.far, "up"])
        return shutil.which("ip") is not None and all(self.ip(*step) for step in steps)

    def remove(self):
        story.cleanups.pop(self.remove, None)
        if shutil.which("ip"):
            self.heal_requests_lost()
            self.ip("netns", "delete", self.name)

    @staticmethod
    def ip(*arguments):
        return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0

    # Ways to be apart, each with its end. The far end of the cable is pulled, so that the near one keeps its route.

    def break_cable(self):
        self.ip("-n", self.name, "link", "set", self.far, "down")

    def heal_cable(self):
        self.ip("-n", self.name, "link", "set", self.far, "up")

    def break_answers_lost(self):
        self.ip("-n", self.name, "route", "add", "blackhole", self.here + "/32")

    def heal_answers_lost(self):
        self.ip("-n", self.name, "route", "del", "blackhole", self.here + "/32")

    def break_requests_lost(self):
        self.ip("route", "add", "blackhole", self.there + "/32")

    def heal_requests_lost(self):
        self.ip("route", "del", "blackhole", self.there + "/32")


def silences(users):
    return sum(user.phone.statistics.get("no answer", 0) for user in users)


def partitions(island, users, running):
    """Apart until some requests had no answer, together until everybody has brought something, again and again."""
    rolls, tried = random.Random(SEED), collections.Counter()
    for n in range(PARTITIONS):
        what = ("cable", "answers_lost", "requests_lost")[n % 3]
        tried[what] += 1
        enough = silences(users) + rolls.randrange(3, USERS)
        getattr(island, "break_" + what)()
        until(lambda enough=enough: silences(users) >= enough or any(one.done() for one in running), "silence")
        getattr(island, "heal_" + what)()
        wanted = [user.batches + 1 for user in users]
        until(lambda wanted=wanted: all(user.batches >= one for user, one in zip(users, wanted))
              or any(one.done() for one in running), "everybody to get something through")
    return tried


@story.story
def phones_come_together_after_partitions():
    island = Island()
    if not island.build():
        island.remove()
        say("no network namespaces here: partitions were not tried")
        return
    daemon = Daemon(listen=island.there + ":0", options={"auth.allow_insecure": "true", "store.shards": 2},
                    before=["ip", "netns", "exec", island.name])
    users = [fleet.User(n, daemon.address, "apart-%d" % (n % 3), SEED) for n in range(USERS)]
    over = threading.Event()

    def work(user):
        user.phone.client = raw.Client(daemon.address, timeout=0.5)
        while not over.is_set():
            user.round()
            over.wait(0.02)

    with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
        running = [pool.submit(work, user) for user in users]
        try:
            tried = partitions(island, users, running)
        finally:
            over.set()
        for one in running:
            one.result(600)
    fleet.settle(users)
    with daemon.client() as client:
        kept = sum(len(actions) for actions in fleet.judge(client, users).values())
    daemon.stop()
    tool("verify", daemon.dir)
    island.remove()
    say("%d partitions (%s), %d requests without answer, %d actions", PARTITIONS,
        ", ".join("%s %d" % one for one in sorted(tried.items())), silences(users), kept)


# --- the controls: networks that do what no network may ---


class Forging(BadNetwork):
    """Brings what was acknowledged a second time, with other stamps: that is another batch, and no server can know."""

    HARMS = ("forge",)

    async def forge(self, lane, request):
        answer = await lane.up(request)
        head, _, body = request.partition(b"\r\n\r\n")
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
        sent = json.loads(body) if head.startswith(b"POST") else {}
        if b" 200 " in answer[:20] and sent.get("actions"):
            actions = [{"device": sent["device"], **action, "ts": action["ts"] + 1_000_000} for action in sent["actions"]]
            forged = json.dumps(chain.sync_body(actions, said["seq"], bytes.fromhex(said["stateHash"]))).encode()
            answer_to_forged = await self._copy(raw.head("POST", head.split(b" ")[1].decode(), forged) + forged)
            self.counts["forged"] += b'"refused":0,' in answer_to_forged and b'"applied":0,' not in answer_to_forged
        await lane.down(answer)


class Lying(BadNetwork):
    """Says that all is well by itself, and brings the server nothing."""

    HARMS = ("lie",)

    async def lie(self, lane, request):
        sent = json.loads(request.partition(b"\r\n\r\n")[2])
        said = json.dumps({"seq": sent["seq"] + len(sent["actions"]), "stateHash": sent["stateHash"], "serverTimestamp": 1,
                           "applied": len(sent["actions"]), "duplicates": 0, "refused": 0, "fastForward": True,
                           "backoffMs": 0}).encode()
        await lane.down(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))


@story.story
def a_network_that_doubles_or_keeps_back_a_batch_is_noticed():
    daemon, between, users = world("%d forged" % SEED, 120, Forging, 0.3)
    is_true(between.counts["forged"] > 0, "nothing was forged")
    with daemon.client() as client:
        fleet.must_fail("a batch that came twice", lambda: fleet.judge(client, users), "doubled")
    ended(daemon, between)
    daemon, between, users = world("%d lied" % SEED, 60, Lying, 0)
    with daemon.client() as client:
        fleet.judge(client, users)
        between.harm = 1
        users[0].act(2)
        is_true(users[0].sync(), "the lie was not believed")
        fleet.must_fail("a batch that nobody kept", lambda: fleet.judge(client, users), "missing in")
    ended(daemon, between)


story.run()
