"""A new device begins from a snapshot: the tool gives and takes them, and a phone's chain then begins there."""
import glob
import json
import os
import shutil
import time

from support import chain, story
from support.daemon import Daemon, tool
from support.story import is_true, same, say

SOAK = os.environ.get("EDGEREPLAY_SOAK") == "1"
ACTIONS, TAIL = 1_000_000 if SOAK else 30_000, 40


def lines(count, first=1):
    return "".join(json.dumps({"type": "todo/add", "payload": json.dumps({"n": n})}) + "\n" for n in range(first, first + count)).encode()


def push(daemon, state, input=b"", *flags):
    return tool("push", "--url=" + daemon.url, "--log=a", "--state=" + state, *flags, "-", input=input)


def pull(daemon, state, *flags, expect=0):
    return tool("pull", "--url=" + daemon.url, "--log=a", "--state=" + state, *flags, expect=expect)


def status(state):
    return json.loads(tool("status", "--state=" + state, "--json").out)


def put(daemon, state, content, *flags, expect=0):
    with open("file", "wb") as file:
        file.write(content)
    return tool("snapshot", "put", "--url=" + daemon.url, "--log=a", "--json", *([state] if state.startswith("-") else ["--state=" + state]), *flags, "file", expect=expect)


def get(daemon, path, *flags, expect=0):
    return tool("snapshot", "get", "--url=" + daemon.url, "--log=a", "--json", *flags, path, expect=expect)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def seqs(output):
    return [json.loads(line)["seq"] for line in output.out.splitlines()]


@story.story
def the_tool_gives_and_takes_snapshots():
    with Daemon(options={"limits.snapshot_bytes": 1000000}) as daemon:
        push(daemon, "one", lines(5))
        get(daemon, "got", expect=1)
        is_true(not os.path.exists("got"), "a file of nothing")
        stored = json.loads(put(daemon, "one", b"state 5" * 1000, "--app-version=4.2", "--media-type=application/x-app").out)
        base = status("one")
        same(stored, {"seq": 5, "stateHash": base["stateHash"], "bytes": 7000, "kept": True}, "put")
        push(daemon, "one", lines(3))
        put(daemon, "one", b"state 8")
        same(json.loads(get(daemon, "got").out)["seq"], 8, "the newest")
        same(content("got"), b"state 8", "its file")
        got = json.loads(get(daemon, "got.gz", "--before=8").out)
        same(got, {"seq": 5, "stateHash": base["stateHash"], "bytes": 7000, "mediaType": "application/x-app", "appVersion": "4.2"}, "the one before")
        same(content("got.gz"), b"state 5" * 1000, "its file, as it was sent whatever its name")
        put(daemon, "--at=%d:%s" % (5, base["stateHash"]), b"again")
        put(daemon, "--at=8:" + base["stateHash"], b"of another history", expect=1)
        put(daemon, "--at=9:" + base["stateHash"], b"beyond the head", expect=1)
        put(daemon, "one", b"x" * 1000001, expect=1)
        put(daemon, "--at=8", b"", expect=2)
        get(daemon, "none/such", expect=4)
        put(daemon, "one", b"x")
        daemon.stop()
        tool("snapshot", "get", "--url=" + daemon.url, "--log=a", "--give-up=0", "never", expect=3)
        is_true(not os.path.exists("never"), "a file of nothing")
        daemon.start()


@story.story
def a_new_device_begins_from_a_snapshot_and_replays_only_the_tail():
    with Daemon() as daemon:
        push(daemon, "one", lines(ACTIONS - TAIL), "--batch=1000")
        put(daemon, "one", b"the state" * 100000)
        push(daemon, "one", lines(TAIL, ACTIONS))
        began = time.monotonic()
        output = pull(daemon, "two", "--snapshot=state")
        seconds = time.monotonic() - began
        same(seqs(output), list(range(ACTIONS - TAIL + 1, ACTIONS + 1)), "what was printed")
        same(content("state"), b"the state" * 100000, "the snapshot's file")
        one, two = status("one"), status("two")
        same((two["seq"], two["stateHash"], two["snapshotSeq"], one["snapshotSeq"]), (ACTIONS, one["stateHash"], ACTIONS - TAIL, 0), "status")
        began = time.monotonic()
        same(len(seqs(pull(daemon, "three"))), ACTIONS, "without a snapshot")
        say("a new device on %d actions: %.0f ms from a snapshot, %.0f ms without", ACTIONS, 1000 * seconds, 1000 * (time.monotonic() - began))
        # both go on, and a pull of the part that is not there says so
        push(daemon, "two", lines(2))
        same(seqs(pull(daemon, "one")), [ACTIONS + 1, ACTIONS + 2], "what the first gets of the second")
        same(status("one")["stateHash"], status("two")["stateHash"], "state hashes")
        same(len(seqs(pull(daemon, "two", "--after=%d" % (ACTIONS - TAIL)))), TAIL + 2, "all that it has")
        pull(daemon, "two", "--after=17", expect=1)
        same(seqs(pull(daemon, "two", "--snapshot=state")), [], "a state that has begun takes no other one")
        for command in (["export", "a", "--from=two"], ["replay", "a", "--from=two"], ["bisect", "a", "--with=two", "--from=" + daemon.url]):
            output = tool(*command, expect=1)
            is_true("began from a snapshot" in output.error, "%s says %s", command[0], output.error)


