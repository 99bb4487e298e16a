"""edgereplay, the tool: push, pull, head, status, verify; killed, cut off, and healing a server that lost its newest actions."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

from support import chain, story
from support.daemon import PATIENCE, Daemon, tool, until, whole_log
from support.proxy import Proxy
from support.story import is_true, same, say

NOWHERE = "http://127.0.0.1:9"


def lines(device, count, first=0):
    return "".join(json.dumps({"type": "note/add", "payload": '{"by":"%s","n":%d}' % (device, first + n)}) + "\n"
                   for n in range(count)).encode()


class Device:
    """A state file and the flags that go with it."""

    def __init__(self, name, url, log="notes"):
        self.name, self.url, self.log = name, url, log
        self.state = "%s-%s.state" % (log, name)

    def push(self, input=None, *more, expect=0):
        arguments = ["push", "--json", "-q", "--url=" + self.url, "--log=" + self.log, "--state=" + self.state,
                     "--device=" + self.name, *more]
        result = tool(*arguments, *(["-"] if input is not None else []), input=input, expect=expect)
        return json.loads(result.out) if result.out else None

    def pull(self, *more, expect=0):
        return tool("pull", "-q", "--url=" + self.url, "--log=" + self.log, "--state=" + self.state,
                    "--device=" + self.name, *more, expect=expect).out

    def everything(self):
        return [json.loads(line) for line in self.pull("--after=0").splitlines()]

    def status(self):
        return json.loads(tool("status", "--json", "--state=" + self.state).out)


def payloads(actions):
    return sorted(action["payload"] for action in actions)


@story.story
def push_pull_head_and_status_tell_the_same():
    with Daemon() as daemon:
        phone, tablet = Device("phone", daemon.url), Device("tablet", daemon.url)
        result = phone.push(lines("phone", 25), "--batch=10")
        same((result["seq"], result["applied"], result["queued"]), (25, 25, 0), "push")
        with daemon.client() as client:
            actions, links = whole_log(client, "notes")
        same(result["stateHash"], links[-1].hex(), "state hash")
        same([a["payload"] for a in actions], ['{"by":"phone","n":%d}' % n for n in range(25)], "in order")
        head = json.loads(tool("head", "--json", "--url=" + daemon.url, "--log=notes").out)
        same((head["seq"], head["stateHash"]), (25, links[-1].hex()), "head")
        is_true(links[-1].hex() in tool("head", "--url=" + daemon.url, "--log=notes").out, "head for humans")
        out = [json.loads(line) for line in tool("pull", "-q", "--url=" + daemon.url, "--log=notes").out.splitlines()]
        same([{k: a[k] for k in ("device", "ts", "type", "payload")} for a in out], actions, "pull")
        part = tool("pull", "-q", "--url=" + daemon.url, "--log=notes", "--after=5", "--hash=" + links[5].hex(),
                    "--until=9").out.splitlines()
        same([json.loads(line)["payload"] for line in part], [a["payload"] for a in actions[5:9]], "a part")
        until_link = tool("pull", "-q", "--url=" + daemon.url, "--log=notes", "--until=" + links[3].hex()).out
        same(len(until_link.splitlines()), 3, "until a link")
        same(len(tablet.pull().splitlines()), 25, "a second device")
        same(tablet.pull(), "", "nothing new")
        tablet.push(lines("tablet", 3))
        same(len(phone.pull().splitlines()), 3, "what is new")
        same((phone.status()["seq"], phone.status()["stateHash"]), (28, tablet.status()["stateHash"]), "status")


@story.story
def a_rotten_copy_in_the_state_is_not_printed():
    with Daemon() as daemon:
        phone = Device("phone", daemon.url, "rotten")
        phone.push(lines("phone", 9))
        with sqlite3.connect(phone.state) as database:
            database.execute("UPDATE confirmed SET payload = CAST('{}' AS BLOB) WHERE seq = 5")
        database.close()
        printed = phone.pull("--after=0", expect=1)
        same(len(printed.splitlines()), 4, "what is before it")


@story.story
def offline_edits_wait_in_the_state_and_rebase_later():
    with Daemon() as daemon:
        phone, tablet = Device("phone", NOWHERE), Device("tablet", NOWHERE)
        for device in (phone, tablet):
            device.push(lines(device.name, 5), "--give-up=1", expect=3)
            same((device.status()["seq"], device.status()["queued"]), (0, 5), "status")
            device.url = daemon.url
        same(phone.push()["applied"], 5, "phone")
        result = tablet.push(None, "--on-conflict=reject")
        same((result["seq"], result["queued"]), (10, 0), "tablet")
        phone.pull()
        same(phone.everything(), tablet.everything(), "both have it all")


@story.story
def a_lost_answer_does_not_double_an_action():
    with Daemon() as daemon, Proxy(daemon.port) as proxy:
        phone = Device("phone", proxy.url)
        proxy.lose_answers = 3
        result = phone.push(lines("phone", 7))
        same((result["seq"], result["duplicates"], proxy.lost), (7, 7, 3), "after three lost answers")


@story.story
def a_killed_push_goes_on():
    with Daemon() as daemon:
        phone = Device("phone", daemon.url)
        with open("notes.ndjson", "wb") as file:
            file.write(lines("phone", 3000))
        command = [story.TOOL, "push", "-q", "--url=" + daemon.url, "--log=notes", "--state=" + phone.state,
                   "--device=phone", "--batch=3"]
        with daemon.client() as client:
            running = subprocess.Popen(command + ["notes.ndjson"])
            for least in (50, 400, 900):
                end = time.monotonic() + PATIENCE
                while client.get("/v1/logs/notes/head").json()["seq"] < least:
                    is_true(time.monotonic() < end and running.poll() is None, "the push ended early or hangs")
                    time.sleep(0.001)
                running.kill()
                running.wait()
                running = subprocess.Popen(command + ["--resume", "notes.ndjson"])
            same(running.wait(PATIENCE), 0, "exit code")
            actions = whole_log(client, "notes")[0]
        same([a["payload"] for a in actions], ['{"by":"phone","n":%d}' % n for n in range(3000)], "once, in order")


@story.story
def a_push_killed_while_it_reads_goes_on_with_resume():
    with Daemon() as daemon:
        phone = Device("phone", daemon.url)
        with open("many.ndjson", "wb") as file:
            file.write(lines("phone", 20_000))
        command = [story.TOOL, "push", "-q", "--url=" + NOWHERE, "--log=notes", "--state=" + phone.state, "--device=phone"]
        for _ in range(3):
            running = subprocess.Popen(command + ["--resume", "many.ndjson"], stderr=subprocess.DEVNULL)
            time.sleep(0.05)  # somewhere in the middle, or at the end: the outcome must be the same
            running.kill()
            running.wait()
        tool("push", "-q", "--url=" + daemon.url, "--log=notes", "--state=" + phone.state, "--device=phone", "--resume",
             "many.ndjson")
        with daemon.client() as client:
            actions = whole_log(client, "notes")[0]
        same([a["payload"] for a in actions], ['{"by":"phone","n":%d}' % n for n in range(20_000)], "once, in order")


@story.story
def three_devices_heal_a_server_restored_from_a_backup():
    daemon = Daemon()
    devices = [Device(name, daemon.url) for name in ("phone", "tablet", "watch")]
    for round_ in range(2):
        for device in devices:
            device.push(lines(device.name, 10, round_ * 10))
    daemon.stop()
    backup = tempfile.mkdtemp(prefix="backup.")
    shutil.copytree(daemon.dir, backup, dirs_exist_ok=True)
    daemon.start()
    for device in devices:
        device.url = daemon.url
    for device in devices[:2]:
        device.push(lines(device.name, 15, 20))  # after the backup; the watch never hears of them
    devices[0].pull()
    lost = devices[0].everything()
    daemon.stop()
    daemon.dir = backup
    daemon.start()
    for device in devices:
        device.url = daemon.url
    for device in devices[::-1]:
        device.push(lines(device.name, 5, 100))
    for device in devices:
        device.pull()
    everything = [device.everything() for device in devices]
    same(everything[0], everything[1], "phone and tablet")
    same(everything[0], everything[2], "phone and watch")
    wanted = payloads(lost) + ['{"by":"%s","n":%d}' % (d.name, 100 + n) for d in devices for n in range(5)]
    same(payloads(everything[0]), sorted(wanted), "everything that any device held")
    with daemon.client() as client:
        same(len(whole_log(client, "notes")[0]), len(wanted), "in the log")
    for device in devices:
        same(device.status()["queued"], 0, "queued")
    daemon.stop()
    tool("verify", daemon.dir)


@story.story
def the_tool_waits_for_a_server_that_is_restarted():
    daemon = Daemon()
    with Proxy(daemon.port) as proxy:
        command = [story.TOOL, "push", "-q", "--url=" + proxy.url, "--log=notes", "--state=patient.state", "--device=phone",
                   "--batch=1", "-"]
        running = subprocess.Popen(command, stdin=subprocess.PIPE)
        running.stdin.write(lines("phone", 800))
        running.stdin.close()
        with daemon.client() as client:
            until(lambda: client.get("/v1/logs/notes/head").json()["seq"] > 50, "the push to begin")
        daemon.kill()
        proxy.down = True
        time.sleep(0.3)
        daemon.start()
        proxy.target, proxy.down = daemon.port, False
        same(running.wait(PATIENCE), 0, "exit code")
    with daemon.client() as client:
        same(len(whole_log(client, "notes")[0]), 800, "actions")
    daemon.stop()


@story.story
def the_only_try_waits_for_its_answer():
    with Daemon() as daemon:
        daemon.signal(signal.SIGSTOP)
        tries = [subprocess.Popen([story.TOOL, *command, "--url=" + daemon.url, "--log=notes", "--give-up=0"], stdout=subprocess.PIPE)
                 for command in (["head"], ["pull"], ["push", "--state=s", "--device=d"])]
        time.sleep(0.3)
        daemon.signal(signal.SIGCONT)
        same([one.wait(PATIENCE) for one in tries], [0, 0, 0], "their exit codes")


@story.story
def exit_codes_say_what_went_wrong():
    with Daemon() as daemon:
        url = "--url=" + daemon.url
        tool(expect=2)
        tool("nonsense", expect=2)
        tool("push", url, expect=2)
        tool("push", url, "--log=a", "--state=s", "--unknown=1", expect=2)
        tool("head", "--url=nonsense://x", "--log=a", expect=None)
        tool("head", "--url=" + NOWHERE, "--log=a", "--give-up=1", expect=3)
        tool("pull", "--url=" + NOWHERE, "--log=a", "--give-up=1", expect=3)
        tool("push", url, "--log=a", "--state=s1", "--device=d", "missing.ndjson", expect=4)
        tool("push", url, "--log=a", "--state=no/such/folder/s", "--device=d", "-", input=lines("d", 1), expect=4)
        bad = tool("push", url, "--log=a", "--state=s2", "--device=d", "-", expect=None,
                   input=lines("d", 2) + b'{"type":"x"}\n')
        is_true(bad.code != 0 and "line 3" in bad.error, "a bad line: %d %s", bad.code, bad.error)
        tool("pull", url, "--log=a", "--until=" + "0" * 64, expect=1)
        tool("verify", "no/such/folder", expect=None)
        same(tool("--help", expect=0).out.count("push") > 0, True, "help")


@story.story
def a_state_belongs_to_one_log_and_one_process():
    with Daemon() as daemon:
        phone = Device("phone", daemon.url)
        phone.push(lines("phone", 2))
        other = tool("push", "--url=" + daemon.url, "--log=another", "--state=" + phone.state, "--device=phone",
                     expect=None)
        is_true(other.code != 0 and "notes" in other.error, "another log: %d %s", other.code, other.error)
        running = subprocess.Popen([story.TOOL, "push", "-q", "--url=" + NOWHERE, "--log=notes", "--state=" + phone.state,
                                    "--device=phone"], stderr=subprocess.DEVNULL)
        try:
            until(lambda: held(phone.state), "the other process to have the state")
            same(tool("push", "--url=" + daemon.url, "--log=notes", "--state=" + phone.state, "--device=phone",
                      expect=None).code, 4, "while another process has it")
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()


def held(state):
    """Whether the state's lock is taken, seen without taking it."""
    inode = os.stat(state + "-lock").st_ino if os.path.exists(state + "-lock") else None
    with open("/proc/locks", encoding="ascii") as file:
        return any(line.split()[5].endswith(":%d" % inode) for line in file if inode)


