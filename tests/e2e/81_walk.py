"""The walk of docs/deployment.md to a phone over HTTPS, line by line, but for where the documents and what ports are free."""
import os
import re
import signal
import subprocess

from support import front, story
from support.daemon import until
from support.story import is_true, same


def blocks(heading):
    """The blocks of shell commands below a heading."""
    with open(os.path.join(story.ROOT, "docs/deployment.md"), encoding="utf-8") as file:
        section = file.read().split("\n## %s\n" % heading)[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def replaced(text, changes):
    for old, new in changes.items():
        is_true(old in text, "there is no %s in %s", old, text)
        text = text.replace(old, new)
    return text


@story.story
def a_phone_comes_over_https_with_a_token_and_not_without():
    program = front.installed("haproxy")
    if program is None:
        story.skip("haproxy is needed")
    daemon, proxy = front.free_port(), front.free_port()
    server, phone = blocks("A phone over HTTPS")
    # A shell that goes on line by line, as the reader does, and stops where a line fails.
    server = replaced(server, {"docs=/usr/share/doc/edgereplay\n": "docs=%s\n" % story.ROOT, "bind :8443": "bind 127.0.0.1:%d" % proxy,
                               "127.0.0.1:8081": "127.0.0.1:%d" % daemon})
    phone = replaced(phone, {"localhost:8443": "localhost:%d" % proxy, "python3 ": "/usr/bin/python3 -B "})
    with open("walk.sh", "w", encoding="utf-8") as file:
        file.write("set -e\n" + server + phone + "wait\n")
    with open("said", "wb") as said:
        process = subprocess.Popen(["bash", "walk.sh"], stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "PATH": ":".join([story.BUILD, os.environ["PATH"], os.path.dirname(program)])})
    try:
        until(lambda: process.poll() is not None, "the end of the walk")
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    with open("said", encoding="utf-8", errors="replace") as file:
        text = file.read()
    same(process.returncode, 0, "exit code of the walk: %s" % text[-3000:])
    is_true("later: UNAUTHENTICATED: " in text, "without a token: %s", text[-3000:])
    is_true("milk" in text.rpartition("later: UNAUTHENTICATED: ")[2], "what the phone shows: %s", text[-3000:])
    is_true(re.search(r"^1 [0-9a-f]{64}$", text, re.MULTILINE), "what the tool says, with the authority: %s", text[-3000:])
    same(os.stat("both.pem").st_mode & 0o077, 0, "who else may read the key")


story.run()
