"""
Repair can be trusted: it calls nothing whole that it has not looked at, loses no row that can be read, gives no log away
without saying so, and helps where a start cannot. Bytes of the file itself rot here, so that keys mislead and pages are none.
"""
import json
import os
import shutil
import sqlite3
import struct
import sys
from random import Random

sys.path.insert(0, os.path.join(os.environ.get("EDGEREPLAY_ROOT") or os.path.join(os.path.dirname(__file__), "../.."), "tests/e2e"))

# pylint: disable=wrong-import-position
from rot import PAGE, ask, check, destroy, flip_log, heads, leaves, lines_of, made, path_of, push, repair, repair_in_two, write  # noqa: E402
from support import chain, story  # noqa: E402
from support.daemon import tool, whole_log  # noqa: E402
from support.story import is_true, same, say  # noqa: E402


@story.story
def a_rotten_key_hides_no_row_and_needs_no_copy():
    daemon, actions = made(["alpha", "bravo", "charlie", "delta"], 20)
    flip_log(daemon, 2, 10)
    result = repair(daemon, "bravo")
    same((result["seq"], result["removed"], result["findings"]), (20, 0, 0), "put back where its stamp's index entry says")
    tool("verify", "-q", daemon.dir)
    daemon.start()
    with daemon.client() as client:
        same(whole_log(client, "bravo")[0], actions, "the log")
    daemon.stop()


@story.story
def a_cut_leaves_nothing_behind_the_head_whatever_a_key_hides():
    daemon, actions = made(["alpha", "bravo", "charlie", "delta"], 20)
    flip_log(daemon, 2, 10)
    for page in leaves(daemon, "actions_stamp"):
        destroy(daemon, page)
    result = repair(daemon, "bravo", expect=1)  # of a log 66 nobody knows the name
    same((result["seq"], result["removed"], result["findings"]), (9, 10, 0), "cut")
    taken = lines_of(result["out"])
    same(sorted((line.get("log", 2), line["seq"]) for line in taken), [(2, n) for n in range(11, 21)] + [(66, 10)], "what was taken out")
    same(sorted(line["ts"] for line in taken), [a["ts"] for a in actions[9:]], "every action that is not in the log any more")
    same(ask(daemon, "SELECT count(*) FROM actions WHERE log NOT IN (1, 3, 4)"), [(9,)], "rows")
    tool("verify", "-q", daemon.dir)
    daemon.start()
    links = [chain.genesis("bravo")] + chain.extend(chain.genesis("bravo"), actions)
    with daemon.client() as client:
        for n in range(9, 20):
            answer = client.post("/v1/logs/bravo/sync", chain.sync_body([actions[n]], n, links[n]))
            same((answer.status, answer.json()["seq"]), (200, n + 1), "a phone's push")
        same(whole_log(client, "bravo")[0], actions, "the log")
    daemon.stop()
    tool("verify", "-q", daemon.dir)


@story.story
def a_healthy_row_stays_where_a_rotten_key_claims_its_place():
    logs = ["log-%03d" % n for n in range(1, 81)]
    daemon, actions = made(logs, 20)
    flip_log(daemon, 2, 10)
    repair(daemon, "log-002")
    daemon.start()
    with daemon.client() as client:
        for log in logs:
            same(whole_log(client, log)[0], actions, log)
    daemon.stop()
    tool("verify", "-q", daemon.dir)


@story.story
def names_come_from_the_rows_or_from_their_index():
    logs = ["log-%03d" % n for n in range(1, 301)]
    for table in ("logs", "sqlite_autoindex_logs_1"):
        daemon, _ = made(logs, 3)
        destroy(daemon, leaves(daemon, table)[0])
        repair_in_two(daemon, "log-007")
        same(set(heads(daemon, logs).values()), {3}, "heads")
        tool("verify", "-q", daemon.dir)


@story.story
def a_log_whose_name_is_lost_is_laid_aside_and_the_exit_code_says_so():
    logs = ["log-%03d" % n for n in range(1, 301)]
    daemon, actions = made(logs, 3)
    for table in ("logs", "sqlite_autoindex_logs_1"):
        for page in leaves(daemon, table):
            destroy(daemon, page)
    result = repair(daemon, "log-007", expect=1)
    is_true(result["unnamed"] > 100, "unnamed: %d", result["unnamed"])
    same((result["seq"], result["bad"]), (3, 0), "the log whose name was given")
    taken = lines_of(result["out"])
    same(len(taken), 3 * result["unnamed"], "actions that were laid aside")
    same(len({line["log"] for line in taken}), result["unnamed"], "each under its number")
    same([line["ts"] for line in taken[:3]], [a["ts"] for a in actions], "of one")
    found = heads(daemon, logs)
    same(sum(1 for seq in found.values() if seq == 0), result["unnamed"], "logs that are not there")
    is_true(os.path.exists(result["kept"]), "the old file is there")
    same(os.stat(result["kept"]).st_nlink, 1, "its names")
    tool("verify", "-q", daemon.dir)
    say("%d of 300 logs without a name", result["unnamed"])


