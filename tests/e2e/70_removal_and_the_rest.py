"""What redact, erase and prune reach besides rows: quotas, who began a log, streams of events, states, the webhook."""
import hashlib
import json
import os

from support import chain, story, tokens
from support.daemon import Daemon, tool
from support.events import Stream
from support.receiver import LINE, Receiver
from support.removal import Writer, files_with, is_gone
from support.story import is_true, same
from support.tokens import bearer, claims, make

ADMIN = {"admin.listen": "unix:admin.sock"}


def admin(daemon):
    return "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")


def stat(source, log):
    return json.loads(tool("stat", source, "--log=" + log, "--json").out)


def size(actions, gone=()):
    """What a log's actions count; those that are gone with their devices alone."""
    return sum(len(a["device"].encode()) + (0 if n in gone else len((a["type"] + a["payload"]).encode()))
               for n, a in enumerate(actions, 1))


@story.story
def a_log_has_room_again_for_what_went():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(20)
        full = size(writer.actions)
    with Daemon(dir=daemon.dir, options={**ADMIN, "limits.log_bytes": full}) as daemon, daemon.client() as client:
        writer.client = client
        more = [{"device": "phone", "ts": 1, "type": "t", "payload": "x" * 100}]
        answer = writer.sync(more, 20)
        same((answer.status, answer.json().get("quota")), (403, "logBytes"), "a full log")
        tool("redact", "notes", "5", "12", admin(daemon), "-q")
        room = full - size(writer.actions, (5, 12))
        is_true(room > 200, "%d bytes of content went", room)
        for payload, status in (("x" * (room - 5), 403), ("x" * (room - 6), 200), ("y", 403)):
            action = {"device": "phone", "ts": 1 + len(writer.actions), "type": "t", "payload": payload}
            answer = writer.sync([action], len(writer.actions))
            same(answer.status, status, "%d bytes into %d" % (len(payload) + 6, room))
            if status == 200:
                writer.actions.append(action)
                writer.links += chain.extend(writer.links[-1], [action])
        tool("erase", "notes", admin(daemon), "-q")
    tool("verify", daemon.dir)
    tool("erase", "notes", "--reopen", "--data=" + daemon.dir, "-q")
    with daemon.start(), daemon.client() as client:
        writer.client = client
        writer.push(3)
    tool("verify", daemon.dir)


@story.story
def whoever_began_an_erased_log_may_begin_another():
    key = tokens.Key("EdDSA", "ed")
    options = {**ADMIN, "auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("jwks.json", key), "limits.subject_logs": 2}
    with Daemon(options=options) as daemon, daemon.client() as client:
        header = dict([bearer(make(key, claims(sub="anna", logs=["team-*"])))])

        def begin(log):
            body = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": ""}], 0, chain.genesis(log))
            return client.request("POST", "/v1/logs/%s/sync" % log, json.dumps(body).encode(), header).status
        same([begin("team-%d" % n) for n in range(3)], [200, 200, 403], "two of three")
        tool("erase", "team-0", admin(daemon), "-q")
        same([begin("team-2"), begin("team-3"), begin("team-0")], [200, 403, 410], "its place is free, and the log gone")
        daemon.stop()
        with daemon.start(), daemon.client() as client:
            same(begin("team-3"), 403, "after a restart")
            tool("erase", "team-0", "--reopen", admin(daemon), "-q")
            same(begin("team-3"), 403, "three of two")
            tool("erase", "team-1", "team-2", admin(daemon), "-q")
            same([begin("team-3"), begin("team-4")], [200, 403], "with the one that was opened again")


@story.story
def who_listens_to_an_erased_log_is_sent_away_and_told():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer, other = Writer(client, "diary"), Writer(client, "notes")
        writer.push(3)
        other.push(3)
        with Stream(daemon.address, "diary") as stream, Stream(daemon.address, "notes") as still:
            same((stream.head()[0], still.head()[0]), (3, 3), "heads")
            tool("erase", "diary", admin(daemon), "-q")
            same((stream.next().kind, stream.next()), ("reconnect", None), "the end of the erased one's")
            other.push(1)
            same(still.head()[0], 4, "the other goes on")
        with Stream(daemon.address, "diary") as stream:
            problem = stream.answer.json()
            same((stream.answer.status, problem["code"], problem["retry"]), (410, "ERASED", "never"), "who comes back")
            is_true("edgereplay/1/erased" in problem["tombstone"], "no tombstone in %r", problem)
        tool("erase", "diary", "--reopen", admin(daemon), "-q")
        with Stream(daemon.address, "diary") as stream:
            same(stream.head()[0], 3, "opened again")


def digest_of(state):
    return hashlib.sha256(state.encode()).hexdigest()


def say_state(writer, device, digest):
    answer = writer.sync([], len(writer.actions), device=device, state={"seq": len(writer.actions), "digest": digest, "app": "1"})
    same(answer.status, 200, "%s: status" % answer.body[:300])
    return answer.json().get("drift")


@story.story
def what_was_said_of_states_goes_with_the_content():
    with Daemon(options=ADMIN) as daemon, daemon.client() as client:
        writer = Writer(client, "notes")
        writer.push(5)
        for kind in (("redact", "notes", "2"), ("prune", "notes", "--before=4", "--without-snapshot"), ("erase", "notes")):
            same(say_state(writer, "a", digest_of(kind[0] + "-one")), None, "the first")
            is_true(say_state(writer, "b", digest_of(kind[0] + "-two"))["differ"] == 1, "they differ")
            tool(*kind, admin(daemon), "-q")
            if kind[0] != "erase":
                same(say_state(writer, "c", digest_of("other")), None, "nobody is left to differ from after %s" % kind[0])
                tool("redact", "notes", "2", admin(daemon), "-q")
        digests = [digest_of(kind + which) for kind in ("redact", "prune", "erase") for which in ("-one", "-two")]
        is_gone(daemon.dir, [{"type": digest, "payload": digest} for digest in digests], "digests")
        same(files_with(daemon.dir, [bytes.fromhex(digest) for digest in digests]), [], "digests in binary")


@story.story
def the_webhook_hears_nothing_of_it():
    with open("secrets", "w", opener=lambda path, flags: os.open(path, flags, 0o600), encoding="ascii") as file:
        file.write(LINE)
    with Receiver() as receiver, Daemon(options={**ADMIN, "webhook.url": receiver.url, "webhook.secret_file": "secrets",
                                                 "webhook.gather_msec": 20}) as daemon, daemon.client() as client:
        diary, notes = Writer(client, "diary"), Writer(client, "notes")
        diary.push(3)
        receiver.await_newest({"diary": (3, diary.links[3].hex())})
        count = len(receiver.notices)
        tool("erase", "diary", admin(daemon), "-q")
        notes.push(1)
        receiver.await_newest({"diary": (3, diary.links[3].hex()), "notes": (1, notes.links[1].hex())})
        same(len(receiver.notices), count + 1, "notices")


story.run()
