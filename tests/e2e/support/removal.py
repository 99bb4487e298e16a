"""removal: what stories about redact, erase and prune share: actions that can be found again in raw files, and the look for them."""
import os

from support import chain, story
from support.story import is_true, same


def secret(log, n, copies=1):
    """A text that no other action has, and of which each half tells whose it is; with characters of several bytes."""
    return "«%s-%06d-geheim-ÄÖÜ-%s-%06d»" % (log, n, log[::-1], n) * copies


def needles(text):
    """What must not be found of a payload: its beginning, its end, and how JSON would have it."""
    data = text.encode()
    escaped = text.encode("ascii", "backslashreplace")
    return [data[:24], data[-24:], escaped[:24]]


def actions_of(log, device, count, first=0, copies=0):
    """Of so many copies of their secret and up to 3 more; without copies every few of them go on in pages of their own."""
    return [{"device": device, "ts": 1000 + 2 * n, "type": "type/%s-%06d" % (log, n),
             "payload": secret(log, n, 300 if copies == 0 and n % 7 == 3 else max(copies, 1) + n % 4)}
            for n in range(first, first + count)]


def files_with(dir, wanted):
    """The files below a folder that have one of these byte strings, and which."""
    found = []
    for folder, _, names in os.walk(dir):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            found += [(name, needle) for needle in wanted if needle in data]
    return found


def is_gone(dir, actions, what):
    """No byte of the folder's files has the type or the payload of any of the actions."""
    wanted = [needle for action in actions for needle in needles(action["payload"])]
    wanted += [action["type"].encode() for action in actions]
    same(files_with(dir, wanted), [], what + ": found in the raw files")


class Writer:
    """Extends a log; remembers its actions and links."""

    def __init__(self, client, log, device="phone"):
        self.client, self.log, self.device = client, log, device
        self.actions, self.links = [], [chain.genesis(log)]

    def path(self, tail):
        return "/v1/logs/%s/%s" % (chain.path(self.log), tail)

    def sync(self, actions, seq, **members):
        return self.client.post(self.path("sync"), chain.sync_body(actions, seq, self.links[seq], **members))

    def push(self, count, copies=0, **members):
        actions = actions_of(self.log, self.device, count, len(self.actions), copies)
        answer = self.sync(actions, len(self.actions), **members)
        same(answer.status, 200, "%s: status" % answer.body[:300])
        self.links += chain.extend(self.links[-1], actions)
        self.actions += actions
        same(answer.json()["stateHash"], self.links[-1].hex(), "the state hash")
        return answer.json()


def judge_actions(got, writer, first, redacted):
    """What a page shows of a log from a seq on: redacted are seqs, the others are as they were sent."""
    link = writer.links[first - 1]
    for n, action in enumerate(got, first):
        sent = writer.actions[n - 1]
        action = {key: value for key, value in action.items() if key not in ("id", "link", "receivedAt", "writer")}
        digest = chain.digest(sent)
        if n in redacted:
            same(action, {"seq": n, "device": sent["device"], "ts": sent["ts"], "redacted": True, "digest": digest.hex()},
                 "a redacted action")
        else:
            same(action, {"seq": n, **sent}, "an action")
        link = chain.link(link, digest)
        same(link, writer.links[n], "the link at %d" % n)
    is_true(len(got) > 0, "there are actions")
