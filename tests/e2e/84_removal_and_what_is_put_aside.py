"""Removal and the files beside the shards: copies of a reshard that was cut off and what repair took out of an erased log go with it;
what has more than that stays, and then the command is no success."""
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time

from support import chain, story
from support.daemon import Daemon, tool
from support.removal import Writer, files_with, needles
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock", "store.scrub_rate": 0, "store.shards": 1}
PAGE = 8192


def where(daemon, running):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock") if running else "--data=" + daemon.dir


def start(daemon, running):
    return daemon.start() if running else None


def raw(daemon, actions):
    """The files that have content of the actions, in the directory and beside it."""
    wanted = [needle for action in actions for needle in needles(action["payload"])]
    found = {name for name, _ in files_with(daemon.dir, wanted)}
    for path in glob.glob(daemon.dir + ".*"):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read()
            found |= {os.path.basename(path) for needle in wanted if needle in data}
    return sorted(found)


def remove(daemon, running, command, *arguments, expect=0):
    """What it says in JSON and in words."""
    said = tool(command, *arguments, where(daemon, running), "--json", expect=expect)
    return json.loads(said.out), said.error


def names(paths):
    return sorted(os.path.basename(path) for path in paths)


def shards_of(dir):
    with open(os.path.join(dir, "manifest"), encoding="utf-8") as file:
        return int(file.read().split("\n")[1].split()[1])


# --- a reshard that was cut off ---

def filled():
    with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        link = chain.genesis("long")
        for first in range(0, 20_000, 1000):
            actions = [{"device": "d", "ts": n + 1, "type": "t", "payload": "p" * 60} for n in range(first, first + 1000)]
            same(client.post("/v1/logs/long/sync", chain.sync_body(actions, first, link, pull=0)).status, 200, "sync")
            link = chain.extend(link, actions)[-1]
    return daemon, writer


def cut_off(daemon, writer):
    """Kills a reshard whose new files have the content; false when it was over before."""
    running = subprocess.Popen([story.TOOL, "reshard", "-q", "4", daemon.dir])
    wanted = needles(writer.actions[0]["payload"])
    while running.poll() is None:
        try:
            if files_with(daemon.dir + "/shards-4", wanted):
                break
        except FileNotFoundError:
            pass
        time.sleep(0.001)
    running.kill()
    running.wait(60)
    return shards_of(daemon.dir) == 1


@story.story
def copies_of_a_reshard_that_was_cut_off_go_with_what_is_erased_or_redacted():
    for running, command, seqs in ((True, "erase", []), (False, "erase", []), (True, "redact", ["1-20"]), (False, "redact", ["1-20"])):
        daemon, writer = filled()
        for _ in range(50):
            if cut_off(daemon, writer):
                break
            tool("reshard", 1, daemon.dir)
        same(shards_of(daemon.dir), 1, "it was cut off before its end")
        is_true(files_with(daemon.dir + "/shards-4", needles(writer.actions[0]["payload"])), "it left nothing of the content")
        start(daemon, running)
        said, _ = remove(daemon, running, command, "notes", *seqs)
        same((said["leftovers"], raw(daemon, writer.actions)), ([], []), "what is left: %s, %s" % (command, running))
        is_true(not os.path.exists(daemon.dir + "/shards-4"), "the folder is there")
        if running:
            daemon.stop()
        tool("verify", "-q", daemon.dir)
        same(json.loads(tool("reshard", 4, daemon.dir, "--json").out)["resumed"], 0, "a reshard begins anew")


@story.story
def old_files_go_only_while_it_is_known_what_was_made_of_them():
    for running in (True, False):
        daemon, writer = filled()
        shutil.copytree(daemon.dir, "old-%s" % running)
        tool("reshard", 4, daemon.dir, "-q")
        daemon.options["store.shards"] = 4
        for name in glob.glob("old-%s/shard-*" % running):
            shutil.copy(name, daemon.dir)
        start(daemon, running)
        # As if an old manifest had been put back some time: who knows what these are.
        said, error = remove(daemon, running, "erase", "notes", expect=1)
        is_true("shard-00.db" in names(said["leftovers"]) and "shard-00.db" in error, "named: %s", said)
        is_true("shard-00.db" in raw(daemon, writer.actions), "it is gone")
        # As a reshard leaves them that was cut off behind its step into force.
        open(daemon.dir + "/shards-4/source", "w", encoding="utf-8").close()
        said, _ = remove(daemon, running, "erase", "notes")
        same((said["leftovers"], raw(daemon, writer.actions)), ([], []), "what is left")
        is_true(not os.path.exists(daemon.dir + "/shards-4/source"), "it is not forgotten")
        if running:
            daemon.stop()
        tool("verify", "-q", daemon.dir)


