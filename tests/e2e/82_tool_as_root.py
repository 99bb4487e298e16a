"""The tool as root: what it writes into a data directory belongs to the directory's owner, and the daemon's user goes on with it."""
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile

from support import chain, story
from support.daemon import Daemon, databases, tool, whole_log
from support.story import is_true, same

PAGE = 8192
OWNER, GROUP = 61234, 61235
LOGS = ["anna", "berta", "carl", "dora"]
OPTIONS = {"store.shards": 2, "limits.batch_actions": 100}

if os.geteuid() != 0:
    story.skip("only root can give files away")


def be_owner():
    os.setgroups([])
    os.setgid(GROUP)
    os.setuid(OWNER)


def foreign(top):
    """What in a folder, itself included, is somebody else's."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in [""] + names]
    is_true(len(found) > 3, "%s: %s", top, found)
    return [path for path in found if (os.stat(path).st_uid, os.stat(path).st_gid) != (OWNER, GROUP)]


class Owned:
    """A data directory of another user's, in a folder that this one may enter, and a daemon of that user's."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="edgereplay-owned.", dir="/var/tmp")
        story.cleanups[self.remove] = True
        os.chmod(self.folder, 0o755)
        self.dir = os.path.join(self.folder, "data")
        os.mkdir(self.dir, 0o700)
        os.chown(self.dir, OWNER, GROUP)
        binary = shutil.copy(os.path.join(story.BUILD, "edgereplayd"), self.folder)
        self.daemon = Daemon(dir=self.dir, options=OPTIONS, binary=binary, preexec=be_owner, start=False)

    def remove(self):
        story.cleanups.pop(self.remove, None)
        shutil.rmtree(self.folder)

    def fill(self):
        with self.daemon.start() as daemon, daemon.client() as client:
            for log in LOGS:
                actions = [{"device": "d", "ts": n + 1, "type": "t", "payload": "x" * 100} for n in range(100)]
                same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log))).status, 200, log)

    def check(self, what, wanted, logs=LOGS):
        """Its owner has all of it, and serves so many actions of each of the logs."""
        same(foreign(self.dir), [], "%s: files of others" % what)
        with self.daemon.start() as daemon, daemon.client() as client:
            same([len(whole_log(client, log)[0]) for log in logs], wanted, what)


def shard_of(log):
    return chain.genesis(log)[0] * OPTIONS["store.shards"] // 256


@story.story
def after_a_loss_was_accepted():
    for lost in ("db", "journal-0", "journal-1", "anchor"):
        owned = Owned()
        owned.fill()
        shard = shard_of("anna")
        os.unlink(os.path.join(owned.dir, "shard-%02d.%s" % (shard, lost)))
        is_true("redact --replay" in tool("accept-loss", owned.dir, "--shard=%d" % shard).error, "phones bring removed content back")
        left = [0 if lost == "db" and shard_of(log) == shard else 100 for log in LOGS]
        owned.check("accept-loss of " + lost, left)
        owned.remove()


@story.story
def after_a_malformed_file_was_made_anew():
    owned = Owned()
    owned.fill()
    path = os.path.join(owned.dir, "shard-%02d.db" % shard_of("anna"))
    database = sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True)
    page = database.execute("SELECT pageno FROM dbstat WHERE name = 'batches' AND pagetype = 'leaf'").fetchone()[0]
    database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xee" * 8)
    tool("repair", owned.dir, "--log=anna", "--out=removed.ndjson", expect=1)  # a page is lost; the actions are not
    kept = [name for name in os.listdir(owned.dir) if ".malformed-" in name]
    is_true(len(kept) >= 4, "what was kept: %s", sorted(os.listdir(owned.dir)))
    owned.check("repair", [100] * len(LOGS))
    owned.remove()


@story.story
def after_content_was_removed_and_shards_were_made_anew():
    owned = Owned()
    owned.fill()
    tool("redact", "anna", 1, "--data=" + owned.dir)
    tool("erase", "berta", "--data=" + owned.dir)
    os.unlink(os.path.join(owned.dir, "lock"))
    tool("verify", "-q", owned.dir)
    owned.daemon.options = {**OPTIONS, "store.shards": 4}
    tool("reshard", 4, owned.dir)
    is_true(any("shards-4" in path for path in databases(owned.dir)), "the new files: %s", databases(owned.dir))
    owned.check("reshard", [100, 100], ["carl", "dora"])
    owned.remove()


@story.story
def after_a_reshard_that_was_cut_off():
    owned = Owned()
    owned.fill()
    done = subprocess.run([story.TOOL, "reshard", "4", owned.dir], capture_output=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8 * PAGE, 8 * PAGE)))
    same(done.returncode, -signal.SIGXFSZ, "what ended it: %s" % done.stderr)
    is_true(len(os.listdir(os.path.join(owned.dir, "shards-4"))) >= 3, "what it has left")
    same(foreign(os.path.join(owned.dir, "shards-4")), [], "folders and files of others")
    owned.check("a reshard that was cut off", [100] * len(LOGS))
    tool_of_owner = shutil.copy(story.TOOL, owned.folder)
    subprocess.run([tool_of_owner, "reshard", "-q", "4", owned.dir], check=True, preexec_fn=be_owner)
    owned.daemon.options = {**OPTIONS, "store.shards": 4}
    owned.check("the reshard of its owner", [100] * len(LOGS))
    owned.remove()


if __name__ == "__main__":
    story.run()
