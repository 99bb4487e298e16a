"""phone: a client as section 7 of the protocol wants it, in memory, independent of the tool.

It keeps everything it ever confirmed, so it can heal a server that was restored from any backup.
"""
import json
import random
import time

from support import chain, raw, story


class Phone:
    """One device (or one of several that share a device id) on one log."""

    def __init__(self, address, log, device, seed=0, batch=50, locator=True):
        self.log, self.device, self.batch, self.locator = log, device, batch, locator
        self.random = random.Random("%s %s %s" % (log, device, seed))
        self.client = raw.Client(address)
        self.path = "/v1/logs/%s/" % chain.path(log)
        self.confirmed = []                    # actions, seq 1 first
        self.links = [chain.genesis(log)]      # links[n] is after confirmed[:n]
        self.queue = []                        # {"action": …, "was_confirmed": bool}
        self.aside = []                        # what the app must look at
        self.acknowledged = []                 # actions that the server said it has
        self.offset = 0
        self.failures = self.conflicts = self.mismatches = 0
        self.statistics = {}

    # --- the app's side ---

    def act(self, kind, payload, now=None, after=0):
        """The user does something: it is in the queue, stamped, later than `after`."""
        stamps = {a["ts"] for a in self._own()}
        local = (now or int(time.time() * 1000)) + self.offset
        newest = max(stamps, default=0)
        ts = max(local if newest > local + 300_000 else max(newest + 1, local), after + 1)
        while ts in stamps:
            ts += 1
        action = {"device": self.device, "ts": ts, "type": kind, "payload": payload}
        self.queue.append({"action": action, "was_confirmed": False})
        return action

    def _own(self):
        return [a for a in self.confirmed + [q["action"] for q in self.queue] if a["device"] == self.device]

    @property
    def base(self):
        return len(self.confirmed)

    # --- one request ---

    def sync(self, mode="rebase", pull=None):
        """One round trip and what follows from it. False when the outcome is unknown: call again, after pause()."""
        if self.conflicts >= 5:
            mode = "rebase"
        batch = self.queue[:self.batch]
        members = {"onConflict": mode}
        if pull is not None:
            members["pull"] = pull
        if self.locator:
            members["locator"] = self._locator()
        body = chain.sync_body([q["action"] for q in batch], self.base, self.links[-1], self.device, **members)
        answer = self._call("POST", "sync", json.dumps(body).encode())
        if answer is None:
            return False
        status, document = answer
        self._count(document.get("code", "fastForward" if document.get("fastForward") else "rebased"))
        if status == 200:
            self.failures = self.conflicts = self.mismatches = 0
            return self._succeeded(batch, document)
        if document["code"] in ("SERVER_BEHIND", "HASH_MISMATCH"):
            return self._heal(document)
        if document["code"] == "CONFLICT":
            self.conflicts += 1
            return self._follow(document["missed"], document["head"], document["hasMore"])
        if document["retry"] == "restamp":
            self._refused(batch[document["index"]], document["code"], document.get("newest", 0))
            return True
        if document["retry"] == "after":
            return self._failed()
        raise AssertionError("the server refuses: %r" % document)

    def _call(self, method, target, body=None):
        """(status, document), or None when there was no answer that can be trusted."""
        try:
            began = time.time()
            response = self.client.request(method, self.path + target, body)
            document = response.json()
            self.offset = document["serverTimestamp"] - int((began + time.time()) / 2 * 1000)
            return response.status, document
        except (OSError, ValueError):
            self._count("no answer")
            self._failed()
            return None

    def _failed(self):
        self.failures += 1
        return False

    def pause(self, scale=1.0):
        """The protocol's wait after failures, shortened by scale for tests."""
        time.sleep(self.random.random() * min(0.1 * 2 ** self.failures, 30) * scale)

    def _count(self, what):
        self.statistics[what] = self.statistics.get(what, 0) + 1

    def _locator(self):
        """Older links with growing gaps, newest first, down to the genesis."""
        pairs, seq, gap = [], self.base, 1
        while seq > 0 and len(pairs) < 63:
            seq = max(seq - gap, 0)
            pairs.append([seq, self.links[seq].hex()])
            gap *= 2
        return pairs or [[0, self.links[0].hex()]]

    # --- answers ---

    def _succeeded(self, batch, document):
        if document["fastForward"]:
            self._confirm([q["action"] for q in batch])
            story.same((self.base, self.links[-1].hex()), (document["seq"], document["stateHash"]), "fast-forward")
            self.acknowledged += [q["action"] for q in batch]
            return True
        placed, refused = list(document["missed"]), []
        for entry, result in zip(batch, document["results"], strict=True):
            if "refused" in result:
                self._count(result["refused"])
                refused.append((entry, result))
                continue
            self.acknowledged.append(entry["action"])
            if result["seq"] > self.base:
                placed.append({"seq": result["seq"], **entry["action"]})
            else:
                story.same(chain.key(self.confirmed[result["seq"] - 1]), chain.key(entry["action"]), "a duplicate")
                self.queue.remove(entry)
        if not self._follow(placed, document, document["hasMore"]):
            return False  # what was accepted is still in the queue and must not get other stamps; the repeat is refused again
        for entry, result in refused:
            if entry in self.queue:
                self._refused(entry, result["refused"], result.get("newest", 0))
        return True

    def _follow(self, placed, head, more):
        """Chains what comes after the base, contiguously; compares; confirms. Goes on with pages while there is more."""
        placed = sorted(placed, key=lambda action: action["seq"])
        run = []
        for action in placed:
            if action["seq"] != self.base + len(run) + 1:
                break
            run.append({k: action[k] for k in ("device", "ts", "type", "payload")})
        if not more:
            self._compare(run, head["seq"], head["stateHash"])
            self._confirm(run)
            return True
        return self._pull(run)

    def _pull(self, run=()):
        """Pages from behind the run to the head; the first page's prevHash judges the run."""
        run = list(run)
        while True:
            answer = self._call("GET", "actions?after=%d" % (self.base + len(run)))
            if answer is None or answer[0] != 200:
                return self._failed()
            page = answer[1]
            self._compare(run, page["after"], page["prevHash"])
            self._confirm(run)
            run = [{k: a[k] for k in ("device", "ts", "type", "payload")} for a in page["actions"]]
            self._compare(run, page["seq"], page["stateHash"])
            self._confirm(run)
            if not page["hasMore"]:
                return True
            run = []

    def _compare(self, run, seq, state_hash):
        """Never adopts a hash that it has not computed."""
        end = (chain.extend(self.links[-1], run) or [self.links[-1]])[-1]
        story.same((self.base + len(run), end.hex()), (seq, state_hash), "what the server says about the chain")

    def _confirm(self, actions):
        keys = {chain.key(action) for action in actions}
        self.links += chain.extend(self.links[-1], actions)
        self.confirmed += actions
        if keys:
            self.queue = [q for q in self.queue if chain.key(q["action"]) not in keys]

    def _refused(self, entry, code, newest):
        """Restamps in place, or sets aside. A log that wants rising stamps names the newest it has of the device."""
        action, index = entry["action"], self.queue.index(entry)
        if code == "TIMESTAMP_TAKEN":
            entry["action"] = {**action, "ts": action["ts"] + 1}
        elif entry["was_confirmed"]:
            del self.queue[index]
            self.aside.append(action)
        else:
            behind, self.queue = self.queue[index:], self.queue[:index]
            for later in behind:
                if later["was_confirmed"]:
                    self.queue.append(later)
                else:
                    self.act(later["action"]["type"], later["action"]["payload"], after=newest)

    def _heal(self, document):
        """The server has another history, or less: give it what it lost, take what it has."""
        head, ancestor = document["head"], document["ancestor"]
        self.mismatches += 1
        if head["seq"] <= self.base and self.links[head["seq"]].hex() == head["stateHash"]:
            ancestor = head
        elif ancestor["seq"] == 0 and not self.locator:
            self.locator = True
            return True
        story.is_true(ancestor["seq"] <= self.base, "an ancestor beyond the base: %r", ancestor)
        story.same(ancestor["stateHash"], self.links[ancestor["seq"]].hex(), "the ancestor")
        kept = [{"action": action, "was_confirmed": True} for action in self.confirmed[ancestor["seq"]:]]
        self.queue = kept + self.queue
        del self.confirmed[ancestor["seq"]:], self.links[ancestor["seq"] + 1:]
        if self.mismatches > 5:
            self._failed()
        return self._pull()

    def settle(self, mode="rebase", rounds=2000, scale=0.05):
        """Syncs until the queue is empty and the log has nothing new."""
        for _ in range(rounds):
            before = self.base, len(self.queue)
            if not self.sync(mode):
                self.pause(scale)
            elif not self.queue and before == (self.base, 0):
                return
        raise AssertionError("does not settle: %r, %d in the queue, next %r" % (
            self.statistics, len(self.queue), self.queue[:1]))
