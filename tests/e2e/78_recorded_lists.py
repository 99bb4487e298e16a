"""Recorded lists: what was removed is removed again after a restore, and nothing that came later; a list that was cut off loses one line,
what is cut off is in the list, and two commands share one."""
import fcntl
import http.server
import json
import os
import subprocess
import threading

from support import chain, story
from support.daemon import Daemon, tool, until
from support.removal import Writer, is_gone, judge_actions
from support.story import is_true, same

OPTIONS = {"store.shards": 2, "admin.listen": "unix:admin.sock"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def restored(backup, dir):
    tool("restore", backup, dir)
    return Daemon(dir=os.path.realpath(dir), options=OPTIONS)


def replay(daemon, expect=0):
    return tool("redact", "--replay=list", admin(daemon), "--json", expect=expect)


def page(client, writer, after=0):
    return client.get(writer.path("actions?after=%d" % after)).json()["actions"]


@story.story
def what_a_reopened_log_got_is_there_after_its_list_was_replayed():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "bob")
        writer.push(10)
        tool("backup", daemon.dir, "--to=early")
        tool("erase", "bob", admin(daemon), "--record=list")
        tool("erase", "bob", "--reopen", admin(daemon), "--record=list")
        writer.push(10)
        client.request("PUT", writer.path("snapshots/15"), b"a state", {"Content-Type": None, "Edgereplay-State-Hash": writer.links[15].hex()})
        tool("backup", daemon.dir, "--to=late")
    with open("list", encoding="utf-8") as file:
        erased, reopened = map(json.loads, file)
    same((erased["seq"], erased["stateHash"], reopened), (10, writer.links[10].hex(), {"log": "bob", "reopened": True}), "the list")
    with restored("late", "one") as daemon, daemon.client() as client:
        replay(daemon)
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))
        same(client.get(writer.path("snapshots/latest")).body, b"a state", "the snapshot of after it")
        writer.client = client
        writer.push(3)
    with restored("early", "two") as daemon, daemon.client() as client:
        replay(daemon)
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))
        is_gone("two", writer.actions[:10], "what the early backup had")
        # What phones bring of later is in the same order, and none of what was erased.
        body = chain.sync_body(writer.actions[10:], 10, writer.links[10])
        same(client.post(writer.path("sync"), body).status, 200, "a phone heals it")
        replay(daemon)
        judge_actions(page(client, writer, 10), writer, 11, set())


@story.story
def a_log_that_was_reopened_without_a_record_stays_open_and_nothing_later_is_lost():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "bob")
        writer.push(10)
        tool("erase", "bob", admin(daemon), "--record=list")
        tool("erase", "bob", "--reopen", admin(daemon))
        writer.push(10)
        tool("backup", daemon.dir, "--to=backup")
    with restored("backup", "one") as daemon, daemon.client() as client:
        said = replay(daemon, expect=1)
        is_true("log bob has got more since it was erased" in said.error, "what is said of it: %s", said.error)
        same(json.loads(said.out)["stayedOpen"], 1, "how many")
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))
    for _ in range(2):
        with Daemon(dir=os.path.realpath("one"), options=OPTIONS) as daemon, daemon.client() as client:
            judge_actions(page(client, writer), writer, 1, set(range(1, 11)))
    tool("restore", "backup", "stopped")
    same(json.loads(tool("redact", "--replay=list", "--data=stopped", "--json", expect=1).out)["stayedOpen"], 1, "of a directory")
    with Daemon(dir=os.path.realpath("stopped"), options=OPTIONS) as daemon, daemon.client() as client:
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))
        tool("erase", "bob", "--reopen", admin(daemon), "--record=list")
        same(json.loads(replay(daemon).out)["stayedOpen"], 0, "once the list says that it is open")
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))


@story.story
def a_log_that_was_erased_again_is_no_open_one():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "bob")
        writer.push(10)
        tool("erase", "bob", admin(daemon), "--record=list")
        tool("erase", "bob", "--reopen", admin(daemon), "--record=list")
        writer.push(10)
        tool("backup", daemon.dir, "--to=backup")
        tool("erase", "bob", admin(daemon), "--record=list")
    with restored("backup", "one") as daemon, daemon.client() as client:
        said = replay(daemon)
        same((json.loads(said.out)["stayedOpen"], "stays open" in said.error), (0, False), "what is said: %s" % said.error)
        same(client.get(writer.path("actions")).json()["code"], "ERASED", "the answer")