@story.story
def nothing_is_lost_but_what_stood_on_the_page():
    logs = ["log-%03d" % n for n in range(1, 121)]
    daemon, actions = made(logs, 5, 100)
    lost = destroy(daemon, leaves(daemon, "actions")[3])
    damaged = sorted(log for log, seq in heads(daemon, logs).items() if seq != 5)
    with open("copy.ndjson", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(action, seq=n + 1)) + "\n" for n, action in enumerate(actions))
    first = damaged[0]
    result = repair(daemon, first, "--from=copy.ndjson", expect=1)
    same(ask(daemon, "SELECT count(*) FROM actions"), [(600 - lost + result["refilled"],)], "rows")
    codes = [tool("repair", "--json", "-q", daemon.dir, "--log=" + log, "--from=copy.ndjson", expect=None).code
             for log in damaged[1:]] if len(damaged) > 1 else [0]
    same(codes[-1], 0, "the last one's exit code: now all is whole")
    daemon.start()
    with daemon.client() as client:
        for log in logs:
            same(whole_log(client, log)[0], actions, log)
    daemon.stop()
    tool("verify", "-q", daemon.dir)
    say("%d actions stood on the page, of %d logs", lost, len(damaged))


def rot_free_list(daemon):
    database = sqlite3.connect(path_of(daemon))
    database.execute("CREATE TABLE junk (a)")
    database.executemany("INSERT INTO junk VALUES (?)", [(b"z" * 8000,)] * 30)
    database.commit()
    database.execute("DROP TABLE junk")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with open(path_of(daemon), "rb") as file:
        trunk = struct.unpack(">I", file.read(36)[32:])[0]
    write(daemon, (trunk - 1) * PAGE + 4, struct.pack(">I", 0x7FFFFFFF))


def rot_page(table):
    return lambda daemon: destroy(daemon, leaves(daemon, table)[0])


@story.story
def repair_helps_where_no_start_can():
    logs = ["log-%03d" % n for n in range(1, 61)]
    rots = {"the list of free pages": rot_free_list}
    rots.update((table, rot_page(table)) for table in ("in_place", "shard", "journal", "batches", "sqlite_schema"))
    for what, rot in rots.items():
        daemon, actions = made(logs, 5, 100)
        rot(daemon)
        before = open(path_of(daemon), "rb").read()
        repair(daemon, "log-001", "--dry-run", expect=1)
        same(open(path_of(daemon), "rb").read() == before, True, "a dry run changes nothing")
        result = repair(daemon, "log-001") if what == "sqlite_schema" else repair_in_two(daemon, "log-001")
        same((result["seq"], result["removed"]), (5, 0), what)
        same(open(result["kept"], "rb").read() == before, True, "the old file is as it was")
        daemon.start()
        with daemon.client() as client:
            for log in logs:
                same(whole_log(client, log)[0], actions, what)
                links = [chain.genesis(log)] + chain.extend(chain.genesis(log), actions)
                new = {"device": "web", "ts": 5, "type": "t", "payload": "new"}
                same(client.post("/v1/logs/%s/sync" % log, chain.sync_body([new], 5, links[-1])).status, 200, "a push")
        daemon.stop()
        tool("verify", "-q", daemon.dir)


@story.story
def what_a_killed_daemon_left_in_its_journal_is_put_in_place_in_the_new_file():
    logs = ["log-%03d" % n for n in range(1, 41)]
    for table in ("in_place", "actions_stamp", "logs"):
        daemon, actions = made(logs, 5, 100)
        links = {log: [chain.genesis(log)] + chain.extend(chain.genesis(log), actions) for log in logs}
        new = [{"device": "web", "ts": 7 + n, "type": "t", "payload": "new"} for n in range(3)]
        page = leaves(daemon, table)[0]
        daemon.start()
        with daemon.client() as client:
            for log in logs:
                same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(new, 5, links[log][-1])).status, 200, "a push")
        daemon.kill()
        destroy(daemon, page)  # the write-ahead log may have it, as it was
        repair(daemon, "log-001", expect=None)
        same(repair(daemon, "log-001")["seq"], 8, table)
        check(daemon, {log: actions + new for log in logs})


