"""--json: whatever a command comes to, its stdout is one JSON document; and exit code 4 is a file that is not there."""
import json
import os
import re
import subprocess

from support import story
from support.daemon import Daemon, tool
from support.removal import Writer
from support.story import is_true, same

STREAMS = ("pull",)  # a document a line, and none of an empty log


def ran(*arguments, given=""):
    return subprocess.run([story.TOOL, *map(str, arguments), "--json"], input=given, capture_output=True, text=True, timeout=120)


def document(done, what):
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise AssertionError("%s: exit %d, stdout %r, stderr %r" % (what, done.returncode, done.stdout[:200], done.stderr[:200])) from None


def commands():
    """As the help names them."""
    return set(re.findall(r"^edgereplay ((?:snapshot |token |receipt )?[a-z-]+)", tool("--help").out, re.MULTILINE))


def table(daemon, url, dir, vkey):
    """Of each command what succeeds, if it can, and what fails, with its exit code."""
    log, server, phone = "--log=notes", "--url=" + url, "--state=phone"
    gone = "--url=unix:/nowhere/admin.sock"
    admin = "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")
    from_server, from_nothing = "--from=" + url, "--from=missing"
    return [
        ("keygen", ["--name=a.example", "key"], 0), ("keygen", ["--name=a.example", "key"], 4),
        ("token keygen", ["--key=token.key", "--jwks=jwks"], 0), ("token keygen", ["--key=token.key"], 4),
        ("token mint", ["--key=token.key", "--sub=me"], 0), ("token mint", ["--key=missing", "--sub=me"], 4),
        ("push", [server, log, phone, "actions"], 0), ("push", [server, log, phone, "missing"], 4), ("push", [server, log], 2),
        ("push", [gone, log, "--state=other", "--give-up=0", "actions"], 3),
        ("pull", [server, log], 0), ("pull", [server, log, "--until=9999"], 1), ("pull", [gone, log, "--give-up=0"], 3), ("pull", [server, "--log=a/b"], 2),
        ("head", [server, log], 0), ("head", [gone, log, "--give-up=0"], 3),
        ("health", [admin], 0), ("health", [gone, "--give-up=0"], 3),
        ("status", [phone], 0), ("status", ["--state=missing"], 4),
        ("receipt verify", ["--vkey=" + vkey, "note"], 0), ("receipt verify", ["--vkey=" + vkey, "actions"], 1), ("receipt verify", ["--vkey=" + vkey, "missing"], 4),
        ("export", ["notes", from_server, "--out=copy"], 0), ("export", ["nobody", from_server, "--out=x"], 1), ("export", ["notes", from_nothing], 4),
        ("export", ["--check", "copy"], 0), ("export", ["--check", "actions"], None), ("export", ["--check", "missing"], 4),
        ("import", ["copy", server, "--as=again"], 0), ("import", ["missing", server], 4), ("import", ["copy"], 2),
        ("replay", ["notes", from_server, "--reducer=wc -l"], 0), ("replay", ["notes", from_server, "--reducer=false"], 5), ("replay", ["notes", from_nothing], 4),
        ("bisect", ["notes", from_server, "--with=phone"], 0), ("bisect", ["notes", from_server, "--with=missing"], 4), ("bisect", ["notes", from_nothing, "--with=phone"], 4),
        ("stat", [url], 0), ("stat", [url, log], 0), ("stat", ["copy"], 0), ("stat", ["missing"], 4), ("stat", ["missing", log], 4), ("stat", [dir], 0),
        ("snapshot put", [server, log, phone, "actions"], 0), ("snapshot put", [server, log, phone, "missing"], 4),
        ("snapshot get", [server, log, "got"], 0), ("snapshot get", [server, "--log=nobody", "x"], 1),
        ("backup", [daemon.dir, "--to=live"], 0), ("backup", [daemon.dir, "--to=live"], 4), ("backup", ["missing"], 4), ("backup", [dir, "--to=still"], 0),
        ("restore", ["still", "restored"], 0), ("restore", ["still", "restored"], 4), ("restore", ["missing", "new"], 4),
        ("prune", ["notes", admin], 0), ("prune", ["nobody", admin], 1), ("prune", ["--all", admin], 0), ("prune", [admin], 2),
        ("redact", ["notes", "1", admin, "--record=list"], 0), ("redact", ["notes", "99999", admin], 1), ("redact", ["notes", "0", admin], 2),
        ("redact", ["notes", "1"], 2), ("redact", ["notes", "1", gone, "--give-up=0"], 3), ("redact", ["--replay=list", admin], 0), ("redact", ["--replay=missing", admin], 4),
        ("erase", ["notes", admin], 0), ("erase", ["nobody", admin], 0), ("erase", ["notes", "--data=" + daemon.dir], 4), ("erase", ["notes", admin, "--record=no/list"], 4),
        ("erase", ["notes", "--reopen", admin], 0),
        ("verify", [dir], 0), ("verify", ["missing"], 4),
        ("repair", [dir, log, "--dry-run"], 0), ("repair", ["missing", log], 4),
        ("accept-loss", [dir, "--shard=0"], None), ("accept-loss", ["missing", "--shard=0"], 4),
        ("reshard", [2, dir, "--dry-run"], 0), ("reshard", [2, dir], 0), ("reshard", [2, dir, "--dry-run"], 0), ("reshard", [2, dir], 0),
        ("reshard", [3, dir], 2), ("reshard", [4, "missing"], 4), ("reshard", [4, daemon.dir], 4),
    ]


