"""
Bits that flip in the files of a stopped or killed daemon, pages that are zeroed or swapped, files that are cut: whatever is
served afterwards is what was acknowledged, chained again here; a log that ends early says so; what is pushed again is not
stored twice; other logs go on. The control reads without verifying, and must be caught.
"""
import json
import os
import random
import shutil
import sqlite3
import tempfile

from support import chain, count as trials, plant, story
from support.daemon import Daemon, Refused, until
from support.story import is_true, same, say

TRIALS = trials(500, 5000)
FLIPS = 20  # in one start, where they hit different logs
LOGS, ACTIONS, MORE = 200, 12, 3
DEVICES = ("phone", "tablet", "watch")
SPECIAL = ("sqlite_schema", "shard", "in_place", "journal")


class Changed(AssertionError):
    """Something was served as good that nobody acknowledged."""


class Silent(AssertionError):
    """A log is shorter than it was and does not say so."""


# --- the logs ---

def make_actions(log, first, count, rolls):
    return [{"device": rolls.choice(DEVICES), "ts": 1_000_000 + 1000 * log + first + n, "type": "note/add",
             "payload": json.dumps({"log": log, "n": first + n, "text": "x" * rolls.randrange(100)})} for n in range(count)]


class Log:
    def __init__(self, number):
        self.number, self.name = number, "log-%03d" % number
        self.path = "/v1/logs/%s/" % self.name
        self.actions, self.links = [], [chain.genesis(self.name)]

    def extend(self, actions):
        self.links += chain.extend(self.links[-1], actions)
        self.actions += actions


def push(client, log, actions, again=0):
    """Pushes the last few of the log again, and some more."""
    base = len(log.actions) - again
    body = chain.sync_body(log.actions[base:] + actions, base, log.links[base])
    return client.post(log.path + "sync", body)


def make_templates():
    """A folder as a clean stop leaves it, and one as kill -9 does, with a WAL and a journal; and what is acknowledged in each."""
    rolls = random.Random(1)
    daemon = Daemon(options={"store.scrub_rate": 0})
    logs = [Log(number) for number in range(LOGS)]
    with daemon.client() as client:
        for first in range(0, ACTIONS, 4):
            for log in logs:
                actions = make_actions(log.number, first, 4, rolls)
                same(push(client, log, actions).status, 200, "status")
                log.extend(actions)
    daemon.stop()
    stopped = shutil.copytree(daemon.dir, os.path.abspath("stopped")), [list(log.actions) for log in logs]
    daemon.start()
    # A reader keeps the WAL from being moved into the file, while both journal files are begun anew.
    reader = sqlite3.connect("file:%s?mode=ro" % os.path.join(daemon.dir, "shard-00.db"), uri=True, isolation_level=None)
    reader.execute("BEGIN")
    generation = in_place(reader)
    with daemon.client() as client:
        for wave in range(MORE):
            for log in logs:
                actions = make_actions(log.number, ACTIONS + wave, 1, rolls)
                same(push(client, log, actions).status, 200, "status")
                log.extend(actions)
            generation = await_generation(daemon, generation)
        for log in logs[:20]:
            actions = make_actions(log.number, ACTIONS + MORE, 1, rolls)
            same(push(client, log, actions).status, 200, "status")
            log.extend(actions)
        daemon.kill()
    killed = shutil.copytree(daemon.dir, os.path.abspath("killed")), [list(log.actions) for log in logs]
    reader.close()
    is_true(os.path.getsize(os.path.join(killed[0], "shard-00.db-wal")) > 0, "the kill left no WAL")
    return stopped, killed


def in_place(database):
    return database.execute("SELECT generation FROM in_place").fetchone()[0]


def await_generation(daemon, before):
    """Waits until one more is in the rows."""
    def is_there():
        database = sqlite3.connect("file:%s?mode=ro" % os.path.join(daemon.dir, "shard-00.db"), uri=True)
        found.append(in_place(database))
        database.close()
        return found[-1] > before
    found = []
    until(is_there, "a generation in place")
    return found[-1]


def logs_of(acknowledged):
    logs = [Log(number) for number in range(LOGS)]
    for log, actions in zip(logs, acknowledged, strict=True):
        log.extend(actions)
    return logs


# --- judging ---

