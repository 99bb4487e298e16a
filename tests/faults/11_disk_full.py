"""
The disk is full: the daemon says so and acknowledges nothing, reads go on, and once there is room again it accepts at once,
without a restart; nothing that it acknowledged is missing. The control is a daemon whose disk says that it took what it did
not: the same judge must catch it.
"""
import glob
import json
import os
import time

import disk
import support
from support import chain, raw, story
from support.daemon import Daemon, Refused, tool, until, whole_log
from support.story import is_true, same, say

SIZE = 20 << 20
ROOM = 6 << 20  # more than the write-ahead log and the journals hold
TIMES = support.count(3, 30)
ROOM_SECONDS = 2
OPTIONS = {"store.shards": 2, "store.tail_bytes": 1 << 20, "limits.payload_bytes": 65536, "limits.body_bytes": 1 << 19,
           "limits.batch_actions": 100, "store.free_min": 0}  # the disk itself is to say so


class Filler(disk.Writer):
    """Appends large batches until the disk is full."""

    def _new(self):
        seq = len(self.actions)
        batch = [{"device": "d", "ts": seq + n + 1, "type": "t", "payload": "p" * self.random.randrange(20000, 60000)}
                 for n in range(4)]
        self.actions += batch
        self.links += chain.extend(self.links[-1], batch)
        return batch


def fill(writer):
    """Until the daemon says 503; how many batches it took."""
    batches = 0
    try:
        while True:
            writer.push()
            batches += 1
            is_true(batches < 10000, "the disk does not fill")
    except disk.Unavailable:
        return batches


def fill_file(path):
    """Until not a byte is left on its disk."""
    with open(path, "ab") as file:
        try:
            while True:
                os.write(file.fileno(), b"x" * 4096)
        except OSError:
            pass


def read_all(daemon, writer):
    """What a reader gets meanwhile: all that was acknowledged, and nothing that is not the log."""
    with daemon.client() as client:
        links = whole_log(client, writer.log)[1]
    if len(links) <= writer.acknowledged or links != writer.links[:len(links)]:
        raise support.Missing("%d actions, %d acknowledged" % (len(links) - 1, writer.acknowledged))


def again(writer, seconds):
    """Until it is acknowledged; how long that took."""
    began = time.monotonic()
    while True:
        try:
            writer.push()
            return time.monotonic() - began
        except disk.Unavailable:
            is_true(time.monotonic() - began < seconds, "still unavailable after %.1f s", time.monotonic() - began)
            time.sleep(0.01)


@story.story
def a_full_disk_is_said_and_survived():
    mount = disk.Mount(os.path.abspath("small"), "-t", "tmpfs", "-o", "size=%d" % SIZE, "tmpfs")
    daemon = Daemon(dir=os.path.join(mount.folder, "data"), options=OPTIONS)
    writer = Filler("full", daemon.address, story.seed())
    again_times = support.Times()
    ballast = os.path.join(mount.folder, "ballast")
    batches = reads = 0
    for n in range(TIMES):
        with open(ballast, "wb") as file:
            file.write(b"x" * ROOM)
        batches += fill(writer)
        fill_file(ballast)  # with the last bytes, which are too few for a batch
        end = time.monotonic() + 1.5  # as long as a shard takes for several tries to start
        while time.monotonic() < end:
            read_all(daemon, writer)
            reads += 1
            try:
                writer.push()
                raise AssertionError("acknowledged on a full disk")
            except disk.Unavailable:
                pass
        os.unlink(ballast)
        again_times.take(lambda: again(writer, 10))
        read_all(daemon, writer)
        mount.grow(SIZE + (n + 1) * SIZE // 2)  # for the next round
    again_times.within(ROOM_SECONDS, "the way back")
    daemon.stop()
    tool("verify", daemon.dir)
    mount.unmount()
    say("%d times full after %d batches of about 160 KB; %d reads of all meanwhile; accepted again after %s", TIMES,
        batches, reads, again_times)


def verified(dir, expect):
    return json.loads(tool("verify", dir, "--json", expect=expect).out.splitlines()[-1])["findings"]


@story.story
def what_is_at_rest_is_read_on_a_disk_that_is_full_or_cannot_be_written_and_what_is_not_is_no_finding():
    mount = disk.Mount(os.path.abspath("rest"), "-t", "tmpfs", "-o", "size=%d" % SIZE, "tmpfs")
    ballast = os.path.join(mount.folder, "ballast")
    daemon = Daemon(dir=os.path.join(mount.folder, "data"), options=OPTIONS)
    support.Writer("rest", daemon.address, story.seed()).push()
    daemon.stop()
    fill_file(ballast)
    for lock in (True, False):
        same(verified(daemon.dir, 0), 0, "findings")
        is_true(disk.run("mount", "-o", "remount,ro", mount.folder)[0], "cannot mount it to be read")
        same(verified(daemon.dir, 0), 0, "findings where nothing can be written")
        tool("stat", daemon.dir)
        tool("export", "rest", "--from=" + daemon.dir, "--out=copy-%d" % lock)
        is_true(disk.run("mount", "-o", "remount,rw", mount.folder)[0], "cannot mount it to be written")
        if lock:
            os.unlink(os.path.join(daemon.dir, "lock"))
    os.unlink(ballast)
    daemon.start()
    support.Writer("more", daemon.address, story.seed()).push()
    until(lambda: any(os.path.getsize(path) > 0 for path in glob.glob(daemon.dir + "/*-wal")), "there is a write-ahead log")
    daemon.kill()
    for path in glob.glob(daemon.dir + "/*-shm"):
        os.unlink(path)
    fill_file(ballast)
    same(verified(daemon.dir, 4), 0, "findings of what the machine has no room for")
    mount.unmount()


@story.story
def a_disk_that_lies_is_caught():
    mount = disk.Mount(os.path.abspath("lies"), "-t", "tmpfs", "-o", "size=%d" % SIZE, "tmpfs")
    daemon = Daemon(dir=os.path.join(mount.folder, "data"), options=OPTIONS, env=disk.liar())
    writer = Filler("full", daemon.address, story.seed())
    fill_file(os.path.join(mount.folder, "ballast"))
    writer.push()
    daemon.kill()
    mount.grow(2 * SIZE)
    try:
        with Daemon(dir=daemon.dir, options=OPTIONS) as honest:
            read_all(honest, writer)
    except (support.Missing, Refused, AssertionError) as lost:
        mount.unmount()
        say("the control lost what it should lose: %s", str(lost)[:160])
        return
    raise AssertionError("a daemon whose journal was not written lost nothing: the story is blind")


story.run()
