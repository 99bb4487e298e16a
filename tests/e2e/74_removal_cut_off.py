"""A prune or an erasure that was cut off: it is said, in nobody's way, and ended by the daemon; Ctrl-C says how far it is."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess

from support import chain, story
from support.daemon import Daemon, tool, until
from support.removal import Writer, files_with
from support.story import is_true, same

OPTIONS = {"store.shards": 2, "admin.listen": "unix:admin.sock"}
STEP = 20000  # actions of one request
LONG = STEP + 5000


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def fill(client, log):
    """LONG actions; the links at each thousandth."""
    links = [chain.genesis(log)]
    for first in range(0, LONG, 1000):
        batch = [{"device": "d", "ts": 1 + n, "type": "t", "payload": "%s-%06d" % (log, n)} for n in range(first, first + 1000)]
        body = chain.sync_body(batch, first, links[-1])
        same(client.post("/v1/logs/%s/sync" % log, body).status, 200, "status")
        links.append(bytes.fromhex(body["stateHash"]))
    return links


def content(daemon, log):
    """Whether a file has any of what comes after the first step."""
    return files_with(daemon.dir, [b"%s-02" % log.encode()]) != []


def take_a_step(daemon, what, **members):
    """As who began a removal, and went away after its first request."""
    with daemon.operator() as operator:
        said = operator.post("/" + what, members).json()
    same((said["more"], said["removed"]), (True, STEP), "a step of more")


def verified(dir, expect=0):
    said = tool("verify", dir, "--json", expect=expect).out.splitlines()
    return json.loads(said[-1]), [json.loads(line) for line in said[:-1]]


@story.story
def what_was_cut_off_is_said_and_in_no_commands_way_and_a_start_ends_it():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        fill(client, "erased")
        links = fill(client, "pruned")
        for seq in (2000, 24000):
            same(client.request("PUT", "/v1/logs/pruned/snapshots/%d" % seq, b"a state",
                                {"Edgereplay-State-Hash": links[seq // 1000].hex()}).status, 200, "PUT")
        take_a_step(daemon, "erase", log="erased")
        take_a_step(daemon, "prune", log="pruned", before=24001)
        tool("backup", daemon.dir, "--to=live", "--rate=0")
    totals, lines = verified(daemon.dir)
    same((totals["findings"], totals["unfinishedRemovals"]), (0, 2), "the totals")
    same(sorted((line["log"], line["seq"], line["unfinished"]) for line in lines),
         [("erased", STEP + 1, True), ("pruned", STEP + 1, True)], "which, and from where on")
    said = tool("verify", daemon.dir)
    is_true("log pruned" in said.error and "prune again" in said.error and "erase again" in said.error, "in words: %s", said.error)
    tool("backup", daemon.dir, "--to=stopped")
    tool("reshard", "4", daemon.dir)
    daemon.options["store.shards"] = 4
    with daemon.start(), daemon.client() as client:
        until(lambda: len(daemon.events("removal went on")) == 2, "both are ended")
        same(client.get("/v1/logs/pruned/actions").json()["from"], 24001, "where it begins")
        until(lambda: not content(daemon, "erased"), "no file has what was erased")
        until(lambda: client.get("/v1/logs/pruned/snapshots/2000").status == 404, "a snapshot before where it begins goes")
        same(client.get("/v1/logs/pruned/snapshots/24000").status, 200, "and another stays")
    same(verified(daemon.dir)[0]["unfinishedRemovals"], 0, "nothing is unfinished")
    same(tool("verify", "stopped").code, 0, "the copy")


@story.story
def an_erasure_that_was_cut_off_is_ended_also_where_a_row_is_lost_or_has_rotted():
    damages = {"lost": "DELETE FROM actions WHERE seq = 22000 AND log =", "rotten": "UPDATE actions SET payload = 'x' WHERE seq = 23000 AND log ="}
    with Daemon(options={**OPTIONS, "store.shards": 1}) as daemon, daemon.client() as client:
        for log in (*damages, "kept"):
            fill(client, log)
        for log in damages:
            take_a_step(daemon, "erase", log=log)
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    for log, damage in damages.items():
        same(database.execute(damage + " (SELECT id FROM logs WHERE name = ?)", (log,)).rowcount, 1, "rows")
    database.commit()
    database.close()
    with daemon.start(), daemon.client() as client:
        until(lambda: len(daemon.events("removal went on")) == 2, "both are ended")
        until(lambda: not any(content(daemon, log) for log in damages), "no file has what was erased")
        same([client.get("/v1/logs/%s/actions?after=24000" % log).status for log in (*damages, "kept")], [410, 410, 200], "answers")
        is_true(content(daemon, "kept"), "another log is as it was")
    totals, lines = verified(daemon.dir, 1)
    same((totals["findings"], totals["unfinishedRemovals"], {line["log"] for line in lines}), (2, 0, set(damages)), "what is said of them")


@story.story
def one_request_looks_through_as_many_rows_as_it_takes():
    with Daemon(options={**OPTIONS, "store.shards": 1}) as daemon, daemon.client() as client:
        fill(client, "lacking")
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    same(database.execute("DELETE FROM actions WHERE seq = 7").rowcount, 1, "rows")
    database.execute("WITH RECURSIVE row(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM row WHERE seq < 150000)"
                     " INSERT INTO actions (log, seq, device, ts, link, type, payload)"
                     " SELECT 99, seq, 'd', seq, randomblob(32), '', printf('%064d', seq) FROM row")
    database.commit()
    database.close()
    with daemon.start():
        take_a_step(daemon, "erase", log="lacking")
        with daemon.operator() as operator:
            said = [operator.post("/erase", {"log": "lacking"}).json() for _ in range(2)]
        # The last of them go once all rows were looked at.
        same([(one["more"], one["removed"]) for one in said], [(True, 4000), (False, LONG - 1 - STEP - 4000)], "the rest")
        is_true(not content(daemon, "lacking"), "no file has what was erased")


@story.story
def snapshots_that_outlived_their_actions_go_with_the_next_round():
    options = {**OPTIONS, "store.shards": 1}
    with Daemon(options=options) as daemon, daemon.client() as client:
        links = fill(client, "pruned")
        for seq in (2000, 24000):
            same(client.request("PUT", "/v1/logs/pruned/snapshots/%d" % seq, b"a state",
                                {"Edgereplay-State-Hash": links[seq // 1000].hex()}).status, 200, "PUT")
        is_there = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(daemon.dir, "snapshots"))
                    for name in names if name.endswith("%016d" % 2000)]
        with open(is_there[0], "rb") as file:
            kept = file.read()
        tool("prune", "pruned", "--before=24001", admin(daemon))
        same(os.path.exists(is_there[0]), False, "it went with the content")
    with open(is_there[0], "wb") as file:
        file.write(kept)
    daemon.options["snapshots.prune_every_sec"] = 1
    with daemon.start():
        until(lambda: not os.path.exists(is_there[0]), "it goes, though nothing is to be pruned", 30)


@story.story
def a_snapshot_that_outlived_an_erasure_is_an_unfinished_removal_and_no_finding():
    options = {**OPTIONS, "store.shards": 1}
    with Daemon(options=options) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        for seq in (5, 15):
            same(client.request("PUT", writer.path("snapshots/%d" % seq), b"a state",
                                {"Edgereplay-State-Hash": writer.links[seq].hex()}).status, 200, "PUT")
        shutil.copytree(os.path.join(daemon.dir, "snapshots"), "kept")
        tool("erase", "notes", admin(daemon), "-q")
    shutil.copytree("kept", os.path.join(daemon.dir, "snapshots"), dirs_exist_ok=True)
    totals, lines = verified(daemon.dir)
    same((totals["findings"], totals["unfinishedRemovals"]), (0, 1), "the totals")
    same(sorted((line["log"], line["seq"], line["unfinished"]) for line in lines), [("notes", 5, True), ("notes", 15, True)], "which")
    is_true("erase again" in tool("verify", daemon.dir).error, "in words")
    daemon.options["snapshots.prune_every_sec"] = 1
    with daemon.start():
        until(lambda: not any(names for _, _, names in os.walk(os.path.join(daemon.dir, "snapshots"))), "they go", 30)
    same(verified(daemon.dir)[0]["unfinishedRemovals"], 0, "nothing is unfinished")


def is_asking(process):
    """Whether it has opened a socket: from then on its first request goes out, whatever comes."""
    folder, found = "/proc/%d/fd" % process.pid, []
    for descriptor in os.listdir(folder):
        try:
            found.append((int(descriptor), os.readlink(os.path.join(folder, descriptor))))
        except FileNotFoundError:
            pass  # it was closed meanwhile
    return any(descriptor > 2 and target.startswith("socket:") for descriptor, target in found)


@story.story
def an_interrupt_waits_for_a_step_says_how_far_it_is_and_the_daemon_ends_it():
    commands = ((signal.SIGINT, "erase", "erased", "--record=list"), (signal.SIGTERM, "prune", "pruned", "--before=25001", "--without-snapshot"))
    with Daemon(options={**OPTIONS, "store.shards": 1}) as daemon, daemon.client() as client:
        for number, what, log, *options in commands:
            head = fill(client, log)[-1].hex()
            daemon.signal(signal.SIGSTOP)
            # A shell ignores SIGINT for what it runs behind.
            process = subprocess.Popen([story.TOOL, what, log, admin(daemon), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            until(lambda: is_asking(process), "it asks")
            process.send_signal(number)
            daemon.signal(signal.SIGCONT)
            out, error = process.communicate(timeout=60)
            same((process.returncode, out), (-number, ""), "it ends by the signal: %s" % error)
            is_true("interrupted: the content of" in error and "the same command goes on" in error, "it says so: %s", error)
            same(client.get("/v1/logs/%s/actions" % log).status, 410, "it was begun")
            is_true(content(daemon, log), "and not ended")
            if what == "erase":
                with open("list", encoding="utf-8") as file:
                    noted = json.load(file)
                same((noted["log"], noted["seq"], noted["stateHash"]), (log, LONG, head), "and noted, whoever ends it")
        daemon.stop()
        same(verified(daemon.dir)[0]["unfinishedRemovals"], 2, "both are unfinished")
        daemon.start()
        until(lambda: len(daemon.events("removal went on")) == 2, "the daemon ends them")
        until(lambda: not content(daemon, "erased"), "an erasure to the last byte")
        for _, what, log, *options in commands:
            tool(what, log, admin(daemon), *options)
        same((content(daemon, "erased"), content(daemon, "pruned")), (False, False), "and the same command the rest of a prune")
    same(verified(daemon.dir)[0]["unfinishedRemovals"], 0, "nothing is unfinished")


story.run()
