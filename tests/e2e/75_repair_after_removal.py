"""Repair, salvage and reopening after content was removed: nothing of it comes back, and where nobody can tell it is said."""
import glob
import json
import os
import sqlite3

from support import story
from support.daemon import Daemon, tool, until
from support.removal import Writer, is_gone, judge_actions
from support.story import is_true, same

OPTIONS = {"admin.listen": "unix:admin.sock", "store.scrub_rate": 0, "store.shards": 1}
KINDS = ("redacted", "pruned", "erased", "reopened")
CHANGES = {"payload": "UPDATE actions SET payload = 'xy' || substr(payload, 3) WHERE seq = 5 AND type = ''",
           "digit": "UPDATE actions SET payload = substr(payload, 1, 30) || 'x' || substr(payload, 32) WHERE seq = 5 AND type = ''",
           "type": "UPDATE actions SET type = 'x' WHERE seq = 5 AND type = ''",
           "row": "DELETE FROM actions WHERE seq = 5 AND type = ''"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def change(daemon, sql):
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    database.execute(sql)
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def remove(daemon, kind):
    if kind == "redacted":
        tool("redact", "notes", "1-20", admin(daemon), "-q")
    elif kind == "pruned":
        tool("prune", "notes", "--before=21", "--without-snapshot", admin(daemon), "-q")
    else:
        tool("erase", "notes", admin(daemon), "-q")
    if kind == "reopened":
        tool("erase", "notes", "--reopen", admin(daemon), "-q")


def made(kind):
    """A stopped daemon of whose log the content was removed, the log's writer, and what a phone has of it (phone)."""
    for path in glob.glob("phone*"):
        os.unlink(path)
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=phone", "-q")
        remove(daemon, kind)
    return daemon, writer


def repair(daemon, *arguments, expect=0):
    return tool("repair", daemon.dir, "--log=notes", *arguments, expect=expect).error


def is_as_removed(daemon, writer, kind, what):
    """The log answers as before the damage, also once a phone has come that has the content."""
    with daemon.start(), daemon.client() as client:
        for _ in range(2):
            answer = client.get(writer.path("actions"))
            if kind in ("redacted", "reopened"):
                judge_actions(answer.json()["actions"], writer, 1, set(range(1, 21)))
            else:
                same((answer.status, answer.json()["code"]), (410, kind.upper()), what)
            tool("push", "--url=" + daemon.url, "--log=notes", "--state=phone", "-q", expect=1 if kind == "erased" else 0)
    is_gone(daemon.dir, writer.actions, what)


@story.story
def a_copy_proves_what_was_removed_and_does_not_bring_it_back():
    for kind in KINDS:
        for what, sql in CHANGES.items():
            if what == "row" and kind == "redacted":
                continue  # nobody can tell
            daemon, writer = made(kind)
            change(daemon, sql)
            is_true("removed and stays so" in repair(daemon, "--from=phone"), "%s, %s: nothing is said" % (kind, what))
            is_as_removed(daemon, writer, kind, "%s, %s" % (kind, what))
            tool("verify", "-q", daemon.dir)


@story.story
def one_rotten_digit_or_a_rotten_type_of_a_redacted_action_needs_no_copy():
    for kind in KINDS:
        for what in ("digit", "type"):
            daemon, writer = made(kind)
            change(daemon, CHANGES[what])
            is_true("1 actions put right, 0 taken out" in repair(daemon), "%s, %s: put right" % (kind, what))
            is_as_removed(daemon, writer, kind, "%s, %s" % (kind, what))
            tool("verify", "-q", daemon.dir)


@story.story
def where_nothing_tells_of_a_redaction_the_list_of_it_is_asked_for():
    daemon, writer = made("redacted")
    change(daemon, CHANGES["row"])
    is_true("replay the list" in repair(daemon, "--from=phone"), "nothing is said")
    with daemon.start(), daemon.client() as client:
        same(client.get(writer.path("actions?after=4&limit=1")).json()["actions"][0]["payload"], writer.actions[4]["payload"],
             "it has its content")


@story.story
def what_was_pruned_or_erased_is_not_cut_off_for_phones_to_bring_back():
    for kind in ("pruned", "erased", "reopened"):
        daemon, writer = made(kind)
        change(daemon, CHANGES["row"])
        is_true("is not cut there" in repair(daemon, expect=1), kind + ": nothing is said")
        same(json.loads(tool("repair", daemon.dir, "--log=notes", "--json", "-q", expect=1).out)["removed"], 0, "nothing was taken out")
        repair(daemon, "--from=phone")
        is_as_removed(daemon, writer, kind, kind)


@story.story
def a_cut_says_that_what_was_redacted_comes_back_with_phones():
    daemon, _ = made("redacted")
    change(daemon, CHANGES["row"])
    said = repair(daemon, expect=1)  # and that of what stood there nothing was left
    is_true("15 of those taken out had been redacted" in said and "replay the list" in said, "said %r", said)


def put_back(daemon, writer, seq):
    """As if the erasure had been cut off before it came there."""
    action = writer.actions[seq - 1]
    change(daemon, "UPDATE actions SET type = '%s', payload = '%s' WHERE seq = %d" % (action["type"], action["payload"], seq))


@story.story
def a_log_whose_erasure_was_cut_off_is_not_opened_before_it_is_erased():
    for online in (True, False):
        daemon, writer = made("erased")
        put_back(daemon, writer, 20)
        if online:
            daemon.start()
        where = admin(daemon) if online else "--data=" + daemon.dir
        is_true("cut off" in tool("erase", "notes", "--reopen", where, expect=1).error, "the reason")
        if not online:
            daemon.start()
        with daemon.client() as client:
            same(client.get(writer.path("actions")).json()["code"], "ERASED", "the answer")
        if not online:
            daemon.stop()
        tool("erase", "notes", where, "-q")
        tool("erase", "notes", "--reopen", where, "-q")
        if online:
            daemon.stop()
        is_as_removed(daemon, writer, "reopened", "then")


@story.story
def an_erased_log_that_is_damaged_is_not_read():
    daemon, writer = made("erased")
    put_back(daemon, writer, 3)
    change(daemon, "DELETE FROM actions WHERE seq = 20")
    with daemon.start(), daemon.client() as client:
        for _ in range(2):
            same(client.get(writer.path("actions")).json().get("code"), "ERASED", "the answer")


@story.story
def what_the_walk_finds_damaged_of_a_pruned_or_erased_log_is_not_read():
    for kind in ("pruned", "erased"):
        daemon, writer = made(kind)
        change(daemon, CHANGES["payload"])
        with Daemon(dir=daemon.dir, options={**OPTIONS, "store.scrub_rate": 100000}) as walked, walked.client() as client:
            until(lambda: client.get(writer.path("head")).json().get("code") == "LOG_DAMAGED", "the walk has found it")
            same(client.get(writer.path("actions")).json().get("code"), kind.upper(), "the answer")


def destroy_entries(daemon):
    """The page on which it stands what is gone of logs."""
    path = os.path.join(daemon.dir, "shard-00.db")
    database = sqlite3.connect(path)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'gone'").fetchone()
    database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(b"\xff" * 8192)


@story.story
def where_it_is_lost_what_was_gone_a_log_without_content_is_named_and_not_served():
    for kind in ("pruned", "erased"):
        daemon, writer = made(kind)
        with daemon.start(), daemon.client() as client:
            Writer(client, "other").push(3)
        destroy_entries(daemon)
        said = repair(daemon, "--from=phone", expect=1)
        is_true("log notes: no action has content" in said and "log other: no" not in said, "said %r", said)
        is_as_removed(daemon, writer, "erased", kind)  # nothing tells the two apart
        tool("verify", "-q", daemon.dir)
        tool("erase", "notes", "--reopen", "--data=" + daemon.dir, "-q")
        is_as_removed(daemon, writer, "reopened", kind)


@story.story
def a_log_without_content_that_has_a_snapshot_is_pruned_and_keeps_it():
    daemon, writer = made("pruned")
    with daemon.start(), daemon.client() as client:
        same(client.request("PUT", writer.path("snapshots/20"), b"state", {"Edgereplay-State-Hash": writer.links[20].hex()}).status, 200, "put")
    destroy_entries(daemon)
    is_true("no action up to 20 has content" in repair(daemon, expect=1), "it is not named")
    with daemon.start(), daemon.client() as client:
        same(client.get(writer.path("snapshots/latest")).body, b"state", "the snapshot")
        same(client.get(writer.path("actions")).json()["code"], "PRUNED", "the actions")


@story.story
def what_seems_to_be_pruned_begins_with_the_first_action_again_when_the_operator_says_so():
    daemon, writer = made("reopened")
    with daemon.start(), daemon.client() as client:
        writer.client = client
        writer.push(10)
    destroy_entries(daemon)
    is_true("log notes: no action up to 20 has content" in repair(daemon, expect=1), "it is not named")
    with daemon.start(), daemon.client() as client:
        writer.client = client
        answer = client.get(writer.path("actions")).json()
        same((answer["code"], answer["from"]), ("PRUNED", 21), "the first action")
        judge_actions(client.get(writer.path("actions?after=20")).json()["actions"], writer, 21, set())
        writer.push(1)
    tool("erase", "notes", "--reopen", "--data=" + daemon.dir, "-q")
    with daemon.start(), daemon.client() as client:
        judge_actions(client.get(writer.path("actions")).json()["actions"], writer, 1, set(range(1, 21)))
    tool("verify", "-q", daemon.dir)


story.run()
