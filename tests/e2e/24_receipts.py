"""Receipts: an implementation that is not ours verifies them, keys change without a gap, and a log that was rewritten is caught."""
import http.server
import json
import os
import shutil
import signal
import sqlite3
import threading

from support import chain, receipt, story
from support.daemon import Daemon, Refused, databases, tool, until
from support.story import is_true, same, say

NAME = "sync.example.com"
with open(os.path.join(story.ROOT, "schema/vectors.json"), encoding="utf-8") as vectors_file:
    VECTORS = json.load(vectors_file)["receipts"]


def keygen(path, name=NAME):
    """A new key file; the verifying key."""
    vkey = tool("keygen", "--name=" + name, path).out.strip()
    same(os.stat(path).st_mode & 0o777, 0o600, "the key file's mode")
    same(receipt.write_vkey(name, receipt.read_signer(text_of(path).strip())[1].public_key()), vkey, "the key")
    return vkey


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def actions_of(device, count, first=0):
    return [{"device": device, "ts": 1000 + first + n, "type": "t", "payload": "p%d" % (first + n)}
            for n in range(count)]


class Writer:
    """Extends a log, and asks for a receipt each time."""

    def __init__(self, client, log):
        self.client, self.log = client, log
        self.links = [chain.genesis(log)]

    def push(self, count, **members):
        actions = actions_of("phone", count, len(self.links) - 1)
        body = chain.sync_body(actions, len(self.links) - 1, self.links[-1], **{"receipt": True, **members})
        answer = self.client.post("/v1/logs/%s/sync" % chain.path(self.log), body)
        same(answer.status, 200, "%s: status" % answer.body[:300])
        self.links += chain.extend(self.links[-1], actions)
        return answer.json()


def judge(answer, vkeys, log, server=NAME):
    """The receipt verifies, and says what the answer says."""
    same(receipt.read(answer["receipt"], vkeys), {
        "server": server, "log": log, "seq": answer["seq"], "link": bytes.fromhex(answer["stateHash"]),
        "serverTimestamp": answer["serverTimestamp"]}, "the receipt")


def verify(note, vkey, *more, expect=0):
    result = tool("receipt", "verify", "--vkey=" + vkey, *more, "-", input=note.encode(), expect=expect)
    return result.out + result.error


@story.story
def the_vectors_are_what_the_second_implementation_makes():
    for vector in VECTORS:
        signers = [receipt.read_signer(key) for key in vector["signingKeys"]]
        link = bytes.fromhex(vector["link"])
        text = receipt.receipt_text(vector["server"], vector["log"], vector["seq"], link, vector["serverTimestamp"])
        same(receipt.sign(text, signers), vector["receipt"], vector["name"])
        for key in vector["keys"]:
            same(receipt.read(vector["receipt"], [key])["link"], link, vector["name"])
            is_true(vector["log"] in verify(vector["receipt"], key), "the tool says the log")
    say("%d vectors", len(VECTORS))


@story.story
def who_asks_gets_a_receipt_that_others_can_verify():
    vkey = keygen("key")
    with Daemon(options={"receipts.key": "key", "receipts.name": NAME}) as daemon, daemon.client() as client:
        info = client.get("/v1/info").json()
        same((info["receiptKeys"], "receipt" in info["features"]), ([vkey], True), "info")
        for log in ("notes", "auth0|5f7c8ec7", "l" * 128):
            writer = Writer(client, log)
            judge(writer.push(0), [vkey], log)  # a log that nobody wrote
            for count in (1, 0, 7):
                judge(writer.push(count), [vkey], log)
            is_true("receipt" not in writer.push(1, receipt=False), "who does not ask gets none")
            stale = chain.sync_body(actions_of("tablet", 2), 3, writer.links[3], receipt=True)
            answer = client.post("/v1/logs/%s/sync" % chain.path(log), stale).json()
            same((answer["fastForward"], answer["seq"]), (False, 11), "a rebase")
            judge(answer, [vkey], log)
            stale = chain.sync_body(actions_of("desk", 1), 3, writer.links[3], receipt=True, onConflict="reject")
            answer = client.post("/v1/logs/%s/sync" % chain.path(log), stale)
            same((answer.status, "receipt" in answer.json()), (409, False), "no receipt of what was not accepted")