@story.story
def too_large_an_action_is_set_aside_and_the_others_go_on():
    with Daemon(options={"limits.payload_bytes": 2000}) as daemon:
        phone = Device("phone", daemon.url)
        middle = json.dumps({"type": "note/add", "payload": "x" * 3000}).encode() + b"\n"
        result = phone.push(lines("phone", 3) + middle + lines("phone", 3, 3), expect=1)
        same((result["applied"], result["setAside"], result["queued"], phone.status()["setAside"]), (6, 1, 0, 1), "result")


@story.story
def verify_finds_one_changed_byte_and_names_its_place():
    daemon = Daemon()
    phone = Device("phone", daemon.url)
    phone.push(lines("phone", 50))
    daemon.stop()
    clean = tool("verify", "--json", daemon.dir)
    say("verify: %s", clean.out.strip().splitlines()[-1][:200])
    needle, changed = b'{"by":"phone","n":37}', b'{"by":"phone","n":73}'
    hits = 0
    for folder, _, files in os.walk(daemon.dir):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                data = file.read()
            if needle in data:
                hits += 1
                with open(path, "wb") as file:
                    file.write(data.replace(needle, changed))
    same(hits, 1, "the payload lies in one file")
    damage = tool("verify", daemon.dir, expect=1)
    is_true("notes" in damage.out + damage.error and "38" in damage.out + damage.error, "it names log and seq: %s %s",
            damage.out, damage.error)
    damaged_daemon(daemon, phone)


