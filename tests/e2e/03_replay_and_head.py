"""Reading: pages, streams, `until`, gzip, ETag and `wait`, while the rows lie in memory and after they moved to the table."""
import threading

from support import chain, story
from support.daemon import Daemon, until, whole_log
from support.story import is_true, same

COUNT = 40


class Shelf:
    """One log of COUNT actions, and the paths to read it."""

    def __init__(self, client, log, payload=lambda n: "payload %d" % n):
        self.client, self.log = client, log
        self.path = "/v1/logs/%s/" % log
        self.actions = [{"device": "phone", "ts": n + 1, "type": "t", "payload": payload(n)} for n in range(COUNT)]
        self.links = [chain.genesis(log)] + chain.extend(chain.genesis(log), self.actions)
        answer = client.post(self.path + "sync", chain.sync_body(self.actions, 0, self.links[0]))
        same(answer.status, 200, "sync: %s" % answer.body)

    def read(self, query="", status=200, **headers):
        answer = self.client.get(self.path + "actions" + query, **headers)
        same(answer.status, status, "status of %s: %s" % (query, answer.content()[:300]))
        return answer

    def page(self, query=""):
        """(first seq, last seq, hasMore) of a page, after checking all of it."""
        page = self.read(query).json()
        after, last = page["after"], page["seq"]
        same(page["actions"], [{"seq": n + 1, **self.actions[n]} for n in range(after, last)], "actions")
        same((page["prevHash"], page["stateHash"]), (self.links[after].hex(), self.links[last].hex()), "hashes")
        same(page["head"], {"seq": COUNT, "stateHash": self.links[COUNT].hex()}, "head")
        return after + 1, last, page["hasMore"]

    def stream(self, query=""):
        answer = self.read(query, Accept="application/x-ndjson")
        same(answer.header("content-type").split(";")[0], "application/x-ndjson", "content type")
        lines = answer.lines()
        after, count = lines[0]["after"], lines[-1]["count"]
        same(lines[0]["prevHash"], self.links[after].hex(), "prevHash")
        same(lines[1:-1], [{"seq": n + 1, **self.actions[n]} for n in range(after, after + count)], "lines")
        same((lines[-1]["seq"], lines[-1]["stateHash"]), (after + count, self.links[after + count].hex()), "last line")
        return after + 1, after + count


def before_and_after_a_restart(check, options=None):
    """Runs check(shelf) on rows that were just written, and on the same after a restart."""
    with Daemon(options=options) as daemon:
        with daemon.client() as client:
            shelf = Shelf(client, "shelf")
            check(shelf)
        daemon.stop()
        daemon.start()
        with daemon.client() as client:
            shelf.client = client
            check(shelf)


@story.story
def pages_follow_each_other():
    def check(shelf):
        same(shelf.page(), (1, COUNT, False), "all")
        same(shelf.page("?after=0&limit=7"), (1, 7, True), "first page")
        same(shelf.page("?after=7&limit=33"), (8, COUNT, False), "last page")
        same(shelf.page("?limit=1&after=39"), (COUNT, COUNT, False), "last action")
        same(shelf.page("?after=40"), (COUNT + 1, COUNT, False), "nothing after the head")
        answer = shelf.read()
        same((answer.header("content-type").split(";")[0], answer.header("cache-control")),
             ("application/json", "no-store"), "headers")
    before_and_after_a_restart(check)


@story.story
def a_page_is_cut_at_the_limits():
    def check(shelf):
        same(shelf.page(), (1, 10, True), "by count")
        same(shelf.page("?limit=500"), (1, 10, True), "a larger limit does not help")
        same(shelf.stream(), (1, COUNT), "a stream is not cut")
    before_and_after_a_restart(check, {"limits.page_actions": 10})

    def check_bytes(shelf):
        same(shelf.page(), (1, 11, True), "by bytes: ten payloads of 9 and one of 10")
        same(shelf.stream(), (1, COUNT), "a stream is not cut")
    before_and_after_a_restart(check_bytes, {"limits.page_bytes": 100})


