"""Quotas: a log grows to its limit and no further, a subject begins its logs and no more, and nothing that is stored is lost for it."""
import json
import os
import random
import signal
import threading

from support import chain, model, story, tokens
from support.daemon import Daemon, tool, until, whole_log
from support.story import is_true, same, say
from support.tokens import bearer, claims, make


def action(n, payload="p", device="d"):
    return {"device": device, "ts": n, "type": "t", "payload": payload}


def post(client, log, actions, seq=0, link=None, headers=None, **members):
    body = chain.sync_body(actions, seq, link or chain.genesis(log), **members)
    return client.request("POST", "/v1/logs/%s/sync" % chain.path(log), json.dumps(body).encode(), headers or {})


def check_full(answer, quota, limit):
    problem = answer.json()
    same((answer.status, problem["code"], problem["retry"]), (403, "QUOTA_EXCEEDED", "never"), "problem %r" % problem)
    same((problem["quota"], problem["limit"]), (quota, limit), "quota")
    is_true("index" not in problem and "Nothing of the batch was stored" in problem["detail"], "detail of %r", problem)


def size(actions):
    return sum(len((a["device"] + a["type"] + a["payload"]).encode()) for a in actions)


class File:
    """A configuration that can be changed."""

    def __init__(self, **limits):
        self.write(**limits)
        self.flags = ["--config=quotas.ini"]

    def write(self, **limits):
        with open("quotas.ini", "w", encoding="utf-8") as file:
            file.write("[limits]\n" + "".join("%s = %d\n" % item for item in limits.items()))


@story.story
def a_full_log_takes_nothing_new_and_gives_back_everything():
    configuration = File(log_actions=10)
    with Daemon(flags=configuration.flags) as daemon:
        client, start = daemon.client(), chain.genesis("a")
        same(client.get("/v1/info").json()["limits"]["logActions"], 10, "limits of info")
        eight = [action(n) for n in range(1, 9)]
        links = chain.extend(start, eight)
        same(post(client, "a", eight).status, 200, "eight of ten")
        for members in ({}, {"onConflict": "reject"}):
            check_full(post(client, "a", [action(n) for n in (21, 22, 23)], 8, links[7], **members), "logActions", 10)
        same(client.get("/v1/logs/a/head").json()["seq"], 8, "the head after a batch that would pass it")
        # From an older base, behind what another device wrote: all or nothing, too.
        check_full(post(client, "a", [action(n, device="e") for n in (1, 2, 3)], 5, links[4]), "logActions", 10)
        answer = post(client, "a", [action(1, device="e"), action(8), action(2, device="e")], 5, links[4]).json()
        same((answer["seq"], answer["applied"], answer["duplicates"]), (10, 2, 1), "a batch that just fits")
        for _ in range(2):
            same(post(client, "a", eight).json()["duplicates"], 8, "a retry when the log is full")
            same(post(client, "a", eight[3:], 3, links[2], onConflict="reject").status, 200, "and with reject")
            refused = post(client, "a", [action(1, "another")], 8, links[7]).json()
            same((refused["refused"], refused["applied"]), (1, 0), "an action that is refused for its stamp")
            check_full(post(client, "a", eight + [action(9)]), "logActions", 10)
            same(post(client, "a", [], 8, links[7]).json()["missed"][-1]["device"], "e", "a pull")
            actions, chained = whole_log(client, "a")
            same(len(actions), 10, "all of it")
            check_full(post(client, "a", [action(30)], 10, chained[-1]), "logActions", 10)
            same(post(client, "b", [action(30)]).status, 200, "another log")
            daemon.stop()
            daemon.start()
            client = daemon.client()
        configuration.write(log_actions=11)
        daemon.signal(signal.SIGHUP)
        daemon.await_event("option taken over")
        until(lambda: post(client, "a", [action(30)], 10, chained[-1]).status == 200, "room after the limit was raised")
        configuration.write(log_actions=4)
        daemon.signal(signal.SIGHUP)
        daemon.await_event("option taken over", 2)
        until(lambda: client.get("/v1/info").json()["limits"]["logActions"] == 4, "a lower limit")
        check_full(post(client, "a", [action(31)], 11, whole_log(client, "a")[1][-1]), "logActions", 4)
        same(post(client, "a", eight).json()["duplicates"], 8, "a retry beyond a limit that was lowered")


