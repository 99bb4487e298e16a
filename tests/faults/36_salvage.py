"""
A new file made of a malformed one is the log that was acknowledged, however the old one misleads: heads and pages that are
older, bits in what a row or the file says of itself, histories that were cut off; and of what is lost it says that it is.
"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.environ.get("EDGEREPLAY_ROOT") or os.path.join(os.path.dirname(__file__), "../.."), "tests/e2e"))

# pylint: disable=wrong-import-position
from rot import PAGE, actions_of, ask, change, check, destroy, leaves, lines_of, made, path_of, push, repair, repair_in_two, row_at, write  # noqa: E402
from support import story  # noqa: E402
from support.daemon import Refused, tool  # noqa: E402
from support.story import is_true, same  # noqa: E402


@story.story
def a_text_that_has_become_a_blob_is_still_the_rows():
    for name, value, step in (("payload", "filler", 2), ("type", "t", 1)):
        daemon, actions = made(["alpha", "bravo"], 20)
        content, device, _ = row_at(daemon, 2, 10)
        payload = actions[9]["payload"].encode()
        serial = {"payload": 2 * len(payload) + 13, "type": 2 * len(actions[9]["type"]) + 13}[name]
        at = content.rfind(bytes([serial]), device - 7, device)
        write(daemon, at, bytes([serial ^ 1]))
        result = repair(daemon, "bravo")
        same((result["seq"], result["removed"], result["findings"]), (20, 0, 0), name)
        check(daemon, {"alpha": actions, "bravo": actions})


@story.story
def rows_that_chain_behind_a_head_that_is_older_stay():
    daemon, actions = made(["alpha", "bravo"], 20)
    page = leaves(daemon, "logs")[0]
    with open(path_of(daemon), "rb") as file:
        older = file.read()[(page - 1) * PAGE:page * PAGE]
    new = [{"device": "web", "ts": 7 + n, "type": "t", "payload": "new"} for n in range(10)]
    for log in ("alpha", "bravo"):
        push(daemon, log, actions, new)
    write(daemon, (page - 1) * PAGE, older)
    destroy(daemon, leaves(daemon, "batches")[0])
    same(repair_in_two(daemon, "bravo")["seq"], 30, "the head")
    check(daemon, {"alpha": actions + new, "bravo": actions + new})


@story.story
def what_a_cut_left_on_a_free_page_takes_no_place_of_a_newer_history():
    daemon, _ = made(["alpha"], 20)
    both = actions_of(40, 300)
    push(daemon, "bravo", [], both)
    last = leaves(daemon, "actions")[-1]
    with open(path_of(daemon), "rb") as file:
        old = file.read()[(last - 1) * PAGE:last * PAGE]
    change(daemon, "UPDATE actions SET payload = 'x' WHERE log = 2 AND seq = 10")
    same(repair(daemon, "bravo")["seq"], 9, "cut")
    common = 40 - struct.unpack(">H", old[3:5])[0]
    newer = [dict(action, payload="newer " + action["payload"]) for action in both[common:]]
    push(daemon, "bravo", both[:9], both[9:common] + newer)
    change(daemon, "CREATE TABLE junk (a)", "INSERT INTO junk VALUES (zeroblob(60000))", "DROP TABLE junk")
    with open(path_of(daemon), "rb") as file:
        content = file.read()
    trunk = struct.unpack(">I", content[32:36])[0]
    free = struct.unpack(">I", content[(trunk - 1) * PAGE + 8:][:4])[0]
    write(daemon, (free - 1) * PAGE, old)
    tool("verify", "-q", daemon.dir)
    _, device, _ = row_at(daemon, 2, common + 1)
    write(daemon, device - 8, b"\xff" * 8)
    result = repair(daemon, "alpha", expect=1)
    is_true(result["unreadable"] > 0 and result["findings"] > 0, "%s", result)
    same([row[0] for row in ask(daemon, "SELECT payload FROM actions WHERE log = 2 AND seq > 9 ORDER BY seq")],
         [action["payload"] for action in both[9:common] + newer[1:]], "the newer history but for one row")
    with open("copy.ndjson", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(action, seq=n + 1)) + "\n" for n, action in enumerate(both[:common] + newer))
    same(repair(daemon, "bravo", "--from=copy.ndjson")["refilled"], 1, "the row")
    check(daemon, {"bravo": both[:common] + newer})


@story.story
def a_repair_that_was_cut_off_is_named_and_begun_again():
    daemon, actions = made(["alpha", "bravo"], 20, folder=os.path.realpath("store[1]"))
    new = [{"device": "web", "ts": 7, "type": "t", "payload": "new"}]
    push(daemon, "bravo", actions, new, ends=False)
    for suffix in ("", "-wal"):
        if os.path.exists(path_of(daemon) + suffix):
            os.rename(path_of(daemon) + suffix, path_of(daemon) + ".malformed-17" + suffix)
    try:
        daemon.start()
        is_true(False, "it starts")
    except Refused as refused:
        is_true("edgereplay repair" in refused.log and "accept-loss" not in refused.log, "said: %s", refused.log)
    said = tool("repair", daemon.dir, "--log=alpha", "--dry-run", expect=4).error
    is_true("a repair was cut off" in said, "said: %s", said)
    is_true(not os.path.exists(path_of(daemon)), "a dry run changes nothing")
    repair(daemon, "alpha")
    is_true(not os.path.exists(path_of(daemon) + ".malformed-17"), "it is back")
    check(daemon, {"alpha": actions, "bravo": actions + new})


@story.story
def a_cut_says_what_it_could_not_take_out():
    daemon, _ = made(["alpha", "bravo"], 20)
    change(daemon, "DELETE FROM actions WHERE log = 1 AND seq IN (8, 19, 20)")
    result = repair(daemon, "alpha", expect=1)
    same((result["seq"], result["removed"], result["missing"]), (7, 10, 3), "cut")
    same(len(lines_of(result["out"])), 10, "actions in the file")
    same(repair(daemon, "alpha")["seq"], 7, "again")


@story.story
def a_log_of_which_only_entries_are_left_is_counted():
    logs = ["log-%03d" % n for n in range(1, 301)]
    daemon, _ = made(logs, 3)
    for table in ("logs", "sqlite_autoindex_logs_1"):
        for page in leaves(daemon, table):
            destroy(daemon, page)
    destroy(daemon, leaves(daemon, "actions")[-1])
    result = repair(daemon, "log-001", expect=1)
    taken = {line["log"] for line in lines_of(result["out"])}
    same(result["unnamed"], 299, "logs without a name")
    is_true(len(taken) < 299, "logs of which there are actions: %d", len(taken))


@story.story
def a_file_that_was_cut_off_is_never_called_whole():
    logs = ["log-%03d" % n for n in range(1, 61)]
    daemon, actions = made(logs, 3)
    whole = dict(zip(logs, [actions] * len(logs)))
    change(daemon, "CREATE TABLE junk (a)", "INSERT INTO junk VALUES (zeroblob(60000))", "DROP TABLE junk")
    daemon.start()
    daemon.stop()
    with open(path_of(daemon), "rb") as file:
        size = len(file.read())
    os.truncate(path_of(daemon), size - 2 * PAGE)
    is_true(repair_in_two(daemon, logs[0])["unreadable"] >= 2, "pages")
    check(daemon, whole)


@story.story
def one_bit_of_what_a_file_says_of_itself_can_be_repaired():
    for sql in ("UPDATE shard SET id = zeroblob(16)", "UPDATE shard SET number = 4", "UPDATE in_place SET commits = commits + 64",
                "UPDATE in_place SET generation = generation + 4096", None):
        daemon, actions = made(["alpha", "bravo"], 20)
        if sql is None:
            write(daemon, 18, b"\x12")  # who may write it
        else:
            change(daemon, sql)
        repair(daemon, "alpha", expect=None)
        same(repair(daemon, "alpha")["seq"], 20, sql)
        check(daemon, {"alpha": actions, "bravo": actions})


story.run()
