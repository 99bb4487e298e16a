"""
The daemon ends at a named step: each of its fail points (server/base/failpoint.h), at several passes. What was acknowledged
is there, the directory verifies as the crash left it, and what was under way, sent again, gets the place that it would have
had. A point that nothing passes is a failure. The control answers before it commits, and ends after an answer.
"""
import collections
import os
import random
import signal
import subprocess
import threading
import time

import support
from support import Missing, plant, story
from support.daemon import Daemon, Refused, tool
from support.story import is_true, same, say

TRIALS = support.count(5, 50)
FAULTS = os.path.join(story.BUILD, "faults/edgereplayd")
BINARY = FAULTS if os.path.exists(FAULTS) else os.path.join(story.BUILD, "edgereplayd")

# A small tail and small slices: every step comes often. Two shards, so that one has gone further than the other.
OPTIONS = {"store.shards": 2, "store.tail_bytes": 65536, "store.slice": 16, "limits.payload_bytes": 1024,
           "limits.body_bytes": 32768, "limits.batch_actions": 20}
WRITERS = 6

# Bursts and pauses: in a pause a shard finds the time to bring the WAL to rest.
BURST_SECONDS, PAUSE_SECONDS = 0.3, 0.2

PATIENCE = 60  # seconds for the first pass of a step; a step that takes longer is taken for one that is never passed


def points(passed_by):
    listed = subprocess.run([BINARY, "--fail-points"], capture_output=True, text=True, check=False)
    same(listed.returncode, 0, "%s has no fail points (make faults builds one that has): %s" % (BINARY, listed.stderr))
    found = [line.split() for line in listed.stdout.splitlines()]
    return [words[0] for words in found if passed_by in words[1:]]


class Crashes:
    """One point, crashed at again and again. attempt(passes) is one trial; passes: at which pass it is to be."""

    passes_max = 1  # the first guess; what turns out not to be reached is not tried again

    def __init__(self, point, binary=BINARY):
        self.point = point
        self.gate = threading.Event()
        self.daemon = Daemon(binary=binary, options=OPTIONS, start=False)
        self.counts = collections.Counter()
        self.load = None

    # --- parts of a trial ---

    def start(self, passes=0):
        """Starts, with the point armed if passes is not 0; false when it ended there."""
        self.daemon.how["env"] = {"EDGEREPLAY_FAIL_POINT": "%s:%d" % (self.point, passes)} if passes else {}
        try:
            self.daemon.start()
            return True
        except Refused as refused:
            same(refused.code if passes else "refused", -signal.SIGKILL, "at the start: %s" % refused)
            return False

    def run_load(self):
        if self.load is None:
            self.load = support.Load(self.daemon, WRITERS, story.seed(), self.gate)
        else:
            self.load.again()
        self.gate.set()
        self.load.start()

    def ends_within(self, seconds):
        try:
            self.daemon.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def end(self):
        """It has ended or ends now, whatever it is at; false when it was not at the point."""
        crashed = self.daemon.process.poll() is not None
        self.daemon.signal(signal.SIGKILL)
        same(self.daemon.wait(), -signal.SIGKILL, "exit code")
        self.gate.set()
        self.load.join()
        return crashed

    def judge(self):
        """After a crash: the daemon runs again, and everything is as it should be."""
        if os.path.exists(os.path.join(self.daemon.dir, "manifest")):
            tool("verify", self.daemon.dir)
        self.start()
        if self.load:
            self.counts["stored"] += self.load.retry()

    # --- all of them ---

    def run(self, trials):
        rolls, at_most = random.Random("%s %d" % (self.point, story.seed())), self.passes_max
        while self.counts["crashes"] < trials:
            passes = 1 if self.counts["crashes"] == 0 else max(1, int((at_most + 1) ** rolls.random()))
            if self.attempt(passes):
                self.counts["crashes"] += 1
                continue
            is_true(passes > 1, "%s is never passed", self.point)
            self.counts["in vain"] += 1
            at_most = passes // 2
        self.finish()
        return self.counts

    def finish(self):
        """The same folder once more, clean."""
        if self.daemon.process.poll() is not None:
            self.start()
        self.load.judge_all()
        self.counts["acknowledged"] += self.load.acknowledged
        self.daemon.stop()
        tool("verify", self.daemon.dir)


