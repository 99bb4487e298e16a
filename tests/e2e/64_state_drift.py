"""State digests: devices whose reducers differ are found, at the right position and with their versions; equal ones never are."""
import hashlib
import json
import random
import shutil
import sqlite3
import tempfile

from support import chain, story, tokens
from support.daemon import Daemon, databases, tool, until
from support.phone import Phone
from support.story import is_true, same, say

SEED = story.seed()
ON = {"admin.listen": "unix:admin.sock"}


# --- apps ---

def digest_of(state):
    return hashlib.blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=32).hexdigest()


def reduce_right(actions):
    """An app: totals by kind of action."""
    totals = {}
    for action in actions:
        totals[action["type"]] = totals.get(action["type"], 0) + int(action["payload"])
    return digest_of(totals)


def reduce_wrong(actions):
    """Its next version, which forgets a sign, and does not look at kinds that it does not know."""
    return reduce_right([{**a, "payload": str(abs(int(a["payload"])))} for a in actions])


def act(device, n, value=1):
    return {"device": device, "ts": 1000 + n, "type": "add", "payload": str(value)}


class App:
    """A device that has a log's actions, and says what its state is."""

    def __init__(self, client, log, device, reducer=reduce_right, version="1.0"):
        self.client, self.log, self.device, self.reducer, self.version = client, log, device, reducer, version
        self.actions, self.links = [], [chain.genesis(log)]

    def learn(self, actions):
        self.links += chain.extend(self.links[-1], actions)
        self.actions += actions
        return self

    def state(self, seq, more=()):
        known = self.actions + list(more)
        return {"seq": seq, "digest": self.reducer(known[:seq]), "app": self.version}

    def post(self, actions=(), base=None, **members):
        base = len(self.actions) if base is None else base
        body = chain.sync_body(list(actions), base, self.links[base], self.device, **members)
        return self.client.post("/v1/logs/%s/sync" % chain.path(self.log), body)

    def sync(self, actions=(), at=None, base=None, **members):
        """Pushes, with the state at the base or at a given position; the answer's drift."""
        base = len(self.actions) if base is None else base
        state = self.state(base if at is None else at, actions)
        answer = self.post(actions, base, state=state, **members)
        same(answer.status, 200, "%s: status" % answer.body[:400])
        document = answer.json()
        if document["fastForward"] and base == len(self.actions):
            self.learn(list(actions))
        return document.get("drift")


def phones(daemon, log, *reducers):
    """Apps that have the same five actions, one of them with a sign."""
    apps = [App(daemon.client(), log, "device-%d" % n, reducer, "1.%d" % n) for n, reducer in enumerate(reducers)]
    actions = [act("device-0", n, -1 if n == 3 else 1) for n in range(5)]
    same(apps[0].post(actions).status, 200, "the first five")
    for app in apps:
        app.learn(actions)
    return apps


def samples(daemon, prefix="edgereplay_state_"):
    found = {}
    with daemon.operator() as operator:
        for line in operator.get("/metrics").body.decode().split("\n"):
            if line.startswith(prefix):
                name, value = line.rsplit(" ", 1)
                found[name[len(prefix):]] = float(value)
    return found


def rows(dir):
    """What the table has, of a daemon that may run."""
    database = sqlite3.connect("file:%s?mode=ro" % databases(dir)[0], uri=True)
    try:
        return database.execute("SELECT name, states.seq, device, digest, app, states.link FROM states"
                                " JOIN logs ON logs.id = log ORDER BY 1, 2, 3").fetchall()
    finally:
        database.close()


# --- stories ---

