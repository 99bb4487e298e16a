"""Prune by snapshots: what goes is what one stands for, snapshots go with the content that they have, and an old phone goes on from one."""
import glob
import json
import os
import time

from support import chain, story
from support.daemon import Daemon, tool, until
from support.removal import Writer, files_with, is_gone, judge_actions
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def put(writer, seq, body):
    answer = writer.client.request("PUT", writer.path("snapshots/%d" % seq), body, {"Edgereplay-State-Hash": writer.links[seq].hex()})
    same(answer.status, 200, "PUT: %s\nstatus" % answer.body)


def seqs(daemon):
    return sorted(int(name[-16:]) for name in glob.glob(os.path.join(daemon.dir, "snapshots/*/*")) if not name.endswith(".rotten"))


def removed(said):
    return json.loads(said.out)["removed"]


def status(state):
    return json.loads(tool("status", "--state=" + state, "--json").out.splitlines()[0])


@story.story
def what_goes_is_what_the_oldest_kept_snapshot_stands_for():
    with Daemon(options={**ADMIN, "snapshots.keep": 2, "store.shards": 2}) as daemon, daemon.client() as client:
        writer, bare = Writer(client, "notes"), Writer(client, "bare")
        writer.push(50)
        bare.push(5)
        for command in (("notes",), ("notes", "--before=10"), ("bare",)):
            is_true("no snapshot" in tool("prune", *command, admin(daemon), expect=1).error.lower(), "%s: none stands for it", command)
        put(writer, 20, b"of 20")
        is_true("snapshot" in tool("prune", "notes", "--before=22", admin(daemon), expect=1).error, "beyond the only one")
        put(writer, 30, b"of 30")
        tool("prune", "notes", "--without-snapshot", admin(daemon), expect=2)
        same(removed(tool("prune", "notes", "--older-than=1", admin(daemon), "--json")), 0, "nothing is that old")
        same(removed(tool("prune", "notes", admin(daemon), "--json")), 20, "up to the oldest that is kept")
        is_gone(daemon.dir, writer.actions[:20], "pruned")
        same(seqs(daemon), [20, 30], "snapshots from where the log begins stay")
        same(client.get(writer.path("actions")).json()["from"], 21, "where it begins")
        same(client.get(writer.path("snapshots/20")).body, b"of 20", "the snapshot at where it begins")
        same(removed(tool("prune", "notes", "--before=25", admin(daemon), "--json")), 4, "up to a seq that a later one stands for")
        same(seqs(daemon), [30], "the one before where it begins is of no use")
        answer = client.request("PUT", writer.path("snapshots/22"), b"x", {"Edgereplay-State-Hash": writer.links[22].hex()})
        same((answer.status, answer.json()["code"], answer.json()["from"]), (410, "PRUNED", 25), "nor is another")
        for link, status in ((writer.links[24], 200), (writer.links[25], 200), (writer.links[23], 404), (bytes(32), 404)):
            same(client.get(writer.path("actions?after=24&until=" + link.hex())).status, status, "a search for " + link.hex())
        same(client.get(writer.path("head")).status, 200, "which takes what is pruned for no damage")
        put(writer, 24, b"of 24")
        same(seqs(daemon), [24, 30], "the one at its beginning is")
    tool("verify", daemon.dir)
    same(removed(tool("prune", "notes", "--data=" + daemon.dir, "--json")), 0, "stopped, up to the oldest")
    tool("prune", "bare", "--data=" + daemon.dir, expect=1)
    same(removed(tool("prune", "notes", "--before=31", "--data=" + daemon.dir, "--json")), 6, "stopped")
    same(seqs(daemon), [30], "snapshots")


@story.story
def one_that_has_rotted_or_is_of_another_history_stands_for_nothing():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        put(writer, 10, b"x" * 5000)
        path = glob.glob(os.path.join(daemon.dir, "snapshots/*/*"))[0]
        with open(path, "r+b") as file:
            file.seek(3000)
            file.write(b"?")
        tool("prune", "notes", admin(daemon), expect=1)
        same(client.get(writer.path("actions")).status, 200, "nothing went")
        put(writer, 12, b"whole")
        same(removed(tool("prune", "notes", admin(daemon), "--json")), 12, "by one that is whole")
    tool("verify", daemon.dir)


