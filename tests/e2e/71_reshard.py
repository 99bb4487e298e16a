"""reshard: another number of shards, with every log as it was, however often it is cut off. EDGEREPLAY_SOAK=1: 10 000 logs with a
million actions."""
import glob
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

from support import chain, story
from support.daemon import Daemon, Refused, tool, whole_log
from support.story import is_true, same, say

SEED = story.seed()
SOAK = os.environ.get("EDGEREPLAY_SOAK") == "1"
LOGS, DEVICES = 10_000 if SOAK else 300, ("phone", "tablet")
SIZES = (1, 10, 100, 300) if SOAK else (1, 3, 10, 200)
KILLS = 10
LONG = 60_000


def name_of(n):
    return "log-%d" % n


def write(client, log, count, rolls, first=0):
    for at in range(first, first + count, 50):
        actions = [{"device": rolls.choice(DEVICES), "ts": 10 * n + 1, "type": "t", "payload": "p" * rolls.randrange(60)}
                   for n in range(at, min(at + 50, first + count))]
        answer = client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log), pull=0))
        same(answer.status, 200, "%s: status" % answer.body[:300])


def filled(shards=4, logs=LOGS, **options):
    """A stopped daemon's directory: most logs are short, some are long, and one is of many commits."""
    rolls = random.Random(SEED)
    with Daemon(options={"store.shards": shards, **options}) as daemon, daemon.client() as client:
        for n in range(logs):
            write(client, name_of(n), rolls.choice(SIZES), rolls)
    return daemon.dir


def files_of(dir):
    """The shard files that the manifest names."""
    with open(os.path.join(dir, "manifest"), encoding="utf-8") as file:
        folder = [line.split()[1] for line in file if line.startswith("folder ")]
    return glob.glob(os.path.join(dir, *folder, "shard-*.db"))


def content(dir):
    """What the shard files have of each log, in whatever tables and columns, but for its number."""
    logs = {}
    for path in files_of(dir):
        database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
        tables = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                  if "log" in [column[1] for column in database.execute("PRAGMA table_info(%s)" % name)]]
        is_true({"actions", "batches"} <= set(tables), "tables %r", tables)
        for number, name, *head in database.execute("SELECT * FROM logs"):
            is_true(name not in logs, "%s is there twice", name)
            logs[name] = [head] + [sorted(row[1:] for row in database.execute("SELECT * FROM %s WHERE log = ?" % table, (number,)))
                                   for table in tables]
        database.close()
    return logs


def shards_of(dir):
    with open(os.path.join(dir, "manifest"), encoding="utf-8") as file:
        return int(file.read().split("\n")[1].split()[1])


def must_be(dir, shards, before):
    """Verified, complete, and nothing beside."""
    same(shards_of(dir), shards, "shards")
    tool("verify", "-q", dir)
    same(len(files_of(dir)), shards, "shard files")
    same(content(dir), before, "what the logs have")
    is_true(sorted(set(os.listdir(dir)) - {"lock"}) == ["manifest", "shards-%d" % shards], "beside: %r", os.listdir(dir))


@story.story
def every_log_is_what_it_was_and_is_served():
    dir = filled()
    before = content(dir)
    for shards in (8, 2, 1, 16):
        said = json.loads(tool("reshard", shards, dir, "--json").out)
        same((said["to"], said["logs"], said["actions"]),
             (shards, LOGS, sum(log[0][0] for log in before.values())), "said")
        must_be(dir, shards, before)
    with Daemon(dir=dir, options={"store.shards": 16}) as daemon, daemon.client() as client:
        for n in range(0, LOGS, 7):
            actions, links = whole_log(client, name_of(n))
            same((len(actions), links[-1]), (before[name_of(n)][0][0], before[name_of(n)][0][1]), "head")
            write(client, name_of(n), 2, random.Random(n), first=1000)
        write(client, "new", 3, random.Random(1))
        write(client, name_of(3), 1, random.Random(3))  # what is there already
    tool("verify", dir)


@story.story
def a_repair_before_the_first_start_finds_sound_files():
    dir = filled()
    before = content(dir)
    tool("reshard", 8, dir)
    said = tool("repair", dir, "--log=" + name_of(1))
    is_true("malformed" not in said.error and "is whole" in said.error, "it says: %s", said.error)
    is_true(not [name for name in os.listdir(dir + "/shards-8") if ".malformed" in name], "it made a new file")
    same(content(dir), before, "what the logs have")


@story.story
def another_number_at_a_start_names_this_command():
    dir = filled(2, 5)
    try:
        Daemon(dir=dir, options={"store.shards": 4})
        raise AssertionError("it started")
    except Refused as error:
        is_true("edgereplay reshard 4 %s" % dir in error.log, "it says what to do: %s", error.log)


