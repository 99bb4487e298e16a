"""What an operator does with a backup by hand: copies a lost shard's files from it over what is left of them."""
import glob
import json
import os
import re
import shutil
import sqlite3
import subprocess

from support import chain, story
from support.daemon import Daemon, tool, until
from support.events import Writer
from support.phone import Phone
from support.story import is_true, same

ADMIN = {"admin.listen": "unix:admin.sock"}


def head_of(daemon, log):
    with daemon.client() as client:
        return client.get("/v1/logs/%s/head" % log).json()


def content(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)
            if os.path.isfile(os.path.join(folder, name))}


def reader_of(daemon, shard):
    """As long as it is open, the shard's WAL is not emptied."""
    reader = sqlite3.connect("file:%s/shard-0%d.db?mode=ro" % (daemon.dir, shard), uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM actions").fetchone()
    return reader


def lost_under_it():
    """A daemon, phones ahead of a backup of it that it made while it ran, and it killed, with content in its WALs."""
    daemon = Daemon(options={**ADMIN, "store.shards": 2, "store.tail_bytes": 65536, "limits.payload_bytes": 1024,
                             "limits.body_bytes": 32768, "limits.batch_actions": 20})
    phones = [Phone(daemon.address, "log-%d" % n, "phone-%d" % n, batch=20) for n in range(4)]
    same({chain.genesis(phone.log)[0] // 128 for phone in phones}, {0, 1}, "shards with phones")
    for number in range(4):
        if number == 1:
            tool("backup", daemon.dir, "--to=b")
            readers = [reader_of(daemon, shard) for shard in range(2)]
        for phone in phones:
            for _ in range(200):
                phone.act("t", "x" * 200)
            until(lambda phone=phone: phone.sync() and not phone.queue, "its actions to be acknowledged")
    daemon.kill()
    for reader in readers:
        reader.close()
    is_true(all(os.path.getsize(daemon.dir + "/shard-0%d.db-wal" % shard) > 0 for shard in range(2)), "an empty WAL is left")
    return daemon, phones


@story.story
def a_lost_shard_s_files_are_copied_over_what_it_left():
    """By hand, without a look at what is left there: a WAL that is newer than the copy must not stay beside it."""
    daemon, phones = lost_under_it()
    for shard in range(2):
        os.remove(daemon.dir + "/shard-0%d.db" % shard)
    same(subprocess.run("cp b/shard-0* %s/" % daemon.dir, shell=True, check=False).returncode, 0, "the copying")
    with daemon.start():
        same(daemon.events("shard refused"), [], "what is refused")
        tool("verify", "b")
        for phone in phones:
            phone.client.close()
            phone.client = daemon.client()
            same(head_of(daemon, phone.log)["seq"], 200, "as of the backup")
            until(lambda phone=phone: phone.sync() and not phone.queue and phone.base == 800, "it to heal")
            same(head_of(daemon, phone.log)["stateHash"], phone.links[-1].hex(), "the head")
    tool("verify", daemon.dir)


@story.story
def a_backup_has_an_empty_write_ahead_log_of_each_shard():
    """Of a running daemon, of a stopped one's directory, and of one without any; one without it, of an older version, is as good."""
    with Daemon(options={**ADMIN, "store.shards": 2}) as daemon:
        with daemon.client() as client:
            Writer(client, "filled").append(60)
        tool("backup", daemon.dir, "--to=live")
    for path in glob.glob(daemon.dir + "/*-wal"):
        os.remove(path)
    tool("backup", daemon.dir, "--to=stopped")
    for backup in ("live", "stopped"):
        listed = {entry["name"]: entry["bytes"] for entry in json.load(open(backup + "/backup.json", encoding="utf-8"))["files"]}
        for name in ("shard-00.db-wal", "shard-01.db-wal"):
            info = os.stat(os.path.join(backup, name))
            same((listed[name], info.st_size, info.st_mode & 0o777), (0, 0, 0o600), "%s of %s" % (name, backup))
        before = content(backup)
        tool("verify", backup)
        tool("stat", backup)
        same({**content(backup), "lock": b""}, {**before, "lock": b""}, "it as it lies")
        tool("restore", backup, "r-" + backup)
        same(os.path.getsize("r-%s/shard-00.db-wal" % backup), 0, "restored")
        tool("reshard", "4", "r-" + backup)
        tool("verify", "r-" + backup)
        with Daemon(dir=os.path.realpath("r-" + backup), options={"store.shards": 4}) as restored:
            same(head_of(restored, "filled")["seq"], 60, "restored and resharded")
        # As versions before it made it.
        shutil.copytree(backup, "older")
        text = open("older/backup.json", encoding="utf-8").read()
        for name in ("shard-00.db-wal", "shard-01.db-wal"):
            os.remove(os.path.join("older", name))
            text = re.sub(r'\{"name":"%s"[^}]*\},\n' % re.escape(name), "", text)
        is_true("-wal" not in text, "backup.json: %s", text)
        with open("older/backup.json", "w", encoding="utf-8") as file:
            file.write(text)
        tool("verify", "older")
        tool("restore", "older", "r-older")
        with Daemon(dir=os.path.realpath(backup), options={"store.shards": 2}) as in_place:
            same(head_of(in_place, "filled")["seq"], 60, "in its place")
        tool("verify", backup)
        shutil.rmtree("older")
        shutil.rmtree("r-older")


story.run()
