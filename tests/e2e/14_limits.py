"""What edgereplay-limits measures: each limit gives its figures, leaves nothing behind, and says what is wrong with its options."""
import json
import os
import subprocess

from support import story
from support.story import is_true, same, say

LIMITS = os.path.join(story.BUILD, "edgereplay-limits")


def limits(*arguments, expect=0):
    done = subprocess.run([LIMITS, *arguments], capture_output=True, text=True, timeout=120, check=False)
    same(done.returncode, expect, "exit code of %s\n%s%s\nexit code" % (arguments, done.stdout, done.stderr))
    return done


def figures(*arguments):
    found = json.loads(limits(*arguments, "--json").stdout)
    same(found.pop("limit"), arguments[0], "the limit's name")
    is_true(all(value > 0 for value in found.values()), "a figure that is not positive: %s", found)
    return found


@story.story
def requests_are_answered_with_and_without_suspend():
    for more in ([], ["--suspend"], ["--suspend", "--hold_usec=500", "--threads=1"]):
        found = figures("http", "--actions=10", "--connections=8", "--warmup=0", "--duration=1", *more)
        say("%s: %.1f us a request, %.0f requests/s", " ".join(more) or "at once", found["cpuPerRequestUs"],
            found["requestsPerSecond"])
        is_true(found["requests"] > 100, "%d requests in a second", found["requests"])


@story.story
def a_large_request_arrives_whole():
    # Above what a socket takes at once.
    found = figures("http", "--actions=1000", "--payload=4096", "--connections=2", "--warmup=0", "--duration=1")
    is_true(found["requestBytes"] > 4_000_000, "a request of %d bytes", found["requestBytes"])


@story.story
def rows_are_counted_and_weighed():
    for logs, actions in ((64, 1), (1000, 7), (100_000, 1000)):
        found = figures("insert", "--rows=60000", "--logs=%d" % logs, "--actions=%d" % actions)
        is_true(found["actions"] >= 60000, "%d actions", found["actions"])
        is_true(120 < found["bytesPerAction"] < 400, "%f bytes an action", found["bytesPerAction"])
    same(os.listdir("."), [], "what is left in the folder")


@story.story
def syncs_are_timed():
    found = figures("append", "--count=50", "--size=4KiB")
    is_true(found["p50Ms"] <= found["p99Ms"] <= found["maxMs"], "out of order: %s", found)
    same((found["appends"], found["bytes"]), (50, 4096), "what was asked for")
    same(os.listdir("."), [], "what is left in the folder")


@story.story
def hashes_are_timed():
    same(figures("hash", "--rows=1000")["actions"], 1000, "actions")


@story.story
def wrong_options_are_named():
    for arguments, word in ((["http", "--logs=3"], "--logs=3"), (["hash", "--payload=1"], "32..4096"),
                            (["append", "--count"], "--count"), (["nothing"], "nothing"), ([], "a limit is needed"),
                            (["insert", "rows=5"], "rows=5")):
        said = limits(*arguments, expect=2).stderr
        is_true(word in said, "%s: %s", arguments, said)
    said = limits("append", "--dir=/nowhere/at/all", expect=1).stderr
    is_true("/nowhere/at/all" in said, "a folder that is not there: %s", said)


story.run()