@story.story
def all_logs_that_have_a_snapshot_are_pruned_at_once():
    with Daemon(options={**ADMIN, "store.shards": 4}) as daemon, daemon.client() as client:
        writers = [Writer(client, "log-%03d" % n) for n in range(230)]  # more than a page of names
        for n, writer in enumerate(writers):
            writer.push(6)
            if n % 23 != 7:
                put(writer, 2 + n % 4, b"a state")
        wanted = sum(2 + n % 4 for n in range(230) if n % 23 != 7)
        said = json.loads(tool("prune", "--all", admin(daemon), "--json").out)
        same((said["logs"], said["removed"]), (220, wanted), "logs and actions")
        is_gone(daemon.dir, writers[0].actions[:2] + writers[229].actions[:2 + 229 % 4], "pruned")
        judge_actions(client.get(writers[7].path("actions")).json()["actions"], writers[7], 1, set())
        judge_actions(client.get(writers[0].path("actions?after=2")).json()["actions"], writers[0], 3, set())
        tool("prune", "--all", "log-001", admin(daemon), expect=2)
        tool("prune", "--all", "--before=3", admin(daemon), expect=2)
        tool("prune", admin(daemon), expect=2)
        with daemon.operator() as operator:
            page = operator.get("/snapshots").json()
            rest = operator.get("/snapshots?after=" + page["next"]).json()
            same((len(page["logs"]), rest["next"], len(set(page["logs"] + rest["logs"]))), (200, None, 220), "pages")
            same(operator.get("/snapshots?x=1").json()["code"], "MALFORMED", "query")
            same(operator.request("POST", "/prune", b'{"log":"log-001"}', {"Content-Type": "text/plain"}).status, 415, "a web page's form")
        for writer in writers[:3]:
            put(writer, 6, b"newer")
    os.remove(glob.glob(os.path.join(daemon.dir, "snapshots/*/*-0000000000000002"))[0])
    tool("prune", "--all", "--data=" + daemon.dir)
    tool("verify", daemon.dir)


@story.story
def the_daemon_prunes_what_is_old_enough():
    options = {**ADMIN, "snapshots.keep": 1, "snapshots.prune_sec": 4, "snapshots.prune_every_sec": 1}
    with Daemon(options=options) as daemon, daemon.client() as client:
        writer, bare = Writer(client, "notes"), Writer(client, "bare")
        writer.push(10)
        bare.push(3)
        sent = time.monotonic()
        put(writer, 8, b"of 8")
        same(client.get(writer.path("actions")).status, 200, "they are too young")
        until(lambda: client.get(writer.path("actions")).status == 410, "pruned")
        is_true(time.monotonic() - sent > 3, "not before they were old enough")
        same(client.get(writer.path("actions")).json()["from"], 9, "where it begins")
        same(client.get(bare.path("actions")).status, 200, "what no snapshot stands for stays")
        writer.push(5)
        put(writer, 12, b"of 12")
        until(lambda: client.get(writer.path("actions?after=8")).status == 410, "pruned further")
        with daemon.operator() as operator:
            until(lambda: b"edgereplay_pruned_actions_total 12\n" in operator.get("/metrics").body, "it is counted")
        is_true(len(daemon.events("logs pruned")) >= 2, "and logged")
    tool("verify", daemon.dir)
    daemon.options["snapshots.prune_sec"] = 0
    with daemon.start(), daemon.client() as client:
        same(client.get(writer.path("actions?after=12")).status, 200, "what is left")


