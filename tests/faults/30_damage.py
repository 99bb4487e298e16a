"""
A log whose rows have rotted: said so, served up to its last good action and no further, closed to writes, and no other log
with it; found by the walk for rot where nobody reads; and put right, from a copy or by cutting it and three phones that push
again, with nothing lost.
"""
import base64
import glob
import json
import os
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.environ.get("EDGEREPLAY_ROOT") or os.path.join(os.path.dirname(__file__), "../.."), "tests/e2e"))

# pylint: disable=wrong-import-position
from support import chain, story  # noqa: E402
from support.daemon import Daemon, tool, whole_log  # noqa: E402
from support.phone import Phone  # noqa: E402
from support.story import is_true, same, say  # noqa: E402

LOG = "notes"
OTHER = "other"


def rot(daemon, *sentences):
    """Changes rows behind the stopped daemon's back."""
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    log = database.execute("SELECT id FROM logs WHERE name = ?", (LOG,)).fetchone()[0]
    for sentence in sentences:
        database.execute(sentence.replace(":log", str(log)))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def rot_index(daemon, index, old, new, nth=0):
    """Changes bytes in an index's root page."""
    path = os.path.join(daemon.dir, "shard-00.db")
    database = sqlite3.connect(path)
    page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (index,)).fetchone()[0]
    size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        content = file.read(size)
        at = -1
        for _ in range(nth + 1):
            at = content.index(old, at + 1)
        file.seek((page - 1) * size + at)
        file.write(new)


def written(phones=1, actions=40):
    """A daemon with a log that so many phones have written and all know, and another log; stopped."""
    daemon = Daemon(options={"store.scrub_rate": 0})
    made = [Phone(daemon.address, LOG, "phone-%d" % n) for n in range(phones)]
    for number in range(actions):
        made[number % phones].act("add", json.dumps({"n": number}))
        if number % 10 == 9:
            for phone in made:
                phone.settle()
    for phone in made + made:
        phone.settle()
    other = Phone(daemon.address, OTHER, "tablet")
    for number in range(10):
        other.act("add", str(number))
    other.settle()
    with daemon.client() as client:
        actions, _ = whole_log(client, LOG)
    with open("export.ndjson", "w", encoding="utf-8") as file:
        file.write(tool("pull", "-q", "--url=" + daemon.url, "--log=" + LOG).out)
    for phone in made:
        phone.client.close()
    daemon.stop()
    return daemon, made, actions


def again(daemon, phones):
    daemon.start()
    for phone in phones:
        phone.client = daemon.client()
        phone.failures = 0


def expect_damage(daemon, actions, good):
    """The log is served up to its last good action and not written; the other one is as ever."""
    with daemon.client() as client:
        page = client.get("/v1/logs/%s/actions" % LOG)
        served = page.json()["actions"] if page.status == 200 else []
        same([{k: a[k] for k in ("device", "ts", "type", "payload")} for a in served], actions[:good], "what is served")
        beyond = client.get("/v1/logs/%s/actions?after=%d" % (LOG, good))
        same((beyond.status, beyond.json()["code"], beyond.json()["head"]["seq"]), (503, "LOG_DAMAGED", good), "behind it")
        stream = client.get("/v1/logs/%s/actions" % LOG, Accept="application/x-ndjson")
        if good > 0:
            same(stream.lines()[-1]["error"]["code"], "LOG_DAMAGED", "the stream's end")
            same(len(stream.lines()), good + 2, "the stream's lines")
        same(client.get("/v1/logs/%s/head" % LOG).json()["code"], "LOG_DAMAGED", "head")
        push(client, LOG, actions, 503)
        same(client.get("/v1/logs/%s/head" % OTHER).status, 200, "the other log's head")
        other, _ = whole_log(client, OTHER)
        push(client, OTHER, other, 200)
    daemon.await_event("log damaged")
    found = [(line["log"], int(line["good"])) for line in daemon.events("log damaged")]
    same((found[-1], set(log for log, _ in found)), ((LOG, good), {LOG}), "in the log")


def push(client, log, actions, expected):
    links = [chain.genesis(log)] + chain.extend(chain.genesis(log), actions)
    new = {"device": "probe", "ts": 1 + len(actions), "type": "t", "payload": "{}"}
    answer = client.post("/v1/logs/%s/sync" % log, chain.sync_body([new], len(actions), links[-1]))
    same(answer.status, expected, "a push to %s: %s, status" % (log, answer.body[:300]))
    if expected == 503:
        same((answer.json()["code"], answer.json()["retry"]), ("LOG_DAMAGED", "after"), "code")


