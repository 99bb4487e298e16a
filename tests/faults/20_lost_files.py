"""
Files of a shard are deleted, cut off, emptied, rotten or replaced by older copies, after a kill -9 under load and at rest:
no shard serves a shorter log in silence. It is refused, the other shards serve; the operator accepts the loss, and the
phones heal it. The control forges anchors that know nothing: the same judge must then find shorter logs.
"""
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile

sys.path.insert(1, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))

from support import chain, story  # noqa: E402
from support.daemon import Daemon, Refused, tool, until, whole_log  # noqa: E402
from support.phone import Phone  # noqa: E402
from support.story import is_true, same, say  # noqa: E402

SHARDS = 4
LOGS = 3  # a shard
FILES = ("db", "db-wal", "journal-0", "journal-1", "anchor")
OPTIONS = {"store.shards": SHARDS, "store.tail_bytes": 65536, "store.slice": 16, "limits.payload_bytes": 1024,
           "limits.body_bytes": 32768, "limits.batch_actions": 20}
SOAK = os.environ.get("EDGEREPLAY_SOAK") == "1"
WORLDS = 3 if SOAK else 1  # of each kind
PATIENCE_ROUNDS = 5000


class Shorter(Exception):
    """A log is served that lacks what the anchor has seen on the disk."""


# --- files ---

def path_of(dir, shard, file):
    return os.path.join(dir, "shard-%02d.%s" % (shard, file))


def shard_of(log):
    return chain.genesis(log)[0] * SHARDS // 256


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


class Anchor:
    """anchor.h, read and written a second time."""
    SLOT = struct.Struct(">8s16sQQQQ")

    def __init__(self, path):
        data = read(path)
        self.path, self.turn = path, 0
        for slot in (data[:64], data[4096:4160]):
            if len(slot) == 64 and hashlib.blake2b(slot[:56], digest_size=16).digest()[:8] == slot[56:]:
                _, id, turn, last, filed, size = self.SLOT.unpack(slot[:56])
                if turn > self.turn:
                    self.id, self.turn, self.last, self.filed, self.size = id, turn, last, filed, size

    def forge(self, filed):
        """Knows nothing of the journal, and of the file what it has itself."""
        slot = self.SLOT.pack(b"ERanchr\0", self.id, self.turn + 1, 0, filed, 0)
        slot += hashlib.blake2b(slot, digest_size=16).digest()[:8]
        write(self.path, (slot + b"\0" * (4096 - 64)) * 2)


def commits(path):
    """What a shard file has without its WAL."""
    database = sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True)
    value = database.execute("SELECT commits FROM in_place").fetchone()[0]
    database.close()
    return value


def generation(path):
    return int.from_bytes(read(path)[40:48], "big")


# --- a world: a directory as a kill left it, its phones, and what was acknowledged ---