class UnderLoad(Crashes):
    passes_max = 200

    def attempt(self, passes):
        if self.load is None:  # first without the point, for what is passed at a start
            self.start()
            self.run_load()
            self.load.await_acknowledged(1)
            self.end()
            self.judge()
        if self.daemon.process.poll() is None:
            self.daemon.stop()
        crashed = not self.start(passes)
        if not crashed:
            self.run_load()
            self.rush(PATIENCE if passes == 1 else 1)
            crashed = self.end()
        self.judge()
        return crashed

    def rush(self, seconds):
        """Bursts and pauses until it ends, or for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.ends_within(BURST_SECONDS):
            self.gate.clear()
            if self.ends_within(PAUSE_SECONDS):
                break
            self.gate.set()


class AtRestart(Crashes):
    passes_max = 30

    def attempt(self, passes):
        if self.daemon.process is None:
            self.start()
        self.run_load()
        self.load.await_acknowledged(self.load.random.randrange(20, 200))
        self.end()
        crashed = not self.start(passes)
        # The start after such a crash may end there, too.
        if not crashed or self.start(1):
            self.daemon.kill()
        self.judge()
        return crashed


class AtStop(Crashes):
    passes_max = 2

    def attempt(self, passes):
        if self.daemon.process is not None:
            self.daemon.stop()
        is_true(self.start(passes), "it ended at the start")
        self.run_load()
        self.load.await_acknowledged(self.load.random.randrange(20, 200))
        self.daemon.signal(signal.SIGTERM)
        crashed = self.daemon.wait() == -signal.SIGKILL
        self.load.join()
        self.judge()
        return crashed


class AtFirstStart(Crashes):
    passes_max = 4  # of two shards, two journal files each

    def attempt(self, passes):
        """In a folder that is new."""
        self.daemon = Daemon(binary=self.daemon.how["binary"], options=OPTIONS, start=False)
        self.load = None
        if self.start(passes):
            self.daemon.stop()
            return False
        self.judge()
        self.run_load()
        self.load.await_acknowledged(20)
        self.end()
        self.judge()
        self.daemon.stop()
        return True


def crash_at_all(passed_by, kind):
    names, counts = points(passed_by), collections.Counter()
    is_true(names, "no points of %s", passed_by)
    for name in names:
        counts += kind(name).run(TRIALS)
    say("%s: %d crashes at %d points, %d acknowledged actions, all there; %d batches stored but not answered", passed_by,
        counts["crashes"], len(names), counts["acknowledged"], counts["stored"])


@story.story
def a_crash_at_any_step_under_load_loses_nothing():
    crash_at_all("load", UnderLoad)


@story.story
def a_crash_at_any_step_of_a_restart_loses_nothing():
    crash_at_all("start", AtRestart)


@story.story
def a_crash_at_any_step_of_a_clean_stop_loses_nothing():
    crash_at_all("stop", AtStop)


@story.story
def a_crash_at_any_step_of_the_first_start_leaves_a_folder_that_serves():
    crash_at_all("make", AtFirstStart)


@story.story
def the_control_that_answers_too_early_is_caught():
    crashes = UnderLoad("after-answer", plant.daemon("acknowledge-before-commit"))
    try:
        crashes.run(20)
    except Missing as missing:
        if crashes.daemon.process.poll() is None:
            crashes.daemon.kill()
        say("the control lost what it should lose: %s", missing)
        return
    raise AssertionError("20 crashes after answers that came too early lost nothing: the story is blind")


story.run()
