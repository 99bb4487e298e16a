"""model: the server's rules (protocol 4.1 to 4.3) on plain lists: slow, and short enough to be seen to be right.

Nothing is shared with the daemon but the protocol's text. Tests compare the daemon's answers with the model's; serve()
puts the model behind HTTP, so that client code can be tried against it.
"""
import gzip
import http.server
import json
import threading
import time
import urllib.parse

from support import chain

DEFAULTS = {"payload_bytes": 16384, "batch_actions": 1000, "page_actions": 1000, "page_bytes": 1 << 20,
            "max_skew_ms": 0, "monotonic": False, "log_actions": 0, "log_bytes": 0}


RETRY = {"BATCH_TOO_LARGE": "split", "SERVER_BEHIND": "rebase", "HASH_MISMATCH": "rebase", "CONFLICT": "rebase",
         "TIMESTAMP_TAKEN": "restamp", "CLOCK_SKEW": "restamp", "NON_MONOTONIC_TIMESTAMP": "restamp"}


class Problem(Exception):
    """The request is answered with this status, code and members."""

    def __init__(self, status, code, **members):
        super().__init__(code)
        self.status, self.code, self.members = status, code, members


class Log:
    """One log: actions[i] and links[i + 1] are seq i + 1."""

    def __init__(self, name):
        self.actions = []
        self.links = [chain.genesis(name)]

    def head(self):
        return {"seq": len(self.actions), "stateHash": self.links[-1].hex()}

    def find(self, device, ts):
        """The seq that holds this (device, ts), or 0."""
        for seq, action in enumerate(self.actions, 1):
            if action["device"] == device and action["ts"] == ts:
                return seq
        return 0

    def append(self, action):
        self.actions.append(action)
        self.links.append(chain.link(self.links[-1], chain.digest(action)))
        return len(self.actions)

    def cut(self, count):
        del self.actions[count:], self.links[count + 1:]

    def bytes(self):
        return sum(len((a["device"] + a["type"] + a["payload"]).encode()) for a in self.actions)

    def holds(self, seq, state_hash):
        return seq < len(self.links) and self.links[seq].hex() == state_hash


