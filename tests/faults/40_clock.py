"""
The server's wall clock is set an hour and a year back and forth while phones work, some of which follow it and some of
which do not: order comes from the chain, nothing is lost, nothing is stuck once the clock is right again; the time of
receipt never decreases along a log, not over a restart either; with the clock policies, just that is refused which
the protocol refuses.
"""
import concurrent.futures
import ctypes
import mmap
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import chain, model, raw, story, tokens  # noqa: E402
from support.daemon import Daemon, tool, until  # noqa: E402
from support.events import Stream  # noqa: E402
from support.phone import Phone  # noqa: E402
from support.removal import Writer  # noqa: E402
from support.story import is_true, same, say  # noqa: E402
import fleet  # noqa: E402

HOUR, YEAR = 3_600_000, 31_536_000_000
STEPS = (HOUR, -HOUR, YEAR, -YEAR)
HIDDEN = 60_000  # steps back by less are hidden: the server shows at most so much more than its clock says
SKEW = 300_000
TRIALS = fleet.times(20, 200)
TRIALS_A_WORLD = 10
USERS = 6
SEED = story.seed()
shim = []


def machine_msec():
    return int(time.time() * 1000)


class Clock:
    """A wall clock for daemons: the machine's, and what it is off. Set while they run."""

    def __init__(self, name="clock"):
        if not shim:
            source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "shifted_clock.c")
            library = os.path.abspath("shifted_clock.so")
            subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-fPIC", "-shared", "-o", library, source],
                           check=True)
            shim.append(library)
        path = os.path.abspath(name)
        with open(path, "w+b") as file:
            file.write(bytes(8))
            file.flush()
            self.cell = ctypes.c_int64.from_buffer(mmap.mmap(file.fileno(), 8))
        self.environment = {"LD_PRELOAD": shim[0], "CLOCK_SHIFT_FILE": path,
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    @property
    def off(self):
        return self.cell.value

    def set(self, off):
        self.cell.value = off

    def now(self):
        return machine_msec() + self.off


def watched(kind, clock):
    """A kind of phone that looks at the server's time in each answer."""

    class Watched(kind):
        def _call(self, method, target, body=None):
            off, began = clock.off, machine_msec()
            answer = super()._call(method, target, body)
            if answer is not None and clock.off == off:
                shown = answer[1]["serverTimestamp"] - off
                is_true(began <= shown <= machine_msec() + HIDDEN, "the server's time is %d ms off its clock",
                        shown - began)
            return answer

    return Watched


class OwnClock(Phone):
    """A phone that stamps by its own clock, wrong as it may be, whatever the server says."""

    skew = 0

    def act(self, kind, payload, now=None, after=0):
        self.offset = 0
        return super().act(kind, payload, machine_msec() + self.skew, after)


class World:
    """A daemon under a clock of its own, and its users; half of them follow the server's time."""

    def __init__(self, seed, clock=None, **options):
        self.clock = Clock()
        self.random = random.Random(seed)
        self.daemon = Daemon(options={"store.shards": 2, **options}, env=self.clock.environment)
        self.users = [fleet.User(n, self.daemon.address, "clock-%d" % (n // 2 % 2), seed,
                                 watched(OwnClock if n % 2 else Phone, clock or self.clock)) for n in range(USERS)]
        self.steps = self.kills = self.inversions = 0
        self.log = ""

    def phase(self, step=None, rounds=3):
        """Everybody does some rounds; in the middle of them the clock is set."""
        with concurrent.futures.ThreadPoolExecutor(USERS) as pool:
            before = self.exchanges()
            at = before + self.random.randrange(USERS * rounds)
            running = [pool.submit(self.rounds, user, rounds) for user in self.users]
            while step is not None and self.exchanges() < at and not all(one.done() for one in running):
                time.sleep(0.0005)
            if step is not None:
                self.clock.set(step)
                self.steps += 1
            for one in running:
                one.result(600)

    @staticmethod
    def rounds(user, rounds):
        if isinstance(user.phone, OwnClock):
            user.phone.skew = user.random.choice((0, *STEPS))
        for _ in range(rounds):
            user.round()

    def exchanges(self):
        return sum(sum(user.phone.statistics.values()) for user in self.users)

    def restart(self):
        """Stops or kills the daemon while its clock is wrong."""
        if self.random.random() < 0.5:
            self.kills += 1
            self.daemon.kill()
        else:
            self.daemon.stop()
        self.log += self.daemon.log()
        self.daemon.start()
        for user in self.users:
            user.phone.client.close()
            user.phone.client.address = self.daemon.address

    def trial(self):
        """Away, perhaps a restart, and back: to the right time or to another wrong one."""
        away = self.random.choice(STEPS)
        self.phase(away)
        if self.random.random() < 0.3:
            self.restart()
            self.phase()
        self.phase(self.random.choice((0, 0, -away)))

    def finish(self):
        """All clocks are right again; everybody must come to an end."""
        self.clock.set(0)
        for user in self.users:
            user.phone.skew = 0
        fleet.settle(self.users)
        with self.daemon.client() as client:
            for actions in fleet.judge(client, self.users).values():
                self.inversions += sum(a["ts"] > b["ts"] for a, b in zip(actions, actions[1:]))
            judge_receipts(client, self.users)

    def stop(self):
        self.daemon.stop()
        self.log += self.daemon.log()
        tool("verify", self.daemon.dir)

    def count(self, what):
        return sum(user.phone.statistics.get(what, 0) for user in self.users)


def judge_receipts(client, users):
    """The time of receipt never decreases along a log."""
    for log in sorted({user.phone.log for user in users}):
        after, newest, more = 0, 0, True
        while more:
            page = client.get("/v1/logs/%s/actions?meta=1&after=%d" % (chain.path(log), after)).json()
            for action in page["actions"]:
                is_true(action["receivedAt"] >= newest, "%s: %d was received before the one before it", log, action["seq"])
                newest = action["receivedAt"]
            after, more = page["seq"], page["hasMore"]


@story.story
def a_clock_that_is_set_loses_and_blocks_nothing():
    steps = inversions = batches = kills = 0
    for first in range(0, TRIALS, TRIALS_A_WORLD):
        world = World("%d %d" % (SEED, first))
        for _ in range(TRIALS_A_WORLD):
            world.trial()
        world.finish()
        world.stop()
        for event in ("the wall clock stepped forward", "the wall clock stepped back"):
            is_true(event in world.log, "the log does not say: %s", event)
        for code in ("TIMESTAMP_TAKEN", "CLOCK_SKEW", "NON_MONOTONIC_TIMESTAMP", "HASH_MISMATCH", "SERVER_BEHIND"):
            same(world.count(code), 0, code)
        steps, inversions, kills = steps + world.steps, inversions + world.inversions, kills + world.kills
        batches += sum(user.batches for user in world.users)
    say("%d trials, %d steps of the clock, %d kills, %d batches; %d times an action follows one with a later stamp", TRIALS,
        steps, kills, batches, inversions)
    is_true(inversions > TRIALS, "only %d times the order was not that of the stamps: nothing was tried", inversions)


def with_policy(seed, code, **options):
    """Away and back under a policy; the phones without the right time are refused until their clock is right."""
    world = World(seed, **options)
    for away in STEPS:
        world.phase(away)
        world.phase(0)
    world.finish()
    world.stop()
    is_true(world.count(code) > 0, "nobody was refused: nothing was tried")
    say("%s: %d refusals, %d batches in the end", code, world.count(code), sum(user.batches for user in world.users))


@story.story
def what_a_policy_refused_meanwhile_gets_in_once_the_clocks_are_right():
    for n in range(fleet.times(1, 5)):
        with_policy("%d skew %d" % (SEED, n), "CLOCK_SKEW", **{"clock.max_skew_ms": SKEW})
        with_policy("%d monotonic %d" % (SEED, n), "NON_MONOTONIC_TIMESTAMP", **{"clock.monotonic": "true"})
        with_policy("%d both %d" % (SEED, n), "CLOCK_SKEW", **{"clock.monotonic": "true", "clock.max_skew_ms": SKEW})


@story.story
def a_held_request_neither_ends_nor_hangs_when_the_clock_is_set():
    clock = Clock()
    with Daemon(env=clock.environment) as daemon, daemon.client() as client:
        base, length = chain.genesis("held"), 0
        for step in STEPS:
            with daemon.connection() as held, daemon.connection() as ending:
                held.send(raw.head("GET", "/v1/logs/held/actions?wait=30&after=%d" % length))
                ending.send(raw.head("GET", "/v1/logs/empty/actions?wait=1"))
                time.sleep(0.05)  # so that both are surely held; if they were not, the story would only see less
                clock.set(step)
                time.sleep(0.2)
                action = {"device": "d", "ts": length + 1, "type": "t", "payload": str(step)}
                client.post("/v1/logs/held/sync", chain.sync_body([action], length, base))
                base, length = chain.extend(base, [action])[-1], length + 1
                same([a["payload"] for a in held.response().json()["actions"]], [str(step)], "what a held request was told")
                same(ending.response().json()["actions"], [], "a held request that ended")
            clock.set(0)


@story.story
def an_event_stream_ends_when_the_clock_passes_its_token():
    clock, key = Clock(), tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks(os.path.abspath("jwks.json"), key), "auth.issuer": tokens.ISSUER,
               "auth.audience": tokens.AUDIENCE}

    def bearer(hours):
        return tokens.bearer(tokens.make(key, tokens.claims(exp=int(time.time()) + hours * HOUR // 1000)))[1]

    with Daemon(env=clock.environment, options=options) as daemon, daemon.client() as client, \
            Stream(daemon.address, "anna", Authorization=bearer(1)) as stream, \
            Stream(daemon.address, "anna", Authorization=bearer(9)) as longer:
        same([one.head()[0] for one in (stream, longer)], [0, 0], "first heads")
        clock.set(2 * HOUR)
        action = {"device": "d", "ts": 1, "type": "t", "payload": "p"}
        same(client.post("/v1/logs/anna/sync", chain.sync_body([action], 0, chain.genesis("anna")), Authorization=bearer(9)).status, 200,
             "a sync")
        same(longer.head()[0], 1, "the head that the other stream has")
        same((stream.next().kind, stream.next()), ("reconnect", None), "the end")


@story.story
def a_clock_that_jumps_ahead_has_nothing_pruned():
    clock = Clock()
    options = {"snapshots.prune_sec": 10 * HOUR // 1000, "snapshots.prune_every_sec": 1}

    def put(writer):
        same(writer.client.request("PUT", writer.path("snapshots/4"), b"state", {"Edgereplay-State-Hash": writer.links[4].hex()}).status,
             200, "a snapshot")

    clock.set(-20 * HOUR)
    daemon = Daemon(env=clock.environment, options=options)
    with daemon.client() as client:
        old, new = Writer(client, "old"), Writer(client, "new")
        old.push(5)
    daemon.stop()
    clock.set(0)
    with daemon.start(), daemon.client() as client:
        old.client = new.client = client
        new.push(5)
        put(new)
        clock.set(50 * HOUR)
        # Rounds go on: in one of them what is old by any clock goes.
        put(old)
        until(lambda: daemon.events("logs pruned"), "a round")
        same([client.get(writer.path("actions")).status for writer in (old, new)], [410, 200], "of an old log and of a new one")
        clock.set(0)


# --- just what the protocol refuses ---


class Compared:
    """A daemon with clock policies and the model with the same clock, given the same requests."""

    def __init__(self, clock, seed, skew=0, monotonic=False, **wrong):
        self.clock, self.random = clock, random.Random("%s %d %s" % (seed, skew, monotonic))
        options = {"clock.max_skew_ms": skew, "clock.monotonic": str(monotonic).lower(), **wrong}
        self.daemon = Daemon(options=options, env=clock.environment)
        self.client = self.daemon.client()
        self.model = model.Model(clock.now, max_skew_ms=skew, monotonic=monotonic)
        self.skew, self.codes, self.number = skew, {}, 0

    def stamp(self, log, device):
        """A stamp on this or that side of a rule, never so near to one that a moment would decide."""
        rolls, now, own = self.random, self.clock.now(), [a["ts"] for a in log.actions if a["device"] == device] or [1]
        if abs(max(own) - (now + SKEW)) < HIDDEN:
            return max(own) + HIDDEN * 3
        ts = rolls.choice((max(own) + rolls.randrange(1, 4), max(own), max(own) - rolls.randrange(1, HOUR), rolls.choice(own),
                           now, now + SKEW - HIDDEN * 2, now + SKEW + HIDDEN * 2, now + rolls.choice(STEPS)))
        if abs(ts - (now + SKEW)) < HIDDEN * 1.5:
            ts += HIDDEN * 3
        return max(ts, 1)

    def batch(self, log):
        actions = []
        for _ in range(self.random.choice((1, 1, 2, 6))):
            self.number += 1
            if log.actions and self.random.random() < 0.1:
                actions.append(self.random.choice(log.actions))
                continue
            device = "d%d" % self.random.randrange(3)
            actions.append({"device": device, "ts": self.stamp(log, device), "type": "t", "payload": "%d" % self.number})
        return actions

    def exchange(self, name):
        """One request to both; the answers must be the same but for what depends on the moment."""
        log = self.model.log(name)
        mode = self.random.choice(("rebase", "reject"))
        body = chain.sync_body(self.batch(log), len(log.actions), log.links[-1], onConflict=mode)
        began, length = self.clock.now(), len(log.actions)
        answer = self.client.post("/v1/logs/%s/sync" % name, body).json()
        latest = self.clock.now() + HIDDEN
        try:
            wanted = {"status": 200, **self.model.sync(name, body)}
        except model.Problem as problem:
            wanted = {"status": problem.status, "code": problem.code, **problem.members}
        where = "request %r at %d after %d actions" % (body["actions"], began, length)
        outcomes = list(zip(answer.get("results", ()), wanted.get("results", ()), body["actions"]))
        if "index" in wanted:
            outcomes.append((answer, wanted, body["actions"][wanted["index"]]))
        for given, expected, action in outcomes:
            code = expected.get("refused", expected.get("code", "accepted"))
            self.codes[code] = self.codes.get(code, 0) + 1
            if "aheadMs" in given and expected.pop("aheadMs", None) is not None:
                is_true(began <= action["ts"] - given.pop("aheadMs") <= latest, "%s: a wrong aheadMs", where)
        same({key: answer.get(key, 200) for key in wanted}, wanted, where)

    def stop(self):
        self.client.close()
        self.daemon.stop()


POLICIES = ({"skew": SKEW}, {"monotonic": True}, {"skew": SKEW, "monotonic": True})


@story.story
def with_the_policies_just_that_is_refused_which_the_protocol_refuses():
    clock, rolls = Clock(), random.Random(SEED)
    pairs = [Compared(clock, "%d %d" % (SEED, n), **policy) for n, policy in enumerate(POLICIES)]
    for trial in range(TRIALS):
        clock.set(rolls.choice((0, *STEPS)))
        for pair in pairs:
            for _ in range(12):
                pair.exchange("policy-%d" % (trial // 4))
    codes = {}
    for pair in pairs:
        pair.stop()
        for code, count in pair.codes.items():
            codes[code] = codes.get(code, 0) + count
    for code in ("CLOCK_SKEW", "NON_MONOTONIC_TIMESTAMP", "TIMESTAMP_TAKEN"):
        is_true(codes.get(code, 0) >= TRIALS, "only %d times %s", codes.get(code, 0), code)
    say("%d trials of %d policies: %s", TRIALS, len(POLICIES), ", ".join("%s %d" % one for one in sorted(codes.items())))


# --- the controls ---


@story.story
def a_server_with_another_policy_or_another_clock_is_noticed():
    clock = Clock()
    for n, wrong in enumerate(({"clock.max_skew_ms": 2 * SKEW}, {"clock.monotonic": "false"})):
        pair = Compared(clock, "%d wrong %d" % (SEED, n), SKEW, True, **wrong)
        fleet.must_fail("another policy", lambda pair=pair: [pair.exchange("wrong") for _ in range(300)], "request")
        pair.stop()
    world = World("%d deaf" % SEED, Clock("another"))
    world.clock.set(HOUR)
    fleet.must_fail("a server that does not follow its clock", world.phase, "ms off its clock")
    world.stop()


@story.story
def a_doctored_history_is_noticed():
    world = World("%d doctored" % SEED)
    world.phase()
    world.finish()
    user = world.users[0]
    user.phone.acknowledged.append({"device": "device-0", "ts": 1, "type": "t", "payload": "never sent"})
    with world.daemon.client() as client:
        fleet.must_fail("a lost action", lambda: fleet.judge(client, world.users), "missing")
    del user.phone.acknowledged[-1]
    world.daemon.stop()
    whole = world.daemon.dir
    world.daemon.dir = shutil.copytree(whole, "doctored")
    changed = 0
    for shard in range(2):
        with sqlite3.connect(os.path.join(world.daemon.dir, "shard-%02d.db" % shard)) as database:
            changed += database.execute("UPDATE batches SET received_at = received_at + 60000 WHERE seq = 1").rowcount
        database.close()
    is_true(changed > 0, "nothing was changed")
    world.daemon.start()
    with world.daemon.client() as client:
        fleet.must_fail("a receipt before the one before", lambda: judge_receipts(client, world.users), "received before")
    world.daemon.stop()
    tool("verify", world.daemon.dir, expect=1)


story.run()
