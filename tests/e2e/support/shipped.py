"""shipped: a real proxy with the configuration that the project ships, but for names, ports and certificates."""
import os
import ssl

from support import front, story
from support.certificate import make

CONFIG = os.path.join(story.ROOT, "config")

# program: its file, and what a deployment puts in for itself.
FILES = {
    "nginx": ("nginx.conf", {"listen 443 ssl http2": "listen %(at)s ssl http2", "/etc/edgereplay/": "%(folder)s/",
                             "server 127.0.0.1:8080": "server %(to)s", "worker_rlimit_nofile 40000;": "",
                             "worker_connections 20000": "worker_connections 1000", "user www-data;\n": "%(user)s\n",
                             "worker_processes auto;": "daemon off; pid nginx.pid; error_log stderr warn; worker_processes 1;",
                             "access_log /var/log/nginx/access.log ":
                                 "client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi;"
                                 " scgi_temp_path scgi; access_log %(folder)s/said "}),
    "haproxy": ("haproxy.cfg", {"bind :443": "bind %(at)s", "/etc/edgereplay/": "%(folder)s/", "127.0.0.1:8080": "%(to)s",
                                "maxconn 20000": "maxconn 1000", "    user haproxy\n    group haproxy\n": "%(user)s\n"}),
    "caddy": ("Caddyfile", {"sync.example.com {": ":%(port)d {\n\tbind 127.0.0.1",
                            "/etc/edgereplay/": "%(folder)s/", "127.0.0.1:8080": "%(to)s",
                            "\tservers {": "\tadmin off\n\tauto_https off\n\tservers {"}),
}
SOCKETS = {"nginx": "unix:%s", "haproxy": "unix@%s", "caddy": "unix/%s"}
USERS = {"nginx": "www-data", "haproxy": "haproxy", "caddy": "caddy"}  # which Debian's packages bring
USER_LINES = {"nginx": "user %s;", "haproxy": "    user %s\n    group %s"}


def certificate(folder):
    """A self-signed one for localhost, as the three want it; a client's context that trusts it."""
    paths = {name: os.path.join(folder, name + ".pem") for name in ("cert", "key", "both")}
    make(paths["cert"], paths["key"])
    with open(paths["both"], "w", encoding="ascii") as both:
        for name in ("cert", "key"):
            with open(paths[name], encoding="ascii") as file:
                both.write(file.read())
    return ssl.create_default_context(cafile=paths["cert"])


class Shipped(front.Front):
    """Like a Front, with TLS: .tls is for its clients, and .ca the file with its certificate. to: the daemon's port, or its socket's path."""

    def configure(self, program, to, values):
        name, changes = FILES[program]
        self.tls = certificate(self.folder)
        self.ca = os.path.join(self.folder, "cert.pem")
        self.url = "https://localhost:%d" % self.address[1]
        user = self.owner or ("root" if os.geteuid() == 0 else "")
        line = USER_LINES.get(program, "")
        values.update({"at": "127.0.0.1:%d" % self.address[1], "port": self.address[1],
                       "to": SOCKETS[program] % to if isinstance(to, str) else "127.0.0.1:%d" % to,
                       "user": line.replace("%s", user) if user else ""})
        with open(os.path.join(CONFIG, name), encoding="utf-8") as file:
            text = file.read()
        for old, new in changes.items():
            story.is_true(old in text, "%s has no %r", name, old)
            text = text.replace(old, new % values)
        return text