@story.story
def two_versions_that_differ_are_told_counted_and_logged():
    with Daemon(options=ON) as daemon:
        with daemon.client() as client:
            is_true("state" in client.get("/v1/info").json()["features"], "listed")
        right, wrong = phones(daemon, "notes", reduce_right, reduce_wrong)
        for seq in range(1, 4):  # the states are equal up to the action with the sign
            same((right.sync(base=seq), wrong.sync(base=seq)), (None, None), "equal states at %d" % seq)
        same(right.sync(base=4), None, "nobody differs yet")
        same(wrong.sync(base=4), {"seq": 4, "agree": 1, "differ": 1}, "the one that is told first")
        same(right.sync(base=4), {"seq": 4, "agree": 1, "differ": 1}, "the other when it asks again")
        daemon.await_event("states differ")
        found = daemon.events("states differ")
        same(len(found), 1, "lines in the log")
        wanted = {"log": "notes", "seq": "4", "device": "device-1", "app": "1.1", "other_device": "device-0",
                  "other_app": "1.0", "digest": reduce_wrong(wrong.actions[:4]),
                  "other_digest": reduce_right(right.actions[:4]), "agree": "1", "differ": "1"}
        same({name: found[0][name] for name in wanted}, wanted, "the line")
        same(samples(daemon), {"reports_total": 9, "drift_total": 2, 'drift_app_total{app="1.0"}': 1,
                               'drift_app_total{app="1.1"}': 1}, "the metrics")
        third = App(daemon.client(), "notes", "device-2", reduce_right, "1.0").learn(right.actions)
        same(third.sync(base=4), {"seq": 4, "agree": 2, "differ": 1}, "of three")
        same(samples(daemon)['drift_app_total{app="1.0"}'], 2, "each report once")


@story.story
def a_device_replaces_its_own_report():
    with Daemon() as daemon:
        right, wrong = phones(daemon, "notes", reduce_right, reduce_wrong)
        right.sync()
        is_true(wrong.sync() is not None, "they differ")
        wrong.reducer, wrong.version = reduce_right, "1.2"  # the app was mended
        same((wrong.sync(), right.sync()), (None, None), "they agree")
        same(wrong.sync(), None, "again")


@story.story
def a_state_is_of_the_link_that_the_request_has_there():
    with Daemon() as daemon:
        one, two = phones(daemon, "notes", reduce_right, reduce_wrong)
        # At the batch's end, as at the base.
        more = [act("device-0", 10), act("device-0", 11)]
        same(one.sync(more, at=7), None, "the end of a batch")
        two.learn(more)
        same(two.sync(), {"seq": 7, "agree": 1, "differ": 1}, "the same position, as a base")
        same(two.sync(more, at=6, base=5), None, "a retry of that batch, with its middle")
        same(one.sync(base=6), {"seq": 6, "agree": 1, "differ": 1}, "which the log has, too")
        # A batch that was rebased: the log has another action at 8 than this phone had.
        three = App(daemon.client(), "notes", "device-2", reduce_right, "2.0").learn(one.actions)
        one.sync([act("device-0", 12, 5)])
        same(one.sync(), None, "nobody else was at 8")
        same(three.sync([act("device-2", 1)], at=8), None, "a state that the log never had")
        same(two.learn(one.actions[7:]).sync(), {"seq": 8, "agree": 1, "differ": 1}, "but now")
        # What is no success is not looked at.
        answer = two.post([act("device-1", 1)], base=5, onConflict="reject", state=two.state(5))
        same((answer.status, "drift" in answer.json()), (409, False), "a conflict")


@story.story
def reports_survive_a_restart_and_most_a_kill():
    daemon = Daemon()
    right, wrong = phones(daemon, "notes", reduce_right, reduce_wrong)
    right.sync()
    daemon.stop()
    same([row[:5] for row in rows(daemon.dir)], [("notes", 5, "device-0", reduce_right(right.actions), "1.0")], "the table")
    same(rows(daemon.dir)[0][5], right.links[5], "with the link")
    daemon.start()
    wrong.client = daemon.client()
    same(wrong.sync(), {"seq": 5, "agree": 1, "differ": 1}, "after a restart")
    until(lambda: len(rows(daemon.dir)) == 2, "it was written, though no action came")
    daemon.kill()
    daemon.start()
    right.client = daemon.client()
    same(right.sync(), {"seq": 5, "agree": 1, "differ": 1}, "after a kill")
    daemon.stop()


