"""
Sixty-four devices on one log, which all of them extend at once, and one device on sixty-four logs. Every request and
answer is written down with its time; afterwards all of it must be what a server could have said that carries out one
request after the other, and the log must be the one that the answers were about.
"""
import collections
import copy
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import chain, story  # noqa: E402
from support.daemon import Daemon, tool  # noqa: E402
from support.story import is_true, same, say  # noqa: E402
import fleet  # noqa: E402
import history  # noqa: E402

DEVICES = LOGS = 64
WORLDS = fleet.times(1, 20)
SHARED, OWN = fleet.times((7300, 3000), (36_500, 15_000))  # actions on one log by all devices, and by one device on all logs
PAGE = 50
PATIENCE = 60  # seconds in which nobody gets any further; only ever reached when something hangs
SEED = story.seed()


class Device:
    """Extends a log by its share: tries, conflicts, repeats, reads, and trusts every answer; the history is judged later."""

    def __init__(self, witness, name, actions, rolls):
        self.witness, self.name, self.left, self.random = witness, name, actions, rolls
        self.base, self.pending, self.last = (0, chain.genesis(witness.log).hex()), [], None
        self.stamp = self.conflicts = 0

    def act(self):
        """New actions; now and then one with a stamp that this device has used already."""
        for _ in range(min(self.left, self.random.choice((1, 1, 2, 3, 8)))):
            again = self.stamp > 0 and self.random.random() < 0.02
            self.stamp += not again
            self.pending.append({"device": self.name, "ts": self.stamp, "type": "t",
                                 "payload": "%s %d" % (self.name, self.left)})
            self.left -= 1

    def step(self):
        roll = self.random.random()
        if roll < 0.1:
            self.base_is(self.witness.head()["answer"])
        elif roll < 0.2:
            self.witness.page(max(self.base[0] - self.random.randrange(8), 0), self.random.choice((1, 5, 20)))
        elif roll < 0.28 and self.last:
            self.witness.sync(self.last)
        else:
            self.push()

    def base_is(self, position):
        self.base = position["seq"], position["stateHash"]

    def push(self):
        if not self.pending:
            self.act()
        mode = "reject" if self.conflicts < 5 and self.random.random() < 0.4 else "rebase"
        self.last = chain.sync_body(self.pending, self.base[0], bytes.fromhex(self.base[1]), self.name, onConflict=mode,
                                    pull=self.random.choice((0, 0, 0, 3, 500)))
        if self.random.random() < 0.1:
            operation = min(self.witness.sync_twice(self.last), key=lambda one: one["status"])
        else:
            operation = self.witness.sync(self.last)
        if operation["status"] == 200:
            self.pending, self.conflicts = [], 0
            self.base_is(operation["answer"])
        elif operation["status"] == 409:
            same(operation["answer"]["code"], "CONFLICT", "code")
            self.conflicts += 1
            self.base_is(operation["answer"]["head"])
        else:
            same((operation["status"], operation["answer"]["code"]), (422, "TIMESTAMP_TAKEN"), "status and code")
            del self.pending[operation["answer"]["index"]]

    def run(self):
        while self.left > 0 or self.pending:
            self.step()


class Hand(threading.Thread):
    """Does the devices' steps in turn until all of them are done."""

    def __init__(self, devices):
        super().__init__(daemon=True)
        self.devices, self.error = devices, None

    def run(self):
        try:
            busy = self.devices
            while busy:
                for device in busy:
                    device.step()
                busy = [device for device in busy if device.left > 0 or device.pending]
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def run_all(threads, devices, patience=PATIENCE):
    """Until all are done. The first error ends it; so does a time in which no device gets an action off its hands."""
    for thread in threads:
        thread.start()
    left, since = None, time.monotonic()
    while any(thread.is_alive() for thread in threads):
        waiting = [device.left + len(device.pending) for device in devices]
        if sum(waiting) != left:
            left, since = sum(waiting), time.monotonic()
        is_true(time.monotonic() - since < patience, "hang: in %d seconds none of %d devices got rid of an action; %d are left",
                patience, sum(count > 0 for count in waiting), left)
        next((thread for thread in threads if thread.is_alive()), threads[0]).join(0.1)
        raise_first(threads)
    raise_first(threads)


def raise_first(threads):
    for thread in threads:
        if thread.error:
            raise thread.error


def play(daemon, names, hands, actions, seed):
    """names: (log, device) of each device. Runs them in so many hands; the history, and each log as it is then."""
    operations = []
    devices = [Device(history.Witness(daemon.address, log, operations), name, actions // len(names) + 1,
                      random.Random("%s %s %s" % (seed, log, name))) for log, name in names]
    run_all([Hand(devices[n::hands]) for n in range(hands)], devices)
    with daemon.client() as client:
        logs = {log: history.kept(client, log) for log in dict(names)}
    for device in devices:
        device.witness.close()
    return operations, logs


ONE_LOG = [("shared", "d%d" % n) for n in range(DEVICES)]
ONE_DEVICE = [("own-%d" % n, "d") for n in range(LOGS)]


def tell(what, operations, logs):
    codes = collections.Counter()
    for operation in operations:
        answer = operation["answer"]
        kind = answer.get("code") or (operation["kind"] if operation["kind"] != "sync" else
                                      "fast-forward" if answer["fastForward"] else "rebased")
        codes[kind] += 1
    say("%s: %d operations, %d actions; %s", what, len(operations), sum(len(log) for log in logs.values()),
        ", ".join("%s %d" % one for one in sorted(codes.items())))
    return codes