def damaged_daemon(daemon, phone):
    """A server with a rotten row serves what is before it, says so, and goes on with the other logs."""
    daemon.start()
    phone.url = daemon.url
    with daemon.client() as client:
        page = client.get("/v1/logs/notes/actions?limit=30").json()
        same((page["seq"], page["hasMore"]), (30, True), "the good part")
        answer = client.get("/v1/logs/notes/actions?after=30")
        if answer.status == 200:
            same(answer.json()["seq"], 37, "up to the last good row")
            answer = client.get("/v1/logs/notes/actions?after=37")
        same((answer.status, answer.json()["code"]), (503, "LOG_DAMAGED"), "behind it")
        same(answer.json()["head"]["seq"], 37, "the last good position")
        good = chain.sync_body([{"device": "d", "ts": 1, "type": "t", "payload": ""}], 0, chain.genesis("other"))
        same(client.post("/v1/logs/other/sync", good).status, 200, "another log")
    tool("pull", "-q", "--url=" + daemon.url, "--log=notes", "--give-up=2", expect=1)
    tool("head", "--url=" + daemon.url, "--log=notes", expect=1)
    daemon.stop()


@story.story
def verify_works_on_a_folder_as_a_crash_left_it():
    daemon = Daemon()
    phone = Device("phone", daemon.url)
    phone.push(lines("phone", 200), "--batch=20")
    daemon.kill()
    tool("verify", daemon.dir)
    daemon.start()
    with daemon.client() as client:
        same(len(whole_log(client, "notes")[0]), 200, "actions")
    refused = tool("verify", daemon.dir, expect=None)
    is_true(refused.code in (0, 4), "verify beside a running daemon: %d %s", refused.code, refused.error)
    daemon.stop()


story.run()