@story.story
def a_dry_run_says_what_is_and_what_would_be():
    daemon, _ = made(["alpha", "bravo"], 20)
    database = sqlite3.connect(path_of(daemon))
    database.execute("UPDATE actions SET payload = 'x' WHERE log = 1 AND seq = 8")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    result = repair(daemon, "alpha", "--dry-run")
    same((result["seq"], result["bad"], result["removed"]), (7, 1, 13), "dry")
    said = tool("repair", daemon.dir, "--log=alpha", "--dry-run").error
    is_true("13 would be taken out" in said and "is good up to action 7" in said and "is whole" not in said, "said: %s", said)
    result = repair(daemon, "alpha")
    same((result["seq"], result["bad"], result["removed"]), (7, 0, 13), "done")


@story.story
def no_log_is_whole_while_another_is_not():
    daemon, _ = made(["alpha", "bravo"], 20)
    database = sqlite3.connect(path_of(daemon))
    database.execute("UPDATE actions SET payload = 'x' WHERE seq = 8")
    database.execute("DELETE FROM batches WHERE log = 1")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    result = repair(daemon, "alpha", expect=1)
    same((result["seq"], result["findings"]), (7, 1), "alpha")
    same(repair(daemon, "bravo")["findings"], 0, "bravo")
    tool("verify", "-q", daemon.dir)


def rot_somewhere(daemon, random):
    """One to four bytes, each somewhere in the file; or a page, or the end of one."""
    size = os.path.getsize(path_of(daemon))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(size)
        kind = random.random()
        if kind < 0.6:
            byte = open(path_of(daemon), "rb").read()[at]
            write(daemon, at, bytes([byte ^ (1 << random.randrange(8))]))
        elif kind < 0.8:
            write(daemon, at - at % PAGE, bytes(random.choice((16, PAGE))))
        else:
            at -= at % 512
            write(daemon, at, random.randbytes(512))


def is_prefix(stored, actions):
    return stored == actions[:len(stored)]


@story.story
def whatever_rots_a_log_that_repair_calls_whole_is_all_there_and_no_log_lies():
    """Of every log that is served nothing is missing but what the exit code, or what was taken out, speaks of."""
    random = Random(story.seed())
    logs = ["log-%02d" % n for n in range(30)]
    daemon, actions = made(logs, 12, 60)
    shutil.copytree(daemon.dir, "sound")
    whole = refused = 0
    with open("copy.ndjson", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(action, seq=n + 1)) + "\n" for n, action in enumerate(actions))
    trials = 400 if os.environ.get("EDGEREPLAY_SOAK") == "1" else 40
    for trial in range(trials):
        shutil.rmtree(daemon.dir)
        shutil.copytree("sound", daemon.dir)
        rot_somewhere(daemon, random)
        log = random.choice(logs)
        result = tool("repair", "--json", "-q", daemon.dir, "--log=" + log, "--from=copy.ndjson", "--out=%d.out" % trial, expect=None)
        is_true(result.code in (0, 1, 4), "exit code %d", result.code)
        if result.code == 4:
            refused += 1
            continue
        verified = tool("verify", "-q", daemon.dir, expect=None).code
        unnamed = json.loads(result.out).get("unnamed", 0) if result.out else 0
        is_true(result.code != 0 or (verified == 0 and unnamed == 0), "exit code 0, and verify finds something")
        whole += verified == 0
        if verified == 0 and result.code == 1:
            tool("repair", "-q", daemon.dir, "--log=" + log)
        daemon.start()
        with daemon.client() as client:
            for name in logs:
                page = client.get("/v1/logs/%s/actions" % name).json()
                head = client.get("/v1/logs/%s/head" % name)
                stored = [{k: a[k] for k in ("device", "ts", "type", "payload")} for a in page.get("actions", [])]
                is_true(is_prefix(stored, actions), "trial %d, %s: other actions", trial, name)
                if head.status == 200 and head.json()["seq"] < len(actions):
                    is_true(head.json()["seq"] == 0 and unnamed > 0, "trial %d, %s: a log of %d", trial, name, head.json()["seq"])
                if result.code == 0:
                    same((head.status, len(stored)), (200, len(actions)), "trial %d, %s" % (trial, name))
        daemon.stop()
    say("%d trials: %d times what is there is whole, %d times repair gave up and changed nothing", trials, whole, refused)
    is_true(whole > trials // 4 and refused < trials // 4, "whole %d, refused %d", whole, refused)


story.run()