@story.story
def what_many_devices_heard_is_one_history():
    totals = collections.Counter()
    for world in range(WORLDS):
        with Daemon(options={"store.shards": 2, "limits.page_actions": PAGE}) as daemon:
            for names, hands, actions in ((ONE_LOG, DEVICES, SHARED), (ONE_DEVICE, 8, OWN)):
                operations, logs = play(daemon, names, hands, actions, "%d %d" % (SEED, world))
                for log, kept in logs.items():
                    history.check(log, operations, kept, page_actions=PAGE)
                totals += tell("%d devices, %d logs" % (len(names) // len(logs), len(logs)), operations, logs)
        tool("verify", daemon.dir)
    for code in ("CONFLICT", "TIMESTAMP_TAKEN", "fast-forward", "rebased", "head", "page"):
        is_true(totals[code] > 0, "never %s: %r", code, totals)


# --- the control: histories as no server may make them ---


def relink(log, actions):
    """A log with these actions, its chain unbroken."""
    links = chain.extend(chain.genesis(log), actions)
    return [{**action, "seq": seq, "link": link.hex()} for seq, (action, link) in enumerate(zip(actions, links), 1)]


def find(operations, condition):
    return next(operation for operation in operations if condition(operation))


def drop_the_newest(operations, actions):
    return operations, relink("shared", actions[:-1])


def drop_one(operations, actions):
    return operations, relink("shared", actions[:50] + actions[51:])


def swap_two(operations, actions):
    return operations, relink("shared", actions[:50] + [actions[51], actions[50]] + actions[52:])


def double_one(operations, actions):
    return operations, relink("shared", actions + [actions[7]])


def swap_two_results(operations, actions):
    def seqs(operation):
        return [result for result in operation["answer"].get("results", ()) if "seq" in result]
    first, second = seqs(find(operations, lambda one: len(seqs(one)) > 1))[:2]
    first["seq"], second["seq"] = second["seq"], first["seq"]
    return operations, actions


def read_stale(operations, actions):
    """A head read late shows what was right long before."""
    late = find(operations[::-1], lambda one: one["kind"] == "head")
    early = find(operations, lambda one: one["kind"] == "head")
    late["answer"].update(seq=early["answer"]["seq"], stateHash=early["answer"]["stateHash"])
    return operations, actions


def add_too_early(operations, actions):
    """A request is said to have begun after all others had ended; what it added is far from the end."""
    early = find(operations, lambda one: one["kind"] == "sync" and one["answer"].get("applied"))
    latest = max(operation["ended"] for operation in operations)
    early.update(began=latest + 1, ended=latest + 2)
    return operations, actions


def forget_a_missed_one(operations, actions):
    del find(operations, lambda one: one["answer"].get("missed"))["answer"]["missed"][0]
    return operations, actions


def change_a_page(operations, actions):
    find(operations, lambda one: one["answer"].get("actions"))["answer"]["actions"][0]["payload"] += "!"
    return operations, actions


def conflict_without_reason(operations, actions):
    """A fast-forward is told as a conflict with the head from before it: its actions are in the log all the same."""
    operation = find(operations, lambda one: one["answer"].get("fastForward") and one["answer"]["applied"])
    base = operation["asked"]
    operation.update(status=409, answer={"code": "CONFLICT", "head": {"seq": base["seq"], "stateHash": base["prevHash"]},
                                         "serverTimestamp": operation["answer"]["serverTimestamp"]})
    return operations, actions


def turn_time_back(operations, actions):
    operations[-1]["answer"]["serverTimestamp"] -= 120_000
    return operations, actions


def receive_before(operations, actions):
    actions[60]["receivedAt"] = actions[0]["receivedAt"] - 1
    return operations, actions


DOCTORS = {drop_the_newest: "chain", drop_one: "chain", swap_two: "chain", double_one: "place", swap_two_results: "order place",
           read_stale: "order", add_too_early: "order", forget_a_missed_one: "model", change_a_page: "model",
           conflict_without_reason: "place", turn_time_back: "time", receive_before: "time"}


@story.story
def every_kind_of_doctored_history_is_noticed():
    with Daemon() as daemon:
        operations, logs = play(daemon, ONE_LOG, 16, 600, "%d doctored" % SEED)
    operations.sort(key=lambda one: one["began"])
    history.check("shared", operations, logs["shared"])
    for doctor, checks in DOCTORS.items():
        doctored = doctor(copy.deepcopy(operations), copy.deepcopy(logs["shared"]))
        fleet.must_fail(doctor.__name__.replace("_", " "), lambda doctored=doctored: history.check("shared", *doctored),
                        *[check + ":" for check in checks.split()])
    say("%d kinds of doctored histories, each noticed", len(DOCTORS))


class Stuck:
    """A device that is busy and gets nowhere, until the test has seen enough."""

    def __init__(self):
        self.left, self.pending = 1, []

    def step(self):
        time.sleep(0.01)


@story.story
def a_device_that_hangs_or_fails_is_noticed():
    stuck = Stuck()
    fleet.must_fail("a device that hangs", lambda: run_all([Hand([stuck])], [stuck], patience=1), "hang:")
    stuck.left = 0
    stuck, failing = Stuck(), Stuck()
    failing.step = lambda: same(1, 2, "broken")
    fleet.must_fail("one that fails beside one that hangs", lambda: run_all([Hand([stuck]), Hand([failing])], [stuck]), "broken")
    stuck.left = 0


story.run()