class World:
    """As a kill left it under load, or at rest."""

    def __init__(self, name, under_load, rounds=12, turns=1):
        self.name, self.turns = name, turns
        daemon = Daemon(options=OPTIONS)
        self.first = self._copy_of_running(daemon)
        logs = [[] for _ in range(SHARDS)]
        for n in range(10000):
            if all(len(found) == LOGS for found in logs):
                break
            log = "log-%d" % n
            if len(logs[shard_of(log)]) < LOGS:
                logs[shard_of(log)].append(log)
        self.phones = [Phone(daemon.address, log, "phone") for found in logs for log in found]
        self.records = [[] for _ in range(SHARDS)]  # (log, its seq then), in order of commit
        for _ in range(rounds):
            self._round()
        if not under_load:
            self._rest(daemon)
        self.older = self._copy_of_running(daemon)
        turns = self._turns(daemon.dir)
        for _ in range(10):
            self._round()
        if under_load:
            self._go_on(daemon, turns)
        else:
            self._rest(daemon)
        daemon.kill()
        self.dir = daemon.dir
        self.protected = [self._protected(shard) for shard in range(SHARDS)]

    def _round(self):
        for phone in self.phones:
            for _ in range(3):
                phone.act("note", "%s %d " % (phone.log, phone.base) * 12, now=1790000000000)
            is_true(phone.sync() and not phone.queue, "%s syncs", phone.log)
            self.records[shard_of(phone.log)].append((phone.log, phone.base))

    @staticmethod
    def _copy(dir):
        return shutil.copytree(dir, tempfile.mkdtemp(prefix="copy."), dirs_exist_ok=True)

    def _copy_of_running(self, daemon):
        """All files as they are at one moment."""
        daemon.signal(signal.SIGSTOP)
        tasks = "/proc/%d/task" % daemon.process.pid
        until(lambda: all(read("%s/%s/stat" % (tasks, task)).split()[2] == b"T" for task in os.listdir(tasks)), "that it stops")
        copy = self._copy(daemon.dir)
        daemon.signal(signal.SIGCONT)
        return copy

    @staticmethod
    def _turns(dir):
        return [Anchor(path_of(dir, shard, "anchor")).turn for shard in range(SHARDS)]

    def _go_on(self, daemon, turns):
        """Until each anchor has been written since then, and one was just now: it knows what only a journal has."""
        waiting, before = set(range(SHARDS)), turns
        for _ in range(PATIENCE_ROUNDS):
            self._round()
            now = self._turns(daemon.dir)
            waiting -= {shard for shard in range(SHARDS) if now[shard] > turns[shard]}
            if not waiting and now != before:
                return
            before = now
        raise AssertionError("the anchors are not written: %r" % self._turns(daemon.dir))

    def _rest(self, daemon):
        def at_rest():
            return all(Anchor(path_of(daemon.dir, shard, "anchor")).last == len(self.records[shard]) and
                       os.path.getsize(path_of(daemon.dir, shard, "db-wal")) == 0 for shard in range(SHARDS))
        until(at_rest, "rest")

    def _protected(self, shard):
        """What the anchor saw: {log: seq}."""
        last = Anchor(path_of(self.dir, shard, "anchor")).last
        is_true(0 < last <= len(self.records[shard]), "shard %d has %d commits, its anchor says %d", shard,
                len(self.records[shard]), last)
        return dict(self.records[shard][:last])

    def logs(self, shard):
        return [phone.log for phone in self.phones if shard_of(phone.log) == shard]

    def heal(self, daemon, shard):
        """Each phone with the full log goes on, and then the log is whole."""
        for old in self.phones:
            if shard_of(old.log) != shard:
                continue
            with daemon.client() as client:
                same(client.get("/v1/logs/%s/head" % old.log).status, 200, "status of %s" % old.log)
            phone = Phone(daemon.address, old.log, old.device, seed=1, batch=20)
            phone.confirmed, phone.links = list(old.confirmed), list(old.links)
            phone.act("note", "after the loss", now=1790000100000)
            phone.settle()
            same(phone.confirmed[:old.base], old.confirmed, "what the phone had of %s" % old.log)
            with daemon.client() as client:
                actions, links = whole_log(client, old.log)
            same((actions, links), (phone.confirmed, phone.links), "all of %s" % old.log)


# --- what is done to a shard ---

def remove(dir, shard, *files):
    for file in files:
        os.remove(path_of(dir, shard, file))


def deleted(file):
    return lambda world, dir, shard: remove(dir, shard, file)


def emptied(file):
    return lambda world, dir, shard: os.truncate(path_of(dir, shard, file), 0)


