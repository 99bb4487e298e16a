"""
Redact, erase and prune, and the daemon ends at each step of theirs: the log verifies as the crash left it, and the same
command, run again, ends what it began. The load goes on meanwhile, and loses nothing.
"""
import os
import signal
import subprocess

import support
from support import story
from support.daemon import Daemon, tool
from support.removal import Writer, files_with, is_gone, judge_actions, needles
from support.story import is_true, same, say

TRIALS = support.count(2, 20)
BINARY = os.path.join(story.BUILD, "faults/edgereplayd")
OPTIONS = {"store.slice": 64, "admin.listen": "unix:admin.sock"}


def points():
    listed = subprocess.run([BINARY, "--fail-points"], capture_output=True, text=True, check=False)
    same(listed.returncode, 0, "%s has no fail points (make faults builds one that has)" % BINARY)
    found = [line.split() for line in listed.stdout.splitlines()]
    # What brings a shard to rest is passed by these commands, too.
    return [words[0] for words in found if {"remove", "stop"} & set(words[1:])]


class World:
    """Two logs, of which one is removed from."""

    def __init__(self):
        self.daemon = Daemon(binary=BINARY, options=OPTIONS, start=False)
        self.notes = self.other = None

    def start(self, point=None, passes=1):
        self.daemon.how["env"] = {"EDGEREPLAY_FAIL_POINT": "%s:%d" % (point, passes)} if point else {}
        self.daemon.start()
        client = self.daemon.client()
        if self.notes is None:
            self.notes, self.other = Writer(client, "notes"), Writer(client, "other")
            self.notes.push(20)
        self.notes.client = self.other.client = client

    def remove(self, *command):
        """What the tool does to a daemon that may end meanwhile; false when it did."""
        url = "--url=unix:" + os.path.join(os.path.realpath(self.daemon.dir), "admin.sock")
        code = tool(*command, url, "--give-up=0", expect=None).code
        is_true(code in (0, 3), "exit code %d", code)
        return code == 0


def put_snapshot(world):
    """Of the newest five actions of the log that is removed from, made of what they say."""
    seq = len(world.notes.actions)
    body = "".join(action["payload"] for action in world.notes.actions[-5:]).encode()
    same(world.notes.client.request("PUT", world.notes.path("snapshots/%d" % seq), body,
                                    {"Edgereplay-State-Hash": world.notes.links[seq].hex()}).status, 200, "PUT")


def crash(world, point, passes, command):
    """Whether the daemon ended at the point; then the log is as it should be."""
    world.start(point, passes)
    if world.remove(*command):
        world.daemon.kill()
        return False
    same(world.daemon.wait(), -signal.SIGKILL, "exit code")
    tool("verify", world.daemon.dir)
    return True


@story.story
def killed_at_any_step_the_log_verifies_and_the_command_can_be_repeated():
    crashes = 0
    for point in points():
        world = World()
        world.start()
        world.notes.push(30)
        for trial in range(TRIALS):
            world.notes.push(5)
            put_snapshot(world)
            world.other.push(3)
            world.daemon.stop()
            seqs = [len(world.notes.actions) - n for n in (0, 2, 4)]
            reached = crash(world, point, trial % 2 + 1, ("redact", "notes", *seqs))
            is_true(reached or trial % 2 == 1, "%s is never passed", point)
            crashes += reached
            world.start()
            is_true(world.remove("redact", "notes", *seqs), "again")
            is_gone(world.daemon.dir, [world.notes.actions[seq - 1] for seq in seqs], "repeated after " + point)
        judge_actions(world.other.client.get(world.other.path("actions")).json()["actions"], world.other, 1, set())
        is_true(files_with(world.daemon.dir, needles(world.notes.actions[0]["payload"])), "the rest is there")
        world.daemon.stop()
        crashes += crash(world, point, 1, ("prune", "notes", "--before=11", "--without-snapshot"))
        world.start()
        is_true(world.remove("prune", "notes", "--before=11", "--without-snapshot"), "again")
        is_gone(world.daemon.dir, world.notes.actions[:10], "pruned after " + point)
        world.notes.push(5)
        put_snapshot(world)
        world.daemon.stop()
        crashes += crash(world, point, 1, ("erase", "notes"))
        world.start()
        is_true(world.remove("erase", "notes"), "again")
        is_gone(world.daemon.dir, world.notes.actions, "erased after " + point)
        same(world.notes.client.get(world.notes.path("head")).json()["code"], "ERASED", "it says so")
        world.daemon.stop()
        tool("verify", world.daemon.dir)
    say("%d crashes at %d points", crashes, len(points()))


story.run()
