"""Redact: the content is in no byte of the files, with the daemon running and stopped; the chain, duplicates and receipts hold on."""
import json
import os
import random
import shutil

from support import chain, story
from support.daemon import Daemon, tool
from support.removal import Writer, files_with, is_gone, judge_actions, needles
from support.story import is_true, same, say

OPTIONS = {"store.shards": 2, "admin.listen": "unix:admin.sock"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def redact(daemon, log, *seqs, flags=(), expect=0):
    return tool("redact", log, *seqs, admin(daemon), *flags, "--json", expect=expect)


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@story.story
def what_is_redacted_is_in_no_byte_while_the_daemon_runs():
    rng = random.Random(story.seed())
    gone = []
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writers = [Writer(client, "log-%d" % n) for n in range(6)]
        redacted = {writer.log: set() for writer in writers}
        for _ in range(8):
            for _ in range(30):
                rng.choice(writers).push(rng.randrange(1, 12))
            for writer in rng.sample(writers, 3):
                if not writer.actions:
                    continue
                writer.push(2)
                # The newest are in the journal and in memory.
                is_true(files_with(daemon.dir, needles(writer.actions[-1]["payload"])), "the look finds what is there")
                seqs = {len(writer.actions), rng.randrange(len(writer.actions)) + 1, rng.randrange(len(writer.actions)) + 1}
                said = json.loads(redact(daemon, writer.log, *seqs).out)
                same((said["removed"] + said["goneBefore"], said["leftovers"]), (len(seqs), []), "said")
                redacted[writer.log] |= seqs
                gone += [writer.actions[seq - 1] for seq in seqs]
                is_gone(daemon.dir, gone, "while it runs")
        for writer in writers:
            page = client.get(writer.path("actions?meta=1")).json()
            judge_actions(page["actions"], writer, 1, redacted[writer.log])
            stream = client.get(writer.path("actions"), Accept="application/x-ndjson")
            judge_actions([json.loads(line) for line in stream.body.splitlines()[1:-1]], writer, 1, redacted[writer.log])
            writer.push(3)
    is_gone(daemon.dir, gone, "after a stop")
    tool("verify", daemon.dir)
    say("%d actions redacted of %d", sum(map(len, redacted.values())), sum(len(writer.actions) for writer in writers))
    daemon.start()
    with daemon, daemon.client() as client:
        for writer in writers:
            judge_actions(client.get(writer.path("actions")).json()["actions"], writer, 1, redacted[writer.log])
    is_gone(daemon.dir, gone, "after another start")


@story.story
def what_is_redacted_is_nowhere_between_the_rows_while_the_daemon_runs():
    """Now and then SQLite writes a whole page anew, over a part of what was there: of many rows some stay readable."""
    rng = random.Random(story.seed())
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writers = [Writer(client, "log-%d" % n) for n in range(8)]
        for _ in range(300):
            rng.choice(writers).push(10, copies=rng.randrange(1, 22))
        for writer in writers:
            redact(daemon, writer.log, "1-%d" % len(writer.actions))
        is_gone(daemon.dir, [action for writer in writers for action in writer.actions], "while it runs")


@story.story
def a_stopped_directory_is_redacted_too_and_what_only_its_journal_had():
    with Daemon(options={"store.shards": 2}) as daemon:
        with daemon.client() as client:
            writer = Writer(client, "notes")
            for _ in range(40):
                writer.push(5)
        daemon.kill()
    tool("redact", "notes", "3-6", len(writer.actions), "--data=" + daemon.dir)
    seqs = {3, 4, 5, 6, len(writer.actions)}
    is_gone(daemon.dir, [writer.actions[seq - 1] for seq in seqs], "stopped")
    tool("verify", daemon.dir)
    tool("export", "notes", "--from=" + daemon.dir, "--out=export")
    tool("export", "--check", "export")
    with daemon.start(), daemon.client() as client:
        writer.client = client
        judge_actions(client.get(writer.path("actions")).json()["actions"], writer, 1, seqs)
        # While it runs the directory is the daemon's.
        is_true("admin.sock" in tool("redact", "notes", "3", "--data=" + daemon.dir, expect=4).error, "it says what to do")


@story.story
def phones_go_on_and_a_repeat_is_a_duplicate():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=had", "-q")
        tool("export", "notes", "--from=had", "--out=phone")
        redact(daemon, "notes", "7", "20")
        again = writer.sync(writer.actions[5:], 5).json()
        same((again["applied"], again["duplicates"], again["fastForward"]), (0, 15, True), "a repeat")
        other = {**writer.actions[6], "payload": "other"}
        taken = client.post(writer.path("sync"), chain.sync_body([other], 20, writer.links[20])).json()
        same(taken["results"], [{"refused": "TIMESTAMP_TAKEN"}], "another action with its stamp")
        behind = client.post(writer.path("sync"), chain.sync_body([], 5, writer.links[5])).json()
        judge_actions(behind["missed"], writer, 6, {7, 20})
        tool("pull", "--url=" + daemon.url, "--log=notes", "--state=fresh", "-q")
        same(tool("head", "--url=" + daemon.url, "--log=notes", "--json").out.strip(),
             json.dumps({"seq": 20, "stateHash": writer.links[20].hex()}, separators=(",", ":")), "the head")
        tool("bisect", "notes", "--with=phone", "--from=" + daemon.url)
        figures = json.loads(tool("stat", daemon.url, "--log=notes", "--json").out)
        same(figures["redacted"], 2, "what stat says")
        with open("new", "w", encoding="utf-8") as file:
            file.write('{"type":"t","payload":"new"}\n')
        for state in ("had", "fresh"):
            tool("push", "--url=" + daemon.url, "--log=notes", "--state=" + state, "-q", "new")
        same(client.get(writer.path("head")).json()["seq"], 22, "both phones wrote on")
    tool("verify", daemon.dir)


@story.story
def a_receipt_from_before_still_verifies():
    vkey = tool("keygen", "--name=sync.example.com", "receipts.key").out.strip()
    options = {**OPTIONS, "receipts.key": os.path.realpath("receipts.key")}
    with Daemon(options=options) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        note = writer.push(9, receipt=True)["receipt"]
        redact(daemon, "notes", "1-9")
        with open("note", "w", encoding="utf-8") as file:
            file.write(note)
        said = tool("receipt", "verify", "--vkey=" + vkey, "--url=" + daemon.url, "--json", "note")
        same(json.loads(said.out)["contained"], True, "the log contains it")


@story.story
def a_kept_list_is_applied_again_after_a_restore():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        notes, diary = Writer(client, "notes"), Writer(client, "diary")
        notes.push(30)
        diary.push(10)
    shutil.copytree(daemon.dir, "backup")
    with daemon.start(), daemon.client() as client:
        notes.client = diary.client = client
        notes.push(5)
        redact(daemon, "notes", "4", "33", flags=["--record=list"])
        tool("erase", "diary", admin(daemon), "--record=list")
        same([(line["log"], line.get("seq")) for line in lines_of("list")],
             [("notes", 4), ("notes", 33), ("diary", 10)], "the list")
        same(lines_of("list")[0]["id"], chain.identifier(notes.actions[3]), "the action's id")
    gone = [notes.actions[3], notes.actions[32]] + diary.actions
    is_gone(daemon.dir, gone, "before the restore")
    restored = Daemon("backup", options=OPTIONS)
    with restored, restored.client() as client:
        # What the restored log has not, has no id there; a phone brings it back, at another place.
        is_true("1 actions" in tool("redact", "--replay=list", admin(restored), expect=1).error, "it says so")
        is_gone("backup", [notes.actions[3]] + diary.actions, "what was restored")
        stranger = {"device": "tablet", "ts": 5, "type": "t", "payload": "x"}
        body = chain.sync_body([stranger] + notes.actions[30:], 30, notes.links[30])
        same(client.post(notes.path("sync"), body).status, 200, "a phone heals it, behind another")
        tool("redact", "--replay=list", admin(restored))
        is_gone("backup", gone, "after it was healed")
        page = client.get(notes.path("actions?after=33&limit=1")).json()
        same((page["actions"][0]["redacted"], page["actions"][0]["digest"]), (True, chain.digest(notes.actions[32]).hex()),
             "known by its id, at another place")
        same(client.get(diary.path("head")).json()["code"], "ERASED", "the erased log")
    tool("verify", "backup")


@story.story
def what_is_wrong_is_said():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(3)
        for arguments, code in ((["notes", "4"], 1), (["nobody", "1"], 1), (["notes"], 2), (["notes", "0"], 2),
                                (["notes", "2-1"], 2), (["no/name", "1"], 2), (["--replay=missing"], 4)):
            said = tool("redact", *arguments, admin(daemon), expect=code).error
            is_true(code != 1 or "log %s: " % arguments[0] in said, "which log: %s", said)
        tool("redact", "notes", "1", expect=2)
        tool("redact", "notes", "1", "--url=unix:/nowhere", "--give-up=0", expect=3)
        with open("list", "w", encoding="utf-8") as file:
            json.dump({"log": "notes", "seq": 1, "id": "01a20acb-a863-8bd6-a33a-1360696b8e7d"}, file)
        said = tool("redact", "--replay=list", "--url=unix:/nowhere", "--give-up=0", expect=3).error
        is_true("no daemon answers" in said and "memory" not in said, "it says why: %s", said)
        named = tool("redact", "notes", "1", "--data=" + os.path.relpath(daemon.dir), expect=4).error
        url = [word for word in named.split() if word.startswith("--url=")][0]
        tool("redact", "notes", "4", url, expect=1)  # it is what was named that answers
        same(tool("redact", "notes", "1", "--url=" + daemon.url, expect=1).error.count("NOT_FOUND"), 1, "phones' side")
        for command in ("redact", "erase", "prune"):
            is_true("--data=DIR" in tool(command, "--help").out, "--help")
        with daemon.operator() as operator:
            for body in (b"", b"[]", b"{}", b'{"log":"notes"}', b'{"log":"notes","seqs":[]}', b'{"log":"notes","seqs":[1],"x":1}',
                         b'{"log":"notes","seqs":[1]', b'{"log":"notes","actions":[{"seq":1}]}', b'{"log":"a/b","seqs":[1]}',
                         b'{"log":"notes","seqs":[-1]}', b'{"seqs":[1]}'):
                same(operator.post("/redact", body).status, 400, body)
            same(operator.get("/redact").status, 405, "GET")
        judge_actions(client.get(writer.path("actions")).json()["actions"], writer, 1, set())
        open(os.path.join(daemon.dir, "shard-00.db.lost-x"), "w", encoding="utf-8").close()
        said = json.loads(redact(daemon, "notes", "1", expect=1).out)
        same([os.path.basename(path) for path in said["leftovers"]], ["shard-00.db.lost-x"], "what is put aside")
        is_true("shard-00.db.lost-x" in tool("prune", "notes", "--before=3", "--without-snapshot", admin(daemon)).error, "a prune only names it")


story.run()