def repair(daemon, *arguments, expect=0):
    result = tool("repair", "--json", "-q", daemon.dir, "--log=" + LOG, *arguments, expect=expect)
    return json.loads(result.out) if result.out else result


def expect_whole(daemon, phones, actions):
    """verify agrees, the log has all of it, and the phones settle with it."""
    tool("verify", "-q", daemon.dir)
    again(daemon, phones)
    with daemon.client() as client:
        same(whole_log(client, LOG)[0][:len(actions)], actions, "the log")
    for phone in phones:
        phone.settle()
    same(daemon.events("log damaged"), [], "damage")
    daemon.stop()


ROTS = {
    "a payload": ("UPDATE actions SET payload = payload || ' ' WHERE log = :log AND seq = 17",),
    "a stamp": ("UPDATE actions SET ts = ts + 100000 WHERE log = :log AND seq = 17",),
    "a payload and its link": ("UPDATE actions SET payload = '', link = zeroblob(32) WHERE log = :log AND seq = 17",),
    "a missing row": ("DELETE FROM actions WHERE log = :log AND seq = 17",),
    "many": ("DELETE FROM actions WHERE log = :log AND seq BETWEEN 17 AND 30",
             "UPDATE actions SET type = 'x' WHERE log = :log AND seq = 33",
             "DELETE FROM actions WHERE log = :log AND seq > 38"),
}


@story.story
def a_damaged_log_is_served_up_to_its_last_good_action_and_refilled_from_a_copy():
    for name, sentences in ROTS.items():
        daemon, phones, actions = written()
        rot(daemon, *sentences)
        tool("verify", "-q", daemon.dir, expect=1)
        again(daemon, [])
        expect_damage(daemon, actions, 16)
        daemon.stop()
        before = open(os.path.join(daemon.dir, "shard-00.db"), "rb").read()
        is_true(repair(daemon, "--from=export.ndjson", "--dry-run")["refilled"] > 0, "a dry run says what it would do")
        same(open(os.path.join(daemon.dir, "shard-00.db"), "rb").read() == before, True, "a dry run changes nothing")
        result = repair(daemon, "--from=export.ndjson")
        same((result["seq"], result["bad"], result["removed"]), (40, 0, 0), name)
        say("%s: %d rows put right", name, result["refilled"])
        same(repair(daemon, "--from=export.ndjson")["refilled"], 0, "the second time")
        expect_whole(daemon, phones, actions)


@story.story
def a_rotten_link_needs_no_copy():
    for sentence in ("UPDATE actions SET link = zeroblob(32) WHERE log = :log AND seq = 17",
                     "UPDATE actions SET link = x'00' WHERE log = :log AND seq IN (5, 6, 40)",
                     "UPDATE logs SET link = zeroblob(32) WHERE id = :log",
                     "UPDATE logs SET seq = 12 WHERE id = :log",
                     "UPDATE logs SET bytes = bytes - 5 WHERE id = :log",
                     "UPDATE logs SET name = 'nonsense' WHERE id = :log",
                     "DELETE FROM logs WHERE id = :log"):
        daemon, phones, actions = written()
        rot(daemon, sentence)
        result = repair(daemon)
        same((result["seq"], result["bad"], result["removed"]), (40, 0, 0), sentence)
        expect_whole(daemon, phones, actions)


