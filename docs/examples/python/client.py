#!/usr/bin/python3
"""A whole Edgereplay client, to read and to begin from: docs/clients.md goes through it. The standard library is enough.

    client.py --state=FILE --url=URL --log=NAME act TYPE PAYLOAD…    the user did something; needs no network
    client.py --state=FILE --url=URL --log=NAME sync [--tries=N]     0: done; 1: stopped, the app must look; 3: later
    client.py --state=FILE --url=URL --log=NAME show                 what it holds, as JSON
    client.py vectors schema/vectors.json                            whether its bytes are the protocol's

A token is taken from the environment, EDGEREPLAY_TOKEN. Numbers in comments are sections of schema/protocol.md.
"""
import argparse
import hashlib
import http.client
import json
import os
import random
import sqlite3
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

BATCH = 500  # actions in a request; the server says in /v1/info how many it takes at most
BATCH_BYTES = 256 << 10  # of their payloads, whatever they become in JSON: a body that is far too large may get no answer


# --- the bytes (2) ---

def h(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def genesis(log):
    return h(b"edgereplay/1/log\0", log.encode())


def digest_of(action):
    if action.get("redacted"):  # its content is gone; the server still says what it was
        return bytes.fromhex(action["digest"])
    device, kind = action["device"].encode(), action["type"].encode()
    return h(b"edgereplay/1/action\0", action["ts"].to_bytes(8, "big"), len(device).to_bytes(2, "big"), device,
             len(kind).to_bytes(2, "big"), kind, action["payload"].encode())


def link(previous, digest):
    return h(b"edgereplay/1/link\0", previous, digest)


def identifier(action):
    digest = digest_of(action)
    bits = bytearray(action["ts"].to_bytes(6, "big") + digest[:10])
    bits[6], bits[8] = 0x80 | bits[6] & 0x0F, 0x80 | bits[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(bits)))


# --- what it keeps (7) ---

SCHEMA = """
CREATE TABLE about (log TEXT, device TEXT, offset INTEGER);
CREATE TABLE confirmed (seq INTEGER PRIMARY KEY, device TEXT, ts INTEGER, type TEXT, payload TEXT, digest BLOB, link BLOB);
CREATE INDEX confirmed_stamps ON confirmed (device, ts);
CREATE TABLE queue (place INTEGER PRIMARY KEY, device TEXT, ts INTEGER, type TEXT, payload TEXT, digest BLOB, again INTEGER);
CREATE TABLE aside (device TEXT, ts INTEGER, type TEXT, payload TEXT, why TEXT);
"""


