"""Every shape of answer of protocol 4.1, each compared with the model's."""
import itertools
import json
import random

from support import chain, model, story
from support.daemon import Daemon, Shared
from support.story import is_true, same, say

VARIABLE = ("serverTimestamp", "backoffMs", "requestId", "type", "title", "detail", "retry", "instance")
ANY = "any code"


def action(device, ts, payload="{}", kind="t"):
    return {"device": device, "ts": ts, "type": kind, "payload": payload}


class Twins:
    """The daemon and the model get the same requests; their answers must be equal."""

    def __init__(self, client, log, **limits):
        self.client, self.name = client, log
        self.model = model.Model(**limits)
        self.log = self.model.log(log)
        self.genesis = chain.genesis(log)

    def send(self, body, code=None):
        answer = self.client.post("/v1/logs/%s/sync" % chain.path(self.name), body)
        try:
            status, wanted = 200, self.model.sync(self.name, body)
        except model.Problem as problem:
            status, wanted = problem.status, {"status": problem.status, "code": problem.code, **problem.members}
        document = answer.json()
        is_true(document["serverTimestamp"] > 1_600_000_000_000, "serverTimestamp %r", document)
        self.raw = document
        got = {k: v for k, v in document.items() if k not in VARIABLE}
        self.compare_skew(got, wanted)
        same(got, wanted, "answer to %s" % json.dumps(body)[:1500])
        same(answer.status, status, "status")
        if code != ANY:
            same(document.get("code"), code, "code")
        return document

    @staticmethod
    def compare_skew(got, wanted):
        """aheadMs depends on two clocks that read a moment apart."""
        for mine, theirs in zip([got] + got.get("results", []), [wanted] + wanted.get("results", [])):
            if "aheadMs" in mine and "aheadMs" in theirs:
                is_true(abs(mine["aheadMs"] - theirs["aheadMs"]) < 100_000, "aheadMs %r %r", mine, theirs)
                mine["aheadMs"] = theirs["aheadMs"]

    def at(self, seq):
        return self.log.links[seq]

    def push(self, actions, seq=None, link=None, code=None, **members):
        seq = len(self.log.actions) if seq is None else seq
        return self.send(chain.sync_body(actions, seq, link or self.at(seq), **members), code)


shared = Shared()
logs = itertools.count(1)


def fresh_twins(**limits):
    """A log that nobody wrote, and its model."""
    return Twins(shared.client, "log-%d" % next(logs), **limits)


def two_devices(twins):
    """phone wrote 1..3; the tablet, from there, 4..5."""
    twins.push([action("phone", ts) for ts in (10, 20, 30)])
    twins.push([action("tablet", ts) for ts in (11, 21)])


@story.story
def fast_forward_and_an_empty_batch():
    twins = fresh_twins()
    answer = twins.push([])
    same((answer["seq"], answer["stateHash"]), (0, twins.genesis.hex()), "an unwritten log")
    same(answer["backoffMs"], 0, "backoffMs")
    same(twins.push([action("phone", 10)])["fastForward"], True, "fastForward")
    twins.push([action("phone", 20), action("tablet", 20)], device="phone")
    twins.push([])
    same(len(twins.push([], seq=1)["missed"]), 2, "a pull")


@story.story
def a_rebase_returns_results_and_missed():
    twins = fresh_twins()
    two_devices(twins)
    answer = twins.push([action("phone", 40), action("phone", 50)], seq=3)
    same((answer["results"], [m["seq"] for m in answer["missed"]]), ([{"seq": 6}, {"seq": 7}], [4, 5]), "rebase")


@story.story
def missed_obeys_pull_and_says_that_there_is_more():
    twins = fresh_twins()
    two_devices(twins)
    for pull in (0, 1, 2, 3, 500):
        answer = twins.push([action("watch", 100 + pull)], seq=0, pull=pull)
        same(answer["hasMore"], pull < len([a for a in twins.log.actions if a["ts"] != 100 + pull]), "hasMore")
    twins.push([], seq=1, pull=0)
    twins.push([], seq=5, pull=1)


@story.story
def the_same_request_again_is_all_duplicates():
    twins = fresh_twins()
    batch = [action("phone", ts) for ts in (10, 20, 30)]
    twins.push(batch, seq=0)
    answer = twins.push(batch, seq=0)
    same((answer["duplicates"], answer["fastForward"]), (3, True), "a retry after a lost answer")
    twins.push([action("tablet", 5)])
    same(twins.push(batch, seq=0)["fastForward"], False, "a retry after others wrote")
    twins.push(batch, seq=1)
    twins.push(batch[1:] + [action("phone", 40)], seq=1)


@story.story
def an_action_twice_in_a_batch_is_applied_once():
    twins = fresh_twins()
    twins.push([action("phone", 1), action("phone", 1), action("phone", 2)])
    twins.push([action("phone", 9), action("phone", 9)], onConflict="reject")
    twins.push([action("phone", 7), action("phone", 7, "other"), action("phone", 8)])


