"""A request's id finds all lines that it caused, from the proxy to the webhook; and they say who asked."""
import json
import os
import re
import shutil

from support import chain, front, raw, story, tokens
from support.daemon import Daemon, until
from support.receiver import LINE, Receiver
from support.shipped import FILES, Shipped
from support.story import is_true, same
from support.tokens import bearer, make, write_jwks

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROXIES = [program for program in FILES if front.installed(program) and shutil.which("openssl")]


def setup(receiver, **more):
    key = tokens.Key("EdDSA", "one")
    with open("secrets", "w", encoding="ascii") as file:
        file.write(LINE)
    os.chmod("secrets", 0o600)
    return key, Daemon(options={
        "auth.mode": "jwt", "auth.issuer": tokens.ISSUER, "auth.audience": tokens.AUDIENCE, "auth.trusted": "127.0.0.1",
        "auth.jwks_file": write_jwks(os.path.abspath("jwks.json"), key.jwk()), "webhook.url": receiver.url,
        "webhook.secret_file": "secrets", "webhook.gather_msec": 1, **more})


class Phone:
    """Asks through a proxy, from an address of its own, as a subject."""

    def __init__(self, proxy, token, source):
        self.connection = raw.Connection(proxy.address, tls=proxy.tls, source=source)
        self.token = token

    def ask(self, method, target, id, body=None):
        headers = {"X-Request-Id": id, "traceparent": "00-%s-00000000000000aa-01" % TRACE, "Host": "localhost"}
        headers.update([bearer(self.token)])
        return self.connection.request(method, target, body, headers)

    def sync(self, id, actions, seq=0, link=chain.genesis("anna"), **members):
        body = chain.sync_body(actions, seq, link, **members)
        return self.ask("POST", "/v1/logs/anna/sync", id, json.dumps(body).encode())


def line_of(daemon, event, id):
    """The one line with this event and id, which comes."""
    def found():
        return [line for line in daemon.events(event) if line.get("request") == id]
    until(found, "%s of %s in\n%s" % (event, id, daemon.log()))
    same(len(found()), 1, "lines of %s" % event)
    same(found()[0]["trace"], TRACE, "its trace")
    return found()[0]


def each(check):
    if not PROXIES:
        story.skip("openssl, and one of %s, are needed" % ", ".join(FILES))
    for program in PROXIES:
        with Receiver() as receiver:
            receiver.status = 500
            key, daemon = setup(receiver)
            with daemon, Shipped(program, daemon.port) as proxy:
                try:
                    check(daemon, proxy, key)
                except Exception as error:
                    raise AssertionError("through %s: %s\n%s" % (program, error, proxy.said())) from error


@story.story
def one_id_leads_through_the_proxy_to_the_webhook():
    def check(daemon, proxy, key):
        phone = Phone(proxy, make(key, tokens.claims("anna")), "127.0.0.6")
        act = {"device": "d", "ts": 1, "type": "t", "payload": ""}
        link = chain.extend(chain.genesis("anna"), [act])[-1]
        same(phone.sync("sync-1", [act], device="d").status, 200, "status")
        same(line_of(daemon, "not delivered", "sync-1")["log"], "anna", "the webhook's line")
        answer = phone.sync("sync-2", [{**act, "payload": "another"}], 1, link, device="d")
        same((answer.status, answer.header("x-request-id"), answer.json()["refused"]), (200, "sync-2", 1), "answer")
        line = line_of(daemon, "actions refused", "sync-2")
        same((line["count"], line["index"], line["code"], line["log"], line["subject"], line["address"]),
             ("1", "0", "TIMESTAMP_TAKEN", "anna", "anna", "127.0.0.6"), "the refused action's line")
        for id, device, digest in (("state-1", "d", "0a"), ("state-2", "e", "0b")):
            answer = phone.sync(id, [], 1, link, device=device,
                                state={"seq": 1, "digest": digest, "app": "1"})
            same(answer.status, 200, "status of a state: %s" % answer.body)
        same(line_of(daemon, "states differ", "state-2")["other_device"], "d", "the drift's line")
    each(check)


@story.story
def a_refusal_says_who_asked_and_why_it_was_refused():
    def check(daemon, proxy, key):
        foreign = Phone(proxy, make(tokens.Key("EdDSA", "one")), "127.0.0.7")
        same(foreign.ask("GET", "/v1/logs/anna/head", "guess-1").status, 401, "status")
        line = line_of(daemon, "request refused", "guess-1")
        same((line["code"], line["reason"], line["address"], line.get("subject")),
             ("UNAUTHENTICATED", "its signature is not good", "127.0.0.7", None), "a guess")
        curious = Phone(proxy, make(key, tokens.claims("eve\n\u202e")), "127.0.0.8")
        same(curious.ask("GET", "/v1/logs/anna/head", "curious-1").status, 403, "status")
        line = line_of(daemon, "request refused", "curious-1")
        same((line["code"], line["address"], line.get("reason")), ("FORBIDDEN", "127.0.0.8", "no log name can be made of its subject"), "another")
        curious = Phone(proxy, make(key, tokens.claims("eve")), "127.0.0.8")
        same(curious.ask("GET", "/v1/logs/anna/head", "curious-2").status, 403, "status")
        line = line_of(daemon, "request refused", "curious-2")
        same((line["code"], line["address"], line["subject"]), ("FORBIDDEN", "127.0.0.8", "eve"), "another's log")
    each(check)


@story.story
def what_is_no_id_is_replaced():
    def check(daemon, proxy, key):
        phone = Phone(proxy, make(key, tokens.claims("anna")), "127.0.0.6")
        for bad in ("", "a b", "a" * 129, "x;y", "\u00e4"):
            answer = phone.ask("GET", "/v1/logs/anna/head", bad)
            got = answer.header("x-request-id")
            is_true(answer.status == 200 and got != bad and re.match(r"^[A-Za-z0-9._-]{1,128}$", got), "%r became %r", bad, got)
        same(phone.ask("GET", "/v1/logs/anna/head", "a" * 128).header("x-request-id"), "a" * 128, "the longest")
    each(check)


if __name__ == "__main__":
    story.run()
