"""JSON is read strictly: what is not RFC 8259 in UTF-8, or not what the protocol names, is a 400 that says where."""
import json
import re

from support import chain, story
from support.daemon import Shared
from support.story import is_true, same, say

LOG = "json"
GENESIS = chain.genesis(LOG).hex()
ACTION = '{"ts": 1, "type": "t", "payload": "{}"}'
HASH = chain.extend(chain.genesis(LOG), [{"device": "d", "ts": 1, "type": "t", "payload": "{}"}])[-1].hex()


def text(actions="[%s]" % ACTION, **members):
    """A sync body as text. A member given as None is left out; others replace the usual ones, raw."""
    usual = {"device": '"d"', "seq": "0", "prevHash": '"%s"' % GENESIS, "actions": actions, "stateHash": '"%s"' % HASH}
    usual.update(members)
    return "{%s}" % ", ".join('"%s": %s' % item for item in usual.items() if item[1] is not None)


GOOD = text()


shared = Shared()


def post(body, expect=400):
    body = body if isinstance(body, bytes) else body.encode()
    answer = shared.client.post("/v1/logs/%s/sync" % LOG, body)
    same(answer.status, expect, "status of %r: %r; status" % (body[:300], answer.body[:400]))
    document = answer.json()
    if expect == 400:
        same(document["code"], "MALFORMED", "code")
    return document


ANY = "any index"


def refused(body, index=None):
    """400, with a detail that names line and column or the member's path, and the index of the action at fault."""
    problem = post(body)
    if index != ANY:
        same(problem.get("index"), index, "index for %r" % body[:300])
    detail = problem["detail"]
    is_true(re.search(r"line \d+|column \d+|^\w+(\[\d+\])*(\.\w+)?: |body", detail), "no place in %r", detail)
    return detail


@story.story
def the_plain_body_is_taken():
    same(post(GOOD, 200)["applied"], 1, "applied")
    same(post("\n\t\r " + GOOD.replace(", ", ",\r\n\t") + " \n", 200)["duplicates"], 1, "white space")


@story.story
def syntax_that_is_not_json():
    broken = [
        "", " ", "{", "}", "[]", "null", '"x"', "1", "\ufeff" + GOOD, GOOD[:-1], GOOD + GOOD, GOOD + "x", GOOD + ",",
        GOOD + "\0", GOOD.replace('"seq": 0', '"seq": 0,'), GOOD.replace("}", ",}"), GOOD.replace("]", ",]"),
        GOOD.replace("{", "{,", 1), GOOD.replace('"seq"', "seq"), GOOD.replace('"seq"', "'seq'"),
        GOOD.replace('"seq": 0', '"seq" 0'), GOOD.replace('"seq": 0', '"seq":: 0'), GOOD.replace(", ", " ", 1),
        GOOD.replace(", ", ",, ", 1), GOOD.replace("0", "// zero\n0", 1), "/* */" + GOOD, GOOD.replace(" ", "\v", 1),
        GOOD.replace(" ", "\u00a0", 1), GOOD.replace(" ", "\f", 1), GOOD.replace("[", "(", 1), "{]", "[}",
        text(seq="undefined"), text(seq="NaN"), text(seq="Infinity"), text(seq="True"), text(seq="nul"), text(seq="tru"),
        text(seq="nulll"),
    ]
    for body in broken:
        refused(body, ANY)
    say("%d broken texts", len(broken))


@story.story
def strings_are_utf8_with_known_escapes():
    def payload(raw):
        return text('[{"ts": 1, "type": "t", "payload": "@@"}]').encode().replace(b"@@", raw)
    bad = [b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xc3", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80",
           b"\xf8\x88\x80\x80\x80", b"\x80", b"\xc3(", b"\xf0\x9f\x98", b"\n", b"\x00", b"\x1f", b"\t", b"\\x41", b"\\'",
           b"\\a", b"\\u12", b"\\u12g4", b"\\U0041", b"\\ud800", b"\\udc00", b"\\ud800\\u0041", b"\\ud800x",
           b"\\udc00\\ud800", b"\\ud83d\\ud83d", b"\\"]
    for raw in bad:
        refused(payload(raw), index=0)
    count = 0
    for raw, meaning in ((b"\\u0000", "\0"), (b"\\ud83d\\ude00", "\U0001f600"), (b"\xf0\x9f\x98\x80", "\U0001f600"),
                         (b"\\\"\\\\\\/\\b\\f\\n\\r\\t", '"\\/\b\f\n\r\t'), (b"\x7f", "\x7f"), (b"\\uFFFF", "\uffff"),
                         (b"\\u00E9", "\u00e9"), (b"\xef\xbb\xbf", "\ufeff"), (b"\xe2\x80\xa8", "\u2028"),
                         (b"\xf4\x8f\xbf\xbf", "\U0010ffff")):
        count += 1
        batch = [{"device": "d", "ts": 1, "type": "t", "payload": meaning}]
        log = "strings-%d" % count
        genesis = chain.genesis(log)
        body = payload(raw).replace(GENESIS.encode(), genesis.hex().encode()).replace(
            HASH.encode(), chain.extend(genesis, batch)[-1].hex().encode())
        answer = shared.client.post("/v1/logs/%s/sync" % log, body)
        same(answer.status, 200, "%r: %r" % (raw, answer.body[:300]))
        page = shared.client.get("/v1/logs/%s/actions" % log).json()
        same(page["actions"][0]["payload"], meaning, "payload of %r" % raw)


