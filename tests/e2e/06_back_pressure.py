"""A full queue and full body memory are 429, at once, with times to wait, while accepted work goes on and ends well."""
import gzip
import json
import threading

from support import chain, raw, story
from support.daemon import Daemon, Refused, until, whole_log
from support.story import is_true, same, say


# None of many syncs is done in a millisecond when each is a commit.
SHRINKING = {"limits.sync_msec": 1, "store.shards": 1, "store.group": 1}
PLACES_MIN = 64  # the limit does not shrink below that


def check_429(answer):
    problem = answer.json()
    same((problem["code"], problem["retry"]), ("BACKPRESSURE", "after"), "problem")
    is_true(problem["retryAfterMs"] > 0, "retryAfterMs of %r", problem)
    is_true(int(answer.header("retry-after")) * 1000 >= problem["retryAfterMs"], "Retry-After %s for %d ms",
            answer.header("retry-after"), problem["retryAfterMs"])


class Writer(threading.Thread):
    """Appends to a log of its own; after a 429 it sends the same again. Stops by itself."""

    def __init__(self, daemon, number, requests):
        super().__init__(daemon=True)
        self.client, self.log, self.requests = daemon.client(), "queue-%d" % number, requests
        self.refused, self.error, self.link = 0, None, chain.genesis("queue-%d" % number)
        self.start()

    def run(self):
        try:
            for seq in range(self.requests):
                batch = [{"device": "d", "ts": seq + 1, "type": "t", "payload": "x" * 200}]
                body = json.dumps(chain.sync_body(batch, seq, self.link)).encode()
                answer = self.client.post("/v1/logs/%s/sync" % self.log, body)
                while answer.status == 429:
                    check_429(answer)
                    self.refused += 1
                    answer = self.client.post("/v1/logs/%s/sync" % self.log, body)
                same((answer.status, answer.json()["fastForward"], answer.json()["duplicates"]), (200, True, 0),
                     "answer %r" % answer.body[:300])
                self.link = bytes.fromhex(answer.json()["stateHash"])
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def many_write_until_one_is_refused(daemon, count):
    """So many at once, again and again; each repeats what was refused, and nothing is lost or doubled. The refused and the rest."""
    total, rounds = 0, 0
    while total == 0 and rounds < 20:
        writers = [Writer(daemon, count * rounds + n, 15) for n in range(count)]
        for writer in writers:
            writer.join(300)
            is_true(not writer.is_alive() and writer.error is None, "writer: %r", writer.error)
        total += sum(writer.refused for writer in writers)
        rounds += 1
    is_true(total > 0, "nothing was refused")
    with daemon.client() as client:
        for writer in writers:
            same(whole_log(client, writer.log)[1][-1], writer.link, "the log of a writer")
    return total, rounds * count * 15


@story.story
def a_full_queue_is_429_while_accepted_work_ends_well():
    with Daemon(options={"store.queue": 1, "store.shards": 1, "store.group": 1}) as daemon:
        say("%d requests met a full queue, %d others did not", *many_write_until_one_is_refused(daemon, 40))


@story.story
def syncs_that_take_too_long_are_429_while_accepted_work_ends_well():
    with Daemon(options=SHRINKING) as daemon:
        say("%d requests met a limit that had shrunk, %d others did not", *many_write_until_one_is_refused(daemon, 100))


def send_half(daemon, path):
    """A connection that was told to go on with its body, and sends a part of it."""
    connection = daemon.connection()
    connection.send(raw.head("POST", path, b"", {"Content-Length": 1000, "Expect": "100-continue"}))
    while b"\r\n\r\n" not in connection.buffer:
        connection.buffer += connection.socket.recv(1000)
    is_true(connection.buffer.startswith(b"HTTP/1.1 100 "), "answer: %r", connection.buffer)
    connection.send(b'{"device":"d"')
    return connection


