"""The webhook: signed, once a log, whatever the receiver does; and no sync waits for it."""
import base64
import os
import signal
import socket
import time

from support import chain, story
from support.daemon import Daemon, Refused, until
from support.events import Writer
from support.receiver import LINE, SECRET, Receiver
from support.story import is_true, same


def secrets(text=LINE, mode=0o600):
    with open("secrets", "w", encoding="ascii") as file:
        file.write(text)
    os.chmod("secrets", mode)
    return "secrets"


def options(url, **more):
    return {"webhook.url": url, "webhook.secret_file": secrets(), "webhook.gather_msec": 50,
            **{"webhook." + name: value for name, value in more.items()}}


def counters(daemon):
    return {name: int(value) for name, value in daemon.events("stopped")[-1].items() if name.startswith("webhook_")}


@story.story
def a_log_that_grew_is_told_of_with_its_newest_head():
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        writers = [Writer(client, name) for name in ("a", "b|c", "x" * 128)]
        wanted = {}
        for round_number in range(3):
            for writer in writers:
                for _ in range(10):
                    wanted[writer.log] = writer.append()
            receiver.await_newest(wanted)
        is_true(len(receiver.notices) < 45, "%d notices of 90 commits", len(receiver.notices))
        ids = [key for key, _ in receiver.attempts]
        same(len(set(ids)), len(ids), "ids that differ")
        client.get("/v1/logs/a/actions")
        sent = len(receiver.notices)
        daemon.stop()
        same(counters(daemon), {"webhook_sent": sent, "webhook_failed": 0, "webhook_dropped": 0}, "counters")


@story.story
def what_gathers_when_the_server_stops_is_sent():
    with Receiver() as receiver, Daemon(options=options(receiver.url, gather_msec=60000)) as daemon, daemon.client() as client:
        wanted = {name: Writer(client, name).append() for name in ("a", "b", "c", "d", "e", "f", "g")}
        daemon.stop()
        same(receiver.newest(), wanted, "notices")


@story.story
def a_receiver_that_fails_gets_it_later_with_the_same_id():
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        receiver.status = 503
        wanted = Writer(client, "log").append()
        until(lambda: len(receiver.attempts) >= 2, "a second attempt")
        receiver.status = 429
        receiver.headers = {"Retry-After": "2"}
        before = len(receiver.attempts)
        until(lambda: len(receiver.attempts) > before, "an attempt that is told when to come back")
        receiver.status, told = 200, time.monotonic()
        receiver.headers = {}
        receiver.await_newest({"log": wanted})
        is_true(time.monotonic() - told > 1.5, "it did not wait as it was told")
        same(len({key for key, _ in receiver.attempts}), 1, "ids")
        other = Writer(client, "other").append()
        receiver.await_newest({"log": wanted, "other": other})
        is_true(any((event["status"], event["log"]) == ("503", "log") for event in daemon.events("not delivered")), "no line for the operator")


@story.story
def what_the_receiver_does_not_want_is_dropped_and_does_not_stop_the_others():
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        receiver.status = 400
        Writer(client, "unwanted").append()
        until(lambda: len(receiver.attempts) == 1, "the attempt")
        daemon.await_event("refused")
        receiver.status = 200
        wanted = Writer(client, "wanted").append()
        receiver.await_newest({"wanted": wanted})
        same(len(receiver.attempts), 2, "attempts")
        daemon.stop()
        same(counters(daemon), {"webhook_sent": 1, "webhook_failed": 1, "webhook_dropped": 1}, "counters")


@story.story
def a_redirect_is_not_followed():
    """Whoever answers at the URL does not get to say where else log names go."""
    with Receiver() as elsewhere, Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        for status in (301, 307, 308):
            receiver.status, receiver.headers = status, {"Location": elsewhere.url}
            before = len(receiver.attempts)
            Writer(client, "log-%d" % status).append()
            until(lambda: len(receiver.attempts) > before, "an attempt that is told to go elsewhere")
        daemon.stop()
        same(len(elsewhere.attempts), 0, "what came elsewhere")
        same(counters(daemon)["webhook_sent"], 0, "notices that count as sent")