@story.story
def an_old_phone_goes_on_from_the_snapshot_and_its_unsent_work_is_pushed():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(10)
        for state in ("old", "other", "behind"):
            tool("pull", "--url=" + daemon.url, "--log=notes", "--state=" + state, "-q")
        writer.push(50)
        put(writer, 40, b"the state at 40")
        tool("prune", "notes", admin(daemon))
        with open("queued", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"type": "t", "payload": "mine %d" % n}) + "\n" for n in range(3))
        said = tool("push", "--url=" + daemon.url, "--log=notes", "--state=old", "queued", expect=1).error
        is_true("PRUNED" in said and "--snapshot" in said, "it is told: %s", said)
        same((status("old")["seq"], status("old")["queued"]), (10, 3), "as it was")
        out = tool("pull", "--url=" + daemon.url, "--log=notes", "--state=old", "--snapshot=state").out
        same([json.loads(line)["seq"] for line in out.splitlines()], list(range(41, 61)), "what is new to its app")
        with open("state", "rb") as file:
            same(file.read(), b"the state at 40", "the snapshot")
        same((status("old")["seq"], status("old")["snapshotSeq"], status("old")["queued"]), (60, 40, 3), "where it is")
        tool("push", "--url=" + daemon.url, "--log=notes", "--state=old")
        same((status("old")["seq"], status("old")["queued"], status("old")["setAside"]), (63, 0, 0), "its work is pushed")
        tool("push", "--url=" + daemon.url, "--log=notes", "--state=other", "--snapshot=state2", "queued")
        same((status("other")["seq"], status("other")["queued"]), (66, 0), "a push alone does it, too")
        same(len(client.get(writer.path("actions?after=40")).json()["actions"]), 26, "the log")
        tool("redact", "notes", "50", admin(daemon))
        same(seqs(daemon), [40], "a snapshot before what is redacted stays")
        tool("redact", "notes", "40", admin(daemon))
        same(seqs(daemon), [], "one that may have it goes")
        said = tool("pull", "--url=" + daemon.url, "--log=notes", "--state=behind", "--snapshot=s", expect=1).error
        is_true("no snapshot" in said, "it is told: %s", said)
        same(status("behind")["seq"], 10, "as it was")


@story.story
def a_server_that_lost_what_an_old_phone_went_on_from_gets_all_that_it_has():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(10)
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=old", "-q")
        daemon.stop()
        os.system("cp -r %s backup" % daemon.dir)
        daemon.start()
        writer.client = daemon.client()
        writer.push(30)
        put(writer, 30, b"of 30")
        tool("prune", "notes", admin(daemon))
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=old", "--snapshot=state", "-q")
    with Daemon(dir=os.path.abspath("backup"), options=ADMIN) as restored, restored.client() as client:
        tool("push", "--url=" + restored.url, "--log=notes", "--state=old")
        same((status("old")["seq"], status("old")["setAside"]), (20, 0), "the backup's, and what was behind the snapshot")
        actions = client.get(writer.path("actions")).json()["actions"]
        same([a["payload"] for a in actions], [a["payload"] for a in writer.actions[:10] + writer.actions[30:]], "the log")


def files_of(daemon, content):
    return files_with(daemon.dir, [content])


@story.story
def snapshots_go_with_the_content_that_they_have():
    secret = b"secret-of-a-state-" * 400
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer, other = Writer(client, "diary"), Writer(client, "notes")
        for log in (writer, other):
            log.push(30)
        for seq in (5, 10, 20):
            put(writer, seq, secret + b"%d" % seq)
        put(other, 7, b"of another log")
        path = glob.glob(os.path.join(daemon.dir, "snapshots/*/*-0000000000000005"))[0]
        os.rename(path, path + ".rotten")
        is_true(len(files_of(daemon, secret[:50])) == 3, "they are there")
        tool("redact", "diary", "12", admin(daemon))
        same([name[-16:] for name, _ in files_of(daemon, secret[:50])], ["0000000000000010"], "from the action on, and what was set aside")
        same(client.get(writer.path("snapshots/latest")).header("edgereplay-seq"), "10", "the newest now")
        put(writer, 25, secret)
        tool("erase", "diary", admin(daemon))
        same(files_of(daemon, secret[:50]), [], "erased")
        answer = client.get(writer.path("snapshots/latest"))
        same((answer.status, answer.json()["code"]), (410, "ERASED"), "GET")
        answer = client.request("PUT", writer.path("snapshots/30"), b"x", {"Edgereplay-State-Hash": writer.links[30].hex()})
        same((answer.status, answer.json()["code"]), (410, "ERASED"), "PUT")
        same(client.get(other.path("snapshots/latest")).body, b"of another log", "the other log's")
        put(other, 9, secret)
    tool("redact", "notes", "8", "--data=" + daemon.dir)
    same(files_of(daemon, secret[:50]), [], "redacted while it is stopped")
    same(seqs(daemon), [7], "the one before stays")
    tool("erase", "notes", "--data=" + daemon.dir)
    same(seqs(daemon), [], "erased while it is stopped")
    tool("verify", daemon.dir)


story.run()