@story.story
def what_a_later_backup_has_goes_with_an_erasure_of_an_earlier_one():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        Writer(client, "other").push(3)
        writer, bob = Writer(client, "other"), Writer(client, "bob")
        for name in ("none", "early", "late"):
            if name != "none":
                bob.push(10)
            tool("backup", daemon.dir, "--to=" + name)
    for erased in ("none", "early"):
        with restored(erased, "erased-" + erased) as daemon:
            tool("erase", "bob", admin(daemon), "--record=list")
        with restored("late", "late-" + erased) as daemon, daemon.client() as client:
            said = replay(daemon)
            same((json.loads(said.out)["removed"], "stays open" in said.error), (20, False), "what is said: %s" % said.error)
            same(client.get(bob.path("actions")).json()["code"], "ERASED", "the answer")
            is_gone("late-" + erased, bob.actions, "erased as of " + erased)
            same(len(page(client, writer)), 3, "another log")
        os.unlink("list")


def snapshots(dir):
    return [name for _, _, names in os.walk(os.path.join(dir, "snapshots")) for name in names]


@story.story
def snapshots_that_a_later_backup_has_go_with_an_erasure_of_an_earlier_one():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        bob = Writer(client, "bob")
        for name in ("early", "late"):
            bob.push(10)
            if name == "late":
                for seq in (5, 15):
                    body = b"secret state %d" % seq
                    client.request("PUT", bob.path("snapshots/%d" % seq), body, {"Content-Type": None, "Edgereplay-State-Hash": bob.links[seq].hex()})
            tool("backup", daemon.dir, "--to=" + name)
    with restored("early", "erased") as daemon:
        tool("erase", "bob", admin(daemon), "--record=list")
    with restored("late", "running") as daemon, daemon.client() as client:
        same(len(snapshots("running")), 2, "snapshots before")
        replay(daemon)
        same(client.get(bob.path("actions")).json()["code"], "ERASED", "the answer")
        same(snapshots("running"), [], "snapshots of a running daemon")
    tool("restore", "late", "stopped")
    tool("redact", "--replay=list", "--data=stopped")
    same(snapshots("stopped"), [], "snapshots of a directory")


@story.story
def what_came_after_an_opening_stays_where_the_clock_was_ahead_and_that_is_said():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "bob")
        writer.push(10)
        tool("erase", "bob", admin(daemon), "--record=list")
        tool("erase", "bob", "--reopen", admin(daemon))
        writer.push(10)
        with open("list", encoding="utf-8") as file:
            line = json.loads(file.read())
        with open("list", "w", encoding="utf-8") as file:
            file.write(json.dumps({**line, "erasedAt": line["erasedAt"] + 86400000}) + "\n")
        said = replay(daemon, expect=1)
        same((json.loads(said.out)["removed"], json.loads(said.out)["stayedOpen"]), (0, 1), "what is said: %s" % said.error)
        judge_actions(page(client, writer), writer, 1, set(range(1, 11)))


@story.story
def a_log_that_parted_from_what_was_erased_keeps_what_it_got_since():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "bob")
        writer.push(4)
        tool("backup", daemon.dir, "--to=backup")
        writer.push(6)
        tool("erase", "bob", admin(daemon), "--record=list")
        tool("erase", "bob", "--reopen", admin(daemon), "--record=list")
    with restored("backup", "one") as daemon, daemon.client() as client:
        other = Writer(client, "bob", "tablet")
        other.actions, other.links = writer.actions[:4], writer.links[:5]
        other.push(20)
        same(json.loads(replay(daemon, expect=1).out)["absent"], 6, "what it cannot tell")
        judge_actions(page(client, other), other, 1, set(range(1, 5)))
        # The same when nothing says that it was opened again: it stays open, and that is said.
        with open("list", encoding="utf-8") as file:
            lines = file.readlines()
        with open("list", "w", encoding="utf-8") as file:
            file.write(lines[0])
        said = replay(daemon, expect=1)
        same((json.loads(said.out)["absent"], json.loads(said.out)["stayedOpen"]), (6, 1), "what it cannot tell, and what is open")
        is_true("log bob has got more since it was erased" in said.error, "what is said: %s", said.error)
        judge_actions(page(client, other), other, 1, set(range(1, 5)))


