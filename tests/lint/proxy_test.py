"""proxy_test: the proxy of the stories loses the answer of a POST though it came in pieces, and no other."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e"))
from support.proxy import Proxy

# the pieces of a connection's requests, of which the last is answered; how many of the two answers come
CASES = [
    ([(b"POST / HTTP/1.1\r\n\r\n",), (b"GET / HTTP/1.1\r\n\r\n",)], 0),
    ([(b"POST / HTTP/1.1\r\n\r\n", b"the body"), (b"GET / HTTP/1.1\r\n\r\n",)], 0),
    ([(b"GET / HTTP/1.1\r\n\r\n",), (b"POST / HTTP/1.1\r\n", b"\r\n", b"the body")], 1),
    ([(b"GET / HTTP/1.1\r\n", b"\r\n"), (b"GET / HTTP/1.1\r\n\r\n",)], 2),
]


def came(requests):
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        proxy.lose_answers = 1
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client, server.accept()[0] as daemon:
            daemon.settimeout(10)
            for number, pieces in enumerate(requests):
                for piece in pieces:
                    client.sendall(piece)
                    daemon.recv(1024)
                daemon.sendall(b"answer")
                if client.recv(1024) != b"answer":
                    return number
            return len(requests)


wrong = [case for case in CASES if came(case[0]) != case[1]]
for case in wrong:
    print("proxy_test: %r: not so" % (case,))
sys.exit(1 if wrong else 0)
