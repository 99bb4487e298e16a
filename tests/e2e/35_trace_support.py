"""A real file's 18 335 edits, as a support engineer meets them: the text at a hash, one edit altered on a phone, another server."""
import datetime
import gzip
import json
import os
import random
import sys

from support import export, story
from support.daemon import Daemon, tool
from support.story import is_true, same, say

TRACE = os.path.join(story.ROOT, "../shared/data/sveltecomponent.json.gz")
if not os.path.exists(TRACE):
    story.skip("the trace is not here: " + TRACE)
with gzip.open(TRACE, "rt", encoding="utf-8") as stream:
    TRACE = json.load(stream)

# As a team's own reducer would be: a program that knows nothing of logs, and prints the text.
REDUCER = """
import json, sys
text = ""
for line in sys.stdin:
    for position, deleted, inserted in json.loads(json.loads(line)["payload"]):
        text = text[:position] + inserted + text[position + deleted:]
sys.stdout.buffer.write(text.encode())
"""


def edits():
    """The trace as push's input; stamps by the rule `last + 1`."""
    last = 0
    for transaction in TRACE["txns"]:
        now = datetime.datetime.fromisoformat(transaction["time"].replace("Z", "+00:00"))
        last = max(last + 1, int(now.timestamp() * 1000))
        yield {"type": "text/patch", "ts": last, "payload": json.dumps(transaction["patches"])}


def text_after(count):
    text = ""
    for transaction in TRACE["txns"][:count]:
        for position, deleted, inserted in transaction["patches"]:
            text = text[:position] + inserted + text[position + deleted:]
    return text


@story.story
def the_text_at_a_hash_one_altered_edit_and_another_server():
    rng = random.Random(story.seed())
    with Daemon() as daemon:
        url = "--from=" + daemon.url
        lines = "".join(json.dumps(edit) + "\n" for edit in edits()).encode()
        tool("push", "-q", "--url=" + daemon.url, "--log=text", "--state=phone", "--device=phone", "-", input=lines)
        tool("export", "text", url, "--out=a.gz")
        actions, links = export.judge("a.gz", "text")
        same(len(actions), len(TRACE["txns"]), "actions")
        replay_prefixes(url, links, rng)
        find_altered(url, actions, rng)
        move(links)


def replay_prefixes(url, links, rng):
    with open("reduce.py", "w", encoding="utf-8") as file:
        file.write(REDUCER)
    count = len(links) - 1
    for where in (url, "--from=a.gz", "--from=phone"):
        for seq in (1, rng.randrange(2, count), count):
            result = tool("replay", "text", where, "--until=" + links[seq].hex(), "--reducer=%s reduce.py" % sys.executable)
            is_true(result.out == text_after(seq), "the text at action %d is another one", seq)
            is_true("at action %d, state hash %s" % (seq, links[seq].hex()) in result.error, "what is said: %s", result.error)
    is_true(text_after(count) == TRACE["endContent"], "the whole trace gives its text")


def find_altered(url, actions, rng):
    requests = 0
    for _ in range(4):
        at = rng.randrange(len(actions))
        altered = {**actions[at], "payload": actions[at]["payload"].replace("[[", "[[1", 1)}
        export.write("altered", "text", actions[:at] + [altered] + actions[at + 1:])
        said = json.loads(tool("bisect", url, "--with=altered", "--json", expect=1).out)
        same((said["seq"], said["differIn"], said["phone"]["payload"], said["server"]["payload"]),
             (at + 1, ["payload"], altered["payload"], actions[at]["payload"]), "where it was altered")
        requests = max(requests, said["requests"])
    same(json.loads(tool("bisect", url, "--with=phone", "--json").out)["verdict"], "same", "the phone itself")
    say("found with %d requests at most", requests)


def move(links):
    other = Daemon()
    said = json.loads(tool("import", "a.gz", "--url=" + other.url, "--json", "-q").out)
    same((said["applied"], said["sameHistory"], said["stateHash"]), (len(links) - 1, True, links[-1].hex()), "imported")
    other.stop()
    tool("verify", other.dir)
    said = json.loads(tool("stat", other.dir, "--log=text", "--json").out)
    same((said["seq"], said["stateHash"]), (len(links) - 1, links[-1].hex()), "what the other server has")


story.run()
