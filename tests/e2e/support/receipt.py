"""receipt: section 6 of the protocol, and C2SP's signed notes, written a second time from their texts alone; Ed25519 is OpenSSL's.

A signing key is (name, Ed25519PrivateKey); a verifying one (name, key id, Ed25519PublicKey).
"""
import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
ALGORITHM = b"\x01"
DASH = "\N{EM DASH} "


class Refused(Exception):
    """A note that is not to be believed."""


def check(condition, text):
    if not condition:
        raise Refused(text)


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    """Only in the form in which it is written."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("base64: %s" % error) from error
    check(b64(data) == text, "base64 of another spelling")
    return data


def name_is_valid(name):
    return bool(name) and "+" not in name and not any(c.isspace() or ord(c) < 0x20 for c in name)


# --- keys ---

def key_id(name, public):
    return hashlib.sha256(name.encode() + b"\n" + ALGORITHM + public.public_bytes(*RAW)).digest()[:4]


def read_vkey(text):
    name, digits, coded = text.split("+", 2)
    data = unb64(coded)
    check(name_is_valid(name) and len(data) == 33 and data[:1] == ALGORITHM, "a verifying key")
    public = ed25519.Ed25519PublicKey.from_public_bytes(data[1:])
    check(key_id(name, public).hex() == digits, "the key's id")
    return name, key_id(name, public), public


def write_vkey(name, public):
    return "%s+%s+%s" % (name, key_id(name, public).hex(), b64(ALGORITHM + public.public_bytes(*RAW)))


def read_signer(text):
    private, key, name, digits, coded = text.split("+", 4)
    data = unb64(coded)
    check((private, key) == ("PRIVATE", "KEY") and len(data) == 33 and data[:1] == ALGORITHM, "a signing key")
    secret = ed25519.Ed25519PrivateKey.from_private_bytes(data[1:])
    check(key_id(name, secret.public_key()).hex() == digits, "the key's id")
    return name, secret


# --- notes ---

def sign(text, signers):
    note = text + "\n"
    for name, secret in signers:
        note += "%s%s %s\n" % (DASH, name, b64(key_id(name, secret.public_key()) + secret.sign(text.encode())))
    return note


def open_note(note, vkeys):
    """The text of a note that one of the keys signed, and none of them did not."""
    check(not re.search("[\x00-\x09\x0b-\x1f]", note) and "\n\n" in note and note.endswith("\n"), "the note's form")
    at = note.rindex("\n\n")
    text, lines = note[:at + 1], note[at + 2:-1].split("\n")
    verified = 0
    for line in lines:
        check(line.startswith(DASH) and line.count(" ") == 2, "a signature line")
        name, coded = line[len(DASH):].split(" ")
        data = unb64(coded)
        check(name_is_valid(name) and len(data) > 4, "a signature")
        for known, identifier, public in vkeys:
            if (known, identifier) != (name, data[:4]):
                continue
            try:
                public.verify(data[4:], text.encode())
            except InvalidSignature as error:
                raise Refused("the signature") from error
            verified += 1
    check(verified, "a known key")
    return text


# --- receipts ---

def receipt_text(server, log, seq, link, time):
    return "edgereplay/1/receipt\n%s/logs/%s\n%d\n%s\n%d\n" % (server, log, seq, b64(link), time)


def read(note, vkeys, kind="receipt"):
    """{"server", "log", "seq", "link", "serverTimestamp"} of a receipt that verifies, or a tombstone (kind "erased"); vkeys are texts."""
    keys = [read_vkey(vkey) for vkey in vkeys]
    lines = open_note(note, keys).split("\n")
    check(len(lines) == 6 and lines[0] == "edgereplay/1/" + kind and lines[5] == "", "the five lines")
    server, log = lines[1].rsplit("/logs/", 1)
    open_note(note, [key for key in keys if key[0] == server])
    link = unb64(lines[3])
    check(len(link) == 32 and re.fullmatch("0|[1-9][0-9]*", lines[2]) and re.fullmatch("0|[1-9][0-9]*", lines[4]),
          "the numbers")
    return {"server": server, "log": log, "seq": int(lines[2]), "link": link, "serverTimestamp": int(lines[4])}
