"""Erase and prune: what clients are answered, that no byte of the content is left, and that nothing comes back by itself."""
import json
import os
import threading

from support import chain, receipt, story
from support.daemon import Daemon, tool
from support.removal import Writer, is_gone, judge_actions
from support.story import is_true, same

OPTIONS = {"store.shards": 2, "admin.listen": "unix:admin.sock"}
LONG = 25000  # more than one step takes


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def is_erased(answer):
    same((answer.status, answer.json()["code"], answer.json()["retry"]), (410, "ERASED", "never"), answer.body)
    return answer.json()["tombstone"]


def is_pruned(answer, first):
    problem = answer.json()
    same((answer.status, problem["code"], problem["retry"], problem["from"]), (410, "PRUNED", "snapshot", first), answer.body)


def note(actions, path="queued"):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"type": "t", "payload": payload}) + "\n" for payload in actions)
    return path


@story.story
def an_erased_log_answers_with_its_tombstone_and_nothing_of_it_is_left():
    vkey = tool("keygen", "--name=sync.example.com", "receipts.key").out.strip()
    with Daemon(options={**OPTIONS, "receipts.key": os.path.realpath("receipts.key")}) as daemon, daemon.client() as client:
        writer, other = Writer(client, "diary"), Writer(client, "notes")
        for _ in range(30):
            writer.push(7)
            other.push(3)
        with daemon.client() as waiting:
            answers = []
            etag = client.get(writer.path("head")).header("etag")
            thread = threading.Thread(target=lambda: answers.append(
                waiting.get(writer.path("head?wait=30"), If_None_Match=etag)))
            thread.start()
            tool("erase", "diary", admin(daemon))
            thread.join(60)
        is_gone(daemon.dir, writer.actions, "while it runs")
        tombstone = is_erased(client.get(writer.path("head")))
        said = receipt.read(tombstone, [vkey], "erased")
        same((said["server"], said["log"], said["seq"], said["link"]), ("sync.example.com", "diary", 210, writer.links[210]), "it")
        # Whoever waited when it came, or before it was asked for.
        is_erased(answers[0])
        for answer in (client.get(writer.path("actions")), client.get(writer.path("actions?after=210")),
                       client.get(writer.path("actions"), Accept="application/x-ndjson"),
                       writer.sync([], 210), writer.sync(writer.actions[200:], 200), writer.sync([], 0)):
            same(is_erased(answer), tombstone, "the same everywhere")
        with open("tombstone", "w", encoding="utf-8") as file:
            file.write(tombstone)
        is_true("was erased after action 210" in tool("receipt", "verify", "--vkey=" + vkey, "tombstone").out, "what it says")
        judge_actions(client.get(other.path("actions")).json()["actions"], other, 1, set())
    is_gone(daemon.dir, writer.actions, "after a stop")
    tool("verify", daemon.dir)
    with daemon.start(), daemon.client() as client:
        same(receipt.read(is_erased(client.get(writer.path("head"))), [vkey], "erased"), said, "after a restart")


@story.story
def a_reopened_log_takes_actions_and_no_phone_brings_the_old_ones_back():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "diary")
        writer.push(40)
        tool("pull", "--url=" + daemon.url, "--log=diary", "--state=phone", "-q")
        tool("erase", "diary", admin(daemon))
        is_true("ERASED" in tool("push", "--url=" + daemon.url, "--log=diary", "--state=phone", note(["kept"]), expect=1).error,
                "the phone is told")
        same(json.loads(tool("status", "--state=phone", "--json").out.splitlines()[0])["queued"], 1, "its unsent work stays")
        tool("erase", "diary", "--reopen", admin(daemon))
        tool("push", "--url=" + daemon.url, "--log=diary", "--state=phone", "-q")
        # One that healed a server brings everything that it has.
        again = client.post(writer.path("sync"), chain.sync_body(writer.actions, 0, writer.links[0])).json()
        same((again["applied"], again["duplicates"], again["seq"]), (0, 40, 41), "the old ones are repeats")
        is_gone(daemon.dir, writer.actions, "after phones came back")
        page = client.get(writer.path("actions")).json()
        judge_actions(page["actions"][:40], writer, 1, set(range(1, 41)))
        same(page["actions"][40]["payload"], "kept", "what came after it")
        tool("pull", "--url=" + daemon.url, "--log=diary", "--state=new", "-q")
        tool("erase", "nobody", "--reopen", admin(daemon), expect=1)
    tool("verify", daemon.dir)


@story.story
def a_stopped_directory_is_erased_and_the_daemon_knows():
    with Daemon(options={"store.shards": 2}) as daemon, daemon.client() as client:
        writer = Writer(client, "diary")
        for _ in range(20):
            writer.push(20)
    tool("erase", "diary", "--data=" + daemon.dir)
    is_gone(daemon.dir, writer.actions, "stopped")
    tool("verify", daemon.dir)
    with daemon.start(), daemon.client() as client:
        # Without a key it is the text alone.
        same(is_erased(client.get(writer.path("head"))).split("\n")[:3], ["edgereplay/1/erased", "/logs/diary", "400"], "it")
    tool("erase", "diary", "--reopen", "--data=" + daemon.dir)
    with daemon.start(), daemon.client() as client:
        writer.client = client
        writer.push(2)