@story.story
def verify_looks_at_the_snapshots():
    with Daemon() as daemon:
        push(daemon, "one", lines(5))
        put(daemon, "one", b"x" * 5000)
        push(daemon, "one", lines(5))
        put(daemon, "one", b"y" * 5000)
        daemon.stop()
        same(json.loads(tool("verify", daemon.dir, "--json").out.splitlines()[-1])["snapshots"], 2, "counted")
        older, newer = sorted(glob.glob(os.path.join(daemon.dir, "snapshots/*/*")))
        shutil.copyfile(older, "kept")
        with open(older, "r+b") as file:
            file.seek(3000)
            file.write(b"?")
        finding = json.loads(tool("verify", daemon.dir, "--json", expect=1).out.splitlines()[0])
        same(finding, {"file": older, "what": "the snapshot does not verify: it may be deleted"}, "finding")
        shutil.copyfile(newer, older)
        tool("verify", daemon.dir, expect=1)  # whole, and not what its name says
        shutil.copyfile("kept", older)
        tool("verify", daemon.dir)
        daemon.start()


@story.story
def without_a_snapshot_and_with_a_queue_it_begins_as_well():
    with Daemon() as daemon:
        push(daemon, "one", lines(10))
        same(seqs(pull(daemon, "two", "--snapshot=none")), list(range(1, 11)), "there is none: all of the log")
        is_true(not os.path.exists("none"), "a file of nothing")
        put(daemon, "one", b"of 10")
        daemon.stop()
        tool("push", "--url=" + daemon.url, "--log=a", "--state=three", "--give-up=0", "-", input=lines(2), expect=3)
        daemon.start()
        same(seqs(pull(daemon, "three", "--snapshot=state")), [], "nothing is behind the snapshot")
        same((status("three")["queued"], status("three")["seq"], content("state")), (2, 10, b"of 10"), "its own are queued")
        push(daemon, "three")
        same(seqs(pull(daemon, "one")), [11, 12], "pushed")


@story.story
def a_server_that_lost_what_a_phone_began_from_is_healed_by_others_and_by_it():
    """The log is restored to before the snapshot: the phone goes back to the beginning, gives back what it has, and loses nothing."""
    with Daemon() as daemon:
        push(daemon, "one", lines(20))
        daemon.stop()
        shutil.copytree(daemon.dir, "backup")
        daemon.start()
        push(daemon, "one", lines(10))
        put(daemon, "one", b"of 30")
        pull(daemon, "two", "--snapshot=state")
        push(daemon, "two", lines(3))
        push(daemon, "two", lines(2))
        wanted = status("two")["seq"]
        same(wanted, 35, "seq")
        daemon.stop()
    with Daemon(dir=os.path.abspath("backup")) as restored:
        push(restored, "two")
        same(status("two")["snapshotSeq"], 0, "it has begun anew")
        same(status("two")["seq"], 25, "what the backup had, and its own")
        push(restored, "one")
        pull(restored, "two")
        one, two = status("one"), status("two")
        same((one["seq"], one["stateHash"]), (two["seq"], two["stateHash"]), "both")
        same(one["seq"], 35, "nothing is lost")
        payloads = [json.loads(line)["payload"] for line in tool("pull", "--url=" + restored.url, "--log=a").out.splitlines()]
        same(len(payloads), 35, "actions")
        tool("snapshot", "get", "--url=" + restored.url, "--log=a", "x", expect=1)


@story.story
def the_ancestor_may_be_the_snapshot_itself():
    """Restored to a time behind the snapshot: only what is after it goes round."""
    with Daemon() as daemon:
        push(daemon, "one", lines(20))
        put(daemon, "one", b"of 20")
        push(daemon, "one", lines(5))
        daemon.stop()
        shutil.copytree(daemon.dir, "backup")
        daemon.start()
        pull(daemon, "two", "--snapshot=state")
        for _ in range(4):
            push(daemon, "two", lines(5))
        daemon.stop()
    with Daemon(dir=os.path.abspath("backup")) as restored:
        push(restored, "two")
        two = status("two")
        same((two["snapshotSeq"], two["seq"], two["setAside"]), (20, 45, 0), "status")
        links = [chain.genesis("a")]
        for line in tool("pull", "--url=" + restored.url, "--log=a").out.splitlines():
            links.append(chain.link(links[-1], chain.digest(json.loads(line))))
        same(links[-1].hex(), two["stateHash"], "the log's and the phone's")


story.run()
