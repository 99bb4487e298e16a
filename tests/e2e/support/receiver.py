"""receiver: a webhook's other end: checks every signature by itself, answers as it is told, remembers what came."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

from support.daemon import until
from support.story import is_true, same

SECRET = bytes(range(32))
LINE = "whsec_" + base64.b64encode(SECRET).decode() + "\n"


class Receiver:
    """With a port of 0: any. status: what is answered; delay: seconds before; dead: it hangs up instead; poison: it does
    what it does to logs whose names begin so only; endless: its answers' bodies have no end."""

    def __init__(self, port=0, secret=SECRET):
        self.secret = secret
        self.status, self.delay, self.dead, self.headers = 204, 0, False, {}
        self.poison, self.endless, self.swallowed = "", False, 0
        self.notices, self.attempts, self.faults, self.traces = [], [], [], []
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass
        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/hook" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def take(self, request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        fault = self.check(request, body)
        notice = json.loads(body)
        is_poison = notice["log"].startswith(self.poison)
        status = self.status if is_poison else 204
        with self.lock:
            if fault:
                self.faults.append(fault)
            self.attempts.append((request.headers["Webhook-Id"], notice))
            self.traces.append(request.headers.get("traceparent"))
        time.sleep(self.delay)
        if self.dead and is_poison:
            request.close_connection = True
            return
        with self.lock:
            if 200 <= status < 300:
                self.notices.append(notice)
        request.send_response(status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if self.endless:
            self.answer_for_ever(request)
            return
        request.send_header("Content-Length", "0")
        request.end_headers()

    def answer_for_ever(self, request):
        """As long as anybody reads, a GiB at most."""
        request.send_header("Content-Length", str(1 << 30))
        request.end_headers()
        request.close_connection = True
        for _ in range(1 << 14):
            request.wfile.write(b"a" * 65536)
            self.swallowed += 65536

    def check(self, request, body):
        """What is wrong with it, or None."""
        headers = request.headers
        signed = ("%s.%s." % (headers["Webhook-Id"], headers["Webhook-Timestamp"])).encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        if wanted not in headers["Webhook-Signature"].split(" "):
            return "signature %s, not %s" % (headers["Webhook-Signature"], wanted)
        if abs(int(headers["Webhook-Timestamp"]) - time.time()) > 60:
            return "timestamp " + headers["Webhook-Timestamp"]
        if headers["Content-Type"] != "application/json" or len(body) > 512:
            return "%s of %d bytes" % (headers["Content-Type"], len(body))
        if set(json.loads(body)) != {"log", "seq", "stateHash", "serverTimestamp"}:
            return "body %s" % body
        return None

    def newest(self):
        """Log to (seq, state hash) of its last notice."""
        with self.lock:
            return {notice["log"]: (notice["seq"], notice["stateHash"]) for notice in self.notices}

    def await_newest(self, wanted):
        until(lambda: self.newest() == wanted, "the notices %s; there are %s" % (wanted, self.newest()))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            same(self.faults, [], "what was wrong with what came")
            is_true(all(len(key) <= 64 for key, _ in self.attempts), "a long id")
