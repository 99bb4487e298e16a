"""
A server that was restored from an older backup, and phones that are ahead of it: in the end its logs have every action
that any phone still had, in one chain, once. With the phone in Python and with the tool and its state files; with a log
that the backup lacks, a phone that is behind the backup, one that was offline with unsent work, and phones that heal at
the same time.
"""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support import chain, story  # noqa: E402
from support.daemon import PATIENCE, Daemon, tool, whole_log  # noqa: E402
from support.phone import Phone  # noqa: E402
from support.story import is_true, same, say  # noqa: E402
import fleet  # noqa: E402

SEED = story.seed()
WORLDS = fleet.times(6, 100)
DRILLS = fleet.times(3, 50)
TOOL_WORLDS = fleet.times(1, 15)


class Server:
    """A daemon, a backup of it, and the day on which only the backup is left."""

    def __init__(self):
        self.daemon = Daemon(options={"store.shards": 2, "limits.page_actions": 20})
        self.backup = tempfile.mkdtemp(prefix="backup.")

    def back_up(self):
        """As the README says: stop, copy, start."""
        self.daemon.stop()
        shutil.copytree(self.daemon.dir, self.backup, dirs_exist_ok=True)
        self.daemon.start()

    def restore(self):
        self.daemon.stop()
        self.daemon.dir = self.backup
        self.daemon.start()

    def end(self):
        self.daemon.stop()
        tool("verify", self.daemon.dir)


class Lost(Server):
    """The drill: backed up while phones write, without a stop; then the machine is gone, and it is restored elsewhere."""

    def __init__(self):
        super().__init__()
        self.daemon.stop()
        self.daemon.options["admin.listen"] = "unix:admin.sock"
        self.daemon.start()
        self.stopping, self.written = threading.Event(), 0
        self.noise = threading.Thread(target=self.write, daemon=True)

    def write(self):
        """A load beside the phones, on a log of its own."""
        phone = Phone(self.daemon.address, "load", "noise")
        while not self.stopping.is_set():
            for n in range(20):
                phone.act("t", "x" * 50 * n)
            phone.sync()
            self.written += 20

    def back_up(self):
        os.rmdir(self.backup)
        self.noise.start()
        while self.written < 400:
            self.stopping.wait(0.01)
        tool("backup", self.daemon.dir, "--to=" + self.backup)
        self.stopping.set()
        self.noise.join(PATIENCE)

    def restore(self):
        self.daemon.kill()
        shutil.rmtree(self.daemon.dir)
        self.daemon.dir = os.path.join(tempfile.mkdtemp(prefix="elsewhere."), "data")
        tool("restore", self.backup, self.daemon.dir)
        self.daemon.start()


# --- phones in Python ---


class Forgetful(Phone):
    """The control: it takes the server's word for everything and gives nothing back."""

    def _heal(self, document):
        ancestor = document["ancestor"]["seq"]
        del self.confirmed[ancestor:], self.links[ancestor + 1:]
        return self._pull()


