"""
SIGTERM under load, again and again: what was acknowledged is there, the exit is clean and in time, nothing is left in the
journal. With a socket that outlives the daemon, as a service manager holds it, no client behind nginx or HAProxy notices
a restart: each of its requests gets a 200. The control restarts without that socket: some request must fail.
"""
import json
import random
import socket
import threading

import support
from support import chain, front, raw, story
from support.daemon import Daemon, at_rest, tool, until
from support.story import is_true, same, say

STOPS = support.count(20, 100)
RESTARTS = support.count(20, 200)
STOP_SECONDS = 10
CLIENTS, PAUSE_SECONDS = 8, 0.6


@story.story
def sigterm_under_load_loses_nothing():
    daemon = Daemon(options={"store.shards": 4})
    load, stopped, unanswered = support.Load(daemon, 12, story.seed()), support.Times(), 0
    for _ in range(STOPS):
        load.start()
        load.await_acknowledged(load.random.randrange(1, 200))
        stopped.take(daemon.stop)  # asserts the exit code
        load.join()
        at_rest(daemon.dir)
        daemon.start()
        unanswered += load.judge()
        load.again()
    load.judge_all()
    daemon.stop()
    tool("verify", daemon.dir)
    say("%d stops, %d acknowledged actions, all there; %d batches stored but not answered; stopped: %s", STOPS,
        load.acknowledged, unanswered, stopped)
    stopped.within(STOP_SECONDS, "a stop")


# --- behind a proxy ---

# Neither sends a request a second time: what is shown is the daemon's doing.
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr warn; %(user)s
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream edgereplay { server 127.0.0.1:%(to)d max_fails=0; keepalive 16; }
    server {
        listen 127.0.0.1:%(at)d;
        keepalive_requests 1000000;
        location / {
            proxy_pass http://edgereplay;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }
    }
}
"""

HAPROXY = """
global
    maxconn 256
defaults
    mode http
    retries 0
    timeout connect 60s
    timeout client 120s
    timeout server 120s
listen edgereplay
    bind 127.0.0.1:%(at)d
    server daemon 127.0.0.1:%(to)d
"""


def is_installed(program):
    if front.installed(program) is None:
        say("%s is not installed (make faults installs it): not tried", program)
    return front.installed(program) is not None


class Proxy(front.Front):
    """nginx or HAProxy in front of a port, with the configurations above."""

    def configure(self, program, to, values):
        return {"nginx": NGINX, "haproxy": HAPROXY}[program] % values


class Client(threading.Thread):
    """
    Writes to a log of its own and reads its head, until it is told to stop; counts, and keeps what was no 200. pause: so
    many seconds at most between two requests, while which its connections, and the proxy's, are idle.
    """

    def __init__(self, address, log, pause):
        super().__init__(daemon=True)
        self.client, self.log, self.link, self.seq = raw.Client(address), log, chain.genesis(log), 0
        self.pause, self.random = pause, random.Random("%s %d" % (log, story.seed()))
        self.ended, self.requests, self.wrong = threading.Event(), 0, []
        self.start()

    def run(self):
        while not self.ended.wait(self.random.random() * self.pause):
            self.push()
            self.note("GET", "/v1/logs/%s/head" % self.log)
        self.client.close()

    def push(self):
        batch = [{"device": "d", "ts": self.seq + 1, "type": "t", "payload": "p" * 100}]
        answer = self.note("POST", "/v1/logs/%s/sync" % self.log,
                           json.dumps(chain.sync_body(batch, self.seq, self.link)).encode())
        if answer:
            self.seq, self.link = answer["seq"], bytes.fromhex(answer["stateHash"])

    def note(self, method, target, body=None):
        """The answer, if it is a 200."""
        self.requests += 1
        try:
            answer = self.client.request(method, target, body)
            if answer.status == 200:
                return answer.json()
            self.wrong.append("%s: %d %s" % (method, answer.status, answer.body[:200]))
        except OSError as error:
            self.wrong.append("%s: %r" % (method, error))
        return None


def passed_socket(listening):
    """How a daemon is started that gets this socket, as systemd does it."""
    script = 'exec 3<&%d; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"' % listening.fileno()
    return {"listen": None, "before": ["/bin/bash", "-c", script], "pass_fds": (listening.fileno(),)}


def restart(times, proxy, **how):
    """
    Restarts under load through the proxy (None: straight). What the clients got that was no 200, and how many requests
    they made.
    """
    daemon = Daemon(**how)
    ahead = proxy and Proxy(proxy, daemon.port)
    address = ahead.address if ahead else daemon.address
    pause = PAUSE_SECONDS if ahead else 0  # a proxy knows when an idle connection of its pool was closed
    clients = [Client(address, "log-%d" % n, pause * (n % 2)) for n in range(CLIENTS)]
    for _ in range(times):
        at_least = sum(client.requests for client in clients) + 200
        until(lambda enough=at_least: sum(client.requests for client in clients) >= enough, "some requests")
        daemon.stop()
        daemon.start()
    for client in clients:
        client.ended.set()
    for client in clients:
        client.join(120)
        is_true(not client.is_alive(), "a client still waits for an answer")
    if ahead:
        ahead.stop()
    with daemon.client() as direct:
        for client in clients:
            head = direct.get("/v1/logs/%s/head" % client.log).json()
            is_true(head["seq"] in (client.seq, client.seq + 1), "head %r, client %d", head, client.seq)
    daemon.stop()
    wrong = [text for client in clients for text in client.wrong]
    return wrong, sum(client.requests for client in clients)


def no_request_is_lost(proxy):
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        wrong, requests = restart(RESTARTS, proxy, **passed_socket(listening))
    same(wrong, [], "requests that got something else than a 200")
    say("%d restarts %s, %d requests, each with its 200", RESTARTS, "behind " + proxy if proxy else "without a proxy",
        requests)


@story.story
def no_request_is_lost_by_clients_without_a_proxy():
    no_request_is_lost(None)


@story.story
def no_request_is_lost_behind_nginx():
    if is_installed("nginx"):
        no_request_is_lost("nginx")


@story.story
def no_request_is_lost_behind_haproxy():
    if is_installed("haproxy"):
        no_request_is_lost("haproxy")


@story.story
def the_control_without_the_socket_loses_requests():
    for proxy in filter(is_installed, ("nginx", "haproxy")):
        wrong, requests = restart(3, proxy, listen="127.0.0.1:%d" % front.free_port())
        is_true(wrong, "%d requests behind %s, and none noticed that nobody listened", requests, proxy)
        say("the control behind %s: %d of %d requests failed: %s", proxy, len(wrong), requests, wrong[0])


story.run()
