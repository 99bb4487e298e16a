"""What was removed stays so, and what is kept comes along, through backup, restore and reshard: snapshots, tombstones, where logs begin, states."""
import glob
import json
import os
import shutil

from support import story
from support.daemon import Daemon, tool
from support.removal import Writer, files_with, is_gone
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock"}
SECRET = b"secret-of-a-state-" * 300


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def put(writer, seq, body):
    answer = writer.client.request("PUT", writer.path("snapshots/%d" % seq), body, {"Edgereplay-State-Hash": writer.links[seq].hex()})
    same(answer.status, 200, "PUT: %s\nstatus" % answer.body)


def rebind(writer, client):
    writer.client = client
    return writer


def say_state(writer, device, digest):
    answer = writer.sync([], 20, device=device, state={"seq": 20, "digest": digest, "app": "1"})
    same(answer.status, 200, "%s: status" % answer.body[:300])
    return answer.json().get("drift")


def filled(daemon, client):
    """A log that is whole, one that is pruned, one that is erased, one with actions redacted; all with snapshots but the erased one."""
    writers = {name: Writer(client, name) for name in ("whole", "pruned", "erased", "redacted")}
    for writer in writers.values():
        writer.push(20)
        for seq in (5, 15):
            put(writer, seq, b"%s at %d" % (writer.log.encode(), seq))
    same(say_state(writers["whole"], "a", "ab" * 32), None, "the first state")
    tool("prune", "pruned", admin(daemon), "-q")
    tool("erase", "erased", admin(daemon), "-q")
    tool("redact", "redacted", "10", admin(daemon), "-q")
    return writers


def judge(daemon, writers):
    with daemon.client() as client:
        for writer in writers.values():
            writer.client = client
        answers = {name: client.get(writer.path("actions")) for name, writer in writers.items()}
        same((answers["pruned"].json()["code"], answers["pruned"].json()["from"]), ("PRUNED", 6), "pruned")
        same(answers["erased"].json()["code"], "ERASED", "erased")
        same([a["seq"] for a in answers["redacted"].json()["actions"] if a.get("redacted")], [10], "redacted")
        same(len(answers["whole"].json()["actions"]), 20, "whole")
        latest = {name: client.get(writer.path("snapshots/latest")) for name, writer in writers.items()}
        same({name: answer.header("edgereplay-seq") for name, answer in latest.items()},
             {"whole": "15", "pruned": "15", "redacted": "5", "erased": None}, "snapshots")
        same((latest["whole"].body, latest["redacted"].body), (b"whole at 15", b"redacted at 5"), "their bodies")
        same(client.get(writers["pruned"].path("snapshots/5")).body, b"pruned at 5", "the one at where it begins")
        same(client.get(writers["pruned"].path("actions?after=5")).json()["prevHash"], writers["pruned"].links[5].hex(), "the link there")
    is_gone(daemon.dir, writers["erased"].actions + writers["pruned"].actions[:5] + [writers["redacted"].actions[9]], "removed")


@story.story
def a_backup_has_the_snapshots_and_not_what_was_removed_before_it():
    with Daemon(options={**ADMIN, "store.shards": 2}) as daemon, daemon.client() as client:
        writers = filled(daemon, client)
        half = os.path.dirname(glob.glob(os.path.join(daemon.dir, "snapshots/*/*"))[0])
        for name in ("x.new", "x.rotten"):
            with open(os.path.join(half, name), "wb") as file:
                file.write(SECRET)
        torn = glob.glob(os.path.join(daemon.dir, "snapshots/*/*"))
        tool("backup", daemon.dir, "--to=live", "-q")
    tool("backup", daemon.dir, "--to=stopped", "-q")
    for backup in ("live", "stopped"):
        same(len(glob.glob(backup + "/snapshots/*/*")), len(torn) - 2, "all but what is not whole")
        same(files_with(backup, [SECRET[:50]]), [], "nor its content")
        tool("restore", backup, "r-" + backup)
        tool("verify", "-q", "r-" + backup)
        with Daemon(dir=os.path.abspath("r-" + backup), options={**ADMIN, "store.shards": 2}) as restored:
            judge(restored, writers)
            with restored.client() as client:
                same(say_state(rebind(writers["whole"], client), "b", "cd" * 32)["differ"], 1, "what was said of states")
        shutil.rmtree("r-" + backup)


@story.story
def a_kept_list_is_applied_again_to_what_was_restored():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writers = [Writer(client, name) for name in ("diary", "notes")]
        for writer in writers:
            writer.push(20)
            for seq in (5, 15):
                put(writer, seq, b"%d" % seq + SECRET)
        tool("backup", daemon.dir, "--to=backup", "-q")
        tool("redact", "diary", "8", "9", admin(daemon), "--record=list", "-q")
        tool("erase", "notes", admin(daemon), "--record=list", "-q")
        gone = writers[0].actions[7:9] + writers[1].actions
        is_gone(daemon.dir, gone, "on the server")
    for stopped in (False, True):
        tool("restore", "backup", "restored")
        is_true(len(files_with("restored", [SECRET[:50]])) == 4, "a backup keeps what is removed later")
        if stopped:
            tool("redact", "--replay=list", "--data=restored", "-q")
        with Daemon(dir=os.path.abspath("restored"), options=ADMIN) as restored, restored.client() as client:
            if not stopped:
                tool("redact", "--replay=list", admin(restored), "-q")
            is_gone(restored.dir, gone, "after the list, %s" % stopped)
            same([name[-16:] for name, _ in files_with(restored.dir, [SECRET[:50]])], ["0000000000000005"], "snapshots that may have it")
            same(client.get(writers[1].path("head")).json()["code"], "ERASED", "erased")
            same(client.get(writers[0].path("snapshots/latest")).header("edgereplay-seq"), "5", "the one before what was redacted")
        tool("verify", "-q", "restored")
        shutil.rmtree("restored")


@story.story
def another_number_of_shards_changes_nothing_of_it():
    with Daemon(options={**ADMIN, "store.shards": 4}) as daemon, daemon.client() as client:
        writers = filled(daemon, client)
    for shards in (8, 1, 2):
        tool("reshard", shards, daemon.dir, "-q")
        tool("verify", "-q", daemon.dir)
        with Daemon(dir=daemon.dir, options={**ADMIN, "store.shards": shards}) as again:
            judge(again, writers)
    with Daemon(dir=daemon.dir, options={**ADMIN, "store.shards": 2}) as again, again.client() as client:
        same(say_state(rebind(writers["whole"], client), "b", "cd" * 32)["differ"], 1, "what was said of states")
        said = json.loads(tool("redact", "whole", "18", admin(again), "--json").out)
        same((said["removed"], said["leftovers"]), (1, []), "it goes on")
        tool("erase", "erased", "--reopen", admin(again), "-q")
        os.makedirs(os.path.join(again.dir, "shards-64"))
        shutil.copyfile(os.path.join(again.dir, "shards-2/shard-00.db"), os.path.join(again.dir, "shard-00.db"))
        said = json.loads(tool("redact", "whole", "19", admin(again), "--json", expect=1).out)
        same([os.path.basename(path) for path in said["leftovers"]], ["shard-00.db"], "what nobody knows to be a copy")
        os.remove(os.path.join(again.dir, "shard-00.db"))
        same(json.loads(tool("redact", "whole", "19", admin(again), "--json").out)["leftovers"], [], "without it")
        same(rebind(writers["erased"], client).push(1)["seq"], 21, "opened again")


story.run()
