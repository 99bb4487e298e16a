"""What a support engineer asks of one user's log: replay to a hash, where a phone's copy parts from it, and its figures."""
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys

from support import chain, export, story
from support.daemon import Daemon, databases, tool, until, whole_log
from support.story import is_true, same, say

COUNT = 120

# A list that grows at either end; it leaves a mark when it sees the end of its input.
REDUCER = """
import json, sys
state = []
for line in sys.stdin:
    action = json.loads(line)
    state = [action["payload"]] + state if action["type"] == "front" else state + [action["payload"]]
print(json.dumps(state))
open("saw-the-end", "w").close()
"""


def actions_of(device, count, first=0):
    return [{"device": device, "ts": 1_790_000_000_000 + 10 * (first + n), "type": ("front", "back")[n % 3 > 0],
             "payload": "%s-%d" % (device, first + n)} for n in range(count)]


def reduce(actions):
    state = []
    for action in actions:
        state = [action["payload"]] + state if action["type"] == "front" else state + [action["payload"]]
    return state


def push(client, log, actions):
    body = chain.sync_body(actions, 0, chain.genesis(log), pull=0)
    same(client.post("/v1/logs/%s/sync" % chain.path(log), body).status, 200, "status")


class Copies:
    """A log on a running daemon, in a stopped one's directory, as an export, and in a phone's state file."""

    def __init__(self, log="notes"):
        self.log = log
        stopped = Daemon()
        self.dir = stopped.dir
        with stopped.client() as client:
            push(client, log, actions_of("phone", COUNT // 2) + actions_of("tablet", COUNT - COUNT // 2, 7))
            self.actions, self.links = whole_log(client, log)
        tool("export", log, "--from=" + stopped.url, "--out=copy.gz")
        tool("pull", "--url=" + stopped.url, "--log=" + log, "--state=state", "-q")
        stopped.stop()
        self.daemon = Daemon()
        tool("import", "copy.gz", "--url=" + self.daemon.url, "-q")
        self.url = self.daemon.url
        with open("reduce.py", "w", encoding="utf-8") as file:
            file.write(REDUCER)
        self.reducer = "--reducer=%s reduce.py" % sys.executable

    @property
    def sources(self):
        return [self.url, self.dir, "copy.gz", "state"]

    def __enter__(self):
        return self

    def __exit__(self, *how):
        self.daemon.__exit__(*how)


def saw_the_end():
    there = os.path.exists("saw-the-end")
    if there:
        os.unlink("saw-the-end")
    return there


@story.story
def the_state_at_a_hash_is_what_the_reducer_makes_of_the_actions_up_to_it():
    with Copies() as log:
        for where in log.sources:
            for seq in (0, 1, 40, COUNT):
                for until_ in (str(seq), log.links[seq].hex(), "%d:%s" % (seq, log.links[seq].hex())):
                    result = tool("replay", "notes", "--from=" + where, "--until=" + until_, log.reducer)
                    same(json.loads(result.out), reduce(log.actions[:seq]), "%s until %s" % (where, until_))
                    is_true(log.links[seq].hex() in result.error and saw_the_end(), "the state hash: %s", result.error)
            said = json.loads(tool("replay", "notes", "--from=" + where, "--json", log.reducer).out)
            same((said["log"], said["seq"], said["stateHash"], json.loads(said["output"])),
                 ("notes", COUNT, log.links[-1].hex(), reduce(log.actions)), "as JSON")
            rows = [json.loads(line) for line in tool("replay", "notes", "--from=" + where, "--until=9").out.splitlines()]
            same([{k: row[k] for k in ("device", "ts", "type", "payload")} for row in rows], log.actions[:9], "the actions")
            same([row["link"] for row in rows], [link.hex() for link in log.links[1:10]], "and their links")
        same(tool("replay", "--from=copy.gz", "--until=3").out, tool("replay", "notes", "--from=copy.gz", "--until=3").out,
             "a file says of which log it is")


@story.story
def a_program_never_sees_an_end_that_is_none():
    with Copies() as log:
        saw_the_end()
        lines = export.lines_of("copy.gz")
        with open("bad", "wb") as file:
            file.write(b"\n".join(lines[:80] + [lines[80].replace(b"tablet", b"tables")] + lines[81:]) + b"\n")
        with open("cut", "wb") as file:
            file.write(b"\n".join(lines[:100]) + b"\n")
        for where, *more in (["bad"], ["cut"], ["copy.gz", "--until=" + "0" * 64], [log.url, "--until=" + "0" * 64],
                             [log.dir, "--until=%d" % (COUNT + 1)], [log.dir, "--until=5:" + "0" * 64], ["state", "--until=999"]):
            result = tool("replay", "notes", "--from=" + where, log.reducer, *more, expect=1)
            same((result.out, saw_the_end()), ("", False), "what the program did with %s %s" % (where, more))
        tool("replay", "--from=copy.gz", "--reducer=exit 3", expect=5)
        tool("replay", "--from=copy.gz", "--reducer=cat >/dev/null; kill -9 $$", expect=5)
        tool("replay", "--from=copy.gz", "--reducer=/no/such/program", expect=5)
        for arguments in (["notes"], ["--from=" + log.url], ["--from=" + log.dir], ["other", "--from=copy.gz"],
                          ["notes", "--from=copy.gz", "--until=x"], ["a/b", "--from=" + log.url]):
            tool("replay", *arguments, expect=2)
        tool("replay", "notes", "--from=missing", expect=4)


@story.story
def a_program_ends_with_the_tool():
    with Copies() as log:
        saw_the_end()
        script = "touch began; cat >/dev/null; sleep 60; touch saw-the-end"
        for number in (signal.SIGINT, signal.SIGTERM):
            running = subprocess.Popen([story.TOOL, "replay", "notes", "--from=" + log.dir, "--reducer=" + script])
            until(lambda: os.path.exists("began"), "the program to begin")
            os.unlink("began")
            with open("/proc/%d/task/%d/children" % (running.pid, running.pid), encoding="ascii") as file:
                group = int(file.read())
            running.send_signal(number)
            same(running.wait(60), -number, "exit code")
            until(lambda: gone(group), "the program to end")  # pylint: disable=cell-var-from-loop
            same(saw_the_end(), False, "it went on")


def gone(group):
    try:
        os.killpg(group, 0)
    except OSError:
        return True
    return False


# --- bisect ---

def bisect(where, with_, *more, expect=1):
    return json.loads(tool("bisect", "notes", "--json", "--from=" + where, "--with=" + with_, *more, expect=expect).out)


@story.story
def one_altered_action_is_located_exactly():
    rng = random.Random(story.seed())
    with Copies() as log:
        rows = export.lines_of("copy.gz")[1:-1]
        requests = 0
        for at in (1, 2, COUNT - 1, COUNT, *(rng.randrange(1, COUNT) for _ in range(6))):
            member = rng.choice(("payload", "type", "device"))
            changed = {**log.actions[at - 1], member: log.actions[at - 1][member] + "x"}
            # The phone's app had it otherwise from the first: all its links follow. Or: its file was changed later.
            export.write("own", "notes", log.actions[:at - 1] + [changed] + log.actions[at:])
            with open("later", "wb") as file:
                row = {**json.loads(rows[at - 1]), member: changed[member]}
                file.write(b"\n".join(rows[:at - 1] + [json.dumps(row).encode()] + rows[at:]) + b"\n")
            for with_, was_changed in (("own", False), ("later", True)):
                for where in log.sources[:3]:
                    said = bisect(where, with_)
                    same((said["verdict"], said["seq"], said["same"], said["differIn"], said["changedOnPhone"]),
                         ("differs", at, {"seq": at - 1, "stateHash": log.links[at - 1].hex()}, [member], was_changed), with_)
                    same([{k: side[k] for k in changed} for side in (said["phone"], said["server"])],
                         [changed, log.actions[at - 1]], "both sides")
                    requests = max(requests, said.get("requests", 0))
        is_true(requests <= 12, "%d requests for %d actions", requests, COUNT)
        said = tool("bisect", "--from=" + log.url, "--with=own", expect=1).out
        is_true("different from action" in said and "differ in" in said, "in words: %s", said)
        say("%d requests at most", requests)


@story.story
def a_rotten_state_file_is_located_exactly():
    with Copies() as log:
        with sqlite3.connect("state") as database:
            database.execute("UPDATE confirmed SET payload = CAST('rotten' AS BLOB) WHERE seq = 71")
        database.close()
        said = bisect(log.url, "state")
        same((said["seq"], said["differIn"], said["changedOnPhone"], said["phone"]["payload"]), (71, ["payload"], True, "rotten"),
             "where")


@story.story
def an_action_too_many_too_few_or_out_of_order_is_located():
    with Copies() as log:
        actions = log.actions
        for what, seq, changed in (("inserted", 31, actions[:30] + actions_of("desk", 1) + actions[30:]),
                                   ("left out", 31, actions[:30] + actions[31:]),
                                   ("swapped", 31, actions[:30] + [actions[31], actions[30]] + actions[32:])):
            said = bisect(log.url, export.write("other", "notes", changed))
            same((said["verdict"], said["seq"]), ("differs", seq), what)


@story.story
def who_is_only_ahead_or_behind_differs_in_nothing():
    with Copies() as log:
        more = export.write("more", "notes", log.actions + actions_of("desk", 5))
        part = export.write("part", "notes", log.actions[:17])
        with open("pulled", "w", encoding="utf-8") as file:
            file.write(tool("pull", "-q", "--url=" + log.url, "--log=notes").out)
        for with_, verdict, phone in ((more, "ahead", COUNT + 5), (part, "behind", 17), ("copy.gz", "same", COUNT),
                                      ("state", "same", COUNT), ("pulled", "same", COUNT)):
            for where in (log.url, log.dir):
                said = bisect(where, with_, expect=0)
                least = min(phone, COUNT)
                same((said["verdict"], said["phoneSeq"], said["serverSeq"], said["same"]),
                     (verdict, phone, COUNT, {"seq": least, "stateHash": log.links[least].hex()}), with_)
        is_true("ahead by 5" in tool("bisect", "--from=" + log.url, "--with=more").out, "in words")
        is_true("behind by %d" % (COUNT - 17) in tool("bisect", "--from=" + log.url, "--with=part").out, "in words")
        same(bisect(log.url, export.write("none", "notes", []), expect=0)["verdict"], "behind", "a phone that has nothing")
        tool("bisect", "--from=" + log.url, "--with=pulled", expect=1)  # of which log?
        tool("bisect", "other", "--from=" + log.url, "--with=copy.gz", expect=2)
        tool("bisect", "notes", "--from=http://127.0.0.1:9", "--with=copy.gz", "--give-up=0", expect=3)
        tool("bisect", "notes", "--from=" + log.url, "--with=missing", expect=4)
        tool("bisect", "notes", "--from=" + log.url, expect=2)


# --- figures ---

@story.story
def the_figures_of_a_log_and_of_a_directory_are_its_own():
    with Copies() as log:
        for where in log.sources:
            said = json.loads(tool("stat", where, "--log=notes", "--json").out)
            same((said["log"], said["seq"], said["stateHash"], said["payloadBytes"]),
                 ("notes", COUNT, log.links[-1].hex(), sum(len(a["payload"]) for a in log.actions)), where)
            same({d["device"]: (d["actions"], d["oldest"], d["newest"]) for d in said["devices"]},
                 {name: (len(own), min(own), max(own)) for name in ("phone", "tablet")
                  for own in [[a["ts"] for a in log.actions if a["device"] == name]]}, "devices")
        info = json.loads(tool("stat", log.url, "--json").out)
        same(info["protocol"], 1, "what a server says")
        is_true("limits.batchActions" in tool("stat", log.url).out, "in words")
        tool("stat", log.daemon.dir, expect=4)  # in use
        tool("stat", "missing", expect=4)
        tool("stat", "http://127.0.0.1:9", "--give-up=0", expect=3)
    said = json.loads(tool("stat", log.dir, "--json").out)
    path = databases(log.dir)[0]
    with sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True) as database:
        pages, = database.execute("PRAGMA page_count").fetchone()
    database.close()
    shard, = said["shards"]
    same((said["logs"], said["actions"], said["largestLogs"][0]["log"]), (1, COUNT, "notes"), "in all")
    same((shard["pages"], shard["fileBytes"], shard["schema"], shard["keptRecords"], shard["anchor"]["fileBytes"]),
         (pages, os.path.getsize(path), 1, 0, os.path.getsize(path)), "the shard")
    before = os.path.getsize(path)
    os.truncate(path, before - 4096)
    is_true("refuses" in tool("stat", log.dir, expect=None).out, "a shard that has lost something")
    tool("stat", log.dir, expect=1)


@story.story
def what_waits_in_the_journal_is_counted_and_the_largest_logs_are_named():
    daemon = Daemon(options={"store.shards": 4})
    with daemon.client() as client:
        for n in range(14):
            push(client, "log-%d" % n, actions_of("phone", n + 1))
    daemon.kill()
    said = json.loads(tool("stat", daemon.dir, "--json").out)
    same((len(said["shards"]), said["actions"]), (4, 105), "while some of it is in the journal")
    daemon.start()
    daemon.stop()
    said = json.loads(tool("stat", daemon.dir, "--json").out)
    same((said["actions"], said["logs"], sum(s["waitingActions"] for s in said["shards"])), (105, 14, 0), "in place")
    same([(entry["log"], entry["actions"]) for entry in said["largestLogs"]],
         [("log-%d" % n, n + 1) for n in range(13, 3, -1)], "the largest logs")


@story.story
def a_server_that_wants_a_token_gets_it_from_each_command():
    tool("token", "keygen", "--key=signing", "--jwks=set.json")
    with open("token", "w", encoding="utf-8") as file:
        file.write(tool("token", "mint", "--key=signing", "--sub=anna").out)
    vkey = tool("keygen", "--name=sync.example.com", "receipts").out.strip()
    with Daemon(options={"auth.mode": "jwt", "auth.jwks_file": os.path.abspath("set.json"),
                         "receipts.key": os.path.abspath("receipts")}) as daemon:
        line = json.dumps({"type": "front", "payload": "one"}).encode()
        tool("push", "--url=" + daemon.url, "--log=anna", "--state=state", "--receipt=note", "--token-file=token", "-", input=line)
        for command in (("export", "anna", "--from=" + daemon.url, "--out=copy.gz"), ("import", "copy.gz", "--url=" + daemon.url),
                        ("replay", "anna", "--from=" + daemon.url), ("bisect", "anna", "--from=" + daemon.url, "--with=state"),
                        ("stat", daemon.url, "--log=anna"), ("receipt", "verify", "--vkey=" + vkey, "--url=" + daemon.url, "note")):
            is_true("UNAUTHENTICATED" in tool(*command, expect=3).error, "%s without a token", command[0])
            tool(*command, "--token-file=token")
        export.judge("copy.gz", "anna", [vkey])


@story.story
def each_command_says_what_it_needs():
    for command in ("export", "import", "stat", "replay", "bisect", "receipt verify"):
        said = tool(*command.split(), "--help").out
        is_true(said.startswith("edgereplay " + command) and "Exit codes" in said, "%s --help: %s", command, said)
        is_true("edgereplay push" not in said, "only of the one")
        tool(*command.split(), "--shard=1", expect=2)
    for word, commands in (("receipt", ["verify"]), ("snapshot", ["put", "get"]), ("token", ["keygen", "mint"])):
        said = tool(word, "--help").out
        same(re.findall("^edgereplay (.*?) -", said, re.MULTILINE), ["%s %s" % (word, other) for other in commands], "%s --help" % word)
        is_true("Exit codes" in said, "%s --help: %s", word, said)
    for words in (["toke"], ["token", "x"], [""]):
        is_true("no such command" in tool(*words, "--help", expect=2).error, "%s --help", words)


story.run()
