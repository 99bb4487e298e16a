"""Every case of schema/vectors.json goes through HTTP: hashes, ids, links and exact bytes come out as written there."""
import json
import os

from support import chain, story
from support.daemon import Daemon
from support.story import same, say

with open(os.path.join(story.ROOT, "schema/vectors.json"), encoding="utf-8") as file:
    CASES = json.load(file)["cases"]


def push(client, case, splits, log):
    """Pushes a case's actions to a log in batches of these sizes; the links are those of that log's name."""
    actions, links = case["actions"], [chain.genesis(log)]
    at = 0
    while at < len(actions):
        size = splits[at % len(splits)]
        batch = actions[at:at + size]
        answer = client.post("/v1/logs/%s/sync" % chain.path(log), chain.sync_body(batch, at, links[-1]))
        same(answer.status, 200, "%s: %s" % (case["name"], answer.body[:500]))
        links += chain.extend(links[-1], batch)
        document = answer.json()
        at += len(batch)
        same((document["fastForward"], document["applied"], document["seq"], document["stateHash"]),
             (True, len(batch), at, links[-1].hex()), case["name"])
    return links


def expected(case, meta=False):
    wanted = []
    for action in case["actions"]:
        shown = {k: action[k] for k in ("seq", "device", "ts", "type", "payload")}
        if meta:
            shown.update(id=action["id"], link=action["link"])
        wanted.append(shown)
    return wanted


@story.story
def every_case_gives_the_links_that_the_vectors_say():
    for case in CASES:
        with Daemon() as daemon, daemon.client() as client:
            links = push(client, case, [1000], case["log"])
            same(links[0].hex(), case["genesis"], "genesis")
            same([link.hex() for link in links[1:]], [a["link"] for a in case["actions"]], "links")
            head = client.get("/v1/logs/%s/head" % chain.path(case["log"])).json()
            same((head["seq"], head["stateHash"]), (len(links) - 1, case["actions"][-1]["link"]), "head")


@story.story
def any_split_into_batches_gives_the_same_log():
    count = 0
    for splits in ([1], [2], [3, 1], [7, 2, 1]):
        with Daemon() as daemon, daemon.client() as client:
            for case in CASES:
                links = push(client, case, splits, case["log"])
                same(links[-1].hex(), case["actions"][-1]["link"], case["name"])
                count += 1
    say("%d pushes of %d cases", count, len(CASES))


@story.story
def replay_gives_back_exact_payloads_ids_and_links():
    with Daemon() as daemon:
        with daemon.client() as client:
            for case in CASES:
                push(client, case, [5], case["log"])
        for _ in range(2):  # the second time after a restart: from the table, not from memory
            with daemon.client() as client:
                for case in CASES:
                    replay(client, case)
            daemon.stop()
            daemon.start()


def replay(client, case):
    path = "/v1/logs/%s/actions" % chain.path(case["log"])
    page = client.get(path).json()
    same(page["actions"], expected(case), case["name"])
    same((page["prevHash"], page["stateHash"], page["hasMore"]),
         (case["genesis"], case["actions"][-1]["link"], False), case["name"])
    page = client.get(path + "?meta=1").json()
    received = 0
    for action in page["actions"]:
        at = action.pop("receivedAt")
        same(received <= at <= page["serverTimestamp"], True, "receivedAt %r after %r" % (at, received))
        received = at
        action.pop("writer", None)
    same(page["actions"], expected(case, meta=True), case["name"])
    stream = client.get(path + "?meta=0", Accept="application/x-ndjson").lines()
    same(stream[0], {"after": 0, "prevHash": case["genesis"]}, "first line")
    same(stream[1:-1], expected(case), case["name"])
    same((stream[-1]["count"], stream[-1]["seq"], stream[-1]["stateHash"]),
         (len(case["actions"]), len(case["actions"]), case["actions"][-1]["link"]), "last line")


@story.story
def names_are_percent_decoded_once():
    case = CASES[0]
    with Daemon() as daemon, daemon.client() as client:
        name = "AZaz09._~-@:|+="
        links = push(client, case, [1000], name)
        spelled = "".join("%%%02x" % ord(c) for c in name)
        for path in (spelled, spelled.upper().replace("%7C", "%7c"), chain.path(name)):
            head = client.get("/v1/logs/%s/head" % path).json()
            same(head["stateHash"], links[-1].hex(), path)
        twice = client.get("/v1/logs/%s/head" % chain.path(name).replace("%", "%25"))
        same((twice.status, twice.json()["code"]), (400, "MALFORMED"), "encoded twice")
        for path in ("a%", "a%2", "a%zz", "a%00", "a%2Fb", "%2e", "..%2e", "a%20b", "%C3%A9", "a" * 129):
            answer = client.get("/v1/logs/%s/head" % path)
            same((path, answer.status), (path, 400), "status")
        same(client.get("/v1/logs/%s/head" % ("a" * 128)).status, 200, "the longest name")


story.run()
