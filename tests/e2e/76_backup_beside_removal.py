"""Removals beside what is under way: a snapshot that is being received, a backup that is being made."""
import glob
import json
import os
import shutil
import subprocess
import threading

from support import chain, story
from support.daemon import Daemon, tool, until
from support.removal import Writer, files_with, is_gone, needles, secret
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock", "store.shards": 2}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def path(writer, which):
    return writer.path("snapshots/%s" % which)


def put(writer, body):
    """A snapshot at the end of its log."""
    seq = len(writer.actions)
    answer = writer.client.request("PUT", path(writer, seq), body,
                                   {"Content-Type": None, "Edgereplay-State-Hash": writer.links[seq].hex()})
    same((answer.status, answer.json().get("kept")), (200, True), "a snapshot")


def log_of(shard, stem):
    """A name whose log is in this shard of two."""
    return next(name for name in ("%s-%d" % (stem, n) for n in range(100)) if chain.genesis(name)[0] >> 7 == shard)


def state_of(writer, copies=40):
    """Made of action 6."""
    return (secret(writer.log, 5) * copies).encode()


def fill(client, log, count=1500):
    """What keeps a backup busy for a while."""
    actions = [{"device": "d", "ts": 1 + n, "type": "t", "payload": "x" * 1000} for n in range(count)]
    link = chain.genesis(log)
    for first in range(0, count, 200):
        part = actions[first:first + 200]
        same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(part, first, link)).status, 200, "filling")
        link = chain.extend(link, part)[-1]


def start_backup(daemon, to, rate):
    running = subprocess.Popen([story.TOOL, "backup", daemon.dir, "--to=" + to, "--rate=" + rate], stderr=subprocess.PIPE)
    story.cleanups[running.kill] = True
    return running


def end_backup(running):
    error = running.communicate(timeout=120)[1].decode()
    story.cleanups.pop(running.kill, None)
    same(running.returncode, 0, "%s\nexit code" % error)
    return error


def until_copied(daemon, shard, bytes_=1):
    with daemon.operator() as operator:
        until(lambda: operator.get("/backup?shard=%d" % shard).json()["bytes"] >= bytes_, "shard %d being copied" % shard)


@story.story
def a_snapshot_that_is_received_while_its_log_is_redacted_is_not_kept():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        body = state_of(writer, 4000)
        with daemon.connection() as connection:
            connection.send(("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n"
                             "Edgereplay-State-Hash: %s\r\n\r\n" % (path(writer, 20), len(body), writer.links[20].hex())).encode())
            connection.send(body[:len(body) // 2])
            draft = daemon.dir + "/snapshots/*/*.new"
            until(lambda: any(os.path.getsize(name) > 1 << 16 for name in glob.glob(draft)), "half of it to come")
            tool("redact", "notes", "6", admin(daemon), "-q")
            same(files_with(daemon.dir, needles(secret("notes", 5))), [], "what is left of it")
            connection.send(body[len(body) // 2:])
            answer = connection.response("PUT")
            same((answer.status, answer.json()["kept"]), (200, False), "it was made before")
        same(client.get(path(writer, "latest")).json()["code"], "NO_SNAPSHOT", "what is served")
        same(files_with(daemon.dir, needles(secret("notes", 5))), [], "what is left at the end")
        put(writer, b"made without it")
        same(client.get(path(writer, "latest")).body, b"made without it", "the next one")
        same(daemon.events("a file failed"), [], "faults")


def back_up_beside(kind, again):
    """A removal while the shard before its log's is copied; with again, phones then give another of the same seq."""
    removed, kept = log_of(1, "removed"), log_of(1, "kept")
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer, other = Writer(client, removed), Writer(client, kept)
        for one in (writer, other):
            one.push(20)
        tool("redact", kept, "3", admin(daemon), "-q")
        put(writer, state_of(writer))
        put(other, state_of(other))
        fill(client, log_of(0, "fill"))
        running = start_backup(daemon, "b-" + kind, "1MiB")
        until_copied(daemon, 0)
        same(len(files_with(glob.glob("b-%s.partial-*" % kind)[0], [needles(secret(removed, 5))[0]])), 1, "it has the snapshot")
        tool(kind, removed, *(["6"] if kind == "redact" else []), admin(daemon), "-q")
        if again:
            put(writer, b"made without it")
        end_backup(running)
    is_gone("b-" + kind, writer.actions[5:6], "in the backup")
    tool("verify", "b-" + kind)
    tool("restore", "b-" + kind, "r-" + kind)
    with Daemon(dir=os.path.realpath("r-" + kind), options=ADMIN) as daemon, daemon.client() as client:
        answer = client.get(path(writer, "latest"))
        if again:
            same(answer.body, b"made without it", "the new one of the same seq")
        else:
            same(answer.json()["code"], "ERASED" if kind == "erase" else "NO_SNAPSHOT", "what is served")
        same(client.get(path(other, "latest")).body, state_of(other), "one that was made after a redaction stays")
        if kind == "erase":
            tool("erase", removed, "--reopen", admin(daemon), "-q")
            same(client.get(path(writer, "latest")).json()["code"], "NO_SNAPSHOT", "when it is opened again")


@story.story
def a_backup_has_no_snapshot_that_a_redaction_took_away_during_it():
    back_up_beside("redact", False)


@story.story
def a_backup_has_the_snapshot_that_came_after_a_redaction_during_it():
    back_up_beside("redact", True)


@story.story
def a_backup_has_no_snapshot_of_a_log_that_was_erased_during_it():
    back_up_beside("erase", False)


@story.story
def a_snapshot_of_an_erased_log_is_found():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        put(writer, state_of(writer))
        name = glob.glob(daemon.dir + "/snapshots/*/*")[0]
        shutil.copy(name, "kept")
        tool("erase", "notes", admin(daemon), "-q")
    tool("verify", daemon.dir)
    shutil.copy("kept", name)
    said = tool("verify", daemon.dir).error
    is_true("log notes, action 20" in said and "snapshot" in said and "1 unfinished" in said, "what is said: %s", said)
    tool("backup", daemon.dir, "--to=b", "-q")
    same(files_with("b", needles(secret("notes", 5))), [], "what a backup has of it")
    tool("erase", "notes", "--data=" + daemon.dir, "-q")
    tool("verify", daemon.dir)


@story.story
def a_shard_whose_content_is_removed_while_it_is_copied_is_copied_anew():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        log = log_of(0, "notes")
        writer = Writer(client, log)
        for _ in range(40):
            writer.push(25)
        running = start_backup(daemon, "b", "1MiB")
        until_copied(daemon, 0)
        done = threading.Event()

        def push():
            while not done.is_set():
                writer.push(5)
        pushing = threading.Thread(target=push)
        pushing.start()
        tool("redact", log, "1-50", admin(daemon), "-q")
        done.set()
        pushing.join()
        is_true("anew" in end_backup(running), "it says so")
    is_gone("b", writer.actions[:50], "in the backup")
    tool("verify", "b")


@story.story
def a_backup_that_stands_beside_the_directory_is_named():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        backup = json.loads(tool("backup", daemon.dir, "--json").out)["backup"]
        said = json.loads(tool("redact", "notes", "6", admin(daemon), "--json").out)
        same(said["leftovers"], [backup], "by a running daemon")
    is_true(backup in tool("redact", "notes", "7", "--data=" + daemon.dir).error, "and of a directory")


story.run()
