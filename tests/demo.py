"""
demo: two phones edit a shopping list offline, conflict, retry after a lost answer and converge; every step is told.

    demo.py BUILD      BUILD is the folder with edgereplayd and edgereplay

It makes a folder for itself, uses free ports of 127.0.0.1, and cleans up. The exit code is not 0 if something was off.
"""
import json
import os
import shutil
import sys
import tempfile

os.environ["EDGEREPLAY_BUILD"] = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/release")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "e2e"))
from support.daemon import Daemon, tool  # noqa: E402
from support.proxy import Proxy  # noqa: E402

LOG = "family-shopping"
NOWHERE = "http://127.0.0.1:9"  # what a phone without network reaches: nothing
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
steps = 0


def step(text):
    global steps
    steps += 1
    print("\n%s%d. %s%s" % (BOLD, steps, text, PLAIN), flush=True)


def tell(text, *values):
    print("   " + text % values, flush=True)


def sure(condition, text):
    if not condition:
        sys.exit("demo: this is off: " + text)


def shopping_list(lines):
    """The app's reducer: the log's actions, in order, make the list."""
    items = {}
    for line in lines:
        action = json.loads(line)
        item = json.loads(action["payload"])["item"]
        if action["type"] == "list/add":
            items[item] = False
        elif item in items:
            items[item] = True
    return ", ".join(item + " (bought)" if bought else item for item, bought in items.items())


class Phone:
    """A phone is a state file; the tool does what its app would do."""

    def __init__(self, name):
        self.name, self.state = name, name + ".phone"

    def push(self, url, *edits, how=(), expect=0):
        """Edits go into the durable queue first, then to the server."""
        lines = "".join(json.dumps({"type": "list/" + verb, "payload": json.dumps({"item": item})}) + "\n"
                        for verb, item in edits)
        return tool("push", "--json", "-q", "--url=" + url, "--log=" + LOG, "--state=" + self.state,
                    "--device=" + self.name, *how, *(["-"] if edits else []), input=lines.encode(), expect=expect)

    def offline(self, *edits):
        self.push(NOWHERE, *edits, how=["--give-up=1"], expect=3)
        tell("%s, offline: %s", self.name, "; ".join("%s %s" % edit for edit in edits))

    def online(self, url, *how):
        result = json.loads(self.push(url, how=how).out)
        tell("%s, online: %d new, %d known already, nothing left in the queue → seq %d, state %s…", self.name,
             result["applied"], result["duplicates"], result["seq"], result["stateHash"][:12])
        sure(result["queued"] == 0 and result["setAside"] == 0, "something is left: %r" % result)
        return result

    def show(self, url):
        out = tool("pull", "-q", "--url=" + url, "--log=" + LOG, "--state=" + self.state, "--after=0").out
        status = json.loads(tool("status", "--json", "--state=" + self.state).out)
        tell("%-6s seq %d, state %s…: %s", self.name, status["seq"], status["stateHash"][:12],
             shopping_list(out.splitlines()))
        return status["stateHash"], shopping_list(out.splitlines())


def play():
    step("A server starts on a free port, with an empty folder")
    daemon = Daemon(dir=os.path.abspath("data"))
    tell("edgereplayd at %s, data in %s", daemon.url, daemon.dir)
    anna, bob = Phone("anna"), Phone("bob")

    step("Both phones are offline and edit; the edits wait in each phone's queue")
    anna.offline(("add", "milk"), ("add", "bread"))
    bob.offline(("add", "eggs"), ("add", "coffee"))

    step("Anna comes online first: her chain becomes the log (a fast-forward)")
    anna.online(daemon.url)

    step("Bob comes online and insists on his own order: a conflict; his phone takes what it missed and pushes again")
    conflict = bob.online(daemon.url, "--on-conflict=reject")
    sure(conflict["seq"] == 4, "four actions by now")

    step("Anna edits again, but the server's answer is lost on the way: the phone sends the same once more")
    with Proxy(daemon.port, seed=1) as network:
        anna.offline(("buy", "milk"))
        network.lose_answers = 1
        retried = anna.online(network.url)
        tell("answers lost: %d; the server knew the action again and stored it once", network.lost)
        sure(network.lost == 1 and retried["duplicates"] == 1 and retried["seq"] == 5, "a duplicate, once in the log")

    step("Both edit the same item offline, then meet")
    anna.offline(("add", "tea"))
    bob.offline(("buy", "milk"), ("add", "tea"))
    bob.online(daemon.url)
    anna.online(daemon.url)

    step("Everybody has the same history, hash for hash")
    views = {phone.show(daemon.url) for phone in (anna, bob)}
    head = json.loads(tool("head", "--json", "--url=" + daemon.url, "--log=" + LOG).out)
    tell("%-6s seq %d, state %s…", "server", head["seq"], head["stateHash"][:12])
    sure(len(views) == 1 and {view[0] for view in views} == {head["stateHash"]}, "different histories")
    sure(head["seq"] == 8, "eight actions")

    step("The server stops; its files are audited offline: every link recomputed")
    tell("stopped in %.1f s", daemon.stop())
    audit = json.loads(tool("verify", "--json", daemon.dir).out.splitlines()[-1])
    tell("%d actions of %d logs verified, %d findings", audit["actions"], audit["logs"], audit["findings"])
    sure(audit["actions"] == 8 and audit["findings"] == 0, "the audit: %r" % audit)
    print("\n%sAll is well.%s" % (BOLD, PLAIN))


def main():
    folder = tempfile.mkdtemp(prefix="edgereplay-demo.")
    os.chdir(folder)
    try:
        play()
    finally:
        os.chdir("/")
        shutil.rmtree(folder)


main()