def served(client, log):
    """The actions that are served as good, and whether the log says that it is not whole."""
    got, links = [], [chain.genesis(log.name)]
    while True:
        answer = client.get(log.path + "actions?after=%d" % len(got))
        document = answer.json()
        if answer.status != 200:
            is_true(answer.status in (500, 503), "%s: %s %s", log.name, answer.status, document)
            return got, True
        for action in document["actions"]:
            same(action.pop("seq"), len(got) + 1, "seq")
            got.append(action)
            links.append(chain.link(links[-1], chain.digest(action)))
        if (document["seq"], document["stateHash"]) != (len(got), links[-1].hex()):
            raise Changed("%s: the page's hash is not that of what it holds" % log.name)
        if not document["hasMore"]:
            return got, False


def judge(client, log):
    """Whether the log is whole."""
    got, says = served(client, log)
    if got != log.actions[:len(got)]:
        raise Changed("%s: action %d is not what was acknowledged" % (
            log.name, next(n for n, a in enumerate(got) if n >= len(log.actions) or a != log.actions[n]) + 1))
    if not says and len(got) < len(log.actions):
        raise Silent("%s ends at %d, %d were acknowledged" % (log.name, len(got), len(log.actions)))
    return not says


def push_again(client, log, rolls):
    """What is there is a duplicate, what is new is stored once, or the log takes nothing."""
    new = make_actions(log.number, 500, 1, rolls)
    answer = push(client, log, new, again=3)
    document = answer.json()
    if answer.status == 503:
        is_true(document["code"] in ("LOG_DAMAGED", "STORAGE_UNAVAILABLE"), "%s", document)
        return False
    if answer.status == 409:
        raise Silent("%s: %s" % (log.name, document["code"]))
    same(answer.status, 200, "%s: %s, status" % (log.name, answer.body[:300]))
    if (document["applied"], document["duplicates"]) != (1, 3):
        raise Changed("%s: %d applied, %d duplicates" % (log.name, document["applied"], document["duplicates"]))
    log.extend(new)
    return True