def cut_off(rolls, dir, shards, seconds):
    """Kills a reshard at a random moment; false when it was over before."""
    running = subprocess.Popen([story.TOOL, "reshard", "-q", str(shards), dir])
    time.sleep(rolls.random() * seconds)
    running.kill()
    return running.wait(60) == -signal.SIGKILL


@story.story
def cut_off_at_any_moment_it_is_what_it_was_or_will_be_and_goes_on():
    rolls = random.Random(SEED)
    dir = filled()
    before = content(dir)
    shutil.copytree(dir, "timed")
    began = time.monotonic()
    tool("reshard", 8, "timed")
    seconds = time.monotonic() - began
    kills = resumed = moves = 0
    shards, wanted = 4, 8
    while kills < KILLS or shards != wanted:
        if kills < KILLS and cut_off(rolls, dir, wanted, seconds):
            kills += 1
            is_true(shards_of(dir) in (shards, wanted), "%d shards", shards_of(dir))
            tool("verify", "-q", dir)
            same(content(dir), before, "after a kill")
            continue
        if shards_of(dir) == wanted:  # perhaps with old files that it had not removed
            tool("reshard", wanted, dir)
        else:
            resumed += json.loads(tool("reshard", wanted, dir, "--json").out)["resumed"]
        must_be(dir, wanted, before)
        shards, moves = wanted, moves + 1
        if kills < KILLS or moves < 2:
            wanted = 2 if wanted == 8 else 8
    is_true(moves <= 40, "%d moves", moves)
    say("%d kills in %d moves of about %.1f s; %d logs were there when one went on", kills, moves, seconds, resumed)


@story.story
def what_ctrl_c_leaves_is_gone_on_with_or_taken_out():
    dir = filled()
    before = content(dir)
    names = sorted(os.listdir(dir))
    for _ in range(50):
        running = subprocess.Popen([story.TOOL, "reshard", "8", dir], stderr=subprocess.PIPE)
        while running.poll() is None and not glob.glob(dir + "/shards-8/shard-01.db"):
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        error = running.communicate(timeout=60)[1].decode()
        if shards_of(dir) == 4:
            break
        tool("reshard", 4, dir)
        names = sorted(os.listdir(dir))
    same(running.returncode, -signal.SIGINT, "exit code")
    is_true("goes on" in error, "it says what to do: %s", error)
    tool("verify", "-q", dir)
    tool("reshard", 4, dir)
    same(sorted(os.listdir(dir)), names, "what was taken out")
    same(content(dir), before, "the logs")


@story.story
def what_a_daemon_wrote_in_between_is_not_left_out():
    dir = filled()
    for _ in range(50):
        running = subprocess.Popen([story.TOOL, "reshard", "8", dir], stderr=subprocess.DEVNULL)
        while running.poll() is None and not glob.glob(dir + "/shards-8/shard-05.db"):
            time.sleep(0.001)
        running.kill()
        running.wait(60)
        if shards_of(dir) == 4:
            break
        tool("reshard", 4, dir)
    same(shards_of(dir), 4, "it was cut off before its end")
    with Daemon(dir=dir, options={"store.shards": 4}) as daemon, daemon.client() as client:
        for n in range(0, LOGS, 3):
            write(client, name_of(n), 1, random.Random(n), first=5000)
    before = content(dir)
    same(json.loads(tool("reshard", 8, dir, "--json").out)["resumed"], 0, "logs that were taken as they had been")
    must_be(dir, 8, before)


@story.story
def a_long_log_that_was_cut_off_in_the_middle_is_copied_anew():
    with Daemon() as daemon, daemon.client() as client:
        for first in range(0, LONG, 1000):
            actions = [{"device": "d", "ts": n + 1, "type": "t", "payload": "p" * 60} for n in range(first, first + 1000)]
            same(client.post("/v1/logs/long/sync", chain.sync_body(actions, 0, chain.genesis("long"), pull=0)).status, 200, "sync")
    dir, wals = daemon.dir, "/shards-2/*-wal"
    before = content(dir)
    for _ in range(50):
        running = subprocess.Popen([story.TOOL, "reshard", "-q", "2", dir])
        while running.poll() is None and sum(map(size_of, glob.glob(dir + wals))) < 5_000_000:
            time.sleep(0.0005)
        running.kill()
        running.wait(60)
        if shards_of(dir) == 1:
            break
        tool("reshard", 1, dir)
    same(json.loads(tool("reshard", 2, dir, "--json").out)["resumed"], 0, "logs that were taken for whole")
    must_be(dir, 2, before)


