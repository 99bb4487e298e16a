"""export: judges a file of `edgereplay export`, by the protocol alone."""
import gzip
import json

from support import chain, receipt
from support.story import is_true, same


def lines_of(path):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    is_true(data.endswith(b"\n"), "%s ends with a newline", path)
    return data[:-1].split(b"\n")


def judge(path, log, vkeys=None):
    """The actions, and the links from the genesis on; everything that the file says of them is so. With vkeys: a receipt."""
    first, *rows, last = map(json.loads, lines_of(path))
    same(first, {"format": "edgereplay-export", "version": 1, "log": log, "genesis": chain.genesis(log).hex()}, "first line")
    links, received, actions = [chain.genesis(log)], 0, []
    for seq, row in enumerate(rows, 1):
        action = {name: row[name] for name in ("device", "ts", "type", "payload")}
        links.append(chain.link(links[-1], chain.digest(action)))
        same((row["seq"], row["link"], row["id"]), (seq, links[-1].hex(), chain.identifier(action)), "action %d" % seq)
        is_true(row.get("receivedAt", received) >= received, "action %d was received before the one before it", seq)
        received = row.get("receivedAt", received)
        actions.append(action)
    note = last.pop("receipt", None)
    same(last, {"count": len(rows), "seq": len(rows), "stateHash": links[-1].hex()}, "last line")
    same(note is not None, bool(vkeys), "a receipt")
    if vkeys:
        said = receipt.read(note, vkeys)
        same((said["log"], said["seq"], said["link"]), (log, len(rows), links[-1]), "what the receipt says")
    return actions, links


def write(path, log, actions, **first):
    """Such a file, of these actions; an action may be redacted."""
    link, lines = chain.genesis(log), []
    lines.append({"format": "edgereplay-export", "version": 1, "log": log, "genesis": link.hex(), **first})
    for seq, action in enumerate(actions, 1):
        link = chain.link(link, chain.digest(action))
        row = {"seq": seq, **action, "id": chain.identifier(action), "link": link.hex()}
        if row.pop("redacted", False):
            del row["type"], row["payload"]
            row.update(redacted=True, digest=chain.digest(action).hex())
        lines.append(row)
    lines.append({"count": len(actions), "seq": len(actions), "stateHash": link.hex()})
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
    return path
