"""
Many phones, few logs, random batches and retries, lost answers, both modes, a server that is killed or restored from an
older copy: at the end every acknowledged action is in its log exactly once and everybody has the same history.
"""
import random
import shutil
import tempfile
import threading

from support import chain, story
from support.daemon import Daemon, tool, whole_log
from support.phone import Phone
from support.proxy import Proxy
from support.story import is_true, same, say

LOGS = ["few-1", "few|2", "few-3"]
PHONES = 18
SEED = story.seed()


class User(threading.Thread):
    """A phone in somebody's hand: acts and syncs at random until it has done its share."""

    def __init__(self, number, address, actions, seed):
        super().__init__(daemon=True)
        self.random = random.Random("%d %d" % (seed, number))
        # Two were cloned from a backup, so that stamps collide; where one of two wrote a run of stamps, the other's actions
        # go past it one by one, all of a batch in one request.
        device = "device-%d" % (number - 9 if number in (9, 10) else number)
        batch = 50 if number in (0, 1, 9, 10) else self.random.choice((1, 3, 10, 50))
        self.phone = Phone(address, LOGS[number % len(LOGS)], device, seed="%d %d" % (seed, number), batch=batch,
                           locator=number % 4 != 0)
        self.number, self.left, self.made, self.error = number, actions, [], None
        self.done = 0  # actions made so far; read by the main thread to see that time passes

    def run(self):
        try:
            while self.left > 0:
                for _ in range(self.random.choice((0, 1, 1, 2, 5, 15))):
                    name = "%d/%d" % (self.number, len(self.made))
                    self.phone.act("t", '{"name":"%s"}' % name)
                    self.made.append('{"name":"%s"}' % name)
                    self.left -= 1
                    self.done += 1
                mode = self.random.choice(("rebase", "rebase", "reject"))
                if not self.phone.sync(mode, pull=self.random.choice((None, None, 0, 1, 7))):
                    self.phone.pause(0.2)
                elif self.random.random() < 0.1:
                    self.phone.client.close()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class World:
    """One daemon behind a bad network, and its users."""

    def __init__(self, seed, actions, **options):
        self.daemon = Daemon(options={"limits.page_actions": 40, "store.shards": 2, **options})
        self.proxy = Proxy(self.daemon.port, seed, bytes_between_cuts=80_000, answers_lost=0.03).__enter__()
        self.total = actions * PHONES
        self.users = [User(n, ("127.0.0.1", self.proxy.port), actions, seed) for n in range(PHONES)]
        for user in self.users:
            user.start()

    def await_share(self, share):
        """Waits until that share of all actions was made."""
        tick = threading.Event()
        while sum(user.done for user in self.users) < share * self.total and any(u.is_alive() for u in self.users):
            self.check_errors()
            tick.wait(0.01)

    def check_errors(self):
        for user in self.users:
            if user.error:
                raise user.error

    def restart(self):
        self.daemon.start()
        self.proxy.target = self.daemon.port

    def finish(self):
        """All users end; then everybody syncs over a good network until nothing is left to do."""
        for user in self.users:
            user.join(600)
            is_true(not user.is_alive(), "phone %d hangs: %r", user.number, user.phone.statistics)
        self.check_errors()
        self.proxy.answers_lost, self.proxy.left = 0, float("inf")
        for _ in range(3):  # what one phone heals or pushes is news for those that came before it
            for user in self.users:
                user.phone.settle()
        self.proxy.__exit__()
        statistics = {}
        for user in self.users:
            for what, count in user.phone.statistics.items():
                statistics[what] = statistics.get(what, 0) + count
        say("%s", ", ".join("%s %d" % item for item in sorted(statistics.items())))
        say("%d cuts, %d answers lost", self.proxy.cuts, self.proxy.lost)
        return statistics

    def judge(self):
        with self.daemon.client() as client:
            logs = {log: whole_log(client, log) for log in LOGS}
        for log, (actions, links) in logs.items():
            keys = [chain.key(action) for action in actions]
            same(len(keys), len(set(keys)), "keys of %s occur once" % log)
            payloads = [action["payload"] for action in actions]
            same(len(payloads), len(set(payloads)), "actions of %s occur once" % log)
            users = [user for user in self.users if user.phone.log == log]
            same(sorted(payloads), sorted(name for user in users for name in user.made), "what is in " + log)
            for user in users:
                same(user.phone.links == links, True, "phone %d converged" % user.number)
                same(user.phone.aside, [], "nothing was set aside")
            self.judge_acknowledged(users, set(keys), set(payloads))
        self.daemon.stop()
        tool("verify", self.daemon.dir)
        say("%d actions in %d logs", sum(len(actions) for actions, _ in logs.values()), len(logs))

    @staticmethod
    def judge_acknowledged(users, keys, payloads, restored=False):
        for user in users:
            for action in user.phone.acknowledged:
                is_true(chain.key(action) in keys or restored and action["payload"] in payloads,
                        "an acknowledged action of phone %d is missing: %r", user.number, action)


@story.story
def every_acknowledged_action_is_there_once_after_three_kills():
    world = World(SEED, 250)
    rolls = random.Random(SEED)
    for share in sorted(rolls.uniform(0.1, 0.9) for _ in range(3)):
        world.await_share(share)
        world.daemon.kill()
        world.restart()
    statistics = world.finish()
    for what in ("fastForward", "rebased", "CONFLICT", "no answer"):
        is_true(statistics.get(what, 0) > 0, "no %s in %r", what, statistics)
    world.judge()


@story.story
def phones_heal_a_server_that_was_restored_from_an_older_copy():
    world = World(SEED + 1, 150)
    world.judge_acknowledged = lambda users, keys, payloads: World.judge_acknowledged(users, keys, payloads, True)
    world.await_share(0.3)
    world.daemon.stop()
    backup = tempfile.mkdtemp(prefix="backup.")
    shutil.copytree(world.daemon.dir, backup, dirs_exist_ok=True)
    world.restart()
    world.await_share(0.7)
    with world.daemon.client() as client:
        before = sum(client.get("/v1/logs/%s/head" % chain.path(log)).json()["seq"] for log in LOGS)
    world.daemon.stop()
    world.daemon.dir = backup
    world.restart()
    with world.daemon.client() as client:
        after = sum(client.get("/v1/logs/%s/head" % chain.path(log)).json()["seq"] for log in LOGS)
    statistics = world.finish()
    say("the restore lost about %d actions; the phones brought them back", before - after)
    healed = statistics.get("SERVER_BEHIND", 0) + statistics.get("HASH_MISMATCH", 0)
    is_true(healed > 0, "no phone had to heal: %r", statistics)
    world.judge()


story.run()