@story.story
def who_sends_half_a_body_or_leaves_keeps_no_place():
    with Daemon(options=SHRINKING) as daemon, daemon.client() as client:
        many_write_until_one_is_refused(daemon, 100)
        actions = [{"device": "d", "ts": 1, "type": "t", "payload": ""}]

        def is_let_in(log):
            return client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log))).status == 200

        held = [send_half(daemon, "/v1/logs/half/sync") for _ in range(2 * PLACES_MIN)]
        is_true(is_let_in("beside"), "refused because of bodies that do not come")
        for connection in held:
            connection.close()
        body = json.dumps(chain.sync_body(actions, 0, chain.genesis("gone"))).encode()
        for _ in range(4 * PLACES_MIN):
            connection = daemon.connection()
            connection.send(raw.head("POST", "/v1/logs/gone/sync", body) + body)
            connection.close()
        until(lambda: is_let_in("after"), "the places of those who left")
        broken = chain.sync_body(actions, 0, chain.genesis("broken"))
        broken["stateHash"] = broken["prevHash"]
        for _ in range(2 * PLACES_MIN):
            same(client.post("/v1/logs/broken/sync", broken).status, 422, "a chain that does not hold")
        is_true(is_let_in("after-broken-ones"), "refused because of broken ones")


@story.story
def full_body_memory_is_429_for_new_bodies_only():
    with Daemon(options={"server.body_memory": 2 << 20, "limits.body_bytes": 1 << 20}) as daemon:
        data = json.dumps(chain.sync_body(
            [{"device": "d", "ts": n + 1, "type": "t", "payload": "y" * 16000} for n in range(60)], 0,
            chain.genesis("large"))).encode()
        seen = []

        def one_is_refused():
            """Three that stop just before their end, two of which fill the memory; then all of them end."""
            slow = [daemon.connection() for _ in range(3)]
            for connection in slow:
                connection.send(raw.head("POST", "/v1/logs/large/sync", data) + data[:-10])
            same(daemon.client().get("/v1/logs/large/head").status, 200, "a request without a body")
            for connection in slow:
                connection.send(data[-10:])
            answers = [connection.response() for connection in slow]
            for answer in answers:
                if answer.status != 200:
                    check_429(answer)
            seen.extend(answer.status for answer in answers)
            is_true(200 in seen[-3:], "none of three was served: %r", seen)
            return 429 in seen
        until(one_is_refused, "a body that does not fit")
        say("bodies: %d served, %d refused", seen.count(200), seen.count(429))
        with daemon.client() as client:
            until(lambda: client.post("/v1/logs/large/sync", data).status == 200, "the memory to be given back")
            same(client.get("/v1/logs/large/head").json()["seq"], 60, "seq")


@story.story
def a_gzipped_body_of_the_largest_size_fits_when_no_other_is_held():
    least = (1 << 20) + (48 << 10)
    with Daemon(options={"server.body_memory": least, "limits.body_bytes": 1 << 20}) as daemon, daemon.client() as client:
        body = json.dumps(chain.sync_body([], 0, chain.genesis("gzip"), device="d")).encode()
        body += b" " * ((1 << 20) - len(body))
        for level in (9, 0):  # packed, and a little longer than it was
            packed = gzip.compress(body, level)
            until(lambda: client.request("POST", "/v1/logs/gzip/sync", packed, {"Content-Encoding": "gzip"}).status == 200,
                  "a body of %d bytes that was packed into %d" % (len(body), len(packed)))
    try:
        Daemon(options={"server.body_memory": least - 1, "limits.body_bytes": 1 << 20}).stop()
    except Refused as refused:
        is_true("server.body_memory" in refused.log, "%s", refused.log)
    else:
        is_true(False, "it starts with less")


@story.story
def connections_beyond_the_limit_do_not_hurt_the_others():
    with Daemon(options={"server.connections": 20}) as daemon:
        first = daemon.connection()
        same(first.request("GET", "/v1/info").status, 200, "first")
        idle = []
        for _ in range(60):
            try:
                idle.append(daemon.connection())
                idle[-1].send(b"GET /v1/inf")
            except OSError:
                pass
        same(first.request("GET", "/v1/info").status, 200, "an open connection is served")
        for connection in idle:
            connection.close()

        def served():
            try:
                with daemon.client() as client:
                    return client.get("/v1/info").status == 200
            except OSError:
                return False
        until(served, "a new connection after the crowd left")
        first.close()


story.run()
