"""
The file system under the daemon is shut down in the middle of the load, as a power cut leaves it: what was not synced is
gone. Mounted again it has everything that was acknowledged before. The control is a daemon whose disk does not sync and says
that it did: the same judge must catch it.
"""
import fcntl
import os
import random
import struct

import disk
import support
from support import story
from support.daemon import Daemon, Refused, tool
from support.story import same, say

CUTS = support.count(10, 300)
WRITERS = 8
SIZE = 256 << 20
OPTIONS = {"store.shards": 2, "store.free_min": 0}  # the image is small

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2  # not even the file system's own journal is written out


def shut_down(mount):
    """From now on nothing reaches the disk."""
    folder = os.open(mount.folder, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    except OSError as error:
        story.skip("skipped: the file system cannot be shut down: %s" % error)
    finally:
        os.close(folder)


def judge(client, writer, acknowledged):
    """What was acknowledged before the cut is there, and what is there is the log; how much more was stored."""
    head = client.get("/v1/logs/%s/head" % writer.log).json()
    if not acknowledged <= head["seq"] <= len(writer.actions):
        raise support.Missing("%s: head %d, acknowledged %d" % (writer.log, head["seq"], acknowledged))
    if head["stateHash"] != writer.links[head["seq"]].hex():
        raise support.Missing("%s: another link at the head %d" % (writer.log, head["seq"]))
    writer.acknowledged = head["seq"]
    return head["seq"] - acknowledged


def make_disk(name):
    image = os.path.abspath(name + ".img")
    with open(image, "wb") as file:
        file.truncate(SIZE)
    good, message = disk.run("mkfs.ext4", "-q", "-F", image)
    if not good:
        story.skip("skipped: mkfs.ext4: %s" % message)
    return disk.Mount(os.path.abspath(name), "-o", "loop", image)


def torture(mount, cuts, env=None):
    """Raises Missing at the first loss. What was acknowledged, and how much more was stored."""
    rolls = random.Random(story.seed())
    daemon = Daemon(dir=os.path.join(mount.folder, "data"), options=OPTIONS, env=env or {})
    writers = [disk.Writer("cut-%d" % n, daemon.address, n) for n in range(WRITERS)]
    stored = 0
    for cut in range(cuts):
        for writer in writers:
            writer.start()
        upto = sum(w.acknowledged for w in writers) + rolls.randrange(20, 800)
        while sum(w.acknowledged for w in writers) < upto and all(w.is_alive() for w in writers):
            writers[0].join(0.0005)
        before = [writer.acknowledged for writer in writers]
        shut_down(mount)
        for writer in writers:
            writer.join(120)
            same((writer.is_alive(), writer.error), (False, None), "the writer's end")
        daemon.kill()
        mount.unmount()
        mount.mount()
        if cut % 10 == 9 and env is None:
            tool("verify", daemon.dir)  # as the cut left it
        daemon.start()
        with daemon.client() as client:
            stored += sum(judge(client, *pair) for pair in zip(writers, before, strict=True))
        writers = [writer.next(daemon.address, cut) for writer in writers]
    daemon.stop()
    return sum(w.acknowledged for w in writers), stored, daemon


@story.story
def a_file_system_that_goes_keeps_what_was_acknowledged():
    mount = make_disk("disk")
    acknowledged, stored, daemon = torture(mount, CUTS)
    tool("verify", daemon.dir)
    mount.unmount()
    say("%d times ext4 was shut down: %d actions acknowledged, all there; %d more were stored", CUTS, acknowledged, stored)


@story.story
def a_disk_that_does_not_sync_is_caught():
    mount = make_disk("lies")
    try:
        torture(mount, CUTS, disk.liar())
    except (support.Missing, Refused) as lost:
        for left in list(story.cleanups):
            left()
        mount.unmount()
        say("the control lost what it should lose: %s", str(lost)[:160])
        return
    raise AssertionError("%d cuts of a disk that does not sync lost nothing: the story is blind" % CUTS)


story.run()
