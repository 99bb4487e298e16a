"""example: the clients of docs/examples, as programs; and a server that says what a test wants."""
import http.server
import itertools
import json
import os
import shlex
import subprocess
import threading
import time

from support import chain, story
from support.daemon import whole_log
from support.story import same

EXAMPLES = os.path.join(story.ROOT, "docs/examples")
CLIENTS = {
    "Python": ["/usr/bin/python3", "-B", os.path.join(EXAMPLES, "python/client.py")],
    "JavaScript": ["node", os.path.join(EXAMPLES, "javascript/client.mjs")],
    "C": [os.path.join(story.BUILD, "example-client")],
}
if "EDGEREPLAY_CLIENT" in os.environ:  # somebody else's, with the same commands
    CLIENTS = {"theirs": shlex.split(os.environ["EDGEREPLAY_CLIENT"])}
DONE, STOPPED, LATER = 0, 1, 3
PAIRS = list(zip(CLIENTS, list(CLIENTS)[1:] + list(CLIENTS)[:1]))


numbers = itertools.count()


def run(language, *arguments, expect=DONE, **environment):
    done = subprocess.run(CLIENTS[language] + list(arguments), capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, **environment})
    same(done.returncode, expect, "%s %s: %s, exit code" % (language, arguments[-3:], done.stderr[-2000:]))
    return done


class Phone:
    """One install of an example."""

    def __init__(self, language, url, log="notes"):
        self.language, self.url, self.log = language, url, log
        self.state = os.path.abspath("%s-%d.state" % (language, next(numbers)))

    @property
    def device(self):
        return self.show()["device"]

    def command(self, *words):
        return ["--state=" + self.state, "--url=" + self.url, "--log=" + self.log, *words]

    def act(self, *payloads):
        """The actions."""
        said = run(self.language, *self.command("act", "note/add", *payloads)).stdout
        return [json.loads(line) for line in said.splitlines()]

    def sync(self, expect=DONE, tries=20, **environment):
        return run(self.language, *self.command("sync"), "--tries=%d" % tries, expect=expect, **environment).stderr

    def show(self):
        return json.loads(run(self.language, *self.command("show")).stdout)

    def payloads(self):
        return [payload for _, _, _, payload in self.show()["actions"]]


def agree(phones, client, log="notes"):
    """All hold the log, whole, and nothing waits. The payloads."""
    actions, links = whole_log(client, log)
    for phone in phones:
        held = phone.show()
        same((held["seq"], held["stateHash"]), (len(actions), links[-1].hex()), phone.language + ": its base")
        same(held["actions"], [[a["device"], a["ts"], a["type"], a["payload"]] for a in actions], phone.language + ": actions")
        same(held["queue"], [], phone.language + ": queue")
    return [action["payload"] for action in actions]


def push(client, actions, log="notes", seq=0):
    body = chain.sync_body(actions, seq, chain.genesis(log))
    same(client.post("/v1/logs/%s/sync" % log, body).status, 200, "status of a push")


class Fake:
    """A server that says what the test wants. answer(path) -> (status, document)."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self):
                status, document = answer(self.path)
                body = json.dumps({"serverTimestamp": int(time.time() * 1000), **document}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