class Count:
    def __init__(self):
        self.starts = self.refused = self.trials = self.silent = self.whole = self.open = self.logs = self.found = 0

    def __str__(self):
        return "%d trials in %d starts: %d refused, %d logs shorter without a word; of the others' logs %d %% whole, %d %% take " \
            "actions, %d found damaged by the walk" % (self.trials, self.starts, self.refused, self.silent,
                                                       100 * self.whole // max(self.logs, 1),
                                                       100 * self.open // max(self.logs, 1), self.found)


def trial(template, harm, count, rolls, **how):
    """One start on a harmed copy. how: silent_allowed, binary, trials."""
    folder, acknowledged = template
    place = tempfile.mkdtemp(prefix="rotten.")
    copy = shutil.copytree(folder, os.path.join(place, "data"))
    what = harm(copy, rolls)
    count.starts += 1
    count.trials += how.get("trials", 1)
    daemon = Daemon(copy, options={"store.scrub_rate": 1_000_000}, start=False, binary=how.get("binary"))
    try:
        daemon.start()
    except Refused:
        count.refused += 1
        shutil.rmtree(place)
        return
    try:
        look_at(daemon, logs_of(acknowledged), count, rolls, how.get("silent_allowed", False))
    except (Changed, Silent):
        print(what)
        daemon.kill()
        raise
    daemon.kill()
    shutil.rmtree(place)


def look_at(daemon, logs, count, rolls, silent_allowed):
    count.logs += len(logs)
    taking = []
    with daemon.client() as client:
        for log in logs:
            try:
                whole = judge(client, log)
            except Silent:
                if not silent_allowed:
                    raise
                count.silent += 1
                continue
            count.whole += whole
            taking.append(log)
        daemon.await_event("scrub round ended")
        count.found += int(daemon.events("scrub round ended")[0]["damaged"])
        for log in taking:
            took = push_again(client, log, rolls)
            count.open += took
            if took and rolls.randrange(20) == 0:
                judge(client, log)


# --- harm ---

def pages_of(folder):
    """(page size, {"leaf" or "special": [page, …]}) of the shard."""
    database = sqlite3.connect(os.path.join(folder, "shard-00.db"))
    size = database.execute("PRAGMA page_size").fetchone()[0]
    kinds = {"leaf": [], "special": []}
    for name, page, kind in database.execute("SELECT name, pageno, pagetype FROM dbstat"):
        kinds["special" if name in SPECIAL or kind != "leaf" else "leaf"].append(page)
    database.close()
    return size, kinds


def flip(path, at, bit):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def flip_pages(size, pages, flips):
    def harm(folder, rolls):
        done = []
        for page in rolls.sample(pages, flips):
            at, bit = (page - 1) * size + rolls.randrange(size), rolls.randrange(8)
            flip(os.path.join(folder, "shard-00.db"), at, bit)
            done.append((page, at % size, bit))
        return done
    return harm


def harm_pages(size, pages):
    """Two pages swapped, or one zeroed."""
    def harm(folder, rolls):
        one, other = rolls.sample(pages, 2)
        swap = rolls.random() < 0.5
        with open(os.path.join(folder, "shard-00.db"), "r+b") as file:
            file.seek((one - 1) * size)
            first = file.read(size)
            file.seek((other - 1) * size)
            second = file.read(size)
            file.seek((one - 1) * size)
            file.write(second if swap else bytes(size))
            if swap:
                file.seek((other - 1) * size)
                file.write(first)
        return "swapped" if swap else "zeroed", one, other
    return harm


def harm_file(name):
    """A file of the killed daemon: a bit flipped, or cut."""
    def harm(folder, rolls):
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        if rolls.random() < 0.3:
            at = rolls.randrange(size)
            os.truncate(path, at)
            return name, "cut", at
        at, bit = rolls.randrange(size), rolls.randrange(8)
        flip(path, at, bit)
        return name, at, bit
    return harm


# --- the stories ---

templates = []


def template(which):
    if not templates:
        templates.extend(make_templates())
    return templates[which]


def rounds(part):
    return max(1, TRIALS * part // 100)


@story.story
def flipped_bits_in_the_shard_file_change_nothing_that_is_served():
    rolls, count = random.Random(story.seed()), Count()
    size, kinds = pages_of(template(0)[0])
    for _ in range(rounds(80) // FLIPS):
        trial(template(0), flip_pages(size, kinds["leaf"], FLIPS), count, rolls, trials=FLIPS)
    say("leaf pages, %d bits a start: %s", FLIPS, count)
    is_true(count.whole > 0.6 * count.logs, "too few logs are whole: %s", count)
    is_true(count.refused == 0, "a leaf page takes the shard down: %s", count)
    is_true(count.found > 0, "the walk found nothing")
    count = Count()
    for _ in range(rounds(4)):
        trial(template(0), flip_pages(size, kinds["special"], 1), count, rolls)
    say("other pages, a bit a start: %s", count)


@story.story
def swapped_and_zeroed_pages_change_nothing_that_is_served():
    rolls, count = random.Random(story.seed() + 1), Count()
    size, kinds = pages_of(template(0)[0])
    for _ in range(rounds(6)):
        trial(template(0), harm_pages(size, kinds["leaf"]), count, rolls)
    say("pages swapped or zeroed: %s", count)
    is_true(count.whole > 0.5 * count.logs, "too few logs are whole: %s", count)


@story.story
def a_rotten_or_cut_wal_or_journal_changes_nothing_that_is_served():
    rolls = random.Random(story.seed() + 2)
    for name, part in (("shard-00.db-wal", 6), ("shard-00.journal-0", 2), ("shard-00.journal-1", 2)):
        count = Count()
        for _ in range(rounds(part)):
            trial(template(1), harm_file(name), count, rolls, silent_allowed=True)
        say("%s: %s", name, count)


# --- the control ---

def flip_payloads(folder, rolls):
    """A bit of the text of some actions, so that it is text still."""
    path = os.path.join(folder, "shard-00.db")
    with open(path, "rb") as file:
        content = file.read()
    places = [at for at in range(0, len(content), 97) if content[at:at + 4] == b"xxxx"]
    places = rolls.sample(places, 10)
    for at in places:
        flip(path, at, 0)
    return "payloads", places


@story.story
def the_control_that_does_not_verify_is_caught():
    rolls = random.Random(story.seed() + 3)
    count = Count()
    trial(template(0), flip_payloads, count, rolls)
    is_true(0 < count.found <= 10, "rotten payloads, found by a daemon that verifies: %d", count.found)
    try:
        trial(template(0), flip_payloads, Count(), rolls, binary=plant.daemon("verify-on-read-off", "look-ups-believe-rows"))
    except Changed as changed:
        say("the control served what it should not: %s", changed)
        return
    raise AssertionError("a daemon that does not verify served nothing that was changed: the story is blind")


story.run()