class Store:
    """The phone's copy: what the server has confirmed, what it has not got yet, in order, and what the app must look at.

    Each change is one transaction, on the disk when it is over: whenever the process dies, this is a state that it was in.
    """

    def __init__(self, path, log):
        self.db = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")  # one sync per log and device at a time
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("BEGIN EXCLUSIVE")
        if not self.db.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in SCHEMA.split(";"):
                self.db.execute(statement)
            # Random for each install; a backup of the phone must not carry it to another one.
            self.db.execute("INSERT INTO about VALUES (?, ?, 0)", (log, "py-" + uuid.uuid4().hex[:12]))
        self.db.execute("COMMIT")
        self.log, self.device, self.offset = self.db.execute("SELECT log, device, offset FROM about").fetchone()
        if self.log != log:
            sys.exit("this state is of the log " + self.log)

    def __enter__(self):
        self.db.execute("BEGIN")

    def __exit__(self, kind, *_):
        self.db.execute("ROLLBACK" if kind else "COMMIT")

    def link_at(self, seq):
        """Our own link at a seq, or None if we have none."""
        if seq == 0:
            return genesis(self.log)
        row = self.db.execute("SELECT link FROM confirmed WHERE seq = ?", (seq,)).fetchone()
        return row and row["link"]

    def base(self):
        return self.db.execute("SELECT coalesce(max(seq), 0) FROM confirmed").fetchone()[0]

    def queued(self, count):
        """The first of the queue: at most so many, and one at least."""
        rows, room = [], BATCH_BYTES
        for row in self.db.execute("SELECT * FROM queue ORDER BY place LIMIT ?", (count,)):
            room -= len(row["payload"].encode())
            if rows and room < 0:
                break
            rows.append(row)
        return rows

    def free_stamp(self, place, after=0):
        """A stamp for what goes to this place of the queue (7, "Stamps")."""
        others = "(SELECT ts FROM confirmed WHERE device = :d UNION ALL SELECT ts FROM queue WHERE device = :d AND place %s :p)"
        names = {"d": self.device, "p": place}
        newest = self.db.execute("SELECT coalesce(max(ts), 0) FROM " + others % "<", names).fetchone()[0]
        ts = int(time.time() * 1000) + self.offset
        if newest <= ts + 300_000:
            ts = max(ts, newest + 1)
        ts = max(ts, after + 1)
        while self.db.execute("SELECT 1 FROM %s WHERE ts = :t" % (others % "!="), {**names, "t": ts}).fetchone():
            ts += 1
        return ts

    def act(self, kind, payload):
        """It is in the queue before anybody hears of it."""
        with self:
            place = self.db.execute("SELECT coalesce(max(place), 0) + 1 FROM queue").fetchone()[0]
            action = {"device": self.device, "ts": self.free_stamp(place), "type": kind, "payload": payload}
            self.db.execute("INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, 0)", (place, *action.values(), digest_of(action)))
        return action

    def confirm(self, actions, seq, state_hash):
        """Appends what comes after the base, if it leads to this hash: no hash is adopted that was not computed here."""
        at = self.base()
        here, rows = self.link_at(at), []
        for action in actions:
            at, digest = at + 1, digest_of(action)
            here = link(here, digest)
            rows.append((at, action["device"], action["ts"], action.get("type"), action.get("payload"), digest, here))
        if (at, here.hex()) != (seq, state_hash):
            raise Later("the server's actions do not lead to its state hash: report this")
        with self:
            self.db.executemany("INSERT INTO confirmed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self.db.executemany("DELETE FROM queue WHERE device = ? AND ts = ? AND digest = ?", [(r[1], r[2], r[5]) for r in rows])

    def roll_back(self, seq):
        """What is after seq goes to the front of the queue, in its order: the server has lost it, or has it elsewhere."""
        with self:
            first = self.db.execute("SELECT coalesce(min(place), 1) FROM queue").fetchone()[0]
            rows = self.db.execute("SELECT * FROM confirmed WHERE seq > ? AND type IS NOT NULL ORDER BY seq", (seq,)).fetchall()
            self.db.executemany("INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, 1)", [
                (first - len(rows) + n, r["device"], r["ts"], r["type"], r["payload"], r["digest"]) for n, r in enumerate(rows)])
            self.db.execute("DELETE FROM confirmed WHERE seq > ?", (seq,))

    def drop(self, row):
        with self:
            self.db.execute("DELETE FROM queue WHERE place = ?", (row["place"],))

    def set_aside(self, row, why):
        """It will not get into the log as it is: the app shows it to the user, and goes on with the others."""
        with self:
            self.db.execute("INSERT INTO aside SELECT device, ts, type, payload, ? FROM queue WHERE place = ?", (why, row["place"]))
            self.db.execute("DELETE FROM queue WHERE place = ?", (row["place"],))

    def stamp(self, row, ts):
        action = {**dict(row), "ts": ts}
        self.db.execute("UPDATE queue SET ts = ?, digest = ? WHERE place = ?", (ts, digest_of(action), row["place"]))

    def restamp_from(self, row, after):
        """New stamps for it and for what is behind it, in order, but for what was confirmed once."""
        with self:
            for later in self.db.execute("SELECT * FROM queue WHERE place >= ? AND NOT again ORDER BY place", (row["place"],)).fetchall():
                self.stamp(later, self.free_stamp(later["place"], after))

    def set_offset(self, offset):
        self.offset = offset
        self.db.execute("UPDATE about SET offset = ?", (offset,))


# --- what it says and hears ---

class Later(Exception):
    """The outcome is unknown, or the server asks to wait: the same again after a pause; after None when the app says so."""

    def __init__(self, why, after=0.0):
        super().__init__(why)
        self.after = after


class Stopped(Exception):
    """Repeating does not help: the app, its user or the operator must do something."""


class Client:
    def __init__(self, store, url):
        self.store, self.url = store, "%s/v1/" % url.rstrip("/")
        self.path = "logs/%s/" % urllib.parse.quote(store.log, safe="-._~@:+=")
        self.batch, self.mismatches, self.full = BATCH, 0, None

    def call(self, method, target, body=None):
        """(status, document). Whatever is no answer of the server's own is Later."""
        request = urllib.request.Request(self.url + target, body and json.dumps(body).encode(), method=method)
        request.add_header("Content-Type", "application/json")
        if "EDGEREPLAY_TOKEN" in os.environ:
            request.add_header("Authorization", "Bearer " + os.environ["EDGEREPLAY_TOKEN"])
        wall, steady = time.time(), time.monotonic()
        try:
            try:
                answer = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            document = json.loads(answer.read())
            offset = document["serverTimestamp"] - int((wall + (time.monotonic() - steady) / 2) * 1000)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise Later("no answer: %s" % error) from error
        if abs((time.time() - wall) - (time.monotonic() - steady)) < 0.1:  # else somebody set the clock meanwhile
            self.store.set_offset(offset)
        if answer.status != 200 and "retry" not in document:
            raise Later("no problem document: %d" % answer.status)
        after = answer.headers.get("Retry-After", "")
        document["Retry-After"] = int(after) if after.isdigit() else 0  # a proxy may send a date
        return answer.status, document

    def sync(self, tries):
        """Pushes and pulls until nothing is left. n of the protocol's pause is counted since the last success."""
        failures = 0
        while True:
            try:
                if not self.round():
                    return
                failures = 0
            except Later as later:
                failures += 1
                print("later: %s" % later, file=sys.stderr)
                if failures >= tries or later.after is None:
                    raise
                time.sleep(later.after + random.random() * min(2 ** failures * 0.1, 30))

    def round(self):
        """One request and what follows from its answer. Whether there is more to do."""
        store, seq = self.store, self.store.base()
        batch = [] if self.full else store.queued(self.batch)
        here = store.link_at(seq)
        body = {"device": store.device, "seq": seq, "prevHash": here.hex(), "locator": self.locator(seq), "actions": []}
        for row in batch:
            here = link(here, row["digest"])
            body["actions"].append({name: row[name] for name in ("device", "ts", "type", "payload")})
            body["stateHash"] = here.hex()
        status, answer = self.call("POST", self.path + "sync", body)
        if status != 200:
            self.refused(batch, answer)
            return True
        self.mismatches, self.batch = 0, min(2 * self.batch, BATCH)
        self.accepted(batch, answer)
        if self.full:
            raise Stopped(self.full)
        time.sleep(answer["backoffMs"] / 1000)
        return bool(store.queued(1))

    def locator(self, seq):
        """Older links with growing gaps, so that the place where histories part is found in the same round trip."""
        pairs, gap = [], 1
        while seq > 0 and len(pairs) < 64:
            seq, gap = max(seq - gap, 0), gap * 2
            pairs.append([seq, self.store.link_at(seq).hex()])
        return pairs or [[0, genesis(self.store.log).hex()]]

    def accepted(self, batch, answer):
        store, base, refused = self.store, self.store.base(), []
        if answer["fastForward"]:  # our chain is the log's
            store.confirm(map(dict, batch), answer["seq"], answer["stateHash"])
            return
        placed = {action["seq"]: action for action in answer["missed"]}
        for row, result in zip(batch, answer["results"], strict=True):
            if "refused" in result:
                refused.append((row, result))
            elif result["seq"] > base:
                placed[result["seq"]] = dict(row)
            else:
                store.drop(row)  # it is there already, in what we have confirmed
        if answer["hasMore"]:
            self.pull()
        elif set(placed) != set(range(base + 1, answer["seq"] + 1)):
            raise Later("the answer has gaps: report this")
        else:
            store.confirm([placed[n] for n in sorted(placed)], answer["seq"], answer["stateHash"])
        # Last: what was accepted must have left the queue before stamps change.
        waits = [self.refused_action(row, result) for row, result in refused]
        if any(waits):
            raise Later("actions are stamped ahead of the server's clock")

    def pull(self):
        """From the base to the head, page by page (4.2)."""
        more = True
        while more:
            base = self.store.base()
            status, page = self.call("GET", self.path + "actions?after=%d" % base)
            if status != 200:
                self.refused([], page)
                return  # the next sync finds where the histories part
            if (page["after"], page["prevHash"]) != (base, self.store.link_at(base).hex()):
                raise Later("the page does not begin at our base")
            self.store.confirm(page["actions"], page["seq"], page["stateHash"])
            more = page["hasMore"]

    def refused_action(self, row, result):
        """The log does not have it (7, "refused"). Whether it has to wait."""
        if result["refused"] == "TIMESTAMP_TAKEN":
            with self.store:
                self.store.stamp(row, row["ts"] + 1)
        elif row["again"]:
            self.store.set_aside(row, result["refused"])
        elif result["refused"] == "NON_MONOTONIC_TIMESTAMP":
            self.store.restamp_from(row, result["newest"])
        else:  # CLOCK_SKEW: a little ahead is waited for, a new stamp would make a new action
            limit = self.call("GET", "info")[1]["clock"]["maxSkewMs"]
            if result["aheadMs"] >= limit + 60_000:
                self.store.restamp_from(row, 0)
            return True
        return False

    def refused(self, batch, problem):
        """What the server's advice asks for (7)."""
        code, retry, index = problem["code"], problem["retry"], problem.get("index")
        what = "%s: %s" % (code, problem["detail"])
        if retry == "after":
            raise Later(what, problem["Retry-After"])
        if retry == "rebase":
            if "ancestor" in problem:
                self.heal(problem["head"], problem["ancestor"])
        elif retry == "split" and len(batch) > 1:
            self.batch = len(batch) // 2
        elif retry == "split" and batch:
            self.store.set_aside(batch[0], code)
        elif code == "QUOTA_EXCEEDED":
            self.full = what  # go on reading, keep everything, tell the user
        elif retry == "never" and index is not None and index < len(batch):
            self.store.set_aside(batch[index], what)
        elif retry == "auth":
            raise Later(what, None)  # the app gets a new token
        else:
            raise Stopped(what)

    def heal(self, head, ancestor):
        """The server lost what we have, or has another history: give back what it lost, take what it has."""
        store = self.store
        self.mismatches += 1
        own = store.link_at(head["seq"])
        if own is not None and own.hex() == head["stateHash"]:
            ancestor = head
        own = store.link_at(ancestor["seq"])
        if own is None or own.hex() != ancestor["stateHash"]:
            raise Later("the server names an ancestor that we do not have: report this")
        store.roll_back(ancestor["seq"])
        self.pull()  # what comes back leaves the queue; the rest is pushed, oldest first
        if self.mismatches > 5:
            raise Later("five mismatches in a row: report this")


def check_vectors(path):
    count = 0
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for case in cases:
        here = genesis(case["log"])
        assert here.hex() == case["genesis"], case["name"]
        for action in case["actions"]:
            here = link(here, digest_of(action))
            found = (digest_of(action).hex(), identifier(action), here.hex())
            assert found == (action["digest"], action["id"], action["link"]), (case["name"], action["seq"], found)
            count += 1
    print("%d cases, %d actions: equal" % (len(cases), count))


def main():
    parser = argparse.ArgumentParser()
    for name in ("--state", "--url", "--log"):
        parser.add_argument(name)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("command", choices=("act", "sync", "show", "vectors"))
    parser.add_argument("words", nargs="*")
    flags = parser.parse_args()
    if flags.command == "vectors":
        check_vectors(flags.words[0])
        return
    store = Store(flags.state, flags.log)
    if flags.command == "act":
        for payload in flags.words[1:]:
            print(json.dumps(store.act(flags.words[0], payload)), flush=True)
    elif flags.command == "sync":
        try:
            Client(store, flags.url).sync(flags.tries)
        except Later:
            sys.exit(3)
        except Stopped as stopped:
            sys.exit("stopped: %s" % stopped)  # exit code 1
    else:
        rows = {name: [tuple(row) for row in store.db.execute("SELECT device, ts, type, payload FROM %s ORDER BY %s" % source)]
                for name, source in (("actions", ("confirmed", "seq")), ("queue", ("queue", "place")), ("aside", ("aside", "rowid")))}
        print(json.dumps({"device": store.device, "seq": store.base(), "stateHash": store.link_at(store.base()).hex(), **rows}))


main()