@story.story
def an_action_larger_than_a_page_is_a_page():
    with Daemon(options={"limits.page_bytes": 100}) as daemon, daemon.client() as client:
        shelf = Shelf(client, "large", lambda n: "x" * 300)
        same(shelf.page(), (1, 1, True), "page")
        same(whole_log(client, "large")[1], shelf.links, "page by page")


@story.story
def whatever_is_stored_fits_into_the_memory_for_answers():
    free = {"rate.requests": 0, "rate.actions": 0, "rate.bytes": 0, "server.answer_memory": "1MiB", "limits.body_bytes": "8MiB"}
    with Daemon(options=free) as daemon, daemon.client() as client:
        shelf = Shelf(client, "escapes", lambda n: "\x01" * 16384)
        first, last, more = shelf.page()
        is_true(first == 1 and last < COUNT and more, "a page is cut where the memory ends: %d to %d", first, last)
        same(whole_log(client, "escapes")[1], shelf.links, "page by page")
        same(shelf.stream(), (1, COUNT), "a stream")
        answer = client.post("/v1/logs/escapes/sync", chain.sync_body(
            [{"device": "late", "ts": 1, "type": "t", "payload": ""}], 0, chain.genesis("escapes"), pull=COUNT))
        same((answer.status, answer.json()["hasMore"]), (200, True), "what a late phone gets")
        same([a["seq"] for a in answer.json()["missed"]], list(range(1, last + 1)), "missed")


@story.story
def an_action_from_times_of_higher_limits_is_read_when_no_other_answer_is_held():
    high = {"limits.payload_bytes": "1MiB", "limits.body_bytes": "8MiB"}
    with Daemon(options=high) as daemon:
        with daemon.client() as client:
            shelf = Shelf(client, "high", lambda n: "\x01" * (1 << 20 if n == 2 else 9))
        daemon.stop()
        daemon.options = {"server.answer_memory": "1MiB"}
        daemon.start()
        with daemon.client() as client:
            same(whole_log(client, "high")[1], shelf.links, "page by page")


@story.story
def until_names_a_state_by_seq_by_link_or_by_both():
    def check(shelf):
        link = [link.hex() for link in shelf.links]
        for read in (lambda query: shelf.page(query)[:2], shelf.stream):
            same(read("?until=7"), (1, 7), "by seq")
            same(read("?until=7:" + link[7]), (1, 7), "by both")
            same(read("?until=" + link[7]), (1, 7), "by link")
            same(read("?after=3&until=" + link[COUNT]), (4, COUNT), "the head by link")
            same(read("?after=5&until=5"), (6, 5), "nothing between")
            same(read("?after=5&until=" + link[5]), (6, 5), "nothing between, by link")
            same(read("?after=5&until=" + link[6]), (6, 6), "the next by link")
            same(read("?until=0"), (1, 0), "the empty log")
            same(read("?until=" + link[0]), (1, 0), "the genesis link")
            same(read("?after=2&until=9&limit=3"), (3, 5), "and a limit")
        for query in ("41", "7:" + link[8], "41:" + link[7], "0" * 64, "0:" + link[1]):
            problem = shelf.read("?until=" + query, 404).json()
            same((problem["code"], problem["retry"]), ("UNKNOWN_STATE", "never"), query)
        same(shelf.read("?after=8&until=" + link[7], 404).json()["code"], "UNKNOWN_STATE", "a link before after")
        same(shelf.read("?after=41&until=" + link[7], 409).json()["code"], "SERVER_BEHIND", "after beyond the head, and a link")
        for query in ("?after=8&until=7", "?after=8&until=" + link[0], "?until=x", "?until=", "?until=7:", "?until=7:abc", "?until=" + "A" * 64,
                      "?after=-1", "?after=", "?after=1.0", "?after=01", "?limit=0", "?limit=x", "?after=1&after=2",
                      "?meta=2", "?wait=31", "?wait=x", "?unknown=1", "?after=99999999999999999999"):
            same((query, shelf.read(query, 400).json()["code"]), (query, "MALFORMED"), "code")
    before_and_after_a_restart(check)


