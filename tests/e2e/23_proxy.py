"""A trusted proxy says who asks: only from where it may come, only with its secret, and never twice."""
import os
import signal
import socket

from support import chain, story, tokens
from support.daemon import Daemon, Refused, until
from support.story import is_true, same

SECRET = "correct horse battery staple"


def ask(daemon, *lines, log="anna"):
    """The status of a GET with these header lines, as they are."""
    with daemon.connection() as connection:
        text = "GET /v1/logs/%s/head HTTP/1.1\r\nHost: a\r\n" % log + "".join(line + "\r\n" for line in lines) + "\r\n"
        connection.send(text.encode("latin-1"))
        return connection.response().status


def proxied(trusted, listen="127.0.0.1:0", **options):
    return Daemon(options={"auth.mode": "proxy", "auth.trusted": trusted, **{"auth." + name: value for name, value in options.items()}},
                  listen=listen)


def secret_file(text=SECRET + "\n", mode=0o600):
    with open("secret", "w", encoding="ascii") as file:
        file.write(text)
    os.chmod("secret", mode)
    return os.path.abspath("secret")


@story.story
def the_header_counts_only_from_where_the_proxy_may_come():
    listens = [("127.0.0.1:0", ("127.0.0.1", "127.0.0.0/8", "10.0.0.0/8, 127.0.0.1", "::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "0.0.0.0/0", "::/0"),
                ("10.0.0.0/8", "127.0.0.2", "127.0.0.0/32", "::1", "unix", "2001:db8::/32"))]
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        listens.append(("[::1]:0", ("::1", "::/0", "::/127"), ("127.0.0.1", "::2", "0.0.0.0/0", "unix")))
    except OSError:
        story.say("no IPv6 here")
    path = os.path.abspath("s")
    listens.append(("unix:" + path, ("unix", "10.0.0.1,unix"), ("127.0.0.1", "0.0.0.0/0", "::/0")))
    for listen, good, bad in listens:
        for trusted in good + bad:
            with proxied(trusted, listen) as daemon:
                same(ask(daemon, "X-Remote-User: anna"), 200 if trusted in good else 401, "status at %s, trusted %s" % (listen, trusted))
                same(ask(daemon), 401, "status without the header")
                if trusted in good:
                    same(ask(daemon, "X-Remote-User: bob"), 403, "status of another")


@story.story
def the_header_must_be_there_once():
    with proxied("127.0.0.1") as daemon:
        same(ask(daemon, "x-remote-USER:   anna  "), 200, "status with another case and spaces")
        for lines in (("X-Remote-User: anna", "X-Remote-User: anna"), ("X-Remote-User: bob", "X-Remote-User: anna"),
                      ("X-Remote-User:",), ("X-Remote-User:  ",), ("X-Remote-Users: anna",), ("Authorization: Bearer anna",)):
            same(ask(daemon, *lines), 401, "status with %r" % (lines,))
        same(ask(daemon, "X-Remote-User: anna, bob"), 403, "status of a list")
        same(ask(daemon, "X-Remote-User: a b"), 403, "status of no log name")


@story.story
def a_secret_that_is_set_must_be_shown():
    with proxied("127.0.0.1", secret_file=secret_file()) as daemon:
        user = "X-Remote-User: anna"
        same(ask(daemon, user, "X-Proxy-Secret: " + SECRET), 200, "status with the secret")
        for lines in ((), ("X-Proxy-Secret: ",), ("X-Proxy-Secret: " + SECRET[:-1],), ("X-Proxy-Secret: " + SECRET + "x",),
                      ("X-Proxy-Secret: " + SECRET.upper(),), ("X-Proxy-Secret: " + SECRET, "X-Proxy-Secret: " + SECRET),
                      ("X-Proxy-Secret: x", "X-Proxy-Secret: " + SECRET), ("X-Other: " + SECRET,)):
            same(ask(daemon, user, *lines), 401, "status with %r" % (lines,))
        secret_file("another secret of a good length")
        daemon.signal(signal.SIGHUP)
        until(lambda: ask(daemon, user, "X-Proxy-Secret: another secret of a good length") == 200, "the new secret")
        same(ask(daemon, user, "X-Proxy-Secret: " + SECRET), 401, "status with the old one")
        secret_file("short")
        daemon.signal(signal.SIGHUP)
        daemon.await_event("secret not taken over, the old one stays")
        same(ask(daemon, user, "X-Proxy-Secret: another secret of a good length"), 200, "status after a bad file")
        is_true("another secret" not in daemon.log(), "the secret is in the log")


@story.story
def other_names_of_headers_and_of_ones_own_log():
    with proxied("127.0.0.1", user_header="X-Who", secret_header="X-Key", secret_file=secret_file(), own_log="u:{sub}") as daemon:
        same(ask(daemon, "X-Who: anna", "X-Key: " + SECRET, log="u:anna"), 200, "status")
        same(ask(daemon, "X-Who: anna", "X-Key: " + SECRET, log="anna"), 403, "status without the prefix")
        same(ask(daemon, "X-Remote-User: anna", "X-Key: " + SECRET, log="u:anna"), 401, "status with the default's name")
        same(daemon.client().get("/v1/info").json()["auth"], "proxy", "auth of /v1/info")


@story.story
def a_proxy_that_nobody_trusts_is_told_to_the_operator_once():
    said = "a proxy on this machine is not in auth.trusted"
    jwt = {"auth.mode": "jwt", "auth.jwks_file": tokens.write_jwks("set.json", tokens.Key("EdDSA", "one"))}
    path = "unix:" + os.path.abspath("s")
    tcp = "127.0.0.1:0"
    header = "X-Forwarded-For: 203.0.113.9"
    for listen, options, line, words in (
            (tcp, jwt, header, "429"), (tcp, jwt, "Forwarded: for=203.0.113.9", "429"), (path, jwt, header, "429"),
            (path, {**jwt, "auth.trusted": "127.0.0.1"}, header, "429"),
            (tcp, {}, header, "auth.mode=none"), (path, {}, header, "auth.mode=none"),
            (tcp, {**jwt, "auth.trusted": "127.0.0.1"}, header, None), (path, {"auth.trusted": "unix"}, header, None),
            (tcp, {**jwt, "rate.forwarded": "none"}, header, None), (tcp, {}, "X-Other: 203.0.113.9", None)):
        with Daemon(options=options, listen=listen) as daemon:
            for _ in range(3):
                ask(daemon, line)
            daemon.stop()
            told = daemon.events(said)
            same(len(told), 1 if words else 0, "warnings at %s with %r and %s" % (listen, options, line))
            is_true(not words or words in told[0]["problem"], "%r of %r", options, told)


@story.story
def what_was_written_names_the_user():
    with proxied("127.0.0.1") as daemon, daemon.client() as client:
        body = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": "{}"}], 0, chain.genesis("anna"))
        same(client.post("/v1/logs/anna/sync", body, X_Remote_User="anna").status, 200, "status")
        same(client.get("/v1/logs/anna/actions?meta=1", X_Remote_User="anna").json()["actions"][0]["writer"], "anna", "writer")


@story.story
def bad_options_refuse_the_start_with_a_sentence():
    for options, words in (
            ({}, "auth.trusted"), ({"trusted": "10.0.0.1/8"}, "10.0.0.1/8"), ({"trusted": "10.0.0.0/33"}, "10.0.0.0/33"),
            ({"trusted": "proxy.example"}, "proxy.example"), ({"trusted": "127.0.0.1,,::1"}, "auth.trusted"), ({"trusted": "::/129"}, "::/129"),
            ({"trusted": "127.1"}, "127.1"), ({"trusted": "127.0.0.1", "secret_file": "/nowhere"}, "auth.secret_file"),
            ({"trusted": "127.0.0.1", "secret_file": secret_file(mode=0o644)}, "chmod"),
            ({"trusted": "127.0.0.1", "secret_file": "short"}, "16 bytes")):
        if options.get("secret_file") == "short":
            options["secret_file"] = secret_file("short", 0o600)
        elif "secret_file" in options and "nowhere" not in options["secret_file"]:
            os.chmod("secret", 0o644)
        try:
            Daemon(options={"auth.mode": "proxy", **{"auth." + name: value for name, value in options.items()}}).destroy()
        except Refused as error:
            is_true(words in error.log, "%r: %s", options, error.log)
            continue
        raise AssertionError("it started with %r" % options)


story.run()
