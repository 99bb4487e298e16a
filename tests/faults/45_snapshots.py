"""
A kill while snapshots are stored: at each named step, and at any moment. What a PUT said is stored is there and whole, nothing
half is ever given, and a start leaves nothing of what was under way. The control says so before it is.
"""
import glob
import os
import random
import signal
import subprocess
import threading
import time

import support
from support import Missing, chain, plant, story
from support.daemon import Daemon, Refused
from support.story import is_true, same, say

TRIALS, KILLS = support.count(3, 40), support.count(25, 400)
FAULTS = os.path.join(story.BUILD, "faults/edgereplayd")
BINARY = FAULTS if os.path.exists(FAULTS) else os.path.join(story.BUILD, "edgereplayd")
LOGS, ACTIONS, KEEP = 4, 200, 2
SIZES = (100, 5000, 300000, 3000000)


def points():
    listed = subprocess.run([BINARY, "--fail-points"], capture_output=True, text=True, check=False)
    same(listed.returncode, 0, "%s has no fail points (make faults builds one that has): %s" % (BINARY, listed.stderr))
    return [line.split()[0] for line in listed.stdout.splitlines() if "snapshot" in line.split()[1:]]


def body_of(log, seq):
    return random.Random("%s %d" % (log, seq)).randbytes(SIZES[seq % len(SIZES)])


class Giver(threading.Thread):
    """Gives snapshots of a log, one after the other, until the server goes away."""

    def __init__(self, daemon, log, links, given):
        super().__init__(daemon=True)
        self.client, self.log, self.links, self.given = daemon.client(), log, links, given
        self.start()

    def run(self):
        try:
            for seq in range(max(self.given, default=0) + 1, ACTIONS + 1):
                headers = {"Edgereplay-State-Hash": self.links[seq].hex(), "Content-Type": None}
                target = "/v1/logs/%s/snapshots/%d" % (self.log, seq)
                if self.client.request("PUT", target, body_of(self.log, seq), headers).status == 200:
                    self.given.append(seq)
        except OSError:
            pass


class World:
    """A daemon with logs that are written; given[log]: the seqs whose PUT was answered 200, in order."""

    def __init__(self, binary=BINARY):
        self.daemon = Daemon(binary=binary, options={"snapshots.keep": KEEP, "store.shards": 2})
        self.links, self.given = {}, {}
        with self.daemon.client() as client:
            for log in ("log-%d" % n for n in range(LOGS)):
                actions = [{"device": "d", "ts": n + 1, "type": "t", "payload": "{}"} for n in range(ACTIONS)]
                same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log))).status, 200, "sync")
                self.links[log] = [chain.genesis(log)] + chain.extend(chain.genesis(log), actions)
                self.given[log] = []
        self.daemon.stop()

    def start(self, point=None):
        self.daemon.how["env"] = {"EDGEREPLAY_FAIL_POINT": point} if point else {}
        self.daemon.start()
        self.givers = [Giver(self.daemon, log, self.links[log], self.given[log]) for log in self.links]

    def ended(self):
        same(self.daemon.wait(), -signal.SIGKILL, "exit code")
        for giver in self.givers:
            giver.join()

    def judge(self):
        """Every log has the newest that was acknowledged or a newer one; what it has is whole."""
        self.daemon.how["env"] = {}
        self.daemon.start()
        left = glob.glob(os.path.join(self.daemon.dir, "snapshots/*/*.new"))
        same(left, [], "left after a start")
        with self.daemon.client() as client:
            for log, given in self.given.items():
                self.judge_log(client, log, given)
        self.daemon.stop()

    def judge_log(self, client, log, given):
        answer, found = client.get("/v1/logs/%s/snapshots/latest" % log), []
        while answer.status == 200:
            seq = int(answer.header("edgereplay-seq"))
            if answer.body != body_of(log, seq):
                raise Missing("%s: the snapshot of %d is not what was given" % (log, seq))
            same(answer.header("edgereplay-state-hash"), self.links[log][seq].hex(), "its state hash")
            found.append(seq)
            answer = client.get("/v1/logs/%s/snapshots/latest?before=%d" % (log, seq))
        for seq in given[-KEEP:]:
            # A newer one may have come and not been answered.
            if seq not in found and not (found and found[-1] > seq and len(found) >= KEEP):
                raise Missing("%s: that of %d was acknowledged, and there are %r" % (log, seq, found))

    def count(self):
        return sum(map(len, self.given.values()))


@story.story
def a_crash_at_any_step_of_storing_one_loses_nothing():
    names, crashes, given = points(), 0, 0
    is_true(len(names) >= 4, "points: %r", names)
    for name in names:
        world, rolls = World(), random.Random("%s %d" % (name, story.seed()))
        for _ in range(TRIALS):
            world.start("%s:%d" % (name, rolls.randrange(1, 30)))
            world.ended()
            world.judge()
            crashes += 1
        given += world.count()
    say("%d crashes at %d steps, %d snapshots acknowledged, the newest all there", crashes, len(names), given)


def kills(world, count, rolls):
    for _ in range(count):
        world.start()
        time.sleep(rolls.random() * 0.3)
        world.daemon.signal(signal.SIGKILL)
        world.ended()
        world.judge()


@story.story
def a_kill_at_any_moment_loses_nothing():
    rolls = random.Random(story.seed())
    given, done = 0, 0
    while done < KILLS:
        world = World()
        kills(world, 5, rolls)
        done += 5
        given += world.count()
    say("%d kills, %d snapshots acknowledged, the newest all there", done, given)


@story.story
def the_control_that_answers_before_it_stores_is_caught():
    world = World(plant.daemon("snapshot-acknowledged-early"))
    try:
        for _ in range(30):
            world.start("before-snapshot-sync:%d" % random.randrange(1, 20))
            world.ended()
            world.judge()
    except (Missing, Refused) as missing:
        say("the control lost what it should lose: %s", missing)
        return
    raise AssertionError("30 crashes after answers that came too early lost nothing: the story is blind")


story.run()