@story.story
def after_beyond_the_head_is_server_behind():
    with Daemon() as daemon, daemon.client() as client:
        shelf = Shelf(client, "shelf")
        for accept in ("application/json", "application/x-ndjson"):
            problem = shelf.read("?after=41", 409, Accept=accept).json()
            same((problem["code"], problem["head"]),
                 ("SERVER_BEHIND", {"seq": COUNT, "stateHash": shelf.links[COUNT].hex()}), accept)
        page = client.get("/v1/logs/nobody/actions").json()
        same((page["actions"], page["seq"], page["stateHash"]), ([], 0, chain.genesis("nobody").hex()), "empty log")
        same(client.get("/v1/logs/nobody/actions?after=1").status, 409, "beyond an empty log")


@story.story
def answers_are_gzipped_for_who_accepts_it():
    with Daemon() as daemon, daemon.client() as client:
        shelf = Shelf(client, "shelf", lambda n: "the same text again and again " * 20)
        for accept in ("application/json", "application/x-ndjson"):
            plain = shelf.read(Accept=accept)
            packed = shelf.read(Accept=accept, Accept_Encoding="br, gzip;q=0.8")
            same((plain.header("content-encoding"), packed.header("content-encoding")), (None, "gzip"), accept)
            is_true("accept-encoding" in (packed.header("vary") or "").lower(), "Vary: %r", packed.header("vary"))
            is_true(len(packed.body) * 5 < len(plain.body), "%d of %d bytes", len(packed.body), len(plain.body))
            mine, theirs = plain.content(), packed.content()
            same(mine.split(b"serverTimestamp")[0], theirs.split(b"serverTimestamp")[0], "content")
            for refused in ("gzip;q=0", "identity", "br"):
                same(shelf.read(Accept=accept, Accept_Encoding=refused).header("content-encoding"), None, refused)


@story.story
def a_long_stream_is_whole():
    with Daemon() as daemon, daemon.client() as client:
        seq, link, size = 0, chain.genesis("long"), 0
        for part in range(20):
            batch = [{"device": "d", "ts": part * 1000 + n + 1, "type": "t", "payload": "%d " % n * 40}
                     for n in range(500)]
            answer = client.post("/v1/logs/long/sync", chain.sync_body(batch, seq, link)).json()
            seq, link = answer["seq"], bytes.fromhex(answer["stateHash"])
        for encoding in ("identity", "gzip"):
            answer = client.get("/v1/logs/long/actions", Accept="application/x-ndjson", Accept_Encoding=encoding)
            lines, links = answer.lines(), [chain.genesis("long")]
            for line in lines[1:-1]:
                links.append(chain.link(links[-1], chain.digest(line)))
            same((lines[-1]["count"], lines[-1]["stateHash"], links[-1]), (10_000, link.hex(), link), encoding)
            size = max(size, len(answer.body))
        actions, links = whole_log(client, "long")
        same((len(actions), links[-1]), (10_000, link), "by pages")
        story.say("a stream of %d actions, %d bytes", len(actions), size)


@story.story
def head_has_a_strong_etag_and_304():
    with Daemon() as daemon, daemon.client() as client:
        empty = client.get("/v1/logs/shelf/head")
        same((empty.json()["seq"], empty.json()["stateHash"]), (0, chain.genesis("shelf").hex()), "unwritten")
        shelf = Shelf(client, "shelf")
        answer = client.get("/v1/logs/shelf/head")
        tag = '"%s"' % shelf.links[COUNT].hex()
        same((answer.header("etag"), answer.header("cache-control")), (tag, "private, no-cache"), "headers")
        same({k: v for k, v in answer.json().items() if k != "serverTimestamp"},
             {"seq": COUNT, "stateHash": shelf.links[COUNT].hex()}, "head")
        for match in (tag, '"x", ' + tag, "W/" + tag, "*"):
            again = client.get("/v1/logs/shelf/head", If_None_Match=match)
            same((match, again.status, again.body, again.header("etag")), (match, 304, b"", tag), "304")
        same(client.get("/v1/logs/shelf/head", If_None_Match='"x"').status, 200, "another tag")


