"""
history: every request and answer of many clients with the times at which they began and ended, and what must hold of them
together with the log as it is at the end.

An operation is a dict: log, kind ("sync", "page", "head"), began and ended (monotonic ns), wall (the machine's ms before
and after), asked (the body of a sync, the query of a page), status, answer. check() raises at the first breach:

    chain     every state hash that any answer named is the log's own at that position
    order     a request that began after an answer sees at least what that answer saw; what it adds comes after that
    place     each acknowledged action is where its answer said; each action is in the log once, and was sent by somebody
    time      the server's time stays within the client's and never goes back; the time of receipt never decreases
    model     carried out one by one, in the order of their positions, the model gives every answer to the letter
"""
import bisect
import json
import time

from support import chain, model, raw
from support.story import is_true, same

BUSY = (429, 503)  # nothing was done
HIDDEN = 60_000  # the server may hide a step back of the machine's clock by so much


class Witness:
    """A client that writes down what it asks and hears."""

    def __init__(self, address, log, operations):
        self.log, self.operations = log, operations
        self.client, self.second = raw.Client(address), raw.Client(address)
        self.path = "/v1/logs/%s/" % chain.path(log)
        self.refused = 0

    def sync(self, body):
        return self._ask("sync", body, "POST", "sync", json.dumps(body).encode())

    def sync_twice(self, body):
        """The same request on two connections at once, as when a copy that was thought lost arrives beside the repeat."""
        data = json.dumps(body).encode()
        while True:
            wall, began = int(time.time() * 1000), time.monotonic_ns()
            self.second.open().send(raw.head("POST", self.path + "sync", data) + data)
            first = self.client.request("POST", self.path + "sync", data)
            pair = [self._operation("sync", body, wall, began, response)
                    for response in (first, self.second.connection.response())]
            answered = [operation for operation in pair if operation["status"] not in BUSY]
            self.operations.extend(answered)
            if answered:
                return answered
            self._wait(pair)

    def head(self):
        return self._ask("head", None, "GET", "head")

    def page(self, after, limit):
        return self._ask("page", (after, limit), "GET", "actions?after=%d&limit=%d" % (after, limit))

    def _ask(self, kind, asked, method, target, body=None):
        """The operation; repeats it as often as the server has no time for it."""
        while True:
            wall, began = int(time.time() * 1000), time.monotonic_ns()
            operation = self._operation(kind, asked, wall, began, self.client.request(method, self.path + target, body))
            if operation["status"] not in BUSY:
                self.operations.append(operation)
                return operation
            self._wait([operation])

    def _operation(self, kind, asked, wall, began, response):
        return {"log": self.log, "kind": kind, "asked": asked, "began": began, "ended": time.monotonic_ns(),
                "wall": (wall, int(time.time() * 1000)), "status": response.status, "answer": response.json()}

    def _wait(self, operations):
        self.refused += 1
        time.sleep(max(operation["answer"].get("retryAfterMs", 0) for operation in operations) / 1000)

    def close(self):
        self.client.close()
        self.second.close()


def kept(client, log):
    """The log's actions with their meta members, by pages."""
    actions, more = [], True
    while more:
        page = client.get("/v1/logs/%s/actions?meta=1&after=%d" % (chain.path(log), len(actions))).json()
        is_true(page["actions"] or not page["hasMore"], "an empty page that says there is more")
        actions += page["actions"]
        more = page["hasMore"]
    return actions


# --- what an operation says ---


def head_of(operation):
    """The log's newest position as this answer saw it, or None for a refusal that names none."""
    answer = operation["answer"]
    if operation["kind"] == "page" or operation["status"] == 409:
        answer = answer["head"]
    return (answer["seq"], answer["stateHash"]) if "seq" in answer else None


def sent_by(operation):
    device = operation["asked"].get("device")
    return [{"device": device, **action} for action in operation["asked"]["actions"]]


def acknowledged(operation):
    """(action, seq, whether it was added by this request) for each that the server said it has."""
    answer, actions = operation["answer"], sent_by(operation)
    if operation["status"] != 200:
        return []
    if not answer["fastForward"]:
        return [(action, result["seq"], "duplicate" not in result)
                for action, result in zip(actions, answer["results"], strict=True) if "seq" in result]
    first_added = len(actions) - answer["applied"]  # the log went along with the client's chain: what it had is in front
    return [(action, operation["asked"]["seq"] + 1 + n, n >= first_added) for n, action in enumerate(actions)]


def plain(action):
    return {name: action[name] for name in ("device", "ts", "type", "payload")}


# --- the checks ---


def check(log, operations, actions, **limits):
    """Raises AssertionError, whose text begins with the name of the check. limits: the server's, as the model has them."""
    operations = [operation for operation in operations if operation["log"] == log]
    links = [chain.genesis(log)] + chain.extend(chain.genesis(log), actions)
    check_chain(operations, actions, links)
    check_order(operations)
    check_place(operations, actions)
    check_time(operations, actions)
    check_model(log, operations, actions, IndexedModel(**limits))