@story.story
def a_history_that_the_log_lost_is_compared_with_nothing():
    daemon = Daemon()
    one, two = phones(daemon, "notes", reduce_right, reduce_right)
    daemon.stop()
    backup = tempfile.mkdtemp(prefix="backup.") + "/data"
    shutil.copytree(daemon.dir, backup)
    daemon.start()
    one.client = daemon.client()
    one.sync([act("device-0", 20, 7)], at=6)
    one.sync()
    daemon.stop()
    with sqlite3.connect(databases(daemon.dir)[0]) as later, sqlite3.connect(databases(backup)[0]) as older:
        # As if the reports had come back without their actions, which no backup of ours does.
        older.executemany("INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?)", later.execute("SELECT * FROM states").fetchall())
    later.close(), older.close()
    with Daemon(dir=backup) as restored:
        two.client, one.client = restored.client(), restored.client()
        same(len(rows(backup)), 1, "a report for what is not there")
        other = [act("device-1", 30, 9)]
        same(two.sync(other, at=6), None, "another history at 6")
        one.actions, one.links = one.actions[:5], one.links[:6]
        one.learn(other)
        same((one.sync(), two.sync()), (None, None), "all agree on the log that there is")
        one.reducer = reduce_wrong
        one.actions[3] = act("device-0", 3, -8)
        same(one.sync(), {"seq": 6, "agree": 1, "differ": 1}, "and would be heard if they did not")
    same([row[1:3] for row in rows(backup)], [(6, "device-0"), (6, "device-1")], "the table")
    same({row[5] for row in rows(backup)}, {two.links[6]}, "all of the log's own link")


@story.story
def what_is_kept_is_bounded():
    with Daemon(options={"states.positions": 3, "states.devices": 2, **ON}) as daemon:
        apps = phones(daemon, "notes", *[reduce_right] * 4)
        for seq in (2, 3, 4, 5):
            for app in apps:
                same(app.sync(base=seq), None, "%s at %d" % (app.device, seq))
        until(lambda: len(rows(daemon.dir)) == 6, "three positions of two devices")
        same(sorted({row[1] for row in rows(daemon.dir)}), [3, 4, 5], "the newest positions")
        apps[3].reducer = lambda actions: "0"
        same(apps[3].sync(base=4), {"seq": 4, "agree": 1, "differ": 2}, "who is not kept is compared")
        same(apps[3].sync(base=2), None, "older than what is kept")
        apps[0].reducer = lambda actions: "0"
        for version in range(40):
            apps[0].version = "9.%d" % version
            apps[0].reducer = lambda actions, version=version: "%02x" % version
            is_true(apps[0].sync(base=5) is not None, "different")
        found = samples(daemon)
        same(len([name for name in found if "app=" in name]), 33, "versions that are counted by name, and the others")
        is_true(found['drift_app_total{app="others"}'] > 0, "the others: %r", found)


@story.story
def which_versions_have_another_history_is_counted_where_they_say_it():
    wrong = chain.genesis("another")
    with Daemon(options=ON) as daemon, daemon.client() as client:
        app, = phones(daemon, "notes", reduce_right)
        for base, version, times in ((1, "2.0", 3), (1, "2.1", 1), (9, "2.1", 2), (1, None, 2), (9, None, 1)):
            said = {} if version is None else {"state": {"seq": base, "digest": "ab" * 32, "app": version}}
            for _ in range(times):
                body = chain.sync_body([act("device-0", 7)], base, wrong, "device-0", **said)
                same(client.post("/v1/logs/notes/sync", body).status, 409, "another history")
        same(app.sync(), None, "its own history")
        prefix = "edgereplay_replay_drift_"
        # Counted once the answer is out, so it may be read first.
        until(lambda: samples(daemon, prefix) == {
            'total{source="hash_mismatch"}': 6, 'total{source="server_behind"}': 3,
            'app_total{source="hash_mismatch",app="2.0"}': 3, 'app_total{source="hash_mismatch",app="2.1"}': 1,
            'app_total{source="server_behind",app="2.1"}': 2}, "by version")
        for n in range(40):
            body = chain.sync_body([], 1, wrong, "device-0", state={"seq": 1, "digest": "ab" * 32, "app": "3.%d" % n})
            same(client.post("/v1/logs/notes/sync", body).status, 409, "one more version")
        def counted():
            found = samples(daemon, prefix + "app_total{source=\"hash_mismatch\",")
            return len(found), found.get('app="others"}')
        until(lambda: counted() == (33, 10), "versions that are counted by name, and the others")