@story.story
def a_torn_line_costs_no_other_and_nothing_is_glued_to_it():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(30)
        tool("backup", daemon.dir, "--to=backup")
        tool("redact", "notes", "1-20", admin(daemon), "--record=list")
        os.truncate("list", os.path.getsize("list") - 30)
        with restored("backup", "one") as other, other.client() as theirs:
            said = replay(other, expect=1)
            is_true("list:20:" in said.error, "the line is named: %s", said.error)
            same((json.loads(said.out)["badLines"], json.loads(said.out)["removed"]), (1, 19), "said")
            judge_actions(page(theirs, writer), writer, 1, set(range(1, 20)))
        tool("redact", "notes", "21", admin(daemon), "--record=list")
        with restored("backup", "two") as other, other.client() as theirs:
            is_true("list:20:" in replay(other, expect=1).error, "the same line")
            judge_actions(page(theirs, writer), writer, 1, set(range(1, 20)) | {21})


@story.story
def what_lacks_content_is_said_where_a_log_is_replayed_or_imported():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        Writer(client, "notes").push(10)
        tool("prune", "notes", "--before=5", "--without-snapshot", admin(daemon))
        Writer(client, "other").push(3)
        tool("redact", "other", "2", admin(daemon))
        tool("export", "other", "--from=" + daemon.url, "--out=copy")
        tool("export", "--check", "copy")
        is_true("export --check" in tool("import", "copy", "--url=" + daemon.url, "--as=new", expect=1).error, "what verifies instead")
        said = tool("replay", "other", "--from=" + daemon.url, "--reducer=wc -l", "--json")
        same((json.loads(said.out)["redacted"], "1 of these" in said.error), (1, True), "of a server")
    said = tool("replay", "notes", "--from=" + daemon.dir, "--reducer=wc -l", "--json")
    same((json.loads(said.out)["redacted"], "4 of these" in said.error), (4, True), "of a directory")


@story.story
def a_list_that_cannot_be_written_is_said_before_anything_is_removed():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(5)
        for command in (["redact", "notes", "1"], ["erase", "notes"]):
            tool(*command, admin(daemon), "--record=missing/list", expect=4)
        judge_actions(page(client, writer), writer, 1, set())


class Cut(http.server.BaseHTTPRequestHandler):
    """An admin listener that is gone after so many steps of an erasure."""
    steps = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if Cut.steps == 0:
            self.close_connection = True
            return
        Cut.steps -= 1
        body = json.dumps({"log": "bob", "removed": 20000, "goneBefore": 0, "absent": 0, "more": True, "pruned": 0, "erasedAt": 1790000000000, "shards": 1,
                           "head": {"seq": 30000, "stateHash": "ab" * 32}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def lines():
    with open("list", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@story.story
def an_erasure_is_in_the_list_as_soon_as_it_is_in_force_and_what_is_not_known_is_said():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cut)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = ["erase", "bob", "--url=http://127.0.0.1:%d" % server.server_port, "--record=list", "--give-up=0"]
    said = tool(*command, expect=3)
    same(lines(), [], "nothing is known")
    is_true("log bob" in said.error and "not noted in list" in said.error, "what is said: %s", said.error)
    Cut.steps = 2
    said = tool(*command, expect=3)
    same(lines(), [{"log": "bob", "erased": True, "seq": 30000, "erasedAt": 1790000000000, "stateHash": "ab" * 32}], "once, though there were two steps")
    is_true("not noted" not in said.error, "what is said: %s", said.error)
    server.shutdown()
    server.server_close()


def waits_for_lock(process):
    with open("/proc/locks", encoding="ascii") as file:
        return any(line.split()[1:3] == ["->", "FLOCK"] and line.split()[5] == str(process.pid) for line in file)


@story.story
def who_notes_waits_for_who_is_noting():
    with Daemon(options=OPTIONS) as daemon, daemon.client() as client:
        Writer(client, "notes").push(5)
        with open("list", "w", encoding="utf-8") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            other.write('{"log":"other","reop')
            other.flush()
            process = subprocess.Popen([story.TOOL, "redact", "notes", "1-3", admin(daemon), "--record=list"])
            until(lambda: process.poll() is not None or waits_for_lock(process), "it waits")
            other.write('ened":true}\n')
            other.flush()
            fcntl.flock(other, fcntl.LOCK_UN)
        same(process.wait(60), 0, "exit code")
        same([line.get("seq") for line in lines()], [None, 1, 2, 3], "whole lines")


story.run()