@story.story
def the_trace_of_a_sync_goes_on():
    trace = "00-0af7651916cd43dd8448eb211c80319c-%016x-01"
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        wanted = []
        for log, headers, expected in (("a", {"traceparent": trace % 1}, trace % 1), ("b", {}, None),
                                       ("c", {"traceparent": trace % 0}, None),
                                       ("d", {"traceparent": "cc" + trace[2:] % 4 + "-more"}, "cc" + trace[2:] % 4),
                                       ("e", {"traceparent": trace % 5 + "\tx"}, None)):
            actions = [{"device": "d", "ts": 1, "type": "t", "payload": ""}]
            same(client.post("/v1/logs/%s/sync" % log, chain.sync_body(actions, 0, chain.genesis(log)), **headers).status, 200, "status")
            wanted.append(expected)
            until(lambda: len(receiver.traces) == len(wanted), "the notice")
        same(receiver.traces, wanted, "traces")


@story.story
def a_url_with_a_password_is_not_in_the_log():
    with Receiver() as receiver:
        url = receiver.url.replace("://", "://user:hunter2@")
        with Daemon(options=options(url)) as daemon, daemon.client() as client:
            wanted = Writer(client, "log").append()
            receiver.await_newest({"log": wanted})
            receiver.dead = True
            Writer(client, "other").append()
            daemon.await_event("not delivered")
            receiver.dead = False
            daemon.stop()
            is_true("hunter2" not in daemon.log(), "the log has it")
    try:
        Daemon(options=options("ftp://user:hunter2@127.0.0.1/")).stop()
        raise AssertionError("it starts")
    except Refused as refused:
        is_true("URL" in refused.log and "hunter2" not in refused.log, "it says %s", refused.log)