@story.story
def logs_that_leave_the_memory_come_back_from_the_table():
    options = {"states.memory": "64KiB"}
    with Daemon(options=options) as daemon, daemon.client() as client:
        logs = ["log-%d" % n for n in range(600)]
        for log in logs:
            app = App(client, log, "one")
            app.sync([act("one", 1)], at=1)
        until(lambda: len(rows(daemon.dir)) == len(logs), "all are written")
        for log in logs[:300]:
            app = App(client, log, "two", lambda actions: "ff").learn([act("one", 1)])
            same(app.sync(), {"seq": 1, "agree": 1, "differ": 1}, log)


@story.story
def whoever_may_not_write_is_not_heard():
    key = tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("jwks.json", key), "rate.requests": 0}

    def asked(said, device, reducer, learned):
        app = App(daemon.client(), "shared", device, reducer).learn(learned)
        body = chain.sync_body([], 1, app.links[1], device, state=app.state(1))
        answer = app.client.request("POST", "/v1/logs/shared/sync", json.dumps(body).encode(),
                                    [tokens.bearer(tokens.make(key, tokens.claims(**said)))])
        same(answer.status, 200, "%s: status" % answer.body[:300])
        return answer.json().get("drift")

    with Daemon(options=options) as daemon:
        actions = [act("one", 1)]
        token = tokens.bearer(tokens.make(key, tokens.claims(sub="shared")))
        body = chain.sync_body(actions, 0, chain.genesis("shared"), "one")
        with daemon.client() as client:
            same(client.request("POST", "/v1/logs/shared/sync", json.dumps(body).encode(), [token]).status, 200, "status")
        same(asked({"sub": "shared"}, "one", reduce_right, actions), None, "the first")
        same(asked({"logs_ro": ["shared"]}, "two", lambda actions: "0", actions), None, "who may only read")
        same(asked({"logs": ["shared"], "device": "other"}, "two", lambda actions: "0", actions), None, "another's device")
        same(asked({"sub": "shared"}, "one", reduce_right, actions), None, "nothing of it was kept")
        same(asked({"logs": ["shared"], "device": "two"}, "two", lambda actions: "0", actions),
             {"seq": 1, "agree": 1, "differ": 1}, "who may write")


