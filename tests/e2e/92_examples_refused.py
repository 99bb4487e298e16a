"""The clients of docs/examples, each in its language, when they are refused, limited or lied to: nothing is lost, nothing false is believed."""
import os
import time

from support import story, tokens
from support.daemon import Daemon, tool
from support.example import CLIENTS, LATER, STOPPED, Fake, Phone, agree, push
from support.story import is_true, same
from support.tokens import claims, make


@story.story
def what_the_log_refuses_is_stamped_anew():
    with Daemon(options={"clock.monotonic": "true"}) as daemon, daemon.client() as client:
        for language in CLIENTS:
            phone = Phone(language, daemon.url, language)
            queued = phone.act("a", "b")
            push(client, [{"device": queued[0]["device"], "ts": queued[0]["ts"], "type": "t", "payload": "another"}], language)
            phone.sync()  # TIMESTAMP_TAKEN
            same(agree([phone], client, language)[0], "another", language)
            same(sorted(phone.payloads()), ["a", "another", "b"], language)
            phone = Phone(language, daemon.url, language + "2")
            first = phone.act("a")[0]
            ahead = first["ts"] + 3_600_000
            push(client, [{"device": first["device"], "ts": ahead, "type": "t", "payload": "ahead"}], language + "2")
            phone.act("b")
            phone.sync()  # NON_MONOTONIC_TIMESTAMP
            same(agree([phone], client, language + "2"), ["ahead", "a", "b"], language)
            is_true(all(ts > ahead for _, ts, _, _ in phone.show()["actions"][1:]), "%s: stamps behind the newest", language)


@story.story
def a_clock_that_was_wrong_is_corrected_by_the_servers():
    hour = 3_600_000
    problem = {"code": "BACKPRESSURE", "retry": "after", "detail": "wait", "retryAfterMs": 1}
    with Daemon(options={"clock.max_skew_ms": 1000}) as daemon, daemon.client() as client, \
            Fake(lambda path: (429, {**problem, "serverTimestamp": int(time.time() * 1000) + hour})) as fake:
        for language in CLIENTS:
            phone = Phone(language, fake.url, language)
            phone.sync(LATER, tries=1)
            is_true(phone.act("a")[0]["ts"] > time.time() * 1000 + hour / 2, "%s believes the server's clock", language)
            phone.act("b")
            phone.url = daemon.url
            phone.sync()
            same(agree([phone], client, language), ["a", "b"], language)
            is_true(all(ts < time.time() * 1000 + hour / 2 for _, ts, _, _ in phone.show()["actions"]), "%s: stamps", language)


@story.story
def what_is_too_large_is_set_aside_or_split():
    with Daemon(options={"limits.batch_actions": 2}) as daemon, daemon.client() as client:
        for language in CLIENTS:
            phone = Phone(language, daemon.url, language)
            phone.act("a", "x" * 16385, "b", "c", "d")
            phone.sync()
            same(agree([phone], client, language), ["a", "b", "c", "d"], language)
            same([len(row[3]) for row in phone.show()["aside"]], [16385], language + ": set aside")


@story.story
def no_hash_is_believed_that_was_not_computed():
    lie = {"seq": 1, "stateHash": "1" * 64, "applied": 1, "duplicates": 0, "refused": 0, "fastForward": True, "backoffMs": 0}
    action = {"seq": 1, "device": "other", "ts": 1, "type": "t", "payload": "forged"}
    lies = (lie, {**lie, "fastForward": False, "results": [{"seq": 2}], "missed": [action], "hasMore": False, "seq": 2})
    for said in lies:
        with Fake(lambda path: (200, said)) as fake:  # pylint: disable=cell-var-from-loop
            for language in CLIENTS:
                phone = Phone(language, fake.url)
                phone.act("a")
                phone.sync(LATER, tries=1)
                held = phone.show()
                same((held["seq"], held["actions"], len(held["queue"])), (0, [], 1), language)
    for answer in ((200, {"serverTimestamp": None}), (502, {}), (404, {"error": "captive portal"})):
        with Fake(lambda path: answer) as fake:  # pylint: disable=cell-var-from-loop
            for language in CLIENTS:
                phone = Phone(language, fake.url)
                phone.act("a")
                phone.sync(LATER, tries=1)
                same(len(phone.show()["queue"]), 1, language)


@story.story
def what_is_far_too_large_for_one_request_gets_through():
    """The server does not read the whole of such a body, and a client that still sends hears no answer."""
    payloads = ["%06d" % n + "x" * 16378 for n in range(500)]
    with Daemon() as daemon, daemon.client() as client:
        for language in CLIENTS.keys() - {"JavaScript"}:  # whose own BLAKE2b takes a minute for so much
            phone = Phone(language, daemon.url, language)
            for first in range(0, len(payloads), 80):
                phone.act(*payloads[first:first + 80])
            phone.sync(tries=1)
            same(client.get("/v1/logs/%s/head" % language).json()["seq"], len(payloads), language)
            same(phone.payloads() == payloads, True, language + ": payloads")


@story.story
def a_redacted_action_is_chained_by_its_digest():
    with Daemon(options={"admin.listen": "unix:admin.sock"}) as daemon, daemon.client() as client:
        for language in CLIENTS:
            before, after = (Phone(language, daemon.url, language) for _ in range(2))
            before.act("a", "b", "c")
            before.sync()
            tool("redact", language, 2, "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock"))
            after.act("d")
            after.sync()
            before.sync()
            head = client.get("/v1/logs/%s/head" % language).json()
            for phone, payloads in ((before, ["a", "b", "c", "d"]), (after, ["a", None, "c", "d"])):
                held = phone.show()
                same((held["seq"], held["stateHash"], phone.payloads()), (4, head["stateHash"], payloads), language)


@story.story
def tokens_and_quotas_stop_them_and_lose_nothing():
    key = tokens.Key("EdDSA", "ed")
    options = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("jwks.json", key), "limits.log_actions": 3}
    with Daemon(options=options) as daemon:
        for language in CLIENTS:
            token = make(key, claims(sub=language))
            phone, other = (Phone(language, daemon.url, language) for _ in range(2))
            phone.act("a", "b")
            phone.sync(LATER)  # no token
            same(len(phone.show()["queue"]), 2, language)
            phone.sync(EDGEREPLAY_TOKEN=token)
            other.act("c", "d")
            is_true("QUOTA_EXCEEDED" in other.sync(STOPPED, EDGEREPLAY_TOKEN=token), "%s says why", language)
            held = other.show()
            same((other.payloads(), len(held["queue"])), (["a", "b"], 2), language + ": it reads, and keeps")


story.run()