@story.story
def copies_stay_while_the_store_has_lost_something_that_may_be_in_them():
    for running in (True, False):
        daemon, writer = filled()
        for name in ("shards-8", "shards-16"):
            shutil.rmtree(os.path.join(daemon.dir, name), ignore_errors=True)
            os.mkdir(os.path.join(daemon.dir, name))
            shutil.copy(daemon.dir + "/shard-00.db", os.path.join(daemon.dir, name))
        open(daemon.dir + "/shards-8/source", "w", encoding="utf-8").close()
        with open(daemon.dir + "/shard-00.db.lost-x", "w", encoding="utf-8") as file:
            file.write(writer.actions[0]["payload"])
        start(daemon, running)
        said, _ = remove(daemon, running, "erase", "notes", expect=1)
        same(names(said["leftovers"]), ["shard-00.db.lost-x", "shards-16", "shards-8"], "what is kept")
        os.unlink(daemon.dir + "/shard-00.db.lost-x")
        said, _ = remove(daemon, running, "erase", "notes", expect=1)
        same(names(said["leftovers"]), ["shards-16"], "what no reshard is known to have left")
        shutil.rmtree(daemon.dir + "/shards-16")
        same((remove(daemon, running, "erase", "notes")[0]["leftovers"], raw(daemon, writer.actions)), ([], []), "at the end")