@story.story
def one_subject_does_not_fill_a_position_for_the_others():
    """Nor after a restart: whose report it is is kept with it."""
    key = tokens.Key("EdDSA", "ed")
    daemon = Daemon(options={"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("jwks.json", key), "rate.requests": 0})

    def told(subject, device, digest):
        app = App(daemon.client(), "shared", device, lambda actions: digest).learn([act("one", 1)])
        token = tokens.make(key, tokens.claims(sub=subject, logs=["shared"]))
        with app.client as client:
            # The first begins the log, for the others it is a retry.
            body = chain.sync_body([act("one", 1)], 0, app.links[0], device, state=app.state(1))
            answer = client.request("POST", "/v1/logs/shared/sync", json.dumps(body).encode(), [tokens.bearer(token)])
        same(answer.status, 200, "%s: status" % answer.body[:300])
        return answer.json().get("drift")

    for number in range(8):
        same(told("mallory", "x%d" % number, "0bad"), None, "who is alone")
    same(told("anna", "phone-a", "11"), {"seq": 1, "agree": 1, "differ": 7}, "the first of the others")
    daemon.stop()
    daemon.start()
    for number in range(6):
        last = told("user-%d" % number, "phone-%d" % number, "11")
    same(last, {"seq": 1, "agree": 7, "differ": 1}, "equal phones of eight subjects")
    same(told("bert", "phone-b", "22"), {"seq": 1, "agree": 1, "differ": 8}, "one that really differs")
    same(told("mallory", "x7", "0bad"), {"seq": 1, "agree": 2, "differ": 7}, "his second")
    daemon.stop()
    same(sorted(row[2] for row in rows(daemon.dir)), ["phone-%d" % n for n in range(6)] + ["phone-a", "x0"], "the table")


@story.story
def without_it_reports_are_read_and_passed_over():
    with Daemon(options={"states.positions": 0}) as daemon:
        with daemon.client() as client:
            is_true("state" not in client.get("/v1/info").json()["features"], "not listed")
        right, wrong = phones(daemon, "notes", reduce_right, reduce_wrong)
        same((right.sync(), wrong.sync()), (None, None), "nothing is compared")
        same(right.post(state={"seq": 5, "digest": "xyz", "app": "1"}).status, 400, "strict all the same")
        daemon.stop()
        same(rows(daemon.dir), [], "nothing is kept")


def rot(dir, table):
    path = databases(dir)[0]
    database = sqlite3.connect(path)
    root = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xee" * size)


@story.story
def a_repair_that_makes_a_new_file_leaves_reports_behind():
    for table in ("states", "journal"):
        daemon = Daemon()
        right, _ = phones(daemon, "notes", reduce_right, reduce_wrong)
        right.sync()
        daemon.stop()
        rot(daemon.dir, table)
        repaired = tool("repair", daemon.dir, "--log=notes", expect=None)
        is_true("1 pages and records could not be read" in repaired.error, "no more than the page: %s", repaired.error)
        tool("verify", daemon.dir)
        same(rows(daemon.dir), [], "the table")
        with daemon.start():
            right.client = daemon.client()
            same(right.sync(), None, "served")


@story.story
def a_log_that_is_cut_has_no_reports_beyond_its_end():
    daemon = Daemon()
    right, _ = phones(daemon, "notes", reduce_right, reduce_wrong)
    for base in (2, 3, 4, 5):
        right.sync(base=base)
    daemon.stop()
    with sqlite3.connect(databases(daemon.dir)[0]) as database:
        database.execute("UPDATE actions SET payload = 'other' WHERE seq = 4")
    database.close()
    tool("repair", daemon.dir, "--log=notes", expect=None)
    same([row[1] for row in rows(daemon.dir)], [2, 3], "positions in the table")


@story.story
def a_table_that_has_rotted_is_in_nobodys_way():
    daemon = Daemon()
    right, wrong = phones(daemon, "notes", reduce_right, reduce_wrong)
    right.sync()
    daemon.stop()
    rot(daemon.dir, "states")
    daemon.start()
    right.client, wrong.client = daemon.client(), daemon.client()
    same(wrong.sync([act("device-1", 40)]), None, "what cannot be read is not known")
    same(right.learn(wrong.actions[5:]).sync(), None, "nobody was at 6")
    same(wrong.sync(), {"seq": 6, "agree": 1, "differ": 1}, "what memory has is compared")
    daemon.await_event("state reports not kept: the table is malformed")
    daemon.stop()
    same(daemon.events("shard closed after a fault, starts again"), [], "no shard fell")
    daemon.start()
    right.client = daemon.client()
    same(right.sync([act("device-0", 41)]), None, "served after a restart")
    daemon.stop()


@story.story
def the_tool_says_a_state_and_what_came_of_it():
    def push(state, *more, expect=0):
        return tool("push", "--url=" + daemon.url, "--log=notes", "--state=" + state, *more, expect=expect,
                    input=b'{"type":"add","payload":"1"}\n' if "-" in more else None)

    with Daemon() as daemon:
        push("one.db", "--device=one", "-")
        push("two.db", "--device=two")
        push("one.db", "--digest=aa", "--app=1.0")
        push("two.db", "--digest=aa", "--app=1.0")
        told = push("two.db", "--digest=bb", "--app=1.1", "-", expect=1)
        is_true("the state at 1 differs from that of 1 other" in told.error, "told: %s", told.error)
        is_true("1 applied" in told.error, "the push is done all the same: %s", told.error)
        daemon.await_event("states differ")
        same(daemon.events("states differ")[0]["app"], "1.1", "the version")
        push("two.db", "--digest=bb", expect=2)
        push("two.db", "--digest=XX", "--app=1", expect=2)
        daemon.stop()
    with Daemon(options={"states.positions": 0}) as daemon:
        told = push("three.db", "--digest=aa", "--app=1.0")
        is_true("was not told of the state" in told.error, "a server that does not ask: %s", told.error)


class Talking(Phone):
    """A phone of section 7 that says its state at the base with each sync, or at the end of what it sends."""

    def __init__(self, address, log, device, reducer, seed):
        super().__init__(address, log, device, seed=seed, batch=random.Random(str(seed) + device).choice((1, 3, 50)))
        self.reducer, self.told = reducer, []

    def _call(self, method, target, body=None):
        if body is not None:
            document = json.loads(body)
            sent = [{"device": self.device, **action} for action in document["actions"]]
            seq = document["seq"] + (0 if self.random.random() < 0.6 else self.random.randrange(len(sent) + 1))
            known = (self.confirmed + sent)[:seq]
            document["state"] = {"seq": seq, "digest": self.reducer(known), "app": self.reducer.__name__}
            body = json.dumps(document).encode()
        answer = super()._call(method, target, body)
        if answer is not None and "drift" in answer[1]:
            story.same((answer[0], answer[1]["drift"]["seq"]), (200, seq), "where")
            self.told.append((seq, answer[1]["stateHash"]))
        return answer


def play(address, log, reducers, seed):
    """Some phones on one log, at random, until all have it; they."""
    rolls = random.Random("%s %s" % (seed, log))
    users = [Talking(address, log, "device-%d" % n, reducer, seed) for n, reducer in enumerate(reducers)]
    for _ in range(rolls.randrange(8, 25)):
        user = rolls.choice(users)
        for _ in range(rolls.randrange(4)):
            user.act(rolls.choice(("add", "mul")), str(rolls.randrange(-2, 9)))
        user.sync(rolls.choice(("rebase", "reject")), pull=rolls.choice((None, None, 0, 2)))
    for _ in range(2):
        for user in users:
            user.settle()
    for user in users:
        user.client.close()
    return users


@story.story
def random_histories_drift_only_where_reducers_do():
    drifting = 0
    with Daemon(options={"store.shards": 2}) as daemon:
        for number in range(60):
            log = "equal-%d" % number
            for user in play(daemon.address, log, [reduce_right] * (2 + number % 3), SEED):
                same(user.told, [], "%s: equal reducers" % log)
        same(daemon.events("states differ"), [], "lines in the log")
        for number in range(60):
            log = "mixed-%d" % number
            users = play(daemon.address, log, [reduce_right, reduce_right, reduce_wrong], SEED)
            actions = users[0].confirmed
            for user in users:
                for seq, _ in user.told:
                    is_true(reduce_right(actions[:seq]) != reduce_wrong(actions[:seq]), "%s: told at %d", log, seq)
            # All have the whole log in the end, and said so.
            differs = reduce_right(actions) != reduce_wrong(actions)
            same(any(user.told for user in users), differs or any(user.told for user in users), log)
            if differs:
                is_true(any(seq == len(actions) for user in users for seq, _ in user.told), "%s: not told at the end", log)
            drifting += differs
    is_true(drifting > 20, "only %d of the logs drift", drifting)
    say("60 histories of equal reducers: no drift; of 60 with another one among them, %d drift, each told where it does", drifting)


story.run()
