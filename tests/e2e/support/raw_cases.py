"""raw_cases: requests that two parsers may see differently, or that are none. Each names what may come of it straight from
the daemon (direct): refused (4xx or 5xx, or no word, then closed; twice: by libmicrohttpd, see http/listener.h), answered
(a problem of the path's, and the connection goes on), served (200, and the marker behind it), last (200, then closed); and
behind a proxy: refused, served, either, foreign (the proxy speaks another version to its client).
"""
import json

from support import chain

EMPTY = json.dumps({"device": "d", "seq": 0, "prevHash": chain.genesis("first").hex(), "actions": []}).encode()
HEAD = "/v1/logs/first/head"
SYNC = "/v1/logs/first/sync"
CASES = []


class Case:
    def __init__(self, name, data, direct, behind):
        self.name, self.data, self.direct, self.behind = name, data, direct, behind

    def bytes(self, number):
        """With the marker behind it, which asks for the connection's end."""
        data = self.data.replace(b"<smuggled>", inner("smuggled", number))
        return data.replace(b"<id>", b"first-%d" % number) + inner("marker", number, b"Connection: close\r\n")


def inner(kind, number, more=b""):
    name = b"%s-%d" % (kind.encode(), number)
    return b"GET /v1/logs/%s/head HTTP/1.1\r\nHost: edgereplay.test\r\nX-Request-Id: %s\r\n%s\r\n" % (name, name, more)


def case(name, data, direct="refused", behind="refused"):
    CASES.append(Case(name, data if isinstance(data, bytes) else data.encode("latin-1"), direct, behind))


def get(target=HEAD, more="", line=None, host="Host: edgereplay.test\r\n"):
    return "%s\r\n%sX-Request-Id: <id>\r\n%s\r\n" % (line or "GET %s HTTP/1.1" % target, host, more)


def post(more, body=EMPTY, version="1.1"):
    """more: the framing headers, with %d where the body's length goes."""
    head = "POST %s HTTP/%s\r\nHost: edgereplay.test\r\nX-Request-Id: <id>\r\nContent-Type: application/json\r\n" % (SYNC, version)
    return (head + more.replace("%d", str(len(body))) + "\r\n").encode("latin-1") + body


def chunks(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


CHUNKED = "Transfer-Encoding: chunked\r\n"
LENGTH = "Content-Length: %d\r\n"
SMUGGLED = b"0\r\n\r\n<smuggled>"

# --- well-formed, so that the judge knows what a served one looks like ---

case("a plain GET", get(), "served", "served")
case("a plain POST", post(LENGTH), "served", "served")
case("an empty line before the request", "\r\n" + get(), "served", "either")
case("a target in absolute form", get("http://edgereplay.test" + HEAD), "served", "served")
case("a target in absolute form of another host", get("http://other.test" + HEAD), "served", "either")
case("a header without a value", get(more="X-Empty:\r\n"), "served", "served")
case("a header without a space", get(more="X-Close:a\r\n"), "served", "served")
case("chunks", post(CHUNKED, chunks(EMPTY[:7], EMPTY[7:])), "last", "either")
case("chunks in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", chunks(EMPTY)), "last", "either")
case("chunk extensions", post(CHUNKED, b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(EMPTY), EMPTY)), "last", "either")
case("trailers", post(CHUNKED, chunks(EMPTY, end=b"0\r\nX-Trailer: a\r\n\r\n")), "last", "either")
case("a trailer that is a length", post(CHUNKED, chunks(EMPTY, end=b"0\r\nContent-Length: 5\r\n\r\n")), "last", "either")
case("a length with a transfer encoding that is misspelt", post("Transfer_Encoding: chunked\r\n" + LENGTH), "served",
     "either")