@story.story
def without_a_key_there_are_none():
    with Daemon() as daemon, daemon.client() as client:
        info = client.get("/v1/info").json()
        same((info["receiptKeys"], "receipt" in info["features"]), ([], False), "info")
        is_true("receipt" not in Writer(client, "notes").push(2), "served, without a receipt")


@story.story
def no_byte_of_a_receipt_can_be_changed():
    vkey = keygen("key")
    with Daemon(options={"receipts.key": "key"}) as daemon, daemon.client() as client:
        note = Writer(client, "notes").push(3)["receipt"]
    verify(note, vkey)
    changed = 0
    for at in range(0, len(note), 5):
        other = note[:at] + ("1" if note[at] != "1" else "2") + note[at + 1:]
        verify(other, vkey, expect=1)
        try:
            receipt.read(other, [vkey])
            raise AssertionError("accepted: %r" % other)
        except receipt.Refused:
            changed += 1
    verify(note, keygen("other"), expect=1)
    verify(note, keygen("another", "other.example.com"), expect=1)
    verify(note, vkey, "--log=other", expect=1)
    say("%d changed receipts refused by both", changed)


@story.story
def keys_change_without_a_gap():
    old, new = keygen("old"), keygen("new")
    write("key", text_of("old"))
    with Daemon(options={"receipts.key": "key"}) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        times = 1

        def reload(text):
            nonlocal times
            write("key", text)
            daemon.signal(signal.SIGHUP)
            times += text.count("PRIVATE")
            daemon.await_event('receipts are signed', times)
            until(lambda: len(client.get("/v1/info").json()["receiptKeys"]) == text.count("PRIVATE"), "the new keys")

        first = writer.push(1)
        judge(first, [old], "notes")
        reload("# while they change\n" + text_of("old") + "\n" + text_of("new"))
        both = writer.push(1)
        for vkey in (old, new):
            judge(both, [vkey], "notes")
            verify(both["receipt"], vkey, "--url=" + daemon.url)
        same(client.get("/v1/info").json()["receiptKeys"], [old, new], "both are published")
        write("key", "no key\n")
        daemon.signal(signal.SIGHUP)
        daemon.await_event("receipts.key")
        judge(writer.push(1), [new], "notes")  # a bad file changes nothing
        reload(text_of("new"))
        last = writer.push(1)
        judge(last, [new], "notes")
        verify(last["receipt"], old, expect=1)
        verify(first["receipt"], old, "--vkey=" + new, "--url=" + daemon.url)


@story.story
def a_key_file_that_cannot_be_right_refuses_the_start():
    keygen("good")
    keygen("foreign", "other.example.com")
    good = text_of("good")
    write("open", good, 0o640)
    write("empty", "\n# none\n")
    write("twice", good + good)
    write("mixed", good + text_of("foreign"))
    write("garbled", good.replace("PRIVATE", "PUBLIC"))
    write("public", tool("keygen", "--name=" + NAME, "fifth").out)
    write("many", "".join(text_of(path) for path in [(keygen("k%d" % n), "k%d" % n)[1] for n in range(5)]))
    os.mkdir("folder", 0o700)
    cases = (("missing", {}, "No such file"), ("open", {}, "0640"), ("empty", {}, "no key"), ("twice", {}, "twice:2"),
             ("mixed", {}, "another name"), ("garbled", {}, "garbled:1"), ("public", {}, "keygen"), ("many", {}, "many:5"),
             ("folder", {}, "regular"), ("foreign", {"receipts.name": NAME}, "receipts.name"))
    for path, more, word in cases:
        try:
            daemon = Daemon(options={"receipts.key": path, **more})
        except Refused as error:
            is_true(word in error.log and "PRIVATE" not in error.log, "%s: %r is in %s", path, word, error.log)
            continue
        daemon.destroy()
        raise AssertionError("it started with " + path)
    tool("keygen", "--name=" + NAME, "good", expect=4)
    same(text_of("good"), good, "a key is not overwritten")
    for name in ("", "a b", "a+b"):
        tool("keygen", "--name=" + name, "new", expect=2)