@story.story
def a_stamp_that_is_taken_is_refused_and_blocks_nothing():
    twins = fresh_twins()
    two_devices(twins)
    answer = twins.push([action("phone", 20, "other"), action("phone", 40), action("tablet", 21)], seq=5)
    same(answer["results"], [{"refused": "TIMESTAMP_TAKEN"}, {"seq": 6}, {"seq": 5, "duplicate": True}], "results")
    twins.push([action("phone", 20, "third")], seq=2)


@story.story
def stamps_may_be_late_or_far_ahead_by_default():
    twins = fresh_twins()
    twins.push([action("phone", 1000), action("phone", 1), action("phone", (1 << 48) - 1), action("phone", 500)])


@story.story
def reject_is_all_or_nothing():
    twins = fresh_twins()
    two_devices(twins)
    answer = twins.push([action("phone", 40)], seq=3, code="CONFLICT", onConflict="reject")
    same([m["seq"] for m in answer["missed"]], [4, 5], "missed")
    same(answer["retry"], "rebase", "retry")
    answer = twins.push([action("phone", 20), action("phone", 30), action("phone", 40)], seq=1, code="CONFLICT",
                        onConflict="reject")
    same(answer["duplicates"], [{"index": 0, "seq": 2}, {"index": 1, "seq": 3}], "duplicates")
    same([m["seq"] for m in answer["missed"]], [2, 3, 4, 5], "missed has this batch's actions too")
    twins.push([action("phone", 40)], seq=0, code="CONFLICT", onConflict="reject", pull=2)
    twins.push([action("phone", 40)], seq=0, code="CONFLICT", onConflict="reject", pull=0)
    same(len(twins.log.actions), 5, "nothing was written")


@story.story
def a_retry_whose_first_part_was_accepted_is_no_conflict():
    twins = fresh_twins()
    batch = [action("phone", ts) for ts in (10, 20)]
    twins.push(batch, onConflict="reject")
    answer = twins.push(batch + [action("phone", 30)], seq=0, onConflict="reject")
    same((answer["applied"], answer["duplicates"], answer["fastForward"]), (1, 2, True), "answer")


@story.story
def reject_refuses_the_batch_with_the_index():
    twins = fresh_twins()
    twins.push([action("phone", 10), action("phone", 20)])
    answer = twins.push([action("phone", 30), action("phone", 20, "other")], code="TIMESTAMP_TAKEN",
                        onConflict="reject")
    same((answer["index"], answer["retry"]), (1, "restamp"), "index")
    twins.push([action("phone", 30)], onConflict="reject")


@story.story
def a_wrong_chain_is_422_with_both_hashes():
    twins = fresh_twins()
    body = chain.sync_body([action("phone", 10)], 0, twins.genesis)
    body["stateHash"] = "0" * 64
    answer = twins.send(body, "CHAIN_BROKEN")
    same((answer["expected"], answer["retry"]), ("0" * 64, "never"), "expected")
    body["seq"], body["prevHash"] = 7, "1" * 64
    twins.send(body, "CHAIN_BROKEN")  # before the base is looked at


@story.story
def a_base_beyond_the_head_is_409_with_the_ancestor():
    twins = fresh_twins()
    two_devices(twins)
    other = b"\7" * 32
    pair = lambda seq: [seq, twins.at(seq).hex()]  # noqa: E731
    new = [action("phone", 90)]
    answer = twins.push(new, seq=9, link=other, code="SERVER_BEHIND")
    same((answer["ancestor"]["seq"], answer["retry"]), (0, "rebase"), "ancestor")
    locator = [[8, other.hex()], [5, other.hex()], pair(3), pair(1), [0, twins.genesis.hex()]]
    answer = twins.push(new, seq=9, link=other, code="SERVER_BEHIND", locator=locator)
    same(answer["ancestor"]["seq"], 3, "the newest pair that is in the log")
    answer = twins.push(new, seq=9, link=other, code="SERVER_BEHIND", locator=[pair(5)] + locator[2:])
    same(answer["ancestor"], answer["head"], "all of the log is the phone's")
    twins.push([], seq=6, link=other, code="SERVER_BEHIND")


@story.story
def another_history_at_the_base_is_409_with_the_ancestor():
    twins = fresh_twins()
    two_devices(twins)
    other = b"\7" * 32
    new = [action("phone", 90)]
    twins.push(new, seq=4, link=other, code="HASH_MISMATCH")
    twins.push(new, seq=4, link=other, code="HASH_MISMATCH",
               locator=[[3, other.hex()], [2, twins.at(2).hex()], [0, twins.genesis.hex()]])
    twins.push([], seq=1, link=other, code="HASH_MISMATCH", locator=[])
    twins.push(new, seq=5, link=other, code="HASH_MISMATCH", onConflict="reject",
               locator=[[n, twins.at(n).hex()] for n in range(4, -1, -1)])


@story.story
def seq_0_with_another_link_is_malformed():
    twins = fresh_twins()
    twins.send(chain.sync_body([], 0, b"\1" * 32), "MALFORMED")
    twins.send(chain.sync_body([action("phone", 1)], 0, chain.genesis("another log")), "MALFORMED")