@story.story
def every_command_answers_with_a_document():
    vkey = tool("keygen", "--name=sync.example.com", "receipts.key").out.strip()
    with open("actions", "w", encoding="utf-8") as file:
        file.writelines('{"type":"t","payload":"%d"}\n' % n for n in range(5))
    with Daemon() as still, still.client() as client:
        Writer(client, "notes").push(5)
    options = {"receipts.key": os.path.realpath("receipts.key"), "admin.listen": "unix:admin.sock"}
    with Daemon(options=options) as daemon, daemon.client() as client:
        with open("note", "w", encoding="utf-8") as file:
            file.write(Writer(client, "other").push(2, receipt=True)["receipt"])
        rows = table(daemon, daemon.url, still.dir, vkey)
        same({name for name, _, _ in rows}, commands(), "each command is here")
        for name, arguments, code in rows:
            done = ran(*name.split(), *arguments)
            what = "%s %s" % (name, arguments)
            is_true(code in (done.returncode, None), "%s: exit code %d: %s", what, done.returncode, done.stderr)
            if name in STREAMS and done.returncode == 0:
                for line in done.stdout.splitlines():
                    json.loads(line)
                continue
            said = document(done, what)
            is_true("error" in said if done.returncode == 2 else True, "%s: %s", what, said)
            is_true(said.get("error", "") in done.stderr, "%s: %s", what, said)


@story.story
def so_does_a_command_line_that_is_wrong():
    for arguments in ([], ["frob"], ["prune", "--frob"], ["prune", "--before=x"], ["reshard", "4"]):
        done = ran(*arguments)
        same((done.returncode, list(document(done, arguments))), (2, ["error"]), "%s" % arguments)


@story.story
def paths_of_any_bytes_are_written_as_json():
    with Daemon() as daemon, daemon.client() as client:
        Writer(client, "notes").push(5)
    for path, text in ((b'a "b\\c\n', 'a "b\\c\n'), (b"a\xffb", "a\ufffdb")):
        copy, kept = path + b".copy", path + b".copy.removed-1.ndjson"
        for member, arguments in (("backup", ["backup", daemon.dir, b"--to=" + path]), ("restored", ["restore", path, copy]),
                                  ("leftovers", ["redact", "notes", "1", b"--data=" + copy]), ("error", ["verify", path + b".missing"])):
            with open(kept, "wb"):
                pass
            done = subprocess.run([story.TOOL, *arguments, "--json"], capture_output=True, timeout=120)
            said = document(done, arguments)[member]
            is_true(text in (said[0] if member == "leftovers" else said), "%s: %s", arguments, said)



story.run()