class Asking(threading.Thread):
    """A request on a connection of its own, in a thread."""

    def __init__(self, daemon, path, **headers):
        super().__init__(daemon=True)
        self.client, self.path, self.headers = daemon.client(), path, headers
        self.start()

    def run(self):
        self.answer = self.client.get(self.path, **self.headers)
        self.client.close()

    def result(self):
        self.join(120)
        is_true(not self.is_alive(), "no answer to %s", self.path)
        return self.answer


def waiting_story(daemon, client, log):
    """What waits for the log is not answered until something is written to it."""
    genesis = chain.genesis(log)
    path = "/v1/logs/%s/" % log
    waits = [Asking(daemon, path + "actions?after=0&wait=30"),
             Asking(daemon, path + "actions?wait=30", Accept="application/x-ndjson"),
             Asking(daemon, path + "head?wait=30", If_None_Match='"%s"' % genesis.hex())]
    for other in range(20):  # commits to other logs do not answer them
        name = "%s-other-%d" % (log, other)
        client.post("/v1/logs/%s/sync" % name, chain.sync_body(
            [{"device": "d", "ts": 1, "type": "t", "payload": ""}], 0, chain.genesis(name)))
    is_true(all(wait.is_alive() for wait in waits), "a wait ended though nothing was written to its log")
    return waits


@story.story
def a_wait_ends_with_the_commit_of_another_connection():
    with Daemon() as daemon, daemon.client() as client:
        waits = waiting_story(daemon, client, "waited")
        shelf = Shelf(client, "waited")
        page, stream, head = [wait.result() for wait in waits]
        same(page.json()["actions"][0], {"seq": 1, **shelf.actions[0]}, "page")
        same(stream.lines()[1], {"seq": 1, **shelf.actions[0]}, "stream")
        same((head.status, head.json()["stateHash"]), (200, shelf.links[COUNT].hex()), "head")
        same(shelf.page("?after=39&wait=30"), (COUNT, COUNT, False), "nothing to wait for")
        same(client.get("/v1/logs/waited/head?wait=30", If_None_Match='"x"').status, 200, "nothing to wait for")
        same(client.get("/v1/logs/waited/head?wait=30").status, 200, "without If-None-Match")


@story.story
def a_wait_ends_empty_at_its_time():
    with Daemon() as daemon, daemon.client() as client:
        shelf = Shelf(client, "waited")
        page = client.get("/v1/logs/waited/actions?after=40&wait=1").json()
        same((page["actions"], page["seq"], page["hasMore"]), ([], COUNT, False), "page")
        lines = client.get("/v1/logs/waited/actions?after=40&wait=1", Accept="application/x-ndjson").lines()
        same((len(lines), lines[-1]["count"]), (2, 0), "stream")
        head = client.get("/v1/logs/waited/head?wait=1", If_None_Match='"%s"' % shelf.links[COUNT].hex())
        same(head.status, 304, "head")


@story.story
def a_drain_ends_all_waits():
    with Daemon() as daemon:
        with daemon.client() as client:
            waits = waiting_story(daemon, client, "waited")
        took = daemon.stop()
        page, stream, head = [wait.result() for wait in waits]
        same((page.status, page.json()["actions"]), (200, []), "page")
        same((stream.status, stream.lines()[-1]["count"]), (200, 0), "stream")
        same(head.status, 304, "head")
        is_true(took < 15, "the drain took %.1f s", took)


@story.story
def too_many_waits_are_refused():
    with Daemon(options={"limits.waiters": 2}) as daemon, daemon.client() as client:
        waits = [Asking(daemon, "/v1/logs/waited/actions?wait=30") for _ in range(3)]
        until(lambda: sum(wait.is_alive() for wait in waits) < 3, "one of three waits to be refused")
        refused = [wait for wait in waits if not wait.is_alive()]
        same(len(refused), 1, "refused waits")
        answer = refused[0].result()
        same((answer.status, answer.json()["code"]), (429, "BACKPRESSURE"), "problem")
        is_true(int(answer.header("retry-after")) > 0, "Retry-After")
        Shelf(client, "waited")
        for wait in waits:
            same(wait.result().status, 429 if wait in refused else 200, "status")


story.run()