@story.story
def no_sync_waits_for_a_receiver_that_is_slow_or_gone():
    """Hundreds of logs and a queue of ten: what does not fit is counted, and every sync is answered."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = "http://127.0.0.1:%d/" % nobody.getsockname()[1]
    with Receiver() as receiver:
        receiver.delay = 3
        for url, what in ((receiver.url, "slow"), (gone, "gone")):
            with Daemon(options=options(url, queue=10, gather_msec=0)) as daemon, daemon.client() as client:
                began = time.monotonic()
                for number in range(300):
                    Writer(client, "%s-%d" % (what, number)).append()
                    is_true(time.monotonic() - began < 60, "%d of 300 syncs in a minute with a receiver that is %s", number, what)
                daemon.stop()
                found = counters(daemon)
                is_true(found["webhook_dropped"] >= 270, "dropped: %s", found)


@story.story
def a_receiver_that_comes_back_gets_what_is_kept():
    with Receiver() as first:
        port = first.port
    with Daemon(options=options("http://127.0.0.1:%d/hook" % port, connections=2)) as daemon, daemon.client() as client:
        writers = [Writer(client, "log-%d" % number) for number in range(20)]
        for _ in range(5):
            wanted = {writer.log: writer.append() for writer in writers}
        until(lambda: len(daemon.events("not delivered")) > 0, "a failure in the log")
        with Receiver(port) as receiver:
            receiver.await_newest(wanted)
            receiver.dead = True
            wanted["log-3"] = writers[3].append()
            until(lambda: len(receiver.attempts) > 20, "an attempt that is hung up on")
            receiver.dead = False
            receiver.await_newest(wanted)
        daemon.await_event("the receiver answers again")


@story.story
def logs_that_the_receiver_fails_on_do_not_hold_up_the_others():
    """Whether it answers them with 500 or hangs up: while theirs fail again and again, each other one comes at once."""
    for dead in (False, True):
        with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
            receiver.poison, receiver.status, receiver.dead = "poison", 500, dead
            for number in range(4):
                Writer(client, "poison-%d" % number).append()
            until(lambda: len(receiver.attempts) >= 8, "two attempts of each, which all fail")
            good, wanted, failed = Writer(client, "good"), {}, []
            for _ in range(20):
                before = len(receiver.attempts)
                wanted["good"] = good.append()
                receiver.await_newest(wanted)
                failed.append(len(receiver.attempts) - before - 1)
            is_true(sum(failed) < 20, "failures before each of 20 others came: %s", failed)
            ids = [key for key, notice in receiver.attempts if notice["log"].startswith("poison")]
            same(len(set(ids)), 4, "ids of those that fail")
            receiver.status, receiver.dead = 204, False


@story.story
def a_receiver_that_answers_nobody_gets_one_at_a_time():
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        receiver.status = 500
        wanted = {name: Writer(client, name).append() for name in ("log-%d" % number for number in range(40))}
        daemon.await_event("the receiver fails")
        time.sleep(3)
        is_true(len(receiver.attempts) < 30, "%d attempts of 40 notices", len(receiver.attempts))
        receiver.status = 204
        receiver.await_newest(wanted)
        daemon.await_event("the receiver answers again")


@story.story
def an_answer_that_has_no_end_counts_by_its_status():
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        receiver.status, receiver.endless = 200, True
        wanted = {name: Writer(client, name).append() for name in ("a", "b", "c")}
        receiver.await_newest(wanted)
        daemon.stop()
        same(counters(daemon), {"webhook_sent": 3, "webhook_failed": 0, "webhook_dropped": 0}, "counters")
        is_true(receiver.swallowed < 3 << 25, "%d bytes were read", receiver.swallowed)


@story.story
def what_is_new_is_not_dropped_for_the_age_of_what_is_old():
    with Receiver() as receiver, Daemon(options=options(receiver.url, keep_sec=4)) as daemon, daemon.client() as client:
        receiver.status = 500
        writer, old = Writer(client, "log"), Writer(client, "old")
        old.append()
        for _ in range(4):
            writer.append()
            time.sleep(1.5)
        wanted = writer.append()
        daemon.await_event("notices dropped")
        receiver.status = 204
        receiver.await_newest({"log": wanted})
        daemon.stop()
        same(counters(daemon)["webhook_dropped"], 1, "the old one alone")


@story.story
def what_is_too_old_is_dropped():
    with Receiver() as receiver, Daemon(options=options(receiver.url, keep_sec=1)) as daemon, daemon.client() as client:
        receiver.status = 500
        Writer(client, "old").append()
        daemon.await_event("notices dropped")
        receiver.status = 200
        wanted = Writer(client, "new").append()
        receiver.await_newest({"new": wanted})


@story.story
def secrets_are_exchanged_without_a_restart():
    second = bytes(range(100, 132))
    line = "whsec_" + base64.b64encode(second).decode() + "\n"
    with Receiver() as receiver, Daemon(options=options(receiver.url)) as daemon, daemon.client() as client:
        writer = Writer(client, "log")
        receiver.await_newest({"log": writer.append()})
        for number, (text, secret) in enumerate(((LINE + line, second), (LINE + line, SECRET), (line, second)), 1):
            secrets(text)
            daemon.signal(signal.SIGHUP)
            daemon.await_event("secrets read", number + 1)
            receiver.secret = secret
            receiver.await_newest({"log": writer.append()})
        secrets("rubbish\n")
        daemon.signal(signal.SIGHUP)
        daemon.await_event("webhook.secret_file not reloaded")
        receiver.await_newest({"log": writer.append()})


@story.story
def what_cannot_work_stops_the_start():
    good = options("http://127.0.0.1:1/")
    cases = [({"webhook.url": "ftp://127.0.0.1/"}, "URL"), ({"webhook.url": "127.0.0.1"}, "URL"),
             ({"webhook.secret_file": ""}, "webhook.secret_file"), ({"webhook.url": ""}, "webhook.secret_file"),
             ({"webhook.secret_file": "absent"}, "absent")]
    for change, said in cases:
        try:
            Daemon(options={**good, **change}).stop()
            raise AssertionError("it starts with %s" % change)
        except Refused as refused:
            is_true(said in refused.log, "%s: it says %s", change, refused.log)
    secrets(mode=0o640)
    try:
        Daemon(options=good).stop()
        raise AssertionError("it starts with a secret that others can read")
    except Refused as refused:
        is_true("chmod 600" in refused.log, "it says %s", refused.log)


story.run()