# --- the log, rewritten behind the daemon's back ---

def change(dir, log, seq, relink):
    """Changes the payload of an action with sqlite3; relink: and every link from there on, and the head's."""
    for path in databases(dir):
        database = sqlite3.connect(path)
        found = database.execute("SELECT id FROM logs WHERE name = ?", (log,)).fetchone()
        if found:
            database.execute("UPDATE actions SET payload = 'rewritten' WHERE log = ? AND seq = ?", (found[0], seq))
            if relink:
                chain_again(database, log, found[0])
            database.commit()
        database.close()


def chain_again(database, log, number):
    link, head, size = chain.genesis(log), 0, 0
    rows = database.execute("SELECT seq, device, ts, type, payload FROM actions WHERE log = ? ORDER BY seq", (number,))
    for seq, device, ts, kind, payload in rows.fetchall():
        link = chain.link(link, chain.digest({"device": device, "ts": ts, "type": kind, "payload": payload}))
        database.execute("UPDATE actions SET link = ? WHERE log = ? AND seq = ?", (link, number, seq))
        head, size = seq, size + len((device + kind + payload).encode())
    database.execute("UPDATE logs SET link = ?, seq = ?, bytes = ? WHERE id = ?", (link, head, size, number))


def cut(dir, log, seq):
    """Takes out the actions behind a seq, and makes the rest look whole."""
    for path in databases(dir):
        database = sqlite3.connect(path)
        found = database.execute("SELECT id FROM logs WHERE name = ?", (log,)).fetchone()
        if found:
            for table in ("actions", "batches"):
                database.execute("DELETE FROM %s WHERE log = ? AND seq > ?" % table, (found[0], seq))
            database.execute("UPDATE batches SET last = ? WHERE log = ? AND last > ?", (seq, found[0], seq))
            chain_again(database, log, found[0])
        database.commit()
        database.close()


def verdicts(dir, options, notes, vkey, expected):
    """What the tool says of each receipt: of the stopped directory, then of the daemon on it."""
    for note, code in zip(notes, expected):
        verify(note, vkey, "--data=" + dir, expect=code)
    with Daemon(dir=dir, options=options) as daemon:
        for note, code in zip(notes, expected):
            said = verify(note, vkey, "--url=" + daemon.url, "--give-up=5", expect=code)
            if code == 0:
                is_true("this log contains what was receipted" in said, "it says so: %s", said)
    for note, code in zip(notes, expected):
        verify(note, vkey, "--data=" + dir, expect=code)


@story.story
def a_rewritten_log_is_caught_by_a_receipt():
    vkey = keygen("key")
    options = {"receipts.key": "key", "store.shards": 4}
    with Daemon(options=options) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        notes = [writer.push(count)["receipt"] for count in (0, 4, 3, 30)]  # at 0, 4, 7, 37
        other = Writer(client, "other").push(5)["receipt"]
    verdicts(daemon.dir, options, notes + [other], vkey, (0, 0, 0, 0, 0))  # the control

    shutil.copytree(daemon.dir, "rewritten")
    change("rewritten", "notes", 6, relink=True)
    tool("verify", "rewritten")  # nothing in it says so
    with Daemon(dir="rewritten", options=options) as rewritten, rewritten.client() as client:
        page = client.get("/v1/logs/notes/actions").json()
        same((page["seq"], page["actions"][5]["payload"]), (37, "rewritten"), "it is served as good")
    verdicts("rewritten", options, notes + [other], vkey, (0, 0, 1, 1, 0))
    said = verify(notes[3], vkey, "--data=rewritten", expect=1)
    is_true("does not contain what was receipted" in said, "it says so: %s", said)

    shutil.copytree(daemon.dir, "changed")
    change("changed", "notes", 6, relink=False)
    verdicts("changed", options, notes + [other], vkey, (0, 0, 1, 1, 0))

    shutil.copytree(daemon.dir, "cut")
    cut("cut", "notes", 20)
    tool("verify", "cut")
    verdicts("cut", options, notes + [other], vkey, (0, 0, 0, 1, 0))


