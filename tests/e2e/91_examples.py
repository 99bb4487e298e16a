"""The clients of docs/examples, each in its language, against a real daemon: what is on a phone comes into the log, once, whatever happens."""
import json
import os
import random
import shutil
import socket
import subprocess
import time

from support import story
from support.daemon import Daemon
from support.example import CLIENTS, LATER, PAIRS, Phone, agree, run
from support.proxy import Proxy
from support.story import is_true, same, say


@story.story
def their_bytes_are_those_of_the_vectors():
    for language in CLIENTS:
        said = run(language, "vectors", os.path.join(story.ROOT, "schema/vectors.json")).stdout
        same(said, "6 cases, 37 actions: equal\n", language)
    with open(os.path.join(story.ROOT, "schema/vectors.json"), encoding="utf-8") as file:
        vectors = json.load(file)
    vectors["cases"][1]["actions"][1]["payload"] += " "
    with open("wrong.json", "w", encoding="utf-8") as file:
        json.dump(vectors, file)
    for language in CLIENTS:
        run(language, "vectors", "wrong.json", expect=1)


@story.story
def two_phones_that_were_offline_come_to_the_same_log():
    # What the second has missed is more than an answer has, what the first has missed is not.
    with Daemon(options={"limits.page_actions": 4}) as daemon, daemon.client() as client:
        for n, pair in enumerate(PAIRS):
            log = "log|%d" % n
            first, second = (Phone(language, daemon.url, log) for language in pair)
            first.act("a", "b", "c", "é \"\\\n\t 😀", "")
            second.act("1", "2", "3")
            first.sync()
            second.sync()
            first.act("d")
            first.sync()
            second.sync()
            same(agree((first, second), client, log), ["a", "b", "c", "é \"\\\n\t 😀", "", "1", "2", "3", "d"], "the log")


@story.story
def a_lost_answer_is_asked_for_again_and_nothing_is_there_twice():
    with Daemon() as daemon, daemon.client() as client, Proxy(daemon.port) as proxy:
        for language in CLIENTS:
            phone, log = Phone(language, proxy.url, language), language
            phone.act("a", "b")
            proxy.lose_answers = 1
            phone.sync(LATER, tries=1)
            same(client.get("/v1/logs/%s/head" % log).json()["seq"], 2, "the server has them")
            same(len(phone.show()["queue"]), 2, "the phone does not know")
            phone.act("c")
            phone.sync()
            same(agree([phone], client, log), ["a", "b", "c"], language)
            proxy.down = True
            phone.act("d")
            phone.sync(LATER, tries=2)
            proxy.down = False
            phone.sync()
            same(agree([phone], client, log), ["a", "b", "c", "d"], language)


@story.story
def a_server_that_was_restored_gets_back_what_it_lost():
    daemon = Daemon()
    mine, others = {}, {}
    for language in CLIENTS:
        mine[language], others[language] = (Phone(language, daemon.url, language) for _ in range(2))
        mine[language].act("a", "b", "c")
        mine[language].sync()
        others[language].sync()
    daemon.stop()
    shutil.copytree(daemon.dir, "backup")
    daemon.start()
    for language, phone in mine.items():
        phone.url = daemon.url
        phone.act("d", "e")
        phone.sync()
    daemon.stop()
    shutil.rmtree(daemon.dir)
    shutil.copytree("backup", daemon.dir)
    daemon.start()
    with daemon.client() as client:
        for number, (language, phone) in enumerate(mine.items()):
            other = others[language]
            phone.url = other.url = daemon.url
            phone.act("f")
            if number > 0:  # else it is SERVER_BEHIND; with as many as were lost, HASH_MISMATCH
                other.act(*("1", "2", "3")[:number + 1])
                other.sync()
            phone.sync()
            other.sync()
            same(agree((phone, other), client, language), ["a", "b", "c"] + ["1", "2", "3"][:number and number + 1] + ["d", "e", "f"],
                 language)
    daemon.stop()


def kill_when_it_has_sent(phone):
    """Its request goes to somebody who never answers, and never tells the server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = Phone(phone.language, "http://127.0.0.1:%d" % silent.getsockname()[1], phone.log)
        nobody.state = phone.state
        process = subprocess.Popen(CLIENTS[phone.language] + nobody.command("sync"), stderr=subprocess.DEVNULL)
        with silent.accept()[0] as connection:
            connection.recv(1)
            process.kill()
            process.wait()


@story.story
def whenever_they_are_killed_what_the_user_did_is_there_once():
    rolls = random.Random(story.seed())
    kills = 0
    with Daemon() as daemon, daemon.client() as client, Proxy(daemon.port, delay=0.02) as proxy:
        for language in CLIENTS:
            phone = Phone(language, proxy.url, language)
            done = [action["payload"] for action in phone.act("first", "second")]
            kill_when_it_has_sent(phone)
            for trial in range(3):
                done += [action["payload"] for action in phone.act("%d/0" % trial, "%d/1" % trial)]
                process = subprocess.Popen(CLIENTS[language] + phone.command("sync"), stderr=subprocess.DEVNULL)
                time.sleep(rolls.random() * 0.25)
                kills += process.poll() is None
                process.kill()
                process.wait()
                act = subprocess.Popen(CLIENTS[language] + phone.command("act", "note/add", "%d/k" % trial), stdout=subprocess.PIPE, text=True)
                time.sleep(rolls.random() * 0.1)
                act.kill()
                said = act.communicate()[0]
                done += [json.loads(said)["payload"]] if said.endswith("\n") else []
            phone.sync()
            held = agree([phone], client, language)
            is_true(set(done) <= set(held) and len(set(held)) == len(held), "%s: %s of %s", language, held, done)
            same([p for p in held if p in set(done)], done, language + ": their order")
    say("%d syncs were killed while they ran", kills)


story.run()