@story.story
def limits_are_named():
    twins = fresh_twins()
    big = [action("phone", 1), action("phone", 2, "x" * 16385)]
    answer = twins.push(big, code="PAYLOAD_TOO_LARGE")
    same((answer["limit"], answer["index"], answer["retry"]), (16384, 1, "never"), "members")
    answer = twins.push([action("phone", ts, "") for ts in range(1, 1002)], code="BATCH_TOO_LARGE")
    same((answer["limit"], answer["retry"]), (1000, "split"), "members")
    twins.push([action("phone", 1, "x" * 16384), action("phone", 2, "\u00e9" * 8192)])
    twins.push([action("phone", ts, "") for ts in range(10, 1010)])
    answer = twins.push([action("phone", 5, "\u00e9" * 8193)], code="PAYLOAD_TOO_LARGE")
    devices = [action("device-%d" % n, 1, "") for n in range(65)]
    twins.push(devices[:64])
    same(twins.push(devices, code="BATCH_TOO_LARGE")["limit"], 64, "devices")


@story.story
def missed_is_cut_at_the_limits_of_a_page():
    with Daemon(options={"limits.page_actions": 10, "limits.page_bytes": 5000}) as daemon, daemon.client() as client:
        twins = Twins(client, "pages", page_actions=10, page_bytes=5000)
        twins.push([action("phone", ts) for ts in range(1, 31)])
        same(len(twins.push([action("tablet", 1)], seq=0)["missed"]), 10, "missed")
        twins.push([action("phone", 100 + n, "x" * 3000) for n in range(5)])
        same(len(twins.push([], seq=31)["missed"]), 1, "missed by bytes")
        same(len(twins.push([], seq=30, pull=3)["missed"]), 2, "missed by bytes")
        twins.push([action("phone", 200, "y" * 9000)])
        same(len(twins.push([], seq=36)["missed"]), 1, "at least one action, however large")
        twins.push([action("watch", 1)], seq=35, onConflict="reject", code="CONFLICT")


@story.story
def the_clock_policies_refuse_what_they_say():
    options = {"clock.max_skew_ms": 60_000, "clock.monotonic": "true"}
    with Daemon(options=options) as daemon, daemon.client() as client:
        twins = Twins(client, "clock", max_skew_ms=60_000, monotonic=True)
        now = twins.model.clock()
        twins.push([action("phone", now - 5000), action("phone", now - 4000)])
        answer = twins.push([action("phone", now - 4500), action("phone", now + 600_000), action("tablet", 5)])
        same(answer["results"][0], {"refused": "NON_MONOTONIC_TIMESTAMP", "newest": now - 4000}, "monotonic")
        same(answer["results"][1]["refused"], "CLOCK_SKEW", "skew")
        same(answer["results"][2], {"seq": 3}, "the third")
        answer = twins.push([action("phone", now), action("phone", now - 1)])
        same((answer["applied"], answer["refused"]), (1, 1), "within one batch")
        twins.push([action("phone", now - 5000), action("phone", now - 4000, "other")])
        answer = twins.push([action("tablet", 6), action("phone", now + 600_000)], onConflict="reject",
                            code="CLOCK_SKEW")
        same((answer["index"], answer["retry"]), (1, "restamp"), "index")
        twins.push([action("phone", 7)], onConflict="reject", code="NON_MONOTONIC_TIMESTAMP")


@story.story
def random_requests_get_the_models_answers():
    rolls = random.Random(story.seed())
    seen = {}
    for _ in range(6):
        twins = fresh_twins()
        for _ in range(120):
            known = len(twins.log.actions)
            seq = rolls.randint(max(0, known - 12), known + (rolls.random() < 0.1))
            honest = seq <= known and rolls.random() < 0.9
            link = twins.at(seq) if honest else b"\5" * 32
            if seq == 0:
                link = twins.genesis
            batch = [action(rolls.choice("ab"), rolls.randint(1, 60 + known), rolls.choice("xy"))
                     for _ in range(rolls.randint(0, 5))]
            members = {"pull": rolls.choice((0, 1, 3, 500)), "onConflict": rolls.choice(("rebase", "reject"))}
            if rolls.random() < 0.4:
                members["locator"] = [[n, twins.at(n).hex()] for n in range(min(known, seq) - rolls.randint(1, 4), 0, -5)]
                members["locator"].append([0, twins.genesis.hex()])
            answer = twins.send(chain.sync_body(batch, seq, link, **members), ANY)
            seen[answer.get("code", "OK")] = seen.get(answer.get("code", "OK"), 0) + 1
    say("random answers: %s", ", ".join("%s %d" % item for item in sorted(seen.items())))
    same(set(seen), {"OK", "CONFLICT", "HASH_MISMATCH", "SERVER_BEHIND", "TIMESTAMP_TAKEN"}, "all shapes were seen")
    shared.stop()


story.run()