@story.story
def what_is_pruned_or_erased_makes_room():
    with Daemon(options={"limits.log_actions": 20, "admin.listen": "unix:admin.sock"}) as daemon:
        url = "--url=unix:" + os.path.join(os.path.realpath(daemon.dir), "admin.sock")
        client, sent, links = daemon.client(), [], [chain.genesis("a")]

        def grow(count):
            more = [action(len(sent) + n) for n in range(1, count + 1)]
            same(post(client, "a", more, len(sent), links[-1]).status, 200, "%d more" % count)
            links.extend(chain.extend(links[-1], more))
            sent.extend(more)
            check_full(post(client, "a", [action(1000)], len(sent), links[-1]), "logActions", 20)

        grow(20)
        tool("redact", "a", "1-5", url)
        check_full(post(client, "a", [action(1000)], len(sent), links[-1]), "logActions", 20)
        tool("prune", "a", "--before=16", "--without-snapshot", url)
        grow(15)
        daemon.kill()
        daemon.start()
        client = daemon.client()
        check_full(post(client, "a", [action(1000)], len(sent), links[-1]), "logActions", 20)
        tool("erase", "a", url)
        tool("erase", "a", "--reopen", url)
        grow(20)
        daemon.stop()
        tool("verify", daemon.dir)


@story.story
def bytes_are_counted_as_they_were_sent():
    texts = ["", "x" * 300, "ä€😀", "\0\0\0", "a\"b\\c\n"]
    with Daemon(options={"limits.log_bytes": 1000}) as daemon:
        client, kept, link = daemon.client(), [], chain.genesis("a")
        for round_ in range(100):
            one = action(round_ + 1, texts[round_ % len(texts)])
            answer = post(client, "a", [one], len(kept), link)
            if size(kept + [one]) > 1000:
                check_full(answer, "logBytes", 1000)
                continue
            same(answer.status, 200, "with room")
            kept.append(one)
            link = bytes.fromhex(answer.json()["stateHash"])
            if round_ % 7 == 3:
                daemon.kill()
                daemon.start()
                client = daemon.client()
        is_true(990 < size(kept) <= 1000, "%d bytes of 1000", size(kept))
        daemon.stop()
        said = json.loads(tool("stat", daemon.dir, "--json").out)
        same((said["largestLogs"][0]["bytes"], said["shards"][0]["actionBytes"]), (size(kept), size(kept)), "stat of the directory")
        same(json.loads(tool("stat", daemon.dir, "--log=a", "--json").out)["bytes"], size(kept), "stat of the log")
        is_true("%d bytes" % size(kept) in tool("stat", daemon.dir).out, "stat for humans")
        tool("verify", daemon.dir)


@story.story
def whatever_is_sent_a_model_answers_the_same():
    seed = story.seed()
    rng = random.Random(seed)
    limits = {"log_actions": 40, "log_bytes": 700}
    judge = model.Model(**limits)
    outcomes = {}
    with Daemon(options={"limits." + name: value for name, value in limits.items()}) as daemon:
        client = daemon.client()
        for step in range(600):
            name = "log-%d" % rng.randrange(12)
            log = judge.log(name)
            base = rng.randrange(max(0, len(log.actions) - 3), len(log.actions) + 1)
            batch = rng.sample(log.actions, min(len(log.actions), rng.choice((0, 0, 1, 3))))
            batch += [action(rng.randrange(1, 2000), "p" * rng.randrange(40), rng.choice("de")) for _ in range(rng.randrange(6))]
            body = chain.sync_body(batch, base, log.links[base], onConflict=rng.choice(("rebase", "rebase", "reject")))
            answer = client.post("/v1/logs/%s/sync" % name, body)
            try:
                status, wanted = 200, judge.sync(name, body)
            except model.Problem as problem:
                status, wanted = problem.status, {"code": problem.code, **problem.members}
            said = answer.json()
            same((answer.status, {member: said.get(member) for member in wanted}), (status, wanted), "step %d, seed %d" % (step, seed))
            outcomes[said.get("code", "OK")] = outcomes.get(said.get("code", "OK"), 0) + 1
            if step % 150 == 149:
                daemon.kill()
                daemon.start()
                client = daemon.client()
        for name, log in judge.logs.items():
            is_true(len(log.actions) <= 40 and log.bytes() <= 700, "%s is beyond its limits", name)
        daemon.stop()
        tool("verify", daemon.dir)
    is_true(outcomes["QUOTA_EXCEEDED"] > 20 and outcomes["OK"] > 100, "outcomes %r", outcomes)
    say("%r", outcomes)