@story.story
def what_only_the_journal_has_is_contained():
    vkey = keygen("key")
    daemon = Daemon(options={"receipts.key": "key"})
    with daemon.client() as client:
        writer = Writer(client, "notes")
        notes = [writer.push(50)["receipt"] for _ in range(4)]
    daemon.kill()
    before = {name: os.stat(os.path.join(daemon.dir, name)).st_mtime_ns for name in os.listdir(daemon.dir)}
    with sqlite3.connect("file:%s?mode=ro" % databases(daemon.dir)[0], uri=True) as database:
        rows = database.execute("SELECT count(*) FROM actions").fetchone()[0]
    database.close()
    for note in notes:
        verify(note, vkey, "--data=" + daemon.dir)
    after = {name: os.stat(os.path.join(daemon.dir, name)).st_mtime_ns for name in os.listdir(daemon.dir)}
    for name, when in before.items():
        is_true(after.get(name) == when or name.endswith("-shm"), "%s is as it was", name)
    say("%d of 200 actions were in place", rows)
    daemon.start()
    verify(notes[-1], vkey, "--url=" + daemon.url)
    refused = verify(notes[-1], vkey, "--data=" + daemon.dir, expect=4)  # locked by the daemon
    is_true(daemon.dir in refused, "it says why: %s", refused)
    daemon.stop()


@story.story
def a_server_that_lies_is_not_believed():
    """It says that it has the position, and serves other actions with hashes that fit nothing."""
    vkey, log = keygen("key"), "notes"
    actions = actions_of("phone", 3)
    links = [chain.genesis(log)] + chain.extend(chain.genesis(log), actions)
    note = receipt.sign(receipt.receipt_text(NAME, log, 3, links[3], 1), [receipt.read_signer(text_of("key").strip())])
    served = {}

    class Liar(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # pylint: disable=invalid-name
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.end_headers()
            self.wfile.write("".join(json.dumps(line) + "\n" for line in served["lines"]).encode())

        def log_message(self, *_):  # pylint: disable=arguments-differ
            pass

    def stream(listed, ends):
        lines = [{"after": 0, "prevHash": links[0].hex()}]
        for seq, (action, link) in enumerate(zip(listed, ends), 1):
            lines.append({"seq": seq, **action, "link": link.hex()})
        return lines + [{"count": len(listed), "seq": len(listed), "stateHash": links[3].hex(), "serverTimestamp": 1}]

    forged = actions[:1] + [{**actions[1], "payload": "forged"}] + actions[2:]
    with http.server.HTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = "http://127.0.0.1:%d" % server.server_port
        for listed, ends, code in ((actions, links[1:], 0), (forged, links[1:], 1),
                                   (forged, chain.extend(links[0], forged), 1), (actions[:2], links[1:], 1), ([], [], 1)):
            served["lines"] = stream(listed, ends)
            verify(note, vkey, "--url=" + url, "--give-up=1", expect=code)
        server.shutdown()
        thread.join()


@story.story
def a_phone_keeps_its_newest_receipt():
    vkey = keygen("key")
    lines = "".join('{"type":"t","payload":"%d"}\n' % n for n in range(25)).encode()
    with Daemon(options={"receipts.key": "key"}) as daemon:
        push = ["push", "-q", "--url=" + daemon.url, "--log=notes"]
        tool(*push, "--state=phone", "--batch=10", "--receipt=kept", "-", input=lines)
        first = receipt.read(text_of("kept"), [vkey])
        same((first["log"], first["seq"]), ("notes", 25), "the newest")
        tool(*push, "--state=tablet", "-", input=lines)
        tool(*push, "--state=phone", "--receipt=kept")  # nothing to push: of what it pulled
        same(receipt.read(text_of("kept"), [vkey])["seq"], 50, "of the head")
        verify(text_of("kept"), vkey, "--url=" + daemon.url, "--log=notes")
    before = text_of("kept")
    with Daemon() as daemon:
        tool("push", "-q", "--url=" + daemon.url, "--log=notes", "--state=new", "--receipt=kept", "-", input=lines,
             expect=1)
        same(text_of("kept"), before, "the old one stays")


story.run()
