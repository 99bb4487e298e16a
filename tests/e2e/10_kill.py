"""
kill -9 at any moment, 50 times under load: no acknowledged action is missing and no batch is there by half. The control
is a daemon that acknowledges before it commits: the same story must catch it.
"""
import json
import os
import random
import subprocess
import threading
import time

from support import chain, raw, story
from support.daemon import Daemon, tool, whole_log
from support.story import is_true, same, say

KILLS = 50
WRITERS = 12


class Writer(threading.Thread):
    """Appends batches to a log of its own until the server dies, and remembers what the server said."""

    def __init__(self, log, address, actions, seed):
        super().__init__(daemon=True)
        self.log, self.client, self.actions = log, raw.Client(address), actions
        self.acknowledged = len(actions)  # so many are surely there
        self.links = [chain.genesis(log)]
        self.random = random.Random("%s %s %d" % (log, seed, len(actions)))
        self.links += chain.extend(self.links[0], actions)
        self.error = None

    def run(self):
        try:
            while True:
                seq = self.acknowledged
                batch = self.actions[seq:] or self._new()
                body = json.dumps(chain.sync_body(batch, seq, self.links[seq])).encode()
                answer = self.client.post("/v1/logs/%s/sync" % self.log, body)
                same(answer.status, 200, "status: %s" % answer.body[:300])
                same(answer.json()["stateHash"], self.links[-1].hex(), "state hash")
                self.acknowledged = len(self.actions)
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _new(self):
        seq = len(self.actions)
        batch = [{"device": "d", "ts": seq + n + 1, "type": "t", "payload": "p" * self.random.randrange(300)}
                 for n in range(self.random.choice((1, 1, 2, 5, 20)))]
        self.actions += batch
        self.links += chain.extend(self.links[-1], batch)
        return batch


class Missing(Exception):
    """An acknowledged action is not there, or a batch is there by half."""


def judge(client, writer):
    """After a restart: the log ends after what was acknowledged, or after that and the whole batch under way."""
    head = client.get("/v1/logs/%s/head" % writer.log).json()
    if head["seq"] not in (writer.acknowledged, len(writer.actions)):
        raise Missing("%s: head %d, acknowledged %d, sent %d" % (writer.log, head["seq"], writer.acknowledged,
                                                                 len(writer.actions)))
    same(head["stateHash"], writer.links[head["seq"]].hex(), "the head's link")
    return head["seq"] > writer.acknowledged


def torture(kills, binary=None, **options):
    """Kills the daemon again and again under load. Raises Missing at the first loss."""
    rolls = random.Random(story.seed())
    daemon = Daemon(binary=binary, options=options)
    writers = [Writer("kill-%d" % n, daemon.address, [], 0) for n in range(WRITERS)]
    unanswered = 0
    try:
        for kill in range(kills):
            for writer in writers:
                writer.start()
            at_least = sum(w.acknowledged for w in writers) + rolls.randrange(1, 200)
            while sum(w.acknowledged for w in writers) < at_least and all(w.is_alive() for w in writers):
                time.sleep(0.0005)
            daemon.kill()
            for writer in writers:
                writer.join(120)
                is_true(not writer.is_alive() and writer.error is None, "writer: %r", writer.error)
            if binary is None and kill % 10 == 9:
                tool("verify", daemon.dir)  # as the crash left it
            daemon.start()
            with daemon.client() as client:
                unanswered += sum(judge(client, writer) for writer in writers)
            writers = [again(writer, daemon.address, kill) for writer in writers]
        with daemon.client() as client:
            for writer in writers:
                links = whole_log(client, writer.log)[1]
                same(links, writer.links[:len(links)], "all of " + writer.log)
        daemon.stop()
    except Missing:
        daemon.kill()
        raise
    return daemon, sum(w.acknowledged for w in writers), unanswered


def again(writer, address, seed):
    """The same log after a restart; what was under way is sent again first."""
    next_one = Writer(writer.log, address, writer.actions, seed)
    next_one.acknowledged = writer.acknowledged
    return next_one


@story.story
def nothing_acknowledged_is_lost_by_kill_9():
    daemon, acknowledged, unanswered = torture(KILLS, **{"store.shards": 4})
    say("%d kills, %d acknowledged actions; %d batches were stored but not answered, and taken up again", KILLS,
        acknowledged, unanswered)
    tool("verify", daemon.dir)


@story.story
def a_small_tail_and_small_slices_survive_as_well():
    options = {"store.tail_bytes": 65536, "store.slice": 16, "store.shards": 1, "limits.payload_bytes": 1024,
               "limits.body_bytes": 32768, "limits.batch_actions": 20}
    daemon, acknowledged, _ = torture(10, **options)
    say("10 kills with a small tail, %d acknowledged actions", acknowledged)
    tool("verify", daemon.dir)


@story.story
def the_control_that_acknowledges_too_early_is_caught():
    build = os.path.abspath("broken")
    binary = os.path.join(build, "edgereplayd")
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    made = subprocess.run(["make", "-C", story.ROOT, "-j2", "BUILD=" + build, "OPTIMISE=-O1", "HARDEN=", "SANITIZE=",
                           "CFLAGS=-DEDGEREPLAY_BREAK_ACK_BEFORE_COMMIT", binary],
                          env=clean, capture_output=True, text=True, check=False)
    same(made.returncode, 0, "make: %s" % made.stderr[-2000:])
    try:
        torture(KILLS, binary)
    except Missing as missing:
        say("the control lost what it should lose: %s", missing)
        return
    raise AssertionError("%d kills of a daemon that acknowledges before it commits lost nothing: the story is blind"
                         % KILLS)


story.run()