@story.story
def numbers_are_written_as_integers():
    wrong = ("0.0", "1e0", "0e1", "-0", "-1", "+1", "01", "00", "1.", ".5", "0x1", "1e400", "9" * 400, '"0"', "null", "true",
             "[]", "{}", str(1 << 64), "18446744073709551617")
    for number in wrong:
        refused(text(seq=number))
        refused(text(pull=number))
    refused(text(seq=str(1 << 53)))
    for number in ("0", "-1", "1.0", "1e3", '"1"', "null", str(1 << 48), "01", "false"):
        refused(text('[{"ts": %s, "type": "t", "payload": "{}"}]' % number), index=0)


@story.story
def no_member_twice_and_none_unknown():
    for name in ("device", "seq", "prevHash", "actions", "stateHash"):
        member = '"%s": %s' % (name, json.dumps(json.loads(GOOD)[name]))
        refused(GOOD[:-1] + ", " + member + "}")
    for extra in ('"x": 1', '"Device": "d"', '"": 0', '"actionsx": []', '"seq\\u0000": 1', '"receipts": true'):
        refused(GOOD[:-1] + ", " + extra + "}")
    refused(GOOD[:-1] + ', "s\\u0065q": 0}')
    for extra in ('"ts": 1', '"type": "t"', '"payload": ""', '"x": 1', '"seq": 1', '"id": "x"'):
        refused(text("[%s, %s]" % ('{"ts": 2, "type": "t", "payload": ""}', ACTION[:-1] + ", " + extra + "}")), index=1)
    refused(text('[{"device": "a", "device": "b", "ts": 1, "type": "t", "payload": ""}]'), index=0)


@story.story
def members_that_are_needed():
    for name in ("seq", "prevHash", "actions", "stateHash", "device"):
        refused(text(**{name: None}), index=0 if name == "device" else None)
    for name in ("ts", "type", "payload"):
        action = json.loads(ACTION)
        del action[name]
        refused(text("[%s, %s]" % (ACTION, json.dumps(action))), index=1)
    post(text("[]", stateHash=None, device=None), 200)
    post(text('[{"device": "d", "ts": 1, "type": "t", "payload": "{}"}]', device=None), 200)


@story.story
def values_have_their_grammar():
    for value in ('""', '"%s"' % HASH.upper(), '"%s"' % HASH[:-1], '"%s0"' % HASH, "0", "null", '"%s"' % ("g" * 64)):
        refused(text(prevHash=value))
        refused(text(stateHash=value))
        refused(text(locator="[[0, %s]]" % value))
    for value in ('""', '"%s"' % ("d" * 65), '"a b"', '"a/b"', '"\\u00e9"', '"a\\u0000"', "1", "null"):
        refused(text(device=value))
        refused(text('[{"device": %s, "ts": 1, "type": "t", "payload": ""}]' % value, device=None), index=0)
    for value in ('""', '"%s"' % ("t" * 129), '"a\\u0000b"', '"\\n"', '"\\u007f"', '"\\u0085"', "1", "null", "[]"):
        refused(text('[{"ts": 1, "type": %s, "payload": ""}]' % value), index=0)
    for value in ("1", "null", "{}", "[]", "true"):
        refused(text('[{"ts": 1, "type": "t", "payload": %s}]' % value), index=0)
    for value in ('"Rebase"', '""', '"both"', "null", "true", "0"):
        refused(text(onConflict=value))
    for value in ("0", '"false"', "null", "[]"):
        refused(text(receipt=value))
    pair = '[0, "%s"]' % GENESIS
    for value in ("null", "{}", "[0]", "[[]]", "[[0]]", "[%s, [1]]" % pair, '[[0, "%s", 1]]' % GENESIS,
                  '[["0", "%s"]]' % GENESIS, '[[-1, "%s"]]' % GENESIS, '[{"seq": 0}]'):
        refused(text(locator=value))
    for value in ("null", "{}", '"x"', "0", "[1]", "[null]", "[[]]", '["x"]'):
        refused(text(value), index=0 if value in ("[1]", "[null]", "[[]]", '["x"]') else None)
    post(text(locator="[%s]" % pair, pull="0", onConflict='"reject"', receipt="false"), 200)
    many = ['[%d, "%s"]' % (seq, HASH) for seq in range(64, 0, -1)]
    behind = {"actions": "[]", "stateHash": None, "seq": "100", "prevHash": '"%s"' % HASH}
    same(post(text(**behind, locator="[%s]" % ", ".join(many)), 409)["code"], "SERVER_BEHIND", "64 pairs")
    refused(text(**behind, locator="[%s]" % ", ".join(['[65, "%s"]' % HASH] + many)))
    refused(text(**behind, locator="[%s]" % ", ".join(many[::-1])))


@story.story
def depth_bombs_are_refused():
    for bomb in ("[" * 100_000, '{"a":' * 100_000, "[" * 40 + "]" * 40, '[{"a":' * 50_000):
        refused(bomb)
        refused(text(bomb), ANY)
        refused(text(device=bomb))
        refused(GOOD[:-1] + ', "x": ' + bomb + "}")
    refused(text('[{"ts": 1, "type": "t", "payload": ' + "[" * 100_000 + "}]"), index=0)


@story.story
def the_place_of_a_fault_is_exact():
    detail = refused('{\n  "seq": 0,\n  "prevHash": @\n}')
    is_true("line 3" in detail and "column 15" in detail, "detail: %s", detail)
    many = ", ".join('{"ts": %d, "type": "t", "payload": ""}' % n for n in range(1, 50))
    refused(text("[%s, {\"ts\": 50, \"type\": \"t\", \"payload\": \"\\ud800\"}]" % many), index=49)
    shared.stop()


story.run()