def cut(file):
    """To half its size."""
    return lambda world, dir, shard: os.truncate(path_of(dir, shard, file),
                                                 os.path.getsize(path_of(dir, shard, file)) // 2)


def from_copy(copy, *files):
    def damage(world, dir, shard):
        for file in files:
            path = path_of(dir, shard, file)
            before = path_of(getattr(world, copy), shard, file)
            if os.path.exists(path):
                os.remove(path)
            if os.path.exists(before):
                shutil.copy(before, path)
    return damage


def heads_only(world, dir, shard):
    """Both journal files as they are when they are empty."""
    for file in ("journal-0", "journal-1"):
        os.truncate(path_of(dir, shard, file), 64)


def newest_journal(dir, shard):
    return max((path_of(dir, shard, file) for file in ("journal-0", "journal-1")), key=generation)


def frames(data):
    """Where the frames of a journal file's newest generation begin, and where they end (journal_file.h)."""
    found, due = [64], int.from_bytes(data[48:56], "big")
    while int.from_bytes(data[found[-1] + 8:found[-1] + 16], "big") == due:
        size = 32 + int.from_bytes(data[found[-1]:found[-1] + 4], "big")
        found.append(found[-1] + (size + 7) // 8 * 8)
        due += 1
    return found


def rotten_end(world, dir, shard):
    """The newest journal file from the middle of its frames on."""
    path = newest_journal(dir, shard)
    data = read(path)
    ends = frames(data)
    at = ends[len(ends) // 2]
    write(path, data[:at] + b"\x5a" * (len(data) - at))


def cut_end(world, dir, shard):
    path = newest_journal(dir, shard)
    ends = frames(read(path))
    os.truncate(path, ends[len(ends) // 2])


def rotten_head(world, dir, shard):
    path = newest_journal(dir, shard)
    data = bytearray(read(path))
    data[45] ^= 1
    write(path, data)


def rotten_anchor(slots):
    def damage(world, dir, shard):
        path = path_of(dir, shard, "anchor")
        data = bytearray(read(path))
        for slot in slots:
            data[slot * 4096 + 33] ^= 1
        write(path, data)
    return damage


def of_another(file):
    """The neighbour's."""
    return lambda world, dir, shard: shutil.copy(path_of(world.dir, (shard + 1) % SHARDS, file), path_of(dir, shard, file))


REFUSED = {  # in any world
    "db deleted": deleted("db"),
    "db emptied": emptied("db"),
    "db cut": cut("db"),
    "db of another": of_another("db"),
    "db as made": from_copy("first", "db", "db-wal"),
    "journal-0 deleted": deleted("journal-0"),
    "journal-1 deleted": deleted("journal-1"),
    "journal-0 emptied": emptied("journal-0"),
    "journal-1 of another": of_another("journal-1"),
    "newest journal's head rotten": rotten_head,
    "anchor deleted": deleted("anchor"),
    "anchor emptied": emptied("anchor"),
    "anchor of another": of_another("anchor"),
    "anchor rotten": rotten_anchor((0, 1)),
    "all but the anchor older": from_copy("older", *FILES[:4]),
    "all but the anchor as made": from_copy("first", *FILES[:4]),
}

JUDGED = {  # nothing may be lost by it, or the journal may have all of it
    "db older": from_copy("older", "db"),
    "db and WAL older": from_copy("older", "db", "db-wal"),
    "WAL deleted": deleted("db-wal"),
    "WAL emptied": emptied("db-wal"),
    "WAL cut": cut("db-wal"),
    "WAL older": from_copy("older", "db-wal"),
    "WAL as made": from_copy("first", "db-wal"),
    "journal-0 cut": cut("journal-0"),
    "journal-1 cut": cut("journal-1"),
    "journal-0 older": from_copy("older", "journal-0"),
    "journal-1 older": from_copy("older", "journal-1"),
    "journals older": from_copy("older", "journal-0", "journal-1"),
    "journals empty": heads_only,
    "journals as made": from_copy("first", "journal-0", "journal-1"),
    "newest journal's end rotten": rotten_end,
    "newest journal's end cut": cut_end,
    "WAL and journals older": from_copy("older", "db-wal", "journal-0", "journal-1"),
    "anchor cut": cut("anchor"),
    "anchor older": from_copy("older", "anchor"),
    "one slot of the anchor rotten": rotten_anchor((0,)),
    "nothing": lambda world, dir, shard: None,
}


# --- the judge ---

def judge_shard(world, daemon, shard):
    """refused, damaged or whole; Shorter when a log is served that lacks what was protected."""
    refused = [event for event in daemon.events("shard refused") if event["shard"] == str(shard)]
    found = "refused" if refused else "whole"
    with daemon.client() as client:
        for log in world.logs(shard):
            answer = client.get("/v1/logs/%s/head" % log)
            if refused:
                page = client.get("/v1/logs/%s/actions" % log)
                push = client.post("/v1/logs/%s/sync" % log, chain.sync_body([], 0, chain.genesis(log)))
                for each in (answer, page, push):
                    same((each.status, each.json()["code"]), (503, "STORAGE_UNAVAILABLE"), "of a refused shard")
                continue
            if answer.status == 503:
                same(answer.json()["code"], "LOG_DAMAGED", "code of %s" % log)
                found = "damaged"
                continue
            same(answer.status, 200, "head of %s" % log)
            if answer.json()["seq"] < world.protected[shard].get(log, 0):
                raise Shorter("%s: %d, protected %d" % (log, answer.json()["seq"], world.protected[shard][log]))
            found = read_back(world, client, log) or found
    return found


def read_back(world, client, log):
    """None, or that it is damaged where it is read."""
    phone = next(phone for phone in world.phones if phone.log == log)
    answer = client.get("/v1/logs/%s/actions?limit=1000" % log)
    if answer.status == 503:
        same(answer.json()["code"], "LOG_DAMAGED", "code of %s" % log)
        return "damaged"
    page = answer.json()
    same(page["stateHash"], phone.links[page["seq"]].hex(), "the link at %d of %s" % (page["seq"], log))
    return None


def contents(dir, shard):
    """Of all files of a shard that have any; the WAL's index is no content."""
    names = [name for name in os.listdir(dir) if name.startswith("shard-%02d" % shard) and not name.endswith("-shm")]
    return {name: data for name, data in ((name, read(os.path.join(dir, name))) for name in names) if data}


def accept(dir, shard):
    before = contents(dir, shard)
    dry = tool("accept-loss", dir, "--shard=%d" % shard, "--dry-run")
    same(contents(dir, shard), before, "the files after a dry run")
    is_true("would be" in dry.error or "commits" in dry.error or "rows" in dry.error, "it says what: %s", dry.error)
    done = tool("accept-loss", dir, "--shard=%d" % shard)
    is_true("SERVER_BEHIND" in done.error, "it says how phones heal it: %s", done.error)
    kept = list(contents(dir, shard).values())
    for name, data in before.items():
        unused = name.endswith(".db") or name.endswith("anchor") or (".journal" in name and len(data) <= 64)
        is_true(unused or data in kept, "%s is not kept: %r", name, sorted(contents(dir, shard)))
    is_true("nothing to accept" in tool("accept-loss", dir, "--shard=%d" % shard).error, "a second time")


def judge_findings(world, dir, damages, found):
    """
    verify finds nothing, but what a shard may have lost in silence: records that its anchor had not seen yet. That they were there
    is known where the next generation of the journal had begun.
    """
    for finding in [line for line in tool("verify", dir, expect=None).error.splitlines() if "/shard-" in line]:
        shard = int(re.search(r"/shard-(\d\d)", finding).group(1))
        record = re.search(r"journal record (\d+) does not verify$", finding)
        young = record and int(record.group(1)) > Anchor(path_of(world.dir, shard, "anchor")).last
        is_true(found[shard] == "whole" and (young or finding.endswith("is partly in place and the journal has not the rest")),
                "%s, %s: verify: %s", world.name, damages[shard], finding)


def trial(world, damages, outcomes):
    """So many shards get a damage each, the last one none."""
    dir = World._copy(world.dir)
    for shard, (_, damage) in enumerate(damages):
        damage(world, dir, shard)
    with Daemon(dir=dir, options=OPTIONS) as daemon:
        found = [judge_shard(world, daemon, shard) for shard in range(SHARDS)]
    same(found[len(damages):], ["whole"] * (SHARDS - len(damages)), "the other shards")
    for shard, (name, _) in enumerate(damages):
        outcomes.setdefault(name, []).append(found[shard])
        is_true(name not in REFUSED or found[shard] == "refused", "%s, %s: %s\n%s", world.name, name, found[shard],
                daemon.log())
        is_true(name != "nothing" or found[shard] == "whole", "%s, nothing: %s\n%s", world.name, found[shard], daemon.log())
        if found[shard] == "refused":
            code = tool("verify", dir, expect=None).code
            same(code, 1, "verify of a shard that is refused: %s" % name)
            accept(dir, shard)
    refused = [shard for shard in range(SHARDS) if found[shard] == "refused"]
    with Daemon(dir=dir, options=OPTIONS) as daemon:
        same(daemon.events("shard refused"), [], "refused after the loss was accepted")
        for shard in refused:
            try:
                world.heal(daemon, shard)
            except Exception:
                say("%s, %s: not healed", world.name, damages[shard][0])
                raise
    if "damaged" not in found:
        judge_findings(world, dir, damages, found)
    shutil.rmtree(dir)


worlds = []


def all_worlds():
    if not worlds:
        for n in range(WORLDS):
            worlds.extend([World("under load %d" % n, True, turns=2), World("at rest %d" % n, False),
                           World("long under load %d" % n, True, rounds=100)])
    return worlds


@story.story
def no_shard_serves_a_shorter_log_in_silence_and_each_heals():
    story.seed()
    outcomes = {}
    for world in all_worlds():
        damages = list(REFUSED.items()) + list(JUDGED.items())
        for first in range(SHARDS - 1 if SOAK else world.turns):  # each damage on so many of the shards
            for at in range(first, first + len(damages), SHARDS - 1):
                trial(world, [damages[n % len(damages)] for n in range(at, at + SHARDS - 1)], outcomes)
    refused = sum(found.count("refused") for found in outcomes.values())
    say("%d trials on %d directories: %d refused, accepted and healed, %d served whole, %d said LOG_DAMAGED",
        sum(map(len, outcomes.values())), len(worlds), refused, sum(f.count("whole") for f in outcomes.values()),
        sum(f.count("damaged") for f in outcomes.values()))
    for name, found in outcomes.items():
        print("%-32s %s" % (name, " ".join(found)))


@story.story
def a_start_without_its_manifest_or_without_any_good_shard_is_refused():
    world = all_worlds()[0]
    dir = World._copy(world.dir)
    os.remove(os.path.join(dir, "manifest"))
    for damage in (None, lambda shard: remove(dir, shard, "anchor")):
        if damage:
            shutil.copy(os.path.join(world.dir, "manifest"), dir)
            for shard in range(SHARDS):
                damage(shard)
        try:
            daemon = Daemon(dir=dir, options=OPTIONS)
        except Refused as error:
            is_true(("accept-loss" if damage else "manifest") in error.log, "it says why: %s", error.log)
            continue
        daemon.destroy()
        raise AssertionError("it started")


@story.story
def the_control_with_anchors_that_know_nothing_serves_shorter_logs():
    caught = 0
    for world in all_worlds():
        for name in ("all but the anchor older", "all but the anchor as made", "journals empty"):
            dir = World._copy(world.dir)
            damage = REFUSED.get(name) or JUDGED.get(name)
            damage(world, dir, 0)
            Anchor(path_of(dir, 0, "anchor")).forge(commits(path_of(dir, 0, "db")))
            daemon = Daemon(dir=dir, options=OPTIONS)
            try:
                print("%-32s %s" % (name, judge_shard(world, daemon, 0)))
            except Shorter as shorter:
                caught += 1
                print("%-32s %s" % (name, shorter))
            daemon.stop()
            shutil.rmtree(dir)
    say("the control served %d shorter logs, and each was seen", caught)
    is_true(caught >= 2 * len(worlds), "%d of the forged anchors let a shorter log be served: the judge is blind", caught)


story.run()