def check_chain(operations, actions, links):
    for seq, action in enumerate(actions, 1):
        same((action["seq"], action["link"]), (seq, links[seq].hex()), "chain: the log's own")
    for operation in operations:
        answer = operation["answer"]
        for position in (answer, answer.get("head"), answer.get("ancestor")):
            if position and "stateHash" in position:
                seq = position["seq"]
                is_true(seq < len(links) and links[seq].hex() == position["stateHash"],
                        "chain: %s answered with position %d, which is not of this log of %d", operation["kind"], seq,
                        len(actions))


def check_order(operations):
    """floors: the newest position that any answer had shown by that time."""
    ends, floors = [0], [0]
    for operation in sorted(operations, key=lambda one: one["ended"]):
        position = head_of(operation)
        if position:
            ends.append(operation["ended"])
            floors.append(max(floors[-1], position[0]))
    for operation in operations:
        floor = floors[bisect.bisect_left(ends, operation["began"]) - 1]
        position = head_of(operation)
        is_true(position is None or position[0] >= floor, "order: a %s that began after position %d was shown saw %r",
                operation["kind"], floor, position)
        if operation["kind"] == "sync":
            for action, seq, added in acknowledged(operation):
                is_true(not added or seq > floor, "order: %r was put at %d after %d was shown", action, seq, floor)


def check_place(operations, actions):
    places = {}
    for seq, action in enumerate(actions, 1):
        key = chain.key(action)
        is_true(key not in places, "place: doubled: %r at %d and %d", plain(action), places.get(key), seq)
        places[key] = seq
    sent, added = set(), set()
    for operation in operations:
        if operation["kind"] == "sync":
            sent.update(map(chain.key, sent_by(operation)))
            for action, seq, new in acknowledged(operation):
                same(places.get(chain.key(action)), seq, "place: of the acknowledged %r" % action)
                is_true(not new or seq not in added, "place: %d was added by two requests", seq)
                added.update([seq] if new else [])
    is_true(places.keys() <= sent, "place: nobody sent %r", list(places.keys() - sent)[:3])
    same(sorted(added), list(range(1, len(actions) + 1)), "place: positions that an answer said were added")


def check_time(operations, actions):
    ends, shown = [0], [0]
    for operation in sorted(operations, key=lambda one: one["ended"]):
        ends.append(operation["ended"])
        shown.append(max(shown[-1], operation["answer"]["serverTimestamp"]))
    for operation in operations:
        now, (before, after) = operation["answer"]["serverTimestamp"], operation["wall"]
        is_true(before <= now <= after + HIDDEN, "time: %d is not between %d and %d", now, before, after)
        is_true(now >= shown[bisect.bisect_left(ends, operation["began"]) - 1], "time: %d after a later one", now)
        for action, seq, new in acknowledged(operation) if operation["kind"] == "sync" else ():
            received = actions[seq - 1]["receivedAt"]
            is_true(not new or before <= received <= now, "time: %r received at %d, asked at %d, answered at %d", action,
                    received, before, now)
    for first, second in zip(actions, actions[1:]):
        is_true(first["receivedAt"] <= second["receivedAt"], "time: %d was received before the one before it", second["seq"])


# --- the model ---


class IndexedLog(model.Log):
    """The model's log, found by key."""

    def __init__(self, name):
        super().__init__(name)
        self.places = {}

    def find(self, device, ts):
        return self.places.get((device, ts), 0)

    def append(self, action):
        seq = self.places[action["device"], action["ts"]] = super().append(action)
        return seq

    def cut(self, count):
        for action in self.actions[count:]:
            del self.places[action["device"], action["ts"]]
        super().cut(count)


class IndexedModel(model.Model):
    """The model without clock policies, fast enough for long logs."""

    def log(self, name):
        if name not in self.logs:
            self.logs[name] = IndexedLog(name)
        return self.logs[name]

    def _refusal(self, log, action, taken):
        return {"refused": "TIMESTAMP_TAKEN"} if taken else None


def check_model(log, operations, actions, judge):
    """Answers that name a position are put in its order, those that moved the log there first."""
    placed = [operation for operation in operations if head_of(operation)]
    for operation in sorted(placed, key=lambda one: (head_of(one)[0], not one["answer"].get("applied"))):
        try:
            if operation["kind"] == "sync":
                wanted = judge.sync(log, operation["asked"])
            else:
                wanted = judge.actions(log, *operation["asked"]) if operation["kind"] == "page" else judge.log(log).head()
        except model.Problem as problem:
            wanted = {"status": problem.status, "code": problem.code, **problem.members}
        given = {name: operation["answer"].get(name) for name in wanted}
        same(given, wanted, "model: the answer to %s %.500r" % (operation["kind"], operation["asked"]))
    same([plain(action) for action in judge.log(log).actions], [plain(action) for action in actions], "model: the log")
    for operation in operations:
        if operation["status"] == 422:
            check_refusal(judge.log(log), operation)


def check_refusal(log, operation):
    """A refusal names no position; but what took the stamp must be there."""
    action = sent_by(operation)[operation["answer"]["index"]]
    seq = log.find(action["device"], action["ts"])
    is_true(operation["answer"]["code"] == "TIMESTAMP_TAKEN" and seq
            and chain.digest(log.actions[seq - 1]) != chain.digest(action), "model: refused for nothing: %r", action)