key = tokens.Key("EdDSA", "ed")


def subject(name, **more):
    return dict([bearer(make(key, claims(sub=name, logs=["team-*"], **more)))])


def served(limit, **options):
    path = tokens.write_jwks("jwks.json", key)
    return Daemon(options={"auth.mode": "jwt", "auth.jwks_file": path, "auth.all_scope": "logs:all", "auth.own_log": "u:{sub}",
                           "limits.subject_logs": limit, "rate.requests": 0, "rate.actions": 0, **options})


@story.story
def a_subject_begins_so_many_logs_besides_its_own():
    with served(2, **{"store.shards": 4, "admin.listen": "unix:admin.sock"}) as daemon:
        client, anna, ben = daemon.client(), subject("anna"), subject("ben")
        for _ in range(2):
            for log in ("team-1", "u:anna", "team-2"):
                same(post(client, log, [action(1)], headers=anna).status, 200, log)
            check_full(post(client, "team-3", [action(1)], headers=anna), "subjectLogs", 2)
            # What is not there can be asked for, and is not begun by that.
            same(client.request("GET", "/v1/logs/team-3/head", headers=anna).json()["seq"], 0, "a head")
            same(post(client, "team-3", [], headers=anna).status, 200, "a pull")
            same(post(client, "team-4", [action(1)], headers=ben).status, 200, "who has begun none")
            same(post(client, "team-4", [action(2)], headers=anna).status, 200, "another's log")
            daemon.kill()
            daemon.start()
            client = daemon.client()
        helper = subject("anna", scope="logs:all")
        same(post(client, "team-5", [action(1)], headers=helper).status, 200, "who may write all logs")
        check_full(post(client, "team-3", [action(1)], headers=anna), "subjectLogs", 2)
        counted = b'edgereplay_requests_total{route="sync",status="403",code="QUOTA_EXCEEDED"} 1\n'
        with daemon.operator() as operator:
            until(lambda: counted in operator.get("/metrics").body, "the metric")
        daemon.stop()
        tool("verify", daemon.dir)


@story.story
def those_who_ask_at_the_same_time_do_not_pass_the_limit():
    with served(7, **{"store.shards": 4}) as daemon:
        anna, begun, gate, wrong = subject("anna"), [], threading.Barrier(8), []

        def begin(number):
            client = daemon.client()
            for n in range(6):
                log = "team-%d-%d" % (number // 2, n)
                gate.wait(60)
                answer = post(client, log, [action(1)], headers=anna)
                if answer.status == 200:
                    begun.append(log)
                elif answer.json()["code"] != "QUOTA_EXCEEDED":
                    wrong.append(answer.body)

        threads = [threading.Thread(target=begin, args=(number,), daemon=True) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        same(wrong, [], "other answers")
        # Who found a log begun by the other got a 200 as well.
        same(len(set(begun)), 7, "logs begun of 24")
        say("%d of 48 requests answered with success, for 7 logs", len(begun))
        client = daemon.client()
        for log in set(begun):
            same(post(client, log, [action(1)], headers=anna).json()["duplicates"], 1, "a retry")


@story.story
def the_tool_stops_keeps_its_queue_and_goes_on_when_there_is_room():
    configuration = File(log_actions=5)
    with Daemon(flags=configuration.flags) as daemon:
        lines = "".join('{"type":"t","payload":"%d"}\n' % n for n in range(4)).encode()
        flags = ("push", "--json", "-q", "--url=" + daemon.url, "--log=a", "--state=phone.state", "--device=phone")
        tool(*flags, "-", input=lines)
        full = tool(*flags, "-", input=lines, expect=1)
        is_true("QUOTA_EXCEEDED: A log may have 5 actions" in full.error, "what it says: %s", full.error)
        same(json.loads(tool("status", "--json", "--state=phone.state").out)["queued"], 4, "what it keeps")
        other = ("--url=" + daemon.url, "--log=a", "--state=tablet.state", "--device=tablet")
        same(len(tool("pull", "-q", *other).out.splitlines()), 4, "what another pulls meanwhile")
        configuration.write(log_actions=8)
        daemon.signal(signal.SIGHUP)
        daemon.await_event("option taken over")
        until(lambda: daemon.client().get("/v1/info").json()["limits"]["logActions"] == 8, "the new limit")
        same(json.loads(tool(*flags).out)["seq"], 8, "after the limit was raised")
        same(json.loads(tool("status", "--json", "--state=phone.state").out)["queued"], 0, "the queue")


story.run()
