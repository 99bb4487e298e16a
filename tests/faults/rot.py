"""rot: a stopped daemon's shard file, of which bytes rot, and what is asked of repair."""
import json
import os
import sqlite3
import struct

from support import chain
from support.daemon import Daemon, tool, whole_log
from support.story import is_true, same

PAGE = 8192


def actions_of(count, filling=20):
    return [{"device": "phone", "ts": 1000000 + n, "type": "t", "payload": "%d %s" % (n, "y" * filling)} for n in range(count)]


def made(logs, count, filling=20, folder=None):
    """A stopped daemon whose logs all have the same actions."""
    daemon = Daemon(dir=folder, options={"store.scrub_rate": 0, "store.shards": 1})
    actions = actions_of(count, filling)
    with daemon.client() as client:
        for log in logs:
            same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log))).status, 200, "push")
    daemon.stop()
    return daemon, actions


def path_of(daemon):
    return os.path.join(daemon.dir, "shard-00.db")


def ask(daemon, sql):
    database = sqlite3.connect(path_of(daemon))
    rows = database.execute(sql).fetchall()
    database.close()
    return rows


def leaves(daemon, table):
    return [row[0] for row in ask(daemon, "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf' ORDER BY path" % table)]


def write(daemon, at, content):
    with open(path_of(daemon), "r+b") as file:
        file.seek(at)
        before = file.read(len(content))
        file.seek(at)
        file.write(content)
    return before


def destroy(daemon, page):
    """How many records it had."""
    return struct.unpack(">H", write(daemon, (page - 1) * PAGE, b"\xee" * 8)[3:5])[0]


def flip_log(daemon, log, seq):
    """The bit 64 of the log's number in the key of a row; its place in the file."""
    link = ask(daemon, "SELECT link FROM actions WHERE log = %d AND seq = %d" % (log, seq))[0][0]
    content = open(path_of(daemon), "rb").read()
    at = content.index(link)
    while True:
        key = content.rfind(b"phone", 0, at) - 2
        write(daemon, key, bytes([log ^ 64]))
        try:
            if len(ask(daemon, "PRAGMA integrity_check")) > 1:
                return key
        except sqlite3.DatabaseError:
            return key
        write(daemon, key, bytes([log]))  # a copy on a page that is not used any more
        at = content.index(link, at + 1)


def repair(daemon, log, *arguments, expect=0):
    result = tool("repair", "--json", "-q", daemon.dir, "--log=" + log, *arguments, expect=expect)
    return json.loads(result.out) if result.out else None


def repair_in_two(daemon, log):
    """A page that could not be read may have held what nothing else tells of: the exit code says so, once."""
    result = repair(daemon, log, expect=1)
    is_true(result["unreadable"] > 0, "unreadable: %d", result["unreadable"])
    same((result["missing"], result["unnamed"], result["findings"]), (0, 0, 0), "what is known to be lost")
    same(repair(daemon, log)["seq"], result["seq"], "again: whole")
    return result


def push(daemon, log, actions, new, ends=True):
    """The daemon runs only for that."""
    daemon.start()
    with daemon.client() as client:
        link = ([chain.genesis(log)] + chain.extend(chain.genesis(log), actions))[-1]
        same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(new, len(actions), link)).status, 200, "push")
    (daemon.stop if ends else daemon.kill)()


def check(daemon, logs):
    """Each has these actions."""
    daemon.start()
    with daemon.client() as client:
        for log, actions in logs.items():
            same(whole_log(client, log)[0], actions, log)
    daemon.stop()
    tool("verify", "-q", daemon.dir)


def change(daemon, *sentences):
    database = sqlite3.connect(path_of(daemon))
    for sql in sentences:
        database.execute(sql)
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def row_at(daemon, log, seq):
    """Where the row's record begins, and the link in it, in a page of the table."""
    link = ask(daemon, "SELECT link FROM actions WHERE log = %d AND seq = %d" % (log, seq))[0][0]
    pages = leaves(daemon, "actions")
    with open(path_of(daemon), "rb") as file:
        content = file.read()
    at = content.index(link)
    while at // PAGE + 1 not in pages:
        at = content.index(link, at + 1)
    return content, content.rfind(b"phone", 0, at), at


def heads(daemon, logs):
    """Each log's head, or code; the daemon runs only for that."""
    daemon.start()
    found = {}
    with daemon.client() as client:
        for log in logs:
            answer = client.get("/v1/logs/%s/head" % log)
            found[log] = answer.json()["seq"] if answer.status == 200 else answer.json()["code"]
    daemon.stop()
    return found


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