@story.story
def a_copy_that_the_hashes_do_not_prove_is_not_taken():
    daemon, _, _ = written()
    rot(daemon, ROTS["a payload"][0])
    lines = open("export.ndjson", encoding="utf-8").read().splitlines()
    lines[16] = lines[16].replace('\\"n\\": 16', '\\"n\\": 61')
    with open("forged.ndjson", "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    result = repair(daemon, "--from=forged.ndjson", expect=1)
    same((result["refilled"], result["bad"], result["seq"]), (0, 1, 16), "a forged copy")
    database = sqlite3.connect(os.path.join(daemon.dir, "shard-00.db"))
    same(database.execute("SELECT count(*) FROM actions WHERE payload LIKE '%61%'").fetchone()[0], 0, "in the rows")
    database.close()


@story.story
def a_copy_may_be_a_state_file_or_plain_lines():
    daemon = Daemon(options={"store.scrub_rate": 0})
    notes = "".join('{"type":"t","payload":"%d"}\n' % n for n in range(30)).encode()
    tool("push", "-q", "--url=" + daemon.url, "--log=" + LOG, "--state=phone.state", "--device=phone", "-", input=notes)
    with daemon.client() as client:
        actions, _ = whole_log(client, LOG)
    daemon.stop()
    with open("plain.ndjson", "w", encoding="utf-8") as file:
        for action in actions:
            file.write(json.dumps(action) + "\n")
    for copy in ("phone.state", "plain.ndjson"):
        rot(daemon, "DELETE FROM actions WHERE log = :log AND seq BETWEEN 3 AND 20")
        result = repair(daemon, "--from=" + copy)
        same((result["refilled"], result["seq"], result["bad"]), (18, 30, 0), copy)
        expect_whole(daemon, [], actions)
    rot(daemon, "DELETE FROM actions WHERE log = :log AND seq = 9")
    same(tool("repair", "-q", daemon.dir, "--log=" + LOG, "--from=export.missing", expect=4).code, 4, "no such file")


@story.story
def a_log_that_is_cut_is_healed_by_three_phones_with_nothing_lost():
    daemon, phones, actions = written(3, 60)
    rot(daemon, "UPDATE actions SET payload = CAST(x'ff00' AS TEXT) WHERE log = :log AND seq = 23",
        "UPDATE actions SET type = 'changed' WHERE log = :log AND seq = 24",
        "DELETE FROM actions WHERE log = :log AND seq BETWEEN 30 AND 33")
    result = repair(daemon, expect=1)  # which says that of what is gone not all could be taken out
    same((result["seq"], result["removed"], result["missing"], result["bad"]), (22, 60 - 22 - 4, 4, 0), "cut")
    removed = [json.loads(line) for line in open(result["out"], encoding="utf-8")]
    same([line["seq"] for line in removed], [n for n in range(23, 61) if not 30 <= n <= 33], "what was taken out")
    same(base64.b64decode(removed[0]["payloadBase64"]), b"\xff\x00", "a payload that is no text")
    same([line["good"] for line in removed], [n not in (23, 24, 34) for n in range(23, 61) if not 30 <= n <= 33], "good")
    same(glob.glob(daemon.dir + ".removed-*"), [result["out"]], "one file beside the directory")
    same(repair(daemon)["removed"], 0, "the second time")
    tool("verify", "-q", daemon.dir)
    again(daemon, phones)
    with daemon.client() as client:
        same(client.get("/v1/logs/%s/actions?after=60" % LOG).json()["code"], "SERVER_BEHIND", "what a phone is told")
    for phone in phones + phones:
        phone.act("add", "after")
        phone.settle()
    for phone in phones:
        phone.settle()
    with daemon.client() as client:
        healed, links = whole_log(client, LOG)
    same(sorted(map(chain.key, healed[:60])), sorted(map(chain.key, actions)), "every action, once")
    same([p.links[-1] for p in phones], [links[-1]] * 3, "the phones' hash")
    say("cut at 22, healed to %d by three phones", len(healed))
    daemon.stop()
    tool("verify", "-q", daemon.dir)


@story.story
def the_walk_finds_what_nobody_reads():
    daemon, _, actions = written()
    rot(daemon, ROTS["a payload"][0])
    daemon.options["store.scrub_rate"] = 100000
    daemon.start()
    daemon.await_event("scrub round ended")
    ended = daemon.events("scrub round ended")[0]
    same((ended["logs"], ended["damaged"]), ("2", "1"), "the round")
    expect_damage(daemon, actions, 16)
    daemon.stop()
    stopped = daemon.events("stopped")[0]
    same((stopped["logs_damaged"], stopped["scrub_rounds"]), ("1", "1"), "the counters")
    is_true(int(stopped["actions_scrubbed"]) >= 10 + 16, "scrubbed %s", stopped["actions_scrubbed"])


@story.story
def the_walk_is_off_or_changed_by_a_reload_and_no_stop_waits_for_it():
    daemon, _, _ = written()
    daemon.options["store.scrub_rate"] = 1
    daemon.start()
    is_true(daemon.stop() < 5, "the stop waited for the walk")
    same(daemon.events("scrub round ended"), [], "rounds at one action a second")
    with open("edgereplay.ini", "w", encoding="utf-8") as file:
        file.write("[store]\nscrub_rate = 0\n")
    del daemon.options["store.scrub_rate"]
    daemon.how["flags"] = ["--config=edgereplay.ini"]
    daemon.start()
    with open("edgereplay.ini", "w", encoding="utf-8") as file:
        file.write("[store]\nscrub_rate = 100000\n")
    daemon.signal(signal.SIGHUP)
    daemon.await_event("scrub round ended")
    same(daemon.events("scrub round ended")[0]["actions"], "50", "actions")
    daemon.stop()


@story.story
def a_rotten_index_is_found_and_made_anew():
    for index, old, new in (("sqlite_autoindex_logs_1", b"notes", b"nptes"), ("actions_stamp", b"phone-0", b"phone-1")):
        daemon, phones, actions = written()
        rot_index(daemon, index, old, new)
        daemon.options["store.scrub_rate"] = 100000
        daemon.start()
        daemon.await_event("scrub round ended")
        same(daemon.events("scrub round ended")[0]["damaged"], "1", index)
        with daemon.client() as client:
            push(client, LOG, actions, 503)
        daemon.stop()
        result = repair(daemon)
        same((result["seq"], result["bad"], result["removed"]), (40, 0, 0), index)
        expect_whole(daemon, phones, actions)


def malform(daemon, log, seq):
    """The page that has an action is no page any more; the seqs of the logs that it had."""
    path = os.path.join(daemon.dir, "shard-00.db")
    database = sqlite3.connect(path)
    size = database.execute("PRAGMA page_size").fetchone()[0]
    pages = [row[0] for row in database.execute(
        "SELECT pageno FROM dbstat WHERE name = 'actions' AND pagetype = 'leaf'")]
    text = database.execute("SELECT device || payload FROM actions JOIN logs ON id = log WHERE name = ? AND actions.seq = ?",
                            (log, seq)).fetchone()[0][-60:].encode()
    database.close()
    with open(path, "r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            if text in file.read(size):
                file.seek((page - 1) * size)
                file.write(b"\xee" * 16)
                return
    raise AssertionError("no page has it")


@story.story
def a_malformed_page_costs_its_own_logs_and_the_rest_is_salvaged():
    daemon = Daemon(options={"store.scrub_rate": 0})
    logs = {}
    with daemon.client() as client:
        for name in [LOG] + ["log-%d" % n for n in range(20)]:
            actions = [{"device": "d", "ts": n + 1, "type": "t", "payload": "%s %d %s" % (name, n, "x" * 90)} for n in range(40)]
            same(client.post("/v1/logs/%s/sync" % name, chain.sync_body(actions, 0, chain.genesis(name))).status, 200, "push")
            logs[name] = actions
    with open("export.ndjson", "w", encoding="utf-8") as file:
        file.write(tool("pull", "-q", "--url=" + daemon.url, "--log=" + LOG).out)
    daemon.stop()
    malform(daemon, LOG, 20)
    daemon.options["store.scrub_rate"] = 100000
    daemon.start()
    daemon.await_event("scrub round ended")
    damaged = {line["log"] for line in daemon.events("log damaged")}
    is_true(LOG in damaged and len(damaged) <= 3, "damaged: %s", damaged)
    with daemon.client() as client:
        for name, actions in logs.items():
            push(client, name, actions, 503 if name in damaged else 200)
    daemon.stop()
    result = repair(daemon, "--from=export.ndjson", expect=1)
    same((result["seq"], result["bad"]), (40, 0), "repaired")
    same(len(glob.glob(os.path.join(daemon.dir, "*.db.malformed-*"))), 1, "the old file is kept")
    for name in damaged - {LOG}:
        tool("repair", "-q", daemon.dir, "--log=" + name, expect=None)
    tool("verify", "-q", daemon.dir)
    daemon.start()
    with daemon.client() as client:
        for name, actions in logs.items():
            stored, _ = whole_log(client, name)
            same(stored[:40], actions[:len(stored)], name)
            is_true(name in damaged or len(stored) == 41, "%s has %d actions", name, len(stored))
    daemon.stop()
    say("a page of %s: %d logs damaged, salvaged and repaired", LOG, len(damaged))


story.run()
