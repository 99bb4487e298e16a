"""support: what the fault stories share: a load that remembers what was acknowledged, and its judge.

The end-to-end stories' package of the same name is found through this module: `from support import chain, story`,
`from support.daemon import Daemon`.
"""
import json
import os
import random
import statistics
import sys
import threading
import time

ROOT = os.environ.get("EDGEREPLAY_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
__path__ = [os.path.join(ROOT, "tests/e2e/support")]
sys.path.append(os.path.join(ROOT, "tests/honesty"))

import plant  # noqa: E402, F401  the stories' controls
from support import chain, raw, story  # noqa: E402  the path above leads there
from support.daemon import whole_log  # noqa: E402

SOAK = os.environ.get("EDGEREPLAY_SOAK") == "1"


def count(short, long):
    """How many trials: the long count in a soak."""
    return long if SOAK else short


class Missing(Exception):
    """The promise is broken: something acknowledged is not there, or is there twice, or a batch is there by half."""


class Writer(threading.Thread):
    """
    Appends batches to a log of its own until the server goes away, and remembers what the server said. A thread works
    once: next() is the same log after a restart, which sends again first what was under way.
    """

    def __init__(self, log, address, seed=0, history=None, gate=None):
        super().__init__(daemon=True)
        self.log, self.client, self.seed, self.gate = log, raw.Client(address), seed, gate
        self.actions = history.actions if history else []
        self.links = history.links if history else [chain.genesis(log)]
        self.acknowledged = history.acknowledged if history else 0  # so many actions are surely there
        self.random = random.Random("%s %s %d" % (log, seed, len(self.actions)))
        self.error = None

    def next(self, address, seed):
        return Writer(self.log, address, seed, self, self.gate)

    def run(self):
        try:
            while True:
                if self.gate:
                    self.gate.wait()
                if self.push() is None:
                    break
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        finally:
            self.client.close()

    @property
    def under_way(self):
        """What was sent and not acknowledged."""
        return self.actions[self.acknowledged:]

    def push(self):
        """Sends what is under way, or a new batch; the answer, or None when the server stops."""
        seq = self.acknowledged
        batch = self.under_way or self._new()
        body = json.dumps(chain.sync_body(batch, seq, self.links[seq])).encode()
        answer = self.client.post("/v1/logs/%s/sync" % self.log, body)
        if answer.status == 503 and answer.json()["code"] == "SHUTTING_DOWN":
            return None
        if answer.status == 409:
            raise Missing("%s: %s" % (self.log, answer.body[:300]))
        story.same(answer.status, 200, "status: %s" % answer.body[:300])
        document = answer.json()
        story.same((document["seq"], document["stateHash"]), (len(self.actions), self.links[-1].hex()), "the new head")
        story.same(document["refused"], 0, "refused")
        story.same(document["applied"] + document["duplicates"], len(batch), "applied and duplicates")
        self.acknowledged = len(self.actions)
        return document

    def _new(self):
        seq = len(self.actions)
        batch = [{"device": "d", "ts": seq + n + 1, "type": "t", "payload": "p" * self.random.randrange(300)}
                 for n in range(self.random.choice((1, 1, 2, 5, 20)))]
        self.actions += batch
        self.links += chain.extend(self.links[-1], batch)
        return batch


class Load:
    """Writers on a daemon, over its restarts."""

    def __init__(self, daemon, writers, seed, gate=None):
        self.daemon = daemon
        self.random = random.Random(seed)
        self.writers = [Writer("log-%d" % n, daemon.address, seed, gate=gate) for n in range(writers)]

    @property
    def acknowledged(self):
        return sum(writer.acknowledged for writer in self.writers)

    def start(self):
        for writer in self.writers:
            writer.start()

    def is_alive(self):
        return all(writer.is_alive() for writer in self.writers)

    def await_acknowledged(self, more):
        """Until so many more are acknowledged, or the server went away."""
        upto = self.acknowledged + more
        while self.acknowledged < upto and self.is_alive():
            time.sleep(0.0005)

    def join(self):
        """After the server went away."""
        for writer in self.writers:
            writer.join(120)
            story.is_true(not writer.is_alive(), "a writer of %s still waits for an answer", writer.log)
            if writer.error:
                raise writer.error

    def again(self):
        """The same writers for the daemon that runs now."""
        seed = self.random.random()
        self.writers = [writer.next(self.daemon.address, seed) for writer in self.writers]

    def judge(self):
        """After a restart: judge() of each; how many batches under way had been stored."""
        with self.daemon.client() as client:
            return sum(judge(client, writer) for writer in self.writers)

    def judge_all(self):
        """Everything read back, the chains recomputed: what was acknowledged is there, once."""
        with self.daemon.client() as client:
            for writer in self.writers:
                links = whole_log(client, writer.log)[1]
                if len(links) <= writer.acknowledged or links != writer.links[:len(links)]:
                    raise Missing("%s: %d actions, acknowledged %d" % (writer.log, len(links) - 1, writer.acknowledged))

    def retry(self):
        """
        judge(); then what was under way is sent again, twice. Whether it had been stored or not, it gets the place that
        it would have had (push() compares seq and link), and the second time it is there already.
        """
        stored = 0
        with self.daemon.client() as client:
            for writer in self.writers:
                was_stored = judge(client, writer)
                stored += was_stored
                batch, before, writer.client = writer.under_way, writer.acknowledged, client
                if not batch:
                    continue
                if writer.push()["applied"] != (0 if was_stored else len(batch)):
                    raise Missing("%s: a retry did something else than what was left to do" % writer.log)
                writer.acknowledged = before
                if writer.push()["duplicates"] != len(batch):
                    raise Missing("%s: a second retry was applied" % writer.log)
        return stored


def judge(client, writer):
    """After a restart: the log ends after what was acknowledged, or after that and the whole batch under way (true)."""
    head = client.get("/v1/logs/%s/head" % writer.log).json()
    if head["seq"] not in (writer.acknowledged, len(writer.actions)):
        raise Missing("%s: head %d, acknowledged %d, sent %d" % (writer.log, head["seq"], writer.acknowledged,
                                                                 len(writer.actions)))
    if head["stateHash"] != writer.links[head["seq"]].hex():
        raise Missing("%s: another link at the head %d" % (writer.log, head["seq"]))
    return head["seq"] > writer.acknowledged


class Times:
    """How long something took, again and again."""

    def __init__(self):
        self.seconds = []

    def take(self, function):
        began = time.monotonic()
        result = function()
        self.seconds.append(time.monotonic() - began)
        return result

    def __str__(self):
        return "median %.3f s, max %.3f s" % (statistics.median(self.seconds), max(self.seconds))

    def within(self, seconds, what):
        """Asserts the bound, but under a sanitizer, which takes its own time."""
        if not story.SANITIZED:
            story.is_true(max(self.seconds) < seconds, "%s took %.3f s", what, max(self.seconds))