class World:
    """
    Four phones on the log "old", of which the backup has a part, and two on "new", which it lacks. Of the four, one is far
    ahead of the backup, one a little, one is offline with unsent work, and one is behind the backup.
    """

    def __init__(self, seed, kind=Phone, server=Server):
        self.random = random.Random(seed)
        self.server = server()
        address = self.server.daemon.address
        self.users = [fleet.User(n, address, "old" if n < 4 else "new", seed, kind, batch=self.random.choice((1, 3, 7, 50)),
                                 locator=self.random.random() < 0.7) for n in range(6)]
        self.far, self.near, self.offline, self.behind = self.users[:4]

    def some(self):
        return self.random.randrange(3, 30)

    def bring(self, user):
        user.act(self.some())
        user.phone.settle()

    def before(self):
        """Up to the backup."""
        self.bring(self.behind)
        self.bring(self.far)
        self.bring(self.offline)
        self.bring(self.near)
        self.server.back_up()
        self.meet()

    def after(self):
        """From the backup to the loss."""
        self.bring(self.far)
        self.bring(self.near)
        self.bring(self.far)
        self.offline.act(self.some())
        for user in self.users[4:]:
            self.bring(user)
        self.server.restore()
        self.meet()

    def meet(self):
        for user in self.users:
            user.phone.client.close()
            user.phone.client.address = self.server.daemon.address

    def held(self):
        """What any phone still has, by log; and so many are lost if no phone gives them back."""
        held = {}
        for user in self.users:
            keys = held.setdefault(user.phone.log, set())
            keys.update(map(chain.key, user.phone.confirmed))
            keys.update(chain.key(entry["action"]) for entry in user.phone.queue)
        with self.server.daemon.client() as client:
            there = {log: {chain.key(action) for action in whole_log(client, log)[0]} for log in held}
        return held, sum(len(held[log] - there[log]) for log in held)

    def heal(self, together):
        """All phones come back, in any order, with new work; or all at the same moment."""
        users = self.random.sample(self.users, len(self.users))
        for user in users:
            if self.random.random() < 0.5:
                user.act(self.some())
        if together:
            at_once([user.phone.settle for user in users])
        fleet.settle(users)

    def judge(self, held):
        with self.server.daemon.client() as client:
            logs = fleet.judge(client, self.users)
        for log, keys in held.items():
            missing = keys - {chain.key(action) for action in logs[log]}
            is_true(not missing, "missing in %s though a phone had it: %.300r", log, missing)


def at_once(functions):
    """Runs them in threads that start together."""
    barrier, errors = threading.Barrier(len(functions)), []

    def run(function):
        try:
            barrier.wait(PATIENCE)
            function()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        is_true(not thread.is_alive(), "a phone hangs")
    if errors:
        raise errors[0]


def restored(seed, kind=Phone, server=Server):
    world = World(seed, kind, server)
    world.before()
    world.after()
    return world