def size_of(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


@story.story
def what_a_kill_left_in_the_journal_is_put_in_place_first():
    daemon = Daemon(options={"store.shards": 2, "store.tail_bytes": "64MiB"})
    with daemon.client() as client:
        for n in range(20):
            write(client, name_of(n), 30, random.Random(n))
    daemon.kill()
    same(json.loads(tool("reshard", 4, daemon.dir, "--json").out)["actions"], 600, "actions")
    tool("verify", daemon.dir)


@story.story
def a_dry_run_says_time_and_room_and_changes_nothing():
    dir = filled(2, 20)
    def times():
        return {name: os.stat(os.path.join(dir, name)).st_mtime_ns for name in os.listdir(dir) if not name.endswith("-shm")}

    before = times()
    said = json.loads(tool("reshard", 8, dir, "--dry-run", "--json").out)
    same((said["from"], said["to"], said["logs"], said["fits"]), (2, 8, 20, True), "said")
    is_true(said["seconds"] >= 1 and said["bytesFree"] > said["bytesNeeded"] > 0, "time and room: %r", said)
    same(times(), before, "the files")
    is_true("dry run" in tool("reshard", 8, dir, "--dry-run").error, "in words")


@story.story
def what_cannot_be_done_is_refused_and_changes_nothing():
    dir = filled(2, 20)
    for wrong in ("0", "3", "512", "x", "-1"):
        tool("reshard", "--", wrong, dir, expect=2)
    tool("reshard", 4, "nowhere", expect=4)
    with Daemon(dir=dir, options={"store.shards": 2}):
        is_true("in use" in tool("reshard", 4, dir, expect=4).error, "a running daemon's")
    for sql, code, word in (("CREATE TABLE strange (a); INSERT INTO strange VALUES (1)", 4, "strange"),
                            ("DROP TABLE strange", 0, ""),
                            ("UPDATE actions SET payload = 'other' WHERE log = 1 AND seq = 1", 1, "repair")):
        database = sqlite3.connect(dir + "/shard-00.db")
        database.executescript(sql)
        database.close()
        before = content(dir)
        if code:
            is_true(word in tool("reshard", 4, dir, expect=code).error, "it says why: %s", word)
            tool("reshard", 2, dir)
            same((content(dir), sorted(set(os.listdir(dir)) & {"shards-4", "shard-01.db"})), (before, ["shard-01.db"]), word)
    os.unlink(dir + "/shard-01.journal-0")
    is_true("refuse" in tool("reshard", 4, dir, expect=1).error, "a shard that a start refuses")


@story.story
def a_column_that_the_new_files_would_not_have_is_not_left_behind():
    dir = filled(1, 40)
    database = sqlite3.connect(dir + "/shard-00.db")
    database.executescript("ALTER TABLE logs ADD COLUMN strange INTEGER; UPDATE logs SET strange = 100 + seq")
    database.close()
    tool("reshard", 2, dir, expect=4)
    same(shards_of(dir), 1, "shards")


@story.story
def what_was_put_aside_in_a_folder_of_shards_is_kept_beside_it_and_stops_no_reshard():
    dir = filled(shards=2, logs=20)
    tool("reshard", 8, dir)
    before = content(dir)
    aside = {"shard-00.db.malformed-20260101": b"one", "shard-01.db.lost-x": b"two", "shard-00.journal-0.refused-x": b"three"}
    for name, data in aside.items():
        with open(os.path.join(dir, "shards-8", name), "wb") as file:
            file.write(data)
    for shards in (4, 8):
        same(json.loads(tool("reshard", shards, dir, "--json").out)["to"], shards, "done")
        same(sorted(name for name in os.listdir(dir) if name.startswith("shard")), sorted([*aside, "shards-%d" % shards]), "what is there")
    for name, data in aside.items():
        with open(os.path.join(dir, name), "rb") as file:
            same(file.read(), data, name)
    # One more of the same name, and one that an earlier reshard could not remove.
    os.mkdir(os.path.join(dir, "shards-1"))
    for folder in ("shards-8", "shards-1"):
        with open(os.path.join(dir, folder, "shard-00.db.malformed-20260101"), "wb") as file:
            file.write(folder.encode())
    tool("reshard", 1, dir)
    for folder in ("shards-8", "shards-1"):
        with open(os.path.join(dir, "shard-00.db.malformed-20260101." + folder), "rb") as file:
            same(file.read(), folder.encode(), "under a name of its own")
    same(content(dir), before, "the logs")
    tool("verify", dir)


story.run()
