"""raw: HTTP/1.1 over a bare socket, so that a test can send what a well-behaved client never would.

Nothing is repeated behind the caller's back: a connection that ends before its answer is an error (Cut).
"""
import gzip
import json
import socket


class Cut(ConnectionError):
    """The connection ended before the whole answer was here."""


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        """The header's value, joined when repeated, or None."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    def content(self):
        """The body without its Content-Encoding."""
        return gzip.decompress(self.body) if self.header("content-encoding") == "gzip" else self.body

    def json(self):
        return json.loads(self.content())

    def lines(self):
        return [json.loads(line) for line in self.content().decode().split("\n")[:-1]]


class Connection:
    """One connection. address is (host, port), or a path for a unix socket; tls an ssl.SSLContext, or None; source: from which address."""

    def __init__(self, address, timeout=120, tls=None, source=None):
        if isinstance(address, tuple):
            self.socket = socket.create_connection(address, timeout, source and (source, 0))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""
        self.closed = False

    def close(self):
        self.closed = True
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def ended(self):
        """Whether the other side closes without sending more; waits for it."""
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _fill(self):
        try:
            piece = self.socket.recv(1 << 16)
        except socket.timeout:
            raise
        except OSError as error:
            raise Cut(str(error)) from error
        if not piece:
            raise Cut("end of stream after %r" % self.buffer[-80:])
        self.buffer += piece

    def _take(self, count):
        while len(self.buffer) < count:
            self._fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def _chunks(self):
        body = []
        while True:
            size = int(self._line().split(";")[0], 16)
            if size == 0:
                break
            body.append(self._take(size))
            self._take(2)
        while self._line():
            pass
        return b"".join(body)

    def response(self, method="GET"):
        """The next answer; interim answers (100) are passed over."""
        while True:
            version, status = self._line().split(" ", 2)[:2]
            headers = []
            while True:
                line = self._line()
                if not line:
                    break
                name, value = line.split(":", 1)
                headers.append((name.lower(), value.strip()))
            if status != "100":
                break
        result = Response(int(status), headers, b"")
        if method != "HEAD" and result.status not in (204, 304):
            if result.header("transfer-encoding") == "chunked":
                result.body = self._chunks()
            elif result.header("content-length") is not None:
                result.body = self._take(int(result.header("content-length")))
            else:
                result.body = self._rest()
        if result.header("connection") == "close" or version == "HTTP/1.0":
            self.close()
        return result

    def _rest(self):
        while True:
            try:
                self._fill()
            except Cut:
                return self._take(len(self.buffer))

    def request(self, method, target, body=None, headers=()):
        self.send(head(method, target, body, headers) + (body or b""))
        return self.response(method)


def head(method, target, body=None, headers=()):
    """A request's bytes up to its body."""
    fields = dict([("Host", "edgereplay.test")] + list(dict(headers).items()))
    if body is not None and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
        fields.setdefault("Content-Type", "application/json")
    lines = ["%s %s HTTP/1.1" % (method, target)]
    lines += ["%s: %s" % (name, value) for name, value in fields.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Client:
    """Requests one after the other over a kept-alive connection; opens a new one after the server closed the old."""

    def __init__(self, address, timeout=120, tls=None):
        self.address, self.timeout, self.tls = address, timeout, tls
        self.headers = {}  # of every request
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def open(self):
        """The connection, a new one when there is none."""
        if self.connection is None or self.connection.closed:
            self.connection = Connection(self.address, self.timeout, self.tls)
        return self.connection

    def request(self, method, target, body=None, headers=()):
        try:
            return self.open().request(method, target, body, {**self.headers, **dict(headers)})
        except OSError:
            self.close()
            raise

    def get(self, target, **headers):
        return self.request("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, target, document, **headers):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", target, body, {k.replace("_", "-"): v for k, v in headers.items()})