class Model:
    def __init__(self, clock=lambda: int(time.time() * 1000), **limits):
        self.limits = {**DEFAULTS, **limits}
        self.clock = clock
        self.logs = {}

    def log(self, name):
        return self.logs.setdefault(name, Log(name))

    # --- sync ---------------------------------------------------------------------------------

    def sync(self, name, body):
        """The answer to a sync request, without serverTimestamp and backoffMs; raises Problem."""
        log = self.log(name)
        actions = [{"device": a.get("device", body.get("device")), "ts": a["ts"], "type": a["type"],
                    "payload": a["payload"]} for a in body["actions"]]
        own = self._verify(log, body, actions)
        self._find_base(log, body)
        count = len(log.actions)
        try:
            outcomes = self._settle(log, body, actions, own)
        except Problem:
            log.cut(count)
            raise
        return self._answer(log, body, actions, outcomes, own[-1])

    def _verify(self, log, body, actions):
        """Steps 1 and 2: limits, then the chain. Returns the client's links, the base's first."""
        if body["seq"] == 0 and body["prevHash"] != log.links[0].hex():
            raise Problem(400, "MALFORMED")
        if len(actions) > self.limits["batch_actions"]:
            raise Problem(413, "BATCH_TOO_LARGE", limit=self.limits["batch_actions"])
        if len({action["device"] for action in actions}) > 64:
            raise Problem(413, "BATCH_TOO_LARGE", limit=64)
        for index, action in enumerate(actions):
            if len(action["payload"].encode()) > self.limits["payload_bytes"]:
                raise Problem(413, "PAYLOAD_TOO_LARGE", limit=self.limits["payload_bytes"], index=index)
        base = bytes.fromhex(body["prevHash"])
        own = [base] + chain.extend(base, actions)
        if actions and own[-1].hex() != body["stateHash"]:
            raise Problem(422, "CHAIN_BROKEN", expected=body["stateHash"], actual=own[-1].hex())
        return own

    @staticmethod
    def _find_base(log, body):
        """Step 3."""
        if log.holds(body["seq"], body["prevHash"]):
            return
        pairs = [(body["seq"], body["prevHash"])] + [tuple(pair) for pair in body.get("locator", [])]
        seq, state_hash = max([pair for pair in pairs if log.holds(*pair)] + [(0, log.links[0].hex())])
        raise Problem(409, "SERVER_BEHIND" if body["seq"] > len(log.actions) else "HASH_MISMATCH",
                      head=log.head(), ancestor={"seq": seq, "stateHash": state_hash})

    def _settle(self, log, body, actions, own):
        """Steps 4 and 5: one outcome an action. Appends to the log; the caller cuts it again when this raises."""
        reject = body.get("onConflict") == "reject"
        before = len(log.actions)
        outcomes = []
        for index, action in enumerate(actions):
            seq = log.find(action["device"], action["ts"])
            if seq and chain.digest(log.actions[seq - 1]) == chain.digest(action):
                outcomes.append({"seq": seq, "duplicate": True})
                continue
            if reject and log.links[-1] != own[index]:
                raise self._conflict(log, body, actions, before)
            refusal = self._refusal(log, action, seq)
            if refusal and reject:
                raise Problem(422, refusal.pop("refused"), index=index, **refusal)
            outcomes.append(refusal or {"seq": log.append(action)})
            if not refusal:
                self._check_room(log)
        return outcomes

    def _check_room(self, log):
        for quota, limit, size in (("logActions", self.limits["log_actions"], len(log.actions)),
                                   ("logBytes", self.limits["log_bytes"], log.bytes())):
            if limit and size > limit:
                raise Problem(403, "QUOTA_EXCEEDED", quota=quota, limit=limit)

    def _refusal(self, log, action, taken):
        if taken:
            return {"refused": "TIMESTAMP_TAKEN"}
        ahead = action["ts"] - self.clock()
        if self.limits["max_skew_ms"] and ahead > self.limits["max_skew_ms"]:
            return {"refused": "CLOCK_SKEW", "aheadMs": ahead}
        newest = max([a["ts"] for a in log.actions if a["device"] == action["device"]], default=0)
        counts = not self.limits["max_skew_ms"] or newest - self.clock() <= self.limits["max_skew_ms"]
        if self.limits["monotonic"] and counts and action["ts"] <= newest:
            return {"refused": "NON_MONOTONIC_TIMESTAMP", "newest": newest}
        return None

    def _conflict(self, log, body, actions, before):
        log.cut(before)
        missed, more = self._page(log, range(body["seq"] + 1, before + 1), body.get("pull", 500))
        duplicates = []
        for index, action in enumerate(actions):
            seq = log.find(action["device"], action["ts"])
            if seq and chain.digest(log.actions[seq - 1]) == chain.digest(action):
                duplicates.append({"index": index, "seq": seq})
        return Problem(409, "CONFLICT", head=log.head(), missed=missed, hasMore=more, duplicates=duplicates)

    def _answer(self, log, body, actions, outcomes, end):
        answer = log.head()
        answer["applied"] = sum(1 for o in outcomes if "seq" in o and "duplicate" not in o)
        answer["duplicates"] = sum(1 for o in outcomes if "duplicate" in o)
        answer["refused"] = sum(1 for o in outcomes if "refused" in o)
        answer["fastForward"] = log.links[-1] == end
        if not answer["fastForward"]:
            mine = {o["seq"] for o in outcomes if "seq" in o}
            others = [seq for seq in range(body["seq"] + 1, len(log.actions) + 1) if seq not in mine]
            answer["results"] = outcomes
            answer["missed"], answer["hasMore"] = self._page(log, others, body.get("pull", 500))
        return answer

    # --- reading ------------------------------------------------------------------------------

    def _page(self, log, seqs, limit):
        """The actions at these positions, cut at the limits, and whether some were cut."""
        page, size = [], 0
        seqs = list(seqs)
        for seq in seqs[:min(limit, self.limits["page_actions"])]:
            action = log.actions[seq - 1]
            size += len(action["payload"].encode())
            if page and size > self.limits["page_bytes"]:
                break
            page.append({"seq": seq, **action})
        return page, len(page) < len(seqs)

    def actions(self, name, after=0, limit=1 << 60, until=None):
        log = self.log(name)
        if after > len(log.actions):
            raise Problem(409, "SERVER_BEHIND", head=log.head())
        last = len(log.actions) if until is None else until
        page, more = self._page(log, range(after + 1, last + 1), limit)
        end = after + len(page)
        return {"after": after, "prevHash": log.links[after].hex(), "actions": page, "seq": end,
                "stateHash": log.links[end].hex(), "head": log.head(), "hasMore": more}


# --- the model behind HTTP --------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _reply(self, status, document):
        document["serverTimestamp"] = self.server.model.clock()
        body = json.dumps(document, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self):
        url = urllib.parse.urlsplit(self.path)
        _, _, _, log, verb = url.path.split("/")
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if len(body) < int(self.headers.get("Content-Length", 0)):
            self.close_connection = True
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        log = urllib.parse.unquote(log)
        try:
            with self.server.lock:
                if verb == "sync":
                    answer = {**self.server.model.sync(log, json.loads(body)), "backoffMs": 0}
                elif verb == "head":
                    answer = self.server.model.log(log).head()
                else:
                    answer = self.server.model.actions(log, int(query.get("after", 0)),
                                                       int(query.get("limit", 1000)))
            self._reply(200, answer)
        except ValueError:
            self.close_connection = True
        except Problem as problem:
            self._reply(problem.status, {"code": problem.code, "status": problem.status,
                                         "retry": RETRY.get(problem.code, "never"), **problem.members})

    do_GET = do_POST = _serve


class Serving:
    """The model at 127.0.0.1:port until the with-block ends."""

    def __init__(self, model):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.model, self.server.lock = model, threading.Lock()
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
