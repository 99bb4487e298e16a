"""A disk that is nearly full: writes are refused before it is full to the last byte, reads go on, and room is noticed by itself."""
import os
import signal
import subprocess
import tempfile

from support import chain, story
from support.daemon import Daemon, tool, until, whole_log
from support.story import is_true, same, say

MIB = 1 << 20
DISK, MARK = 96 * MIB, 32 * MIB


class Disk:
    """A small file system of its own."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="disk.")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=0700" % DISK, "tmpfs", self.path],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            story.skip("cannot mount a tmpfs: " + done.stderr.strip())
        story.cleanups[self.close] = True

    def close(self):
        story.cleanups.pop(self.close, None)
        subprocess.run(["umount", "-l", self.path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def free(self):
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    @property
    def filling(self):
        return os.path.join(self.path, "filling")

    def leave(self, count):
        """Fills it until so many bytes are free."""
        with open(self.filling, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - count)

    def empty(self):
        os.unlink(self.filling)


class Writer:
    """Appends to one log; remembers its end."""

    def __init__(self, client, log):
        self.client, self.log, self.seq, self.link = client, log, 0, chain.genesis(log)

    def body(self):
        action = {"device": "d", "ts": self.seq + 1, "type": "t", "payload": "x" * 100}
        return chain.sync_body([action], self.seq, self.link)

    def write(self):
        answer = self.client.post("/v1/logs/%s/sync" % self.log, self.body())
        if answer.status == 200:
            self.seq, self.link = answer.json()["seq"], bytes.fromhex(answer.json()["stateHash"])
        return answer


def check_refused(answer):
    problem = answer.json()
    same((answer.status, problem["code"], problem["retry"]), (503, "STORAGE_UNAVAILABLE", "after"), "problem")
    is_true("disk" in problem["detail"] and "Nothing was stored" in problem["detail"], "detail: %s", problem["detail"])
    same(answer.header("retry-after"), "10", "Retry-After")


def check_ready(daemon, status, reasons, warnings, query=""):
    with daemon.operator() as operator:
        answer = operator.get("/readyz" + query)
        said = answer.json()
        same((answer.status, [one["code"] for one in said["reasons"]], [one["code"] for one in said["warnings"]]),
             (status, reasons, warnings), "ready" + query)
        is_true(b"\nedgereplay_ready %d\n" % (not reasons and not warnings) in operator.get("/metrics").body, "the metric")


@story.story
def writes_end_before_the_disk_does_and_go_on_by_themselves():
    options = {"store.free_min": MARK, "admin.listen": "unix:admin.sock"}
    with Disk() as disk, Daemon(dir=os.path.join(disk.path, "data"), options=options) as daemon:
        writer = Writer(daemon.client(), "log")
        for _ in range(20):
            same(writer.write().status, 200, "a write with room")
        disk.leave(MARK - MIB)
        until(lambda: writer.write().status == 503, "the first refusal")
        for _ in range(20):
            check_refused(writer.write())
        check_ready(daemon, 503, ["LOW_SPACE"], [])
        check_ready(daemon, 200, [], ["LOW_SPACE"], "?exclude=LOW_SPACE")
        client = daemon.client()
        whole_log(client, "log")
        same(client.get("/v1/logs/log/head").json()["seq"], writer.seq, "the head")
        pull = client.post("/v1/logs/log/sync", chain.sync_body([], 0, chain.genesis("log")))
        same((pull.status, len(pull.json()["missed"])), (200, writer.seq), "a pull")
        disk.empty()
        until(lambda: writer.write().status == 200, "writes after there is room")
        same(writer.write().status, 200, "a write with room again")
        check_ready(daemon, 200, [], [])
        daemon.await_event("disk has room again")
        same(len(daemon.events("disk nearly full, writes are refused")), 1, "log lines of the one edge")
        same(len(daemon.events("disk has room again")), 1, "log lines of the other edge")
        say("refused below %s bytes, let in at %s", daemon.events("disk nearly full, writes are refused")[0]["free_bytes"],
            daemon.events("disk has room again")[0]["free_bytes"])
        same(whole_log(client, "log")[1][-1], writer.link, "the log's end")


@story.story
def what_is_removed_makes_room_and_needs_none_above_the_mark():
    options = {"store.free_min": MARK, "admin.listen": "unix:admin.sock"}
    with Disk() as disk, Daemon(dir=os.path.join(disk.path, "data"), options=options) as daemon:
        writer = Writer(daemon.client(), "log")
        for _ in range(20):
            same(writer.write().status, 200, "a write with room")
        disk.leave(MARK - MIB)
        until(lambda: writer.write().status == 503, "the first refusal")
        admin = "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")
        tool("redact", "log", "7", admin)
        tool("prune", "log", "--before=5", "--without-snapshot", admin)
        same(["payload" in action for action in daemon.client().get("/v1/logs/log/actions?after=4").json()["actions"]][:4],
             [True, True, False, True], "which have their content")
        same(daemon.client().get("/v1/logs/log/actions").json()["code"], "PRUNED", "what was pruned")
        tool("erase", "log", admin)
        same(daemon.client().get("/v1/logs/log/head").json()["code"], "ERASED", "what was erased")
        check_refused(Writer(daemon.client(), "other").write())


@story.story
def the_mark_is_reloaded():
    with Disk() as disk:
        with open("edgereplay.ini", "w", encoding="utf-8") as file:
            file.write("[store]\nfree_min = %d\n" % (2 * DISK))
        with Daemon(dir=os.path.join(disk.path, "data"),
                    flags=["--config=" + os.path.abspath("edgereplay.ini")]) as daemon:
            writer = Writer(daemon.client(), "log")
            check_refused(writer.write())
            with open("edgereplay.ini", "w", encoding="utf-8") as file:
                file.write("[store]\nfree_min = 0\n")
            daemon.signal(signal.SIGHUP)
            daemon.await_event("option taken over")
            until(lambda: writer.write().status == 200, "writes under the new mark")


story.run()