@story.story
def whatever_a_phone_still_had_is_in_one_chain_again():
    lost = 0
    for n in range(WORLDS):
        world = restored("%d %d" % (SEED, n))
        held, gone = world.held()
        with world.server.daemon.client() as client:
            same(client.get("/v1/logs/new/head").json()["seq"], 0, "the log that the backup lacks")
            is_true(world.behind.phone.base < client.get("/v1/logs/old/head").json()["seq"], "nobody is behind the backup")
        world.heal(together=n % 2 == 1)
        world.judge(held)
        world.server.end()
        lost += gone
        is_true(gone > 0, "the restore lost nothing: nothing was tried")
    say("%d restores, %d of them healed by all phones at once; %d actions lost and brought back", WORLDS, WORLDS // 2, lost)


@story.story
def a_backup_under_load_of_a_machine_that_is_lost_is_healed_by_the_phones_ahead_of_it():
    lost = 0
    for n in range(DRILLS):
        world = restored("%d drill %d" % (SEED, n), server=Lost)
        held, gone = world.held()
        world.heal(together=n % 2 == 0)
        world.judge(held)
        with world.server.daemon.client() as client:
            is_true(len(whole_log(client, "load")[0]) >= 400, "what was acknowledged before the backup")
        world.server.end()
        lost += gone
        is_true(gone > 0, "the restore lost nothing: nothing was tried")
    say("%d machines lost, restored elsewhere from backups under load; %d actions lost and brought back", DRILLS, lost)


@story.story
def phones_that_do_not_heal_are_noticed():
    world = restored("%d forgetful" % SEED, Forgetful)
    held, gone = world.held()
    world.heal(together=False)
    fleet.must_fail("%d lost actions" % gone, lambda: world.judge(held), "missing in")
    world.server.end()


# --- the tool and its state files ---


class Device:
    """A state file and the flags that go with it."""

    def __init__(self, server, name, log="old"):
        self.server, self.name, self.log, self.made = server, name, log, 0
        self.state = os.path.join(tempfile.mkdtemp(prefix=name), "state")

    def flags(self, url=None):
        return ["--url=" + (url or self.server.daemon.url), "--log=" + self.log, "--state=" + self.state,
                "--device=" + self.name]

    def act(self, count):
        """So many more lines for the tool's input."""
        first, self.made = self.made, self.made + count
        return "".join(json.dumps({"type": "t", "payload": "%s %d" % (self.name, n)}) + "\n"
                       for n in range(first, self.made)).encode()

    def push(self, count, offline=False):
        more = ["--give-up=1"] if offline else []
        tool("push", "-q", *self.flags("http://127.0.0.1:9" if offline else None), *more, "-", input=self.act(count),
             expect=3 if offline else 0)

    def start_push(self):
        """Healing and new work in a process that is not waited for; batches small enough to meet others half-way."""
        running = subprocess.Popen([story.TOOL, "push", "-q", *self.flags(), "--batch=2", "-"], stdin=subprocess.PIPE)
        running.stdin.write(self.act(4))
        running.stdin.close()
        return running

    def pull(self):
        tool("pull", "-q", *self.flags())

    def holds(self):
        """Payloads that the state has, confirmed or queued."""
        with sqlite3.connect(self.state) as database:
            rows = database.execute("SELECT payload FROM confirmed UNION SELECT payload FROM queue").fetchall()
        database.close()
        return {bytes(row[0]).decode() for row in rows}

    def status(self):
        return json.loads(tool("status", "--json", "--state=" + self.state).out)


def tool_world(heals, seed=SEED):
    """The same with the tool. heals: how the devices come back. Returns how many actions the states had."""
    rolls, server = random.Random(seed), Server()
    far, near, offline, behind = devices = [Device(server, name) for name in ("far", "near", "offline", "behind")]
    new = Device(server, "new", "new")
    for device in devices[::-1]:
        device.push(rolls.randrange(1, 20))
    server.back_up()
    far.push(rolls.randrange(20, 50))
    near.push(rolls.randrange(5, 20))
    far.push(rolls.randrange(1, 10))
    offline.push(rolls.randrange(1, 20), offline=True)
    new.push(rolls.randrange(1, 10))
    server.restore()
    held = {device: device.holds() for device in (*devices, new)}
    heals(devices, new)
    for device in (*devices, new) * 2:
        device.pull()
    try:
        judge_states(server, {"old": devices, "new": [new]}, held)
    finally:
        server.end()
    return sum(len(one) for one in held.values())


def judge_states(server, logs, held):
    with server.daemon.client() as client:
        for log, owners in logs.items():
            actions, links = whole_log(client, log)
            payloads = [action["payload"] for action in actions]
            same(len(set(payloads)), len(payloads), "actions of %s occur once" % log)
            missing = set().union(*(held[owner] for owner in owners)) - set(payloads)
            is_true(not missing, "missing in %s though a device had it: %.300r", log, missing)
            same(sorted(payloads), sorted("%s %d" % (d.name, n) for d in owners for n in range(d.made)), "what is in " + log)
            for owner in owners:
                state = owner.status()
                same((state["seq"], state["stateHash"], state["queued"], state["setAside"]),
                     (len(actions), links[-1].hex(), 0, 0), "the state of " + owner.name)


def one_after_the_other(devices, new):
    for device in random.Random(SEED).sample([*devices, new], 5):
        device.push(4)


def at_the_same_time(devices, new):
    running = [device.start_push() for device in (*devices, new)]
    for one in running:
        same(one.wait(PATIENCE), 0, "exit code of a push")


@story.story
def the_tool_gives_back_what_its_states_have():
    held = {one_after_the_other: 0, at_the_same_time: 0}
    for n in range(TOOL_WORLDS):
        for heals in held:
            held[heals] += tool_world(heals, "%d %d" % (SEED, n))
    for heals, count in held.items():
        say("%d restores healed by the tool, %s; %d actions in the states", TOOL_WORLDS, heals.__name__.replace("_", " "), count)


@story.story
def states_that_are_thrown_away_are_noticed():
    def throw_away(devices, new):
        for device in (*devices, new):
            os.remove(device.state)
            device.pull()
            device.push(1)

    fleet.must_fail("states that are gone", lambda: tool_world(throw_away), "missing in")


story.run()
