"""
Memory is out at every point of a sync and a replay in turn, once or until it is there again: the daemon says so or closes the
connection, acknowledges nothing that is not stored, does not end, and serves as before when there is memory. The control is a
daemon that leaves out what there was no memory for: the same judge must catch it.
"""
import ctypes
import mmap
import os
import threading
import time

import disk
import support
from support import raw, story
from support.daemon import Daemon, tool, whole_log
from support.story import is_true, say

if story.SANITIZED:
    story.skip("skipped: sanitizers need the allocator for themselves")

DAEMONS = 6  # side by side: most of the time is waiting for shards to start again
POINTS_MAX = 5000
OPTIONS = {"store.shards": 1, "server.threads": 1}


class Refusal(OSError):
    """The daemon says that it cannot now."""


class Client(raw.Client):
    def request(self, method, target, body=None, headers=()):
        answer = super().request(method, target, body, headers)
        if answer.status in (429, 500, 503):
            self.close()
            raise Refusal(answer.status)
        return answer


class Writer(support.Writer):
    def __init__(self, log, address):
        super().__init__(log, address, story.seed())
        self.client = Client(address)


class Memory:
    """The memory of one daemon."""

    def __init__(self, name):
        self.path = os.path.abspath(name)
        with open(self.path, "w+b") as file:
            file.write(bytes(16))
            file.flush()
            self.words = (ctypes.c_uint32 * 4).from_buffer(mmap.mmap(file.fileno(), 16))
        self.environment = {**disk.preload("no_memory"), "NO_MEMORY_FILE": self.path}

    def run_out(self, nth, for_good):
        self.words[2] = self.words[3] = 0
        self.words[1] = for_good
        self.words[0] = nth

    def come_back(self):
        """Whether it was out."""
        self.words[0] = 0
        return self.words[3] > 0


class Sweep(threading.Thread):
    """The points nth, nth + DAEMONS, …, until one is not reached."""

    def __init__(self, nth, for_good, binary=None):
        super().__init__(daemon=True)
        self.nth, self.for_good = nth, for_good
        self.memory = Memory("memory-%d-%d" % (nth, for_good))
        self.daemon_ = Daemon(options=OPTIONS, env=self.memory.environment, binary=binary)
        self.points = self.refusals = 0
        self.error = None

    def run(self):
        try:
            while self.point():
                self.points += 1
                is_true(self.nth < POINTS_MAX, "the sweep does not end")
                self.nth += DAEMONS
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def attempt(self, function):
        try:
            return function()
        except OSError:
            self.refusals += 1
            return None

    def insist(self, writer):
        end = time.monotonic() + 30
        while True:
            if self.daemon_.process.poll() is not None:
                raise support.Missing("the daemon ended at allocation %d" % self.nth)
            try:
                return writer.push()
            except OSError:
                is_true(time.monotonic() < end, "allocation %d: it does not serve again", self.nth)
                time.sleep(0.01)

    def point(self):
        writer = Writer("log-%d" % self.nth, self.daemon_.address)
        writer.push()
        refusals = self.refusals
        self.memory.run_out(self.nth, self.for_good)
        self.attempt(writer.push)
        page = self.attempt(lambda: whole_log(writer.client, writer.log)[1])
        was_out = self.memory.come_back()
        is_true(was_out or self.refusals == refusals, "refused with memory")
        if page is not None and (len(page) <= writer.acknowledged or page != writer.links[:len(page)]):
            raise support.Missing("allocation %d: read %d actions, acknowledged %d" % (self.nth, len(page) - 1,
                                                                                      writer.acknowledged))
        self.insist(writer)
        with Client(self.daemon_.address) as client:
            if whole_log(client, writer.log)[1] != writer.links:
                raise support.Missing("allocation %d: the log is another one" % self.nth)
        writer.client.close()
        return was_out


def sweep(for_good, binary=None):
    """Raises the first thing that was wrong. How many points, up to which, and how many refusals there were."""
    sweeps = [Sweep(nth, for_good, binary) for nth in range(1, DAEMONS + 1)]
    for one in sweeps:
        one.start()
    for one in sweeps:
        one.join(300)
        is_true(not one.is_alive(), "the sweep hangs at allocation %d", one.nth)
    for one in sweeps:
        if one.error:
            raise one.error
    for one in sweeps:
        one.daemon_.stop()
        tool("verify", one.daemon_.dir)
    points, refusals = (sum(getattr(one, what) for one in sweeps) for what in ("points", "refusals"))
    is_true(points > 20 and refusals > points // 4, "%d points, %d refusals", points, refusals)
    return points, max(one.nth for one in sweeps) - DAEMONS, refusals


@story.story
def memory_that_is_out_once_is_said_and_survived():
    say("memory out once, at %d allocations up to the %d-th of a sync and a replay: %d requests refused, nothing "
        "acknowledged missing", *sweep(False))


@story.story
def memory_that_is_out_for_good_is_said_and_survived():
    say("memory out from then on, at %d allocations up to the %d-th: %d requests refused, nothing acknowledged missing",
        *sweep(True))


@story.story
def what_there_was_no_memory_for_and_was_acknowledged_is_caught():
    binary = support.plant.daemon("left-out-without-memory")
    try:
        sweep(False, binary)
    except (support.Missing, AssertionError) as caught:
        for left in list(story.cleanups):
            left()
        say("the control was caught: %s", str(caught).split("\n", maxsplit=1)[0][:160])
        return
    raise AssertionError("a daemon that leaves out what it acknowledges was not noticed: the story is blind")


story.run()
