"""front: a real proxy in front of a port: nginx, HAProxy or Caddy, with a configuration, a port and a folder of its own.

Each keeps connections to the daemon alive and hands them from client to client, repeats no request, and passes targets on
as they came.
"""
import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile

from support import story
from support.daemon import until

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log stderr warn; %(user)s
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream edgereplay { server 127.0.0.1:%(to)d max_fails=0; keepalive 4; }
    server {
        listen 127.0.0.1:%(at)d;
        client_header_timeout 3s; client_body_timeout 3s; lingering_close off;
        proxy_request_buffering %(buffering)s; proxy_buffering off;
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
    maxconn 1024
defaults
    mode http
    retries 0
    http-reuse always
    timeout connect 60s
    timeout client 3s
    timeout server 60s
    timeout http-request 3s
listen edgereplay
    bind 127.0.0.1:%(at)d
    server daemon 127.0.0.1:%(to)d
"""

CADDY = """
{
    admin off
    auto_https off
    servers {
        timeouts {
            read_header 3s
            read_body 3s
        }
    }
}
:%(at)d {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:%(to)d
}
"""

FRONTS = {
    "nginx": (NGINX, ["-p", "%(folder)s", "-e", "stderr", "-c", "%(file)s"]),
    "haproxy": (HAPROXY, ["-db", "-f", "%(file)s"]),
    "caddy": (CADDY, ["run", "--config", "%(file)s", "--adapter", "caddyfile"]),
}


def installed(program):
    """The program's path, or None."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_port():
    """Below those that the kernel gives to whoever wants any: until it is used nobody else gets it but by this."""
    for _ in range(100):
        port = random.SystemRandom().randrange(12000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port between 12000 and 32000 is free")


class Front:
    """owner: for root, who it then is: the user to whom its folder belongs, as which Caddy is started, and the others by their configuration."""

    def __init__(self, program, to, buffering="on", owner=None):
        self.address = "127.0.0.1", free_port()
        self.folder, self.owner = tempfile.mkdtemp(prefix=program + "."), owner
        arguments = FRONTS[program][1]
        values = {"at": self.address[1], "to": to, "buffering": buffering, "folder": self.folder,
                  "file": os.path.join(self.folder, "configuration"), "user": "user root;" if os.geteuid() == 0 else ""}
        with open(values["file"], "w", encoding="ascii") as file:
            file.write(self.configure(program, to, values))
        with open(os.path.join(self.folder, "said"), "ab") as said:
            for name in [".", *os.listdir(self.folder)] if owner else []:
                shutil.chown(os.path.join(self.folder, name), owner, owner)
            user = owner if program == "caddy" else None
            self.process = subprocess.Popen([installed(program)] + [argument % values for argument in arguments],
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder,
                                            user=user, group=user, extra_groups=[] if user else None,
                                            env={**os.environ, "HOME": self.folder})
        story.cleanups[self.stop] = True
        until(self.accepts, "%s to listen" % program)

    def configure(self, program, to, values):
        """The text of its configuration."""
        return FRONTS[program][0] % values

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def accepts(self):
        story.is_true(self.process.poll() is None, "the proxy ended: %s", self.said())
        try:
            socket.create_connection(self.address, 10).close()
            return True
        except ConnectionRefusedError:
            return False

    def said(self):
        with open(os.path.join(self.folder, "said"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def stop(self):
        story.cleanups.pop(self.stop, None)
        self.process.kill()
        self.process.wait()