case("HTTP/1.0 with a length", post(LENGTH + "Connection: keep-alive\r\n", version="1.0"), "served", "either")
case("an upgrade to HTTP/2", get(more="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
     "served", "either")
case("an upgrade to a web socket", get(more="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "served", "either")
case("an expectation", post(LENGTH + "Expect: 100-continue\r\n"), "served", "either")
case("an unknown expectation", post(LENGTH + "Expect: nothing\r\n"), "served", "either")

# --- how long the body is ---

case("two lengths that are equal", post(LENGTH + LENGTH), "refused", "either")
case("two lengths", post(LENGTH + "Content-Length: 5\r\n"))
case("two lengths, the second longer", post("Content-Length: 5\r\nContent-Length: 500\r\n", b"01234<smuggled>"))
case("a list of equal lengths", post("Content-Length: %d, %d\r\n"), "refused twice", "either")
case("a length with a sign", post("Content-Length: +%d\r\n"), "refused twice")
case("a negative length", post("Content-Length: -1\r\n"), "refused twice")
case("a hexadecimal length", post("Content-Length: 0x10\r\n"), "refused twice")
case("an empty length", post("Content-Length:\r\n"), "refused twice", "either")
case("a length of 2^64", post("Content-Length: 18446744073709551616\r\n"), "refused twice", "either")
case("a length of 2^64 and what fits", post("Content-Length: 1844674407370955%d\r\n"))
case("a length with a fraction", post("Content-Length: %d.0\r\n"), "refused twice")
case("a length with an exponent", post("Content-Length: 1e3\r\n"), "refused twice")
case("a length with a word behind it", post("Content-Length: %d bytes\r\n"), "refused twice")
case("a length with a comment", post("Content-Length: %d (all)\r\n"), "refused twice")
case("a length whose digits are apart", post("Content-Length: 1 2\r\n"), "refused twice")
case("a length and chunks", post(LENGTH + CHUNKED, SMUGGLED), "refused", "either")
case("chunks and a length", post(CHUNKED + "Content-Length: 6\r\n", SMUGGLED), "refused", "either")
case("a length longer than the body", post("Content-Length: 100000\r\n"), "refused")
case("a body of a GET", get(more="Content-Length: 5\r\n") + "01234", "answered", "either")
case("a chunked body of a GET", get(more=CHUNKED) + "5\r\n01234\r\n0\r\n\r\n", "refused", "either")

# --- transfer codings ---

case("an unknown transfer coding", post("Transfer-Encoding: xchunked\r\n", SMUGGLED))
case("a transfer coding of spaces", post("Transfer-Encoding:  \r\n", SMUGGLED))
case("identity", post("Transfer-Encoding: identity\r\n" + LENGTH), "refused", "either")
case("gzip before chunked", post("Transfer-Encoding: gzip, chunked\r\n", SMUGGLED), "refused", "either")
case("chunked before identity", post("Transfer-Encoding: chunked, identity\r\n", SMUGGLED), "refused", "either")
case("chunked twice", post(CHUNKED + CHUNKED, SMUGGLED), "refused", "either")
case("chunked twice in a list", post("Transfer-Encoding: chunked, chunked\r\n", SMUGGLED), "refused", "either")
case("chunked and another one", post(CHUNKED + "Transfer-Encoding: x\r\n", SMUGGLED))
case("chunked with a parameter", post("Transfer-Encoding: chunked;q=1\r\n", SMUGGLED), "refused", "either")
case("chunked in quotes", post('Transfer-Encoding: "chunked"\r\n', SMUGGLED))
case("chunked behind a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", SMUGGLED))
case("chunked behind a NUL", post("Transfer-Encoding: \0chunked\r\n" + LENGTH, SMUGGLED))
case("chunked before a NUL", post("Transfer-Encoding: chunked\0\r\n" + LENGTH, SMUGGLED))
case("chunked on a folded line", post("Transfer-Encoding:\r\n chunked\r\n" + LENGTH, SMUGGLED), "refused", "either")
case("chunked with a space before the colon", post("Transfer-Encoding : chunked\r\n" + LENGTH, SMUGGLED))
case("chunked in HTTP/1.0", post(CHUNKED, SMUGGLED, "1.0"), "refused", "either")
case("chunked and a word", post("Transfer-Encoding: chunked x\r\n", SMUGGLED))

# --- chunks ---

case("chunks that end with a bare LF", post(CHUNKED, b"%x\n%s\n0\n\n" % (len(EMPTY), EMPTY)), "last", "either")
case("a chunk of 2^64 bytes", post(CHUNKED, b"10000000000000000\r\n<smuggled>"))
case("a chunk of 2^64 - 1 bytes", post(CHUNKED, b"ffffffffffffffff\r\n<smuggled>"))
case("a chunk of a negative size", post(CHUNKED, b"-1\r\n<smuggled>"))
case("a chunk with a sign", post(CHUNKED, b"+5\r\n01234\r\n0\r\n\r\n"))
case("a chunk with 0x", post(CHUNKED, b"0x5\r\n01234\r\n0\r\n\r\n"))
case("a chunk without a size", post(CHUNKED, b"\r\n01234\r\n0\r\n\r\n"))
case("a chunk longer than its size", post(CHUNKED, b"2\r\n01234\r\n0\r\n\r\n"))
case("a chunk whose size has a space", post(CHUNKED, b"5 \r\n01234\r\n0\r\n\r\n"), "refused", "either")
case("a chunk extension with a bare LF", post(CHUNKED, b"%x;\nX\r\n%s\r\n0\r\n\r\n<smuggled>" % (len(EMPTY), EMPTY)), "refused",
     "either")
case("a trailer that begins with its colon", post(CHUNKED, chunks(EMPTY, end=b"0\r\n:a\r\n<smuggled>\r\n")), "refused", "either")
case("a trailer without a colon", post(CHUNKED, chunks(EMPTY, end=b"0\r\nnothing\r\n\r\n")), "refused", "either")

# --- the head's lines ---

case("bare LF throughout", get().replace("\r\n", "\n"), "refused", "either")
case("a bare LF at the end of the request line", get().replace("\r\n", "\n", 1), "refused", "either")
case("a bare LF at the end of a header", get(more="X-A: b\nX-C: d\r\n"), "refused", "either")
case("an empty line that is a bare LF", get()[:-2] + "\n", "refused", "either")
case("a bare CR in a value", get(more="X-A: b\rX-C: d\r\n"))
case("a folded line", get(more="X-A: b\r\n c\r\n"), "refused", "either")
case("a first header that is folded", get(host=" Host: edgereplay.test\r\n"))
case("a line that begins with its colon", get(more=": a\r\n"), "refused", "either")
case("a line that begins with its colon, and a request behind it", post(":\r\n" + LENGTH, b"<smuggled>"), "refused", "either")
case("a line that is a colon", get(more=":\r\n"), "refused", "either")
case("a line that begins with a NUL", get(more="\0X-A: b\r\n"))
case("a NUL in a value", get(more="X-A: b\0c\r\n"))
case("a NUL at the end of a value", get(more="X-A: b\0\r\n"))
case("a NUL in a name", get(more="X-\0A: b\r\n"))
case("a NUL in the length", post("Content-Length: %d\x001\r\n"))
case("a line without a colon", get(more="nothing\r\n"), "refused", "either")
case("a space in a name", get(more="X A: b\r\n"))
case("a space before the colon", get(more="X-A : b\r\n"))
case("a name that is not ASCII", get(more="X-\xe4: b\r\n"), "refused", "either")
case("a control character in a value", get(more="X-A: \x01\r\n"), "refused", "either")
case("no host", get(host=""))
case("two hosts", get(more="Host: other.test\r\n"))
case("the same host twice", get(more="Host: edgereplay.test\r\n"), "refused", "either")
case("two content codings", post(LENGTH + "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"))

# --- the request line ---

case("HTTP/0.9", "GET %s\r\n" % HEAD, "refused", "foreign")
case("HTTP/0.9 with headers", get(line="GET " + HEAD), "refused", "foreign")
case("HTTP/2.0", get(line="GET %s HTTP/2.0" % HEAD), "refused", "either")
case("HTTP/1.9", get(line="GET %s HTTP/1.9" % HEAD), "served", "either")
case("HTTP/1.9 without a host", get(line="GET %s HTTP/1.9" % HEAD, host=""))
case("HTTP/1.10", get(line="GET %s HTTP/1.10" % HEAD), "refused", "either")
case("http/1.1 in small letters", get(line="GET %s http/1.1" % HEAD))
case("the beginning of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "refused", "foreign")
case("the beginning of TLS", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n")
case("two spaces", get(line="GET  %s HTTP/1.1" % HEAD), "refused", "either")
case("tabs", get(line="GET\t%s\tHTTP/1.1" % HEAD), "refused", "either")
case("a space in the target", get("/v1/logs/a b/head"))
case("a version in the target", get(HEAD + " HTTP/1.1"))
case("a space behind the version", get(line="GET %s HTTP/1.1 " % HEAD), "refused", "either")
case("a space before the method", get(line=" GET %s HTTP/1.1" % HEAD))
case("a method in small letters", get(line="get %s HTTP/1.1" % HEAD), "answered")
case("a method that is no word", get(line="G@T %s HTTP/1.1" % HEAD), "answered")
case("CONNECT", get(line="CONNECT edgereplay.test:80 HTTP/1.1"), "answered")
case("an asterisk", get("*"), "answered")
case("no target", get(line="GET HTTP/1.1"))
case("a target of another scheme", get("ftp://edgereplay.test" + HEAD), "answered", "either")

# --- targets ---

for name, target in (("an escaped NUL", "/v1/logs/a%00b/head"), ("an escaped slash", "/v1/logs/a%2fb/head"),
                     ("an escaped way up", "/v1/logs/%2e%2e/head"), ("a way up", "/v1/logs/first/../../secret/head"),
                     ("a slash too long", "/v1/logs/a%c0%afb/head"), ("an escape of an escape", "/v1/logs/%2561/head"),
                     ("an escaped line end", "/v1/logs/a%0d%0ab/head"), ("an escaped space", "/v1/logs/a%20b/head"),
                     ("two slashes", "//v1/logs/first/head"), ("a backslash", "/v1/logs/a\\b/head"),
                     ("a parameter", "/v1/logs/first;x=1/head"), ("a fragment", "/v1/logs/first/head#x"),
                     ("a dot", "/v1/./logs/first/head"), ("an escaped NUL in the query", HEAD + "?wait=%00"),
                     ("a query parameter twice", HEAD + "?wait=0&wait=1"), ("a log of dots", "/v1/logs/.../head")):
    case(name, get(target), "answered", "either" if name in ("a way up", "two slashes", "a dot", "a fragment")
         else "refused")
case("an escape that is none", get("/v1/logs/%zz/head"), "answered")
case("an escape that is cut", get("/v1/logs/first%4/head"), "answered")
case("an escaped letter of the route", get("/v1/%6cogs/first/head"), "answered", "either")
case("an escaped letter of the log", get("/v1/logs/%66irst/head"), "served", "served")
case("a NUL in the target", get("/v1/logs/first\0x/head"))
case("bytes that are no ASCII in the target", get("/v1/logs/\xc3\xa4/head"), "answered")
case("a control character in the target", get("/v1/logs/a\x01b/head"))
case("a bare CR in the target", get("/v1/logs/a\rb/head"))

# --- too much ---

case("a target of 9 KiB", get("/v1/logs/" + "a" * 9000 + "/head"), "refused")
case("a target of 20 KiB", get("/v1/logs/" + "a" * 20000 + "/head"), "refused")
case("a header of 9 KiB", get(more="X-A: " + "b" * 9000 + "\r\n"), "refused")
case("a header of 100 KiB", get(more="X-A: " + "b" * 100_000 + "\r\n"), "refused")
case("a thousand headers", get(more="".join("X-%d: y\r\n" % i for i in range(1000))), "refused")
case("a method of 9 KiB", get(line="G" * 9000 + " %s HTTP/1.1" % HEAD), "refused")
