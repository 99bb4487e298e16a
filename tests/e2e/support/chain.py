"""chain: section 2 of the protocol, written a second time, from its text alone, so that it can judge the daemon.

An action is a dict with device, ts, type and payload (all text but ts). Hashes are bytes here, hex on the wire.
"""
import hashlib
import uuid

LOG_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-@:|+=")


def blake2b(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def genesis(log):
    return blake2b(b"edgereplay/1/log\0", log.encode())


def digest(action):
    device, kind = action["device"].encode(), action["type"].encode()
    return blake2b(
        b"edgereplay/1/action\0",
        action["ts"].to_bytes(8, "big"),
        len(device).to_bytes(2, "big"), device,
        len(kind).to_bytes(2, "big"), kind,
        action["payload"].encode())


def link(previous, action_digest):
    return blake2b(b"edgereplay/1/link\0", previous, action_digest)


def extend(previous, actions):
    """The links after each of the actions."""
    links = []
    for action in actions:
        previous = link(previous, digest(action))
        links.append(previous)
    return links


def identifier(action):
    """The action's UUIDv8 in its text form."""
    bits = bytearray(action["ts"].to_bytes(6, "big") + digest(action)[:10])
    bits[6] = 0x80 | bits[6] & 0x0F
    bits[8] = 0x80 | bits[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(bits)))


def key(action):
    """The idempotency key within a log."""
    return action["device"], action["ts"], digest(action)


def path(log):
    """The log's name as it stands in a path."""
    plain = LOG_CHARACTERS - frozenset("|")
    return "".join(c if c in plain else "%%%02X" % ord(c) for c in log)


def sync_body(actions, seq, previous, device=None, **members):
    """A sync request that extends (seq, previous) by actions; every action names its device unless it is `device`."""
    sent = []
    for action in actions:
        entry = {"ts": action["ts"], "type": action["type"], "payload": action["payload"]}
        if action["device"] != device:
            entry["device"] = action["device"]
        sent.append(entry)
    body = {"seq": seq, "prevHash": previous.hex(), "actions": sent}
    if device is not None:
        body["device"] = device
    if actions:
        body["stateHash"] = extend(previous, actions)[-1].hex()
    body.update(members)
    return body