def switched(shards=4):
    """A stopped daemon's directory as a reshard to so many leaves it that was cut off behind its step into force; writers of two shards of it."""
    names = {}
    for n in range(1000):
        names[chain.genesis("log-%d" % n)[0] * shards // 256] = "log-%d" % n
    with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
        writers = [Writer(client, names[1]), Writer(client, names[2])]
        for writer in writers:
            writer.push(20)
    old = tempfile.mkdtemp()
    for path in glob.glob(daemon.dir + "/shard-*"):
        shutil.copy(path, old)
    tool("reshard", shards, daemon.dir, "-q")
    daemon.options["store.shards"] = shards
    for path in glob.glob(old + "/shard-*"):
        shutil.copy(path, daemon.dir)
    open(daemon.dir + "/shards-%d/source" % shards, "w", encoding="utf-8").close()
    return daemon, writers


def rot(daemon):
    """A row of shard 1, once the daemon has been there."""
    daemon.start().stop()
    database = sqlite3.connect(daemon.dir + "/shards-4/shard-01.db")
    database.execute("UPDATE actions SET payload = 'zz' WHERE seq = 1")
    database.commit()
    database.close()


def keeps_copies(daemon, running, lost, other):
    """That an erasure of the other log leaves, and names, the old file, which alone has the first action of the lost one."""
    start(daemon, running)
    said, _ = remove(daemon, running, "erase", other.log, expect=1)
    is_true(daemon.dir + "/shard-00.db" in said["leftovers"], "named: %s", said)
    is_true(os.path.exists(daemon.dir + "/shard-00.db") and raw(daemon, lost.actions[:1]), "what alone had it is gone")
    if running:
        daemon.stop()


@story.story
def copies_stay_when_the_loss_of_a_file_that_is_not_there_was_accepted():
    for running, gone in ((True, "*"), (False, "*"), (True, "db"), (False, "db")):
        daemon, (lost, other) = switched()
        for path in glob.glob(daemon.dir + "/shards-4/shard-01." + gone):
            os.unlink(path)
        tool("accept-loss", daemon.dir, "--shard=1", "-q")
        keeps_copies(daemon, running, lost, other)


@story.story
def copies_stay_when_a_log_was_repaired():
    for running in (True, False):
        daemon, (lost, other) = switched()
        rot(daemon)
        tool("repair", daemon.dir, "--log=" + lost.log, "-q", expect=None)
        keeps_copies(daemon, running, lost, other)


@story.story
def copies_stay_while_a_log_is_known_to_be_damaged():
    daemon, (lost, other) = switched()
    rot(daemon)
    with daemon.start(), daemon.client() as client:
        same(client.get(lost.path("actions")).json()["code"], "LOG_DAMAGED", "of the log that has rotted")
        remove(daemon, True, "erase", other.log, expect=1)
        is_true(raw(daemon, lost.actions[:1]), "what alone had it is gone")


@story.story
def copies_stay_while_another_shard_does_not_open():
    daemon, (lost, other) = switched()
    with open(daemon.dir + "/shards-4/shard-01.db", "wb") as file:
        file.write(b"x" * 8192)
    keeps_copies(daemon, False, lost, other)
    daemon, (lost, other) = switched()
    os.unlink(daemon.dir + "/shards-4/shard-01.anchor")
    keeps_copies(daemon, False, lost, other)
    tool("accept-loss", daemon.dir, "--shard=1", "-q")
    tool("reshard", 4, daemon.dir)
    remove(daemon, False, "erase", other.log)
    same(raw(daemon, other.actions), [], "when it is said that no copy is needed")


# --- what repair took out ---

def repaired(*logs):
    """A stopped daemon of whose logs the actions from 10 on were taken out; their writers; what a phone has of the first."""
    with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
        writers = [Writer(client, log) for log in logs]
        for writer in writers:
            writer.push(20)
    database = sqlite3.connect(daemon.dir + "/shard-00.db")
    database.execute("UPDATE actions SET payload = 'zz' WHERE seq = 10")
    database.commit()
    database.close()
    for log in logs:
        tool("repair", daemon.dir, "--log=" + log, "-q", expect=None)
        same(len(taken_out(daemon, log)), 1, "what was taken out of %s" % log)
    return daemon, writers


def taken_out(daemon, log):
    return [path for path in glob.glob(daemon.dir + ".removed-%s-*.ndjson" % log)
            if path[len(daemon.dir + ".removed-%s-" % log):-len(".ndjson")].isdigit()]


@story.story
def of_a_log_that_is_too_damaged_to_erase_nothing_is_said_to_be_gone():
    with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
        notes, other = Writer(client, "notes"), Writer(client, "other")
        notes.push(60)
        other.push(3)
    with open(daemon.dir + "/shard-00.db", "r+b") as file:
        file.seek(file.read().index(notes.actions[40]["payload"].encode()) // PAGE * PAGE)
        file.write(b"x" * PAGE)
    open(daemon.dir + "/shard-00.db.lost-x", "w", encoding="utf-8").close()
    said = tool("erase", "other", "notes", "--data=" + daemon.dir, expect=1).error
    is_true("log notes" in said and "lost-x" in said and "is gone from" not in said, "what may be there, and where: %s", said)


@story.story
def what_repair_took_out_of_a_log_goes_when_it_is_erased():
    for running in (True, False):
        daemon, (notes, other) = repaired("notes", "notes-2")
        is_true(raw(daemon, notes.actions[15:]), "it was not kept")
        start(daemon, running)
        held = os.open(taken_out(daemon, "notes")[0], os.O_RDONLY)
        said, _ = remove(daemon, running, "erase", "notes")
        same(raw(daemon, notes.actions), [], "what is left, %s" % running)
        same(os.read(held, 1 << 20).strip(b"\0"), b"", "the bytes that it had")
        os.close(held)
        same((said["leftovers"], len(raw(daemon, other.actions[15:]))), (taken_out(daemon, "notes-2"), 1), "another log's is kept, and named")
        remove(daemon, running, "erase", "notes-2")
        same(raw(daemon, other.actions), [], "and goes with that")


@story.story
def by_whatever_name_repair_was_given_the_directory():
    for given in ("link", "."):
        with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
            notes = Writer(client, "notes")
            notes.push(20)
        database = sqlite3.connect(daemon.dir + "/shard-00.db")
        database.execute("UPDATE actions SET payload = 'zz' WHERE seq = 10")
        database.commit()
        database.close()
        if given == "link":
            os.symlink(daemon.dir, "link")
        back = os.getcwd()
        os.chdir(daemon.dir if given == "." else back)
        path = json.loads(tool("repair", given, "--log=notes", "--json", expect=None).out)["out"]
        os.chdir(back)
        is_true(os.path.dirname(path) == os.path.dirname(os.path.realpath(daemon.dir)), "it is elsewhere: %s", path)
        remove(daemon, False, "erase", "notes")
        is_true(not os.path.exists(path), "it is there: %s", given)


@story.story
def an_overwriting_that_was_cut_off_goes_on():
    daemon, (notes,) = repaired("notes")
    path = taken_out(daemon, "notes")[0]
    with open(path, "r+b") as file:
        file.write(b"\0" * (len(file.readline()) + 10))
    remove(daemon, False, "erase", "notes")
    same((raw(daemon, notes.actions), taken_out(daemon, "notes")), ([], []), "what is left")


@story.story
def what_has_content_of_other_logs_too_is_kept_and_no_success():
    for running in (True, False):
        daemon, (notes,) = repaired("notes")
        path, = taken_out(daemon, "notes")
        with open(path, "a", encoding="utf-8") as file:
            file.write('{"log":7,"seq":1,"device":"d","ts":1,"type":"t","payload":"of nobody knows whom"}\n')
        start(daemon, running)
        for log in ("notes", "another"):
            said, error = remove(daemon, running, "erase", log, expect=1)
            same(said["leftovers"], [path], "what is kept")
            is_true(path in error and "run the same command again" in error and "stays gone" in error, "it says what to do: %s", error)
        if running:
            with daemon.client() as client:
                same(client.get(notes.path("head")).json()["code"], "ERASED", "it is in force")
        os.unlink(path)
        same(remove(daemon, running, "erase", "notes", "another")[0]["leftovers"], [], "then it is done")
        same(raw(daemon, notes.actions), [], "what is left")


@story.story
def a_redaction_is_no_success_while_there_is_what_repair_took_out_of_the_log():
    for running in (True, False):
        daemon, (notes, other) = repaired("notes", "other")
        start(daemon, running)
        path, = taken_out(daemon, "notes")
        said, error = remove(daemon, running, "redact", "notes", "3", expect=1)
        same((said["removed"], sorted(said["leftovers"])), (1, sorted([path] + taken_out(daemon, "other"))), "what it says")
        is_true(path + ": the content may still be in it" in error, "it says where: %s", error)
        os.unlink(path)
        said, _ = remove(daemon, running, "redact", "notes", "3")
        same((said["goneBefore"], said["leftovers"]), (1, taken_out(daemon, "other")), "then it is done")
        same(raw(daemon, notes.actions[2:3]), [], "what is left")
        is_true(raw(daemon, other.actions[15:]), "the other log's")


# --- raw files ---

@story.story
def raw_files_that_accept_loss_put_aside_are_kept_and_no_success():
    for running in (True, False):
        daemon = Daemon(options=dict(ADMIN))
        with daemon.client() as client:
            notes = Writer(client, "notes")
            notes.push(20)
        daemon.kill()
        os.unlink(daemon.dir + "/shard-00.db")
        tool("accept-loss", daemon.dir, "--shard=0", "-q", expect=None)
        for n in range(100):  # that are no store's do not hide them
            open(os.path.join(daemon.dir, "own-%d" % n), "w", encoding="utf-8").close()
        kept = [name for name in raw(daemon, notes.actions) if ".lost-" in name]
        is_true(kept, "nothing was put aside: %s", os.listdir(daemon.dir))
        start(daemon, running)
        said, error = remove(daemon, running, "erase", "notes", expect=1)
        same((set(kept) <= set(names(said["leftovers"])), all(name in error for name in kept)), (True, True), "named: %s" % error)
        for path in said["leftovers"] + glob.glob(daemon.dir + "/own-*"):
            if os.path.exists(path):
                os.unlink(path)
        same((remove(daemon, running, "erase", "notes")[0]["leftovers"], raw(daemon, notes.actions)), ([], []), "then it is done")


@story.story
def one_whose_name_is_no_utf_8_is_not_passed_over():
    for running in (True, False):
        with Daemon(options=dict(ADMIN)) as daemon, daemon.client() as client:
            notes = Writer(client, "notes")
            notes.push(20)
        path = os.path.join(daemon.dir.encode(), b"shard-00.db.refused-\xff")
        open(path, "wb").close()
        start(daemon, running)
        is_true("shard-00.db.refused-" in str(remove(daemon, running, "erase", "notes", expect=1)[0]["leftovers"]), "it is not named")
        os.unlink(path)
        remove(daemon, running, "erase", "notes")


story.run()