@story.story
def a_pruned_log_answers_from_where_it_begins():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        for _ in range(10):
            writer.push(10)
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=here", "-q")
        same(json.loads(tool("prune", "notes", "--before=61", "--without-snapshot", "--older-than=1", admin(daemon), "--json").out)["removed"], 0,
             "nothing is that old")
        same(json.loads(tool("prune", "notes", "--before=61", "--without-snapshot", admin(daemon), "--json").out)["removed"], 60, "removed")
        is_gone(daemon.dir, writer.actions[:60], "while it runs")
        for after in (0, 1, 59):
            is_pruned(client.get(writer.path("actions?after=%d" % after)), 61)
            is_pruned(client.get(writer.path("actions?after=%d" % after), Accept="application/x-ndjson"), 61)
            is_pruned(writer.sync([], after), 61)
            is_pruned(writer.sync(writer.actions[after:], after), 61)
        is_pruned(client.get(writer.path("actions?after=3&until=80")), 61)
        page = client.get(writer.path("actions?after=60")).json()
        same(page["prevHash"], writer.links[60].hex(), "the link to begin from")
        judge_actions(page["actions"], writer, 61, set())
        again = client.post(writer.path("sync"), chain.sync_body(writer.actions[50:70], 60, writer.links[60])).json()
        same((again["applied"], again["duplicates"]), (0, 20), "repeats of what is pruned and of what is not")
        same(writer.sync(writer.actions[60:], 60).json()["fastForward"], True, "a retry")
        writer.push(5)
        tool("push", "--url=" + daemon.url, "--log=notes", "--state=here", "-q", note(["more"]))
        tool("prune", "notes", "--before=9", "--without-snapshot", admin(daemon))
        is_pruned(client.get(writer.path("actions?after=10")), 61)
    tool("verify", daemon.dir)
    with daemon.start(), daemon.client() as client:
        is_pruned(client.get(writer.path("actions")), 61)
    is_gone(daemon.dir, writer.actions[:60], "after another start")


@story.story
def an_old_client_is_told_where_to_start_and_its_unsent_work_stays():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(10)
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=old", "-q")
        writer.push(50)
        tool("prune", "notes", "--before=41", "--without-snapshot", admin(daemon))
        said = tool("push", "--url=" + daemon.url, "--log=notes", "--state=old", note(["mine"]), expect=1).error
        is_true("PRUNED" in said and "41" in said, "it is told: %s", said)
        status = json.loads(tool("status", "--state=old", "--json").out.splitlines()[0])
        same(status["queued"], 1, "its work stays")
        for arguments in (["pull", "--url=" + daemon.url, "--log=notes"], ["pull", "--url=" + daemon.url, "--log=notes", "--state=n"],
                          ["export", "notes", "--from=" + daemon.url, "--out=x"]):
            is_true("PRUNED" in tool(*arguments, expect=1).error, "%s", arguments)
        rest = tool("pull", "--url=" + daemon.url, "--log=notes", "--after=40", "--hash=" + writer.links[40].hex())
        same(len(rest.out.splitlines()), 20, "what is there")
    tool("export", "notes", "--from=" + daemon.dir, "--out=x")
    tool("export", "--check", "x")


@story.story
def a_log_that_was_pruned_erased_and_opened_again_begins_with_its_first_action():
    for online in (True, False):
        with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
            writer = Writer(client, "notes")
            writer.push(20)
            tool("prune", "notes", "--before=11", "--without-snapshot", admin(daemon))
            tool("erase", "notes", admin(daemon))
            if online:
                tool("erase", "notes", "--reopen", admin(daemon))
        if not online:
            tool("erase", "notes", "--reopen", "--data=" + daemon.dir)
        with daemon.start(), daemon.client() as client:
            judge_actions(client.get(writer.path("actions")).json()["actions"], writer, 1, set(range(1, 21)))
            tool("pull", "--url=" + daemon.url, "--log=notes", "--state=new-%d" % online, "--snapshot=snapshot", "-q")
            tool("push", "--url=" + daemon.url, "--log=notes", "--state=newer-%d" % online, "-q", note(["hello"]))
            same(client.get(writer.path("actions?after=20")).json()["actions"][0]["payload"], "hello", "what a new device writes")
        tool("verify", daemon.dir)


@story.story
def a_long_log_goes_in_steps():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        link, actions = chain.genesis("long"), []
        for first in range(0, LONG, 1000):
            batch = [{"device": "d", "ts": 1 + n, "type": "t", "payload": "long-%06d" % n} for n in range(first, first + 1000)]
            body = chain.sync_body(batch, first, link)
            same(client.post("/v1/logs/long/sync", body).status, 200, "status")
            link = bytes.fromhex(body["stateHash"])
            actions += batch
        said = json.loads(tool("prune", "long", "--before=%d" % (LONG - 9), "--without-snapshot", admin(daemon), "--json").out)
        same(said["removed"], LONG - 10, "removed")
        is_pruned(client.get("/v1/logs/long/actions"), LONG - 9)
        same(json.loads(tool("erase", "long", admin(daemon), "--json").out)["removed"], 10, "the rest")
        with open(os.path.join(daemon.dir, "shard-00.db"), "rb") as zero, open(os.path.join(daemon.dir, "shard-01.db"), "rb") as one:
            same((zero.read() + one.read()).count(b"long-0"), 0, "in the raw files")
    tool("verify", daemon.dir)


story.run()
