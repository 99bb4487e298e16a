"""events: a log's server-sent events, as a client reads them: a strict parser over a connection of its own."""
from support import chain, raw
from support.story import is_true, same


class Event:
    def __init__(self, kind, id=None, data=None, retry=None):
        self.kind, self.id, self.data, self.retry = kind, id, data, retry

    def __repr__(self):
        return "%s %s %s %s" % (self.kind, self.id, self.data, self.retry)


class Stream:
    """
    GET …/events on a connection of its own. The answer's head is read when it is made; refused if it is no stream (then
    .answer is the whole of it). next() is the next event, a comment is Event("comment"), None a clean end.
    """

    def __init__(self, address, log, last_id=None, tls=None, **headers):
        self.log = log
        self.connection = raw.Connection(address, tls=tls)
        fields = {"Accept": "text/event-stream", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if last_id is not None:
            fields["Last-Event-ID"] = last_id
        self.connection.send(raw.head("GET", "/v1/logs/%s/events" % chain.path(log), headers=fields))
        self.answer = self._head()
        self.text = b""
        self.ended = False

    def _head(self):
        status = int(self.connection._line().split(" ", 2)[1])
        headers = []
        while True:
            line = self.connection._line()
            if not line:
                break
            name, value = line.split(":", 1)
            headers.append((name.lower(), value.strip()))
        answer = raw.Response(status, headers, b"")
        if status != 200:
            answer.body = self.connection._take(int(answer.header("content-length")))
        return answer

    def _chunk(self):
        if self.answer.header("transfer-encoding") != "chunked":
            self.connection._fill()
            return self.connection._take(len(self.connection.buffer))
        size = int(self.connection._line().split(";")[0], 16)
        data = self.connection._take(size)
        is_true(self.connection._line() == "", "no line end behind a chunk")
        return data

    def next(self):
        same(self.answer.status, 200, "status of the stream")
        while b"\n\n" not in self.text:
            if self.ended:
                same(self.text, b"", "what is behind the last event")
                return None
            data = self._chunk()
            self.ended = data == b""
            self.text += data
        block, self.text = self.text.split(b"\n\n", 1)
        if block.startswith(b":"):
            return Event("comment")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        is_true(fields.keys() <= {"event", "id", "data", "retry"}, "fields %s", fields)
        return Event(fields["event"], fields.get("id"), fields["data"], fields.get("retry"))

    def head(self):
        """The next event that is no comment; it must be a head, and its id that of its data. The head's (seq, state hash)."""
        event = self.next()
        while event is not None and event.kind == "comment":
            event = self.next()
        is_true(event is not None and event.kind == "head", "no head but %s", event)
        data = raw.json.loads(event.data)
        same(set(data), {"seq", "stateHash", "serverTimestamp"}, "members")
        same(event.id, "%d-%s" % (data["seq"], data["stateHash"][:16]), "id")
        return data["seq"], data["stateHash"]

    def until(self, seq):
        """Reads on until the head is this; heads never go back on the way. Its state hash."""
        last = 0
        while True:
            now, link = self.head()
            is_true(now >= last, "the head went back from %d to %d", last, now)
            if now >= seq:
                same(now, seq, "head")
                return link
            last = now

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Writer:
    """Appends to one log."""

    def __init__(self, client, log):
        self.client, self.log = client, log
        self.seq, self.link = 0, chain.genesis(log)

    def append(self, count=1):
        actions = [{"device": "writer", "ts": self.seq + n + 1, "type": "t", "payload": "%d" % n} for n in range(count)]
        answer = self.client.post("/v1/logs/%s/sync" % chain.path(self.log), chain.sync_body(actions, self.seq, self.link))
        same(answer.status, 200, "sync: %s, status" % answer.body)
        self.link = chain.extend(self.link, actions)[-1]
        self.seq += count
        same((answer.json()["seq"], answer.json()["stateHash"]), (self.seq, self.link.hex()), "the head after a sync")
        return self.seq, self.link.hex()

    @property
    def id(self):
        return "%d-%s" % (self.seq, self.link.hex()[:16])
