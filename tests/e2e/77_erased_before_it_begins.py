"""erase of a log that is not there: who brings it is told that it is erased, whatever becomes of the server."""
import json
import os
import sqlite3
import subprocess

from support import chain, story
from support.daemon import Daemon, tool, whole_log
from support.removal import Writer, actions_of, is_gone
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def told(client, log):
    """What a phone that has the log is told."""
    path, body = "/v1/logs/%s/" % chain.path(log), chain.sync_body(actions_of(log, "phone", 3), 0, chain.genesis(log))
    answers = [client.post(path + "sync", body), client.get(path + "head"), client.get(path + "actions"),
               client.get(path + "snapshots/latest")]
    return {(answer.status, answer.json().get("code")) for answer in answers}


GONE = {(410, "ERASED")}


@story.story
def a_phone_brings_nothing_back_of_a_log_that_the_restored_backup_does_not_have():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        Writer(client, "other").push(5)
        tool("backup", daemon.dir, "--to=b", "-q")
        lines = "".join(json.dumps({"type": "t", "payload": action["payload"]}) + "\n" for action in actions_of("lost", "p", 20))
        subprocess.run([story.TOOL, "push", "--url=" + daemon.url, "--log=lost", "--state=phone", "-"], input=lines.encode(), check=True,
                       capture_output=True)
        same(client.get("/v1/logs/lost/head").json()["seq"], 20, "what there was")
        tool("erase", "lost", admin(daemon), "--record=list", "-q")
    tool("restore", "b", "r")
    with Daemon(dir=os.path.realpath("r"), options=ADMIN) as daemon, daemon.client() as client:
        is_true("not there" in tool("redact", "--replay=list", admin(daemon)).error, "it says so")
        is_true("ERASED" in tool("push", "--url=" + daemon.url, "--log=lost", "--state=phone", expect=1).error, "what the phone is told")
        same(told(client, "lost"), GONE, "answers")
        is_gone(daemon.dir, actions_of("lost", "p", 20), "what came back")
    tool("verify", "r")


@story.story
def it_stays_erased_through_starts_kills_reshards_and_backups_until_it_is_opened():
    with Daemon(options={**ADMIN, "store.shards": 2}) as daemon, daemon.client() as client:
        writers = [Writer(client, "log-%d" % n) for n in range(4)]
        for writer in writers:
            writer.push(5)
        names = ["absent-%d" % n for n in range(6)]
        for _ in range(2):
            same(json.loads(tool("erase", *names, admin(daemon), "--json").out)["removed"], 0, "removed")
        for writer in writers + [Writer(client, "new-%d" % n) for n in range(6)]:
            writer.push(5)
        same([told(client, name) for name in names], 6 * [GONE], "at once")
        tool("backup", daemon.dir, "--to=b", "-q")
        daemon.kill()
        daemon.start()
        with daemon.client() as again:
            same([told(again, name) for name in names], 6 * [GONE], "after a kill")
        daemon.stop()
    tool("verify", daemon.dir)
    tool("restore", "b", "r", "-q")
    for count in (8, 1):
        tool("reshard", str(count), "r", "-q")
        tool("verify", "r")
    tool("erase", "absent-0", "offline", "--data=r", "-q")
    tool("erase", "absent-1", "--reopen", "--data=r", "-q")
    with Daemon(dir=os.path.realpath("r"), options=ADMIN) as daemon, daemon.client() as client:
        same(told(client, "absent-0") | told(client, "offline"), GONE, "after reshards")
        tool("erase", "absent-2", "--reopen", admin(daemon), "-q")
        for name in ("absent-1", "absent-2", "never"):
            same(client.get("/v1/logs/%s/head" % name).json()["seq"], 0, "opened, and empty")
            writer = Writer(client, name)
            writer.push(3)
        tool("erase", "absent-2", admin(daemon), "-q")
        same(told(client, "absent-2"), GONE, "erased as any other")
        daemon.await_event("scrub round ended")
        same(daemon.events("log damaged") + [line for line in daemon.events("scrub round ended") if line["damaged"] != "0"], [], "damage")
    tool("verify", "r")


@story.story
def a_repair_does_not_open_it():
    daemon = Daemon(options=ADMIN)
    with daemon.client() as client:
        writers = [Writer(client, name) for name in ("good", "rotten")]
        for writer in writers:
            writer.push(30)
        tool("erase", "absent", "rotten", admin(daemon), "-q")
    daemon.stop()
    tool("repair", daemon.dir, "--log=absent", "-q")
    tool("verify", daemon.dir)
    path = daemon.dir + "/shard-00.db"
    database = sqlite3.connect(path)
    database.execute("UPDATE actions SET device = 'x' WHERE seq = 1 AND log = (SELECT id FROM logs WHERE name = 'rotten')")
    database.commit()
    page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'actions_stamp'").fetchone()[0]
    database.close()
    tool("repair", daemon.dir, "--log=rotten", "-q")
    tool("verify", daemon.dir)
    with open(path, "r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(b"\xff")
    tool("verify", daemon.dir, expect=1)
    tool("repair", daemon.dir, "--log=good", "-q", expect=None)
    tool("verify", daemon.dir)
    with daemon.start(), daemon.client() as client:
        same(told(client, "absent") | told(client, "rotten"), GONE, "of one that never was, and of one that was cut to nothing")
        same(whole_log(client, "good")[1], writers[0].links, "the other")


story.run()
