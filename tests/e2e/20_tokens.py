"""Bearer tokens: forged, stale, foreign and malformed ones are all the same 401; good ones, also those of other libraries, are let in."""
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import time

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from support import story, tokens
from support.daemon import Daemon, until
from support.story import is_true, same
from support.tokens import b64, bearer, claims, header, make

NOW = int(time.time())
keys = {}
served = {}

OPTIONS = {"auth.mode": "jwt", "auth.issuer": tokens.ISSUER, "auth.audience": tokens.AUDIENCE, "auth.type": "at+jwt",
           "auth.leeway_sec": 5, "auth.token_bytes": 2048, "rate.failures": 0}


def setup():
    """A daemon for all stories, with a key for each algorithm; ps may be used for PS256 alone."""
    if not served:
        for alg, kid in (("EdDSA", "ed"), ("ES256", "es"), ("ES384", "es3"), ("ES512", "es5"), ("RS256", "rs"), ("PS256", "ps")):
            keys[kid] = tokens.Key(alg, kid)
        keys["foreign"] = tokens.Key("EdDSA", "foreign")
        unused = [tokens.Key("EdDSA", "enc").jwk(use="enc"), tokens.Key("EdDSA", "signs").jwk(key_ops=["sign"], use=None),
                  tokens.Key("ES256", "odd").jwk(alg="RS256"), {"kty": "new", "kid": "new"},
                  tokens.Key("RS256", "short", 1024).jwk(), tokens.Key("HS256", "hs").jwk()]
        keys["enc"], keys["hs"] = tokens.Key("EdDSA", "enc"), tokens.Key("HS256", "hs")
        path = tokens.write_jwks(os.path.abspath("jwks.json"), *[keys[kid] for kid in ("ed", "es", "es3", "es5", "rs", "ps")], *unused)
        served["daemon"] = Daemon(options={**OPTIONS, "auth.jwks_file": path})
        served["path"] = path
    return served["daemon"]


def ask(connection, lines, target="/v1/logs/anna/head"):
    """A GET with these header lines, as they are."""
    text = "GET %s HTTP/1.1\r\nHost: a\r\n" % target + "".join("%s: %s\r\n" % line for line in lines) + "\r\n"
    connection.send(text.encode("latin-1"))
    return connection.response()


def told(answer):
    """The problem document without what differs in every answer."""
    document = answer.json()
    for name in ("requestId", "serverTimestamp"):
        is_true(name in document, "%s in %r", name, document)
        del document[name]
    return json.dumps(document, sort_keys=True)


def expect_refusals(daemon, cases):
    """Each case, a name and header lines, is a 401 with the same body; the good token works before and after."""
    good = bearer(make(keys["ed"]))
    bodies = set()
    connection = daemon.connection()
    for name, lines in [("nothing", [])] + cases + [("nothing again", [])]:
        if connection.closed:
            connection = daemon.connection()
        answer = ask(connection, lines)
        same(answer.status, 401, "%s: status, with %r" % (name, answer.body[:300]))
        challenge = answer.header("www-authenticate")
        same(challenge, 'Bearer error="invalid_token"' if lines and lines[0][0] == "Authorization" else "Bearer", name)
        bodies.add(told(answer))
    same(len(bodies), 1, "different bodies: %s" % bodies)
    if connection.closed:
        connection = daemon.connection()
    same(ask(connection, [good]).status, 200, "status of the good one")


def unsigned(_):
    return b""


def with_pem(data):
    """HS256 with the text of the RSA public key as its secret."""
    return hmac.new(keys["rs"].pem(), data, hashlib.sha256).digest()


def with_raw(data):
    """HS256 with the bytes of the Ed25519 public key as its secret."""
    return hmac.new(tokens.unb64(keys["ed"].jwk()["x"]), data, hashlib.sha256).digest()


def with_jwk(data):
    return hmac.new(json.dumps(keys["ed"].jwk()).encode(), data, hashlib.sha256).digest()


def der(key):
    """ECDSA's signature as X.509 has it, not as JOSE."""
    return lambda data: key.private.sign(data, ec.ECDSA(hashes.SHA256()))


def header_cases():
    ed, es, rs, foreign = keys["ed"], keys["es"], keys["rs"], keys["foreign"]
    own = foreign.jwk(kid="ed")
    made = [
        ("alg none, no signature", make(ed, head=header(ed, alg="none"), sign=unsigned)),
        ("alg none, signed", make(ed, head=header(ed, alg="none"))),
        ("alg None", make(ed, head=header(ed, alg="None"), sign=unsigned)),
        ("alg NONE", make(ed, head=header(ed, alg="NONE"), sign=unsigned)),
        ("alg nOnE without kid", make(ed, head=header(ed, alg="nOnE", kid=None), sign=unsigned)),
        ("alg empty", make(ed, head=header(ed, alg=""))),
        ("alg missing", make(ed, head=header(ed, alg=None))),
        ("alg a number", make(ed, head=header(ed, alg=1))),
        ("alg a list", make(ed, head=header(ed, alg=["EdDSA"]))),
        ("alg in lower case", make(ed, head=header(ed, alg="eddsa"))),
        ("alg Ed25519", make(ed, head=header(ed, alg="Ed25519"))),
        ("alg with a NUL behind", make(ed, head=header(ed, alg="EdDSA\0"))),
        ("HS256 by the RSA key's PEM", make(rs, head=header(rs, alg="HS256"), sign=with_pem)),
        ("HS256 by the RSA key's PEM, no kid", make(rs, head=header(rs, alg="HS256", kid=None), sign=with_pem)),
        ("HS256 by the Ed25519 key's bytes", make(ed, head=header(ed, alg="HS256"), sign=with_raw)),
        ("HS256 by the key's JWK", make(ed, head=header(ed, alg="HS256"), sign=with_jwk)),
        ("HS256 by an empty secret", make(ed, head=header(ed, alg="HS256"), sign=lambda data: hmac.new(b"", data, "sha256").digest())),
        ("HS256 with its loaded key, not allowed", make(keys["hs"])),
        ("RS256 by the key for PS256", make(keys["ps"], head=header(keys["ps"], alg="RS256"), sign=lambda d: keys["ps"].sign(d, "RS256"))),
        ("PS256 by the key for RS256", make(rs, head=header(rs, alg="PS256"), sign=lambda d: rs.sign(d, "PS256"))),
        ("RS512 by the key for RS256", make(rs, head=header(rs, alg="RS512"), sign=lambda d: rs.sign(d, "RS512"))),
        ("RS256 says the header, signed ES256", make(es, head=header(es, alg="RS256"))),
        ("ES384 by the P-256 key", make(es, head=header(es, alg="ES384"), sign=lambda d: es.sign(d, "ES384"))),
        ("ES256 as DER", make(es, sign=der(es))),
        ("ES256 with a signature of zeros", make(es, sign=lambda _: bytes(64))),
        ("ES256 with r and s swapped", make(es, sign=lambda d: (lambda s: s[32:] + s[:32])(es.sign(d)))),
        ("EdDSA with a signature of zeros", make(ed, sign=lambda _: bytes(64))),
        ("RS256 with a signature of zeros", make(rs, sign=lambda _: bytes(256))),
        ("RS256 with a signature of one byte less", make(rs, sign=lambda d: rs.sign(d)[:-1])),
        ("RS256 with a zero before", make(rs, sign=lambda d: b"\0" + rs.sign(d))),
        ("EdDSA with a byte behind", make(ed, sign=lambda d: ed.sign(d) + b"\0")),
        ("another's signature", make(ed, sign=foreign.sign)),
        ("no signature", make(ed, sign=unsigned)),
        ("kid of a key that is not loaded", make(foreign)),
        ("kid of another key", make(ed, head=header(ed, kid="es"))),
        ("kid of a key for encryption", make(keys["enc"])),
        ("kid empty", make(ed, head=header(ed, kid=""))),
        ("kid a path", make(ed, head=header(ed, kid="../../../../dev/null"))),
        ("kid an injection", make(ed, head=header(ed, kid="ed' OR '1'='1"))),
        ("kid a number", make(ed, head=header(ed, kid=1))),
        ("kid null", make(ed, head={"alg": "EdDSA", "typ": "at+jwt", "kid": None})),
        ("kid with a NUL behind", make(ed, head=header(ed, kid="ed\0"))),
        ("kid in upper case", make(ed, head=header(ed, kid="ED"))),
        ("no kid, signed by a key that is not loaded", make(foreign, head=header(foreign, kid=None))),
        ("jwk brings its own key", make(foreign, head=header(foreign, kid="ed", jwk=own))),
        ("jwk brings its own key, no kid", make(foreign, head=header(foreign, kid=None, jwk=own))),
        ("jku names a place", make(foreign, head=header(foreign, jku="http://127.0.0.1:1/jwks.json"))),
        ("x5u names a place", make(foreign, head=header(foreign, kid="ed", x5u="http://127.0.0.1:1/cert"))),
        ("x5c brings a certificate", make(foreign, head=header(foreign, kid="ed", x5c=[base64.b64encode(b"x").decode()]))),
        ("crit asks for something", make(ed, head=header(ed, crit=["exp"], exp=1))),
        ("crit empty", make(ed, head=header(ed, crit=[]))),
        ("b64 false", make(ed, head=header(ed, b64=False, crit=["b64"]))),
        ("typ missing", make(ed, head=header(ed, typ=None))),
        ("typ another", make(ed, head=header(ed, typ="JWT"))),
        ("typ a number", make(ed, head=header(ed, typ=1))),
        ("header twice alg", make(ed, head='{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"ed"}')),
        ("header a list", make(ed, head='["EdDSA"]')),
        ("header with text behind", make(ed, head=json.dumps(header(ed)) + "x")),
        ("header in UTF-16", make(ed, head=json.dumps(header(ed)).encode("utf-16"))),
        ("header no JSON", make(ed, head="alg")),
        ("header empty", make(ed, head="")),
    ]
    return [(name, [bearer(token)]) for name, token in made]


def claim_cases():
    ed = keys["ed"]
    wrong = [
        ("expired", {"exp": NOW - 60}), ("expired just beyond the leeway", {"exp": NOW - 6}), ("exp 0", {"exp": 0}),
        ("exp missing", {"exp": None}), ("exp a string", {"exp": str(NOW + 60)}), ("exp negative", {"exp": -1}),
        ("exp true", {"exp": True}), ("exp beyond all years", {"exp": 1e300}), ("exp a list", {"exp": [NOW + 60]}),
        ("not yet valid", {"nbf": NOW + 600}), ("nbf a string", {"nbf": "0"}), ("iat a string", {"iat": "0"}),
        ("iss another", {"iss": "https://other.example"}), ("iss missing", {"iss": None}), ("iss longer", {"iss": tokens.ISSUER + "/"}),
        ("iss a list", {"iss": [tokens.ISSUER]}), ("aud another", {"aud": "other"}), ("aud missing", {"aud": None}),
        ("aud a list without us", {"aud": ["a", "b"]}), ("aud a list with a number", {"aud": ["edgereplay", 1]}),
        ("aud empty", {"aud": []}), ("aud an object", {"aud": {"edgereplay": 1}}), ("aud with a NUL", {"aud": "edgereplay\0"}),
        ("sub missing", {"sub": None}), ("sub empty", {"sub": ""}), ("sub a number", {"sub": 7}), ("sub a list", {"sub": ["anna"]}),
        ("logs a string", {"logs": "team"}), ("logs with a number", {"logs": ["team", 1]}), ("logs with a bad name", {"logs": ["a b"]}),
        ("logs with * inside", {"logs": ["a*b"]}), ("logs_ro an object", {"logs_ro": {}}), ("logs with an empty name", {"logs": [""]}),
        ("device a number", {"device": 1}), ("device no name", {"device": "a b"}), ("device empty", {"device": ""}),
    ]
    cases = [(name, [bearer(make(ed, claims(**{"sub": "anna", **change})))]) for name, change in wrong]
    document = json.dumps(claims())
    raw = [
        ("claims twice sub", document[:-1] + ',"sub":"bob"}'), ("claims a list", "[]"), ("claims a string", '"anna"'),
        ("claims not UTF-8", document.encode()[:-1] + b',"x":"\xff"}'), ("claims with text behind", document + " x"),
        ("claims with NaN", document[:-1] + ',"exp":NaN}'), ("claims empty", ""), ("claims deep", "[" * 900 + "]" * 900),
        ("claims with a BOM", b"\xef\xbb\xbf" + document.encode()),
    ]
    return cases + [(name, [bearer(make(ed, text))]) for name, text in raw]


def form_cases():
    ed = keys["ed"]
    good = make(ed)
    start, said, signature = good.split(".")
    forms = [
        ("cut in the middle", good[:len(good) // 2]), ("without its last character", good[:-1]), ("two parts", start + "." + said),
        ("an empty third part", start + "." + said + "."), ("four parts", good + "." + signature), ("five parts", good + ".a.b"),
        ("a dot before", "." + good), ("a dot behind", good + "."), ("dots alone", ".."), ("one letter", "a"),
        ("parts swapped", said + "." + start + "." + signature), ("padded", good + "=="),
        ("padded header", make(ed, head=header(ed)).replace(".", "=.", 1)),
        ("plain base64", good.replace("-", "+").replace("_", "/") if set("-_") & set(good) else good + "+"),
        ("a line break inside", good[:20] + "%0a" + good[20:]), ("a space inside", good[:20] + " " + good[20:]),
        ("a comma behind", good + ","), ("longer than allowed", make(ed, claims(x="y" * 3000))),
        ("two tokens", good + " " + good), ("in quotes", '"' + good + '"'),
        ("the signature of another token", start + "." + said + "." + make(ed, claims(sub="bob")).split(".")[2]),
        ("the claims of another token", start + "." + make(ed, claims(sub="bob")).split(".")[1] + "." + signature),
    ]
    cases = [(name, [bearer(token)]) for name, token in forms]
    cases += [
        ("another scheme", [("Authorization", "Basic " + base64.b64encode(b"anna:x").decode())]),
        ("no scheme", [("Authorization", good)]), ("scheme alone", [("Authorization", "Bearer")]),
        ("scheme and a space", [("Authorization", "Bearer ")]), ("Bearer and no space", [("Authorization", "Bearer" + good)]),
        ("Bearer: ", [("Authorization", "Bearer: " + good)]), ("empty", [("Authorization", "")]),
        ("a tab between", [("Authorization", "Bearer\t" + good)]),
        ("twice the same", [bearer(good), bearer(good)]), ("twice, the second is good", [("Authorization", "Basic eA=="), bearer(good)]),
        ("twice, the first is good", [bearer(good), ("Authorization", "Bearer x")]),
        ("JSON instead of compact", [bearer(json.dumps({"payload": said, "protected": start, "signature": signature}).replace(" ", ""))]),
        ("in another header", [("X-Authorization", "Bearer " + good)]), ("as a cookie", [("Cookie", "access_token=" + good)]),
    ]
    return cases


@story.story
def a_table_of_bad_tokens_is_the_same_401():
    daemon = setup()
    cases = header_cases() + claim_cases() + form_cases()
    is_true(len(cases) >= 60, "only %d cases", len(cases))
    same(len({name for name, _ in cases}), len(cases), "names of cases")
    expect_refusals(daemon, cases)
    story.say("%d bad tokens, one body", len(cases))


@story.story
def a_token_in_the_query_is_not_looked_at():
    with setup().connection() as connection:
        same(ask(connection, [], "/v1/logs/anna/head?access_token=" + make(keys["ed"])).status, 401, "status")


@story.story
def no_byte_of_a_good_token_can_be_changed():
    daemon, tried = setup(), 0
    for kid in ("ed", "es", "ps"):
        good = make(keys[kid])
        connection = daemon.connection()
        same(ask(connection, [bearer(good)]).status, 200, "status of the good one (" + kid + ")")
        for i, letter in enumerate(good):
            for other in {"A" if letter != "A" else "B", chr(ord(letter) ^ 1), "."} - {letter}:
                answer = ask(connection, [bearer(good[:i] + other + good[i + 1:])])
                if answer.status == 400:  # no header has such a byte
                    connection = daemon.connection()
                    continue
                same(answer.status, 401, "status with byte %d of %s changed from %s to %s" % (i, kid, letter, other))
                tried += 1
        same(ask(connection, [bearer(good)]).status, 200, "status of the good one (" + kid + ")")
    story.say("%d changed tokens refused", tried)


@story.story
def good_tokens_of_every_algorithm_are_let_in():
    with setup().connection() as connection:
        for kid in ("ed", "es", "es3", "es5", "rs", "ps"):
            for _ in range(2):  # the second from the cache
                same(ask(connection, [bearer(make(keys[kid]))]).status, 200, "status of " + kid)
        for name, token in (
                ("no kid, one key fits", make(keys["ed"], head=header(keys["ed"], kid=None))),
                ("within the leeway", make(keys["ed"], claims(exp=int(time.time()) - 2))),
                ("nbf within the leeway", make(keys["ed"], claims(nbf=int(time.time()) + 4))),
                ("exp with a fraction", make(keys["ed"], claims(exp=time.time() + 60.5))),
                ("aud a list with us", make(keys["ed"], claims(aud=["other", tokens.AUDIENCE]))),
                ("typ with application/", make(keys["ed"], head=header(keys["ed"], typ="application/AT+JWT"))),
                ("claims that nobody knows", make(keys["ed"], claims(x={"y": [1, None]}))),
                ("jku and jwk beside a known kid", make(keys["ed"], head=header(keys["ed"], jku="http://127.0.0.1:1/", jwk={})))):
            same(ask(connection, [bearer(token)]).status, 200, "status with " + name)
        for scheme in ("bearer ", "BEARER ", "Bearer    "):
            same(ask(connection, [("Authorization", scheme + make(keys["ed"]))]).status, 200, "status with %r" % scheme)


@story.story
def a_cached_token_ends_when_it_expires():
    token = make(keys["ed"], claims(exp=int(time.time()) - 3))
    with setup().connection() as connection:
        same(ask(connection, [bearer(token)]).status, 200, "status at first")
        end = time.time() + 20
        while ask(connection, [bearer(token)]).status == 200:
            is_true(time.time() < end, "the token never expires")
            time.sleep(0.2)


@story.story
def tokens_of_pyjwt_are_let_in():
    with setup().connection() as connection:
        for kid in ("ed", "es", "es3", "es5", "rs", "ps"):
            key = keys[kid]
            token = jwt.encode(claims(), key.private, algorithm=key.alg, headers={"kid": kid, "typ": "at+jwt"})
            same(ask(connection, [bearer(token)]).status, 200, "status of PyJWT's " + key.alg)


@story.story
def tokens_of_jose_are_let_in():
    """RS256, ES256, EdDSA, PS256 and others by default; HS256 once it is named and others cannot read the file."""
    folder = os.path.join(story.ROOT, "tests/jose")
    with open(os.path.join(folder, "tokens.json"), encoding="ascii") as file:
        made = json.load(file)
    shutil.copy(os.path.join(folder, "jwks.json"), "jwks.json")
    options = {**OPTIONS, "auth.jwks_file": os.path.abspath("jwks.json")}
    for algorithms, mode, secret in ((None, 0o644, 401), ("HS256,EdDSA", 0o644, 401), ("HS256", 0o600, 200)):
        os.chmod("jwks.json", mode)
        if algorithms:
            options["auth.algorithms"] = algorithms
        with Daemon(options=options) as daemon, daemon.connection() as connection:
            for alg, token in made.items():
                allowed = secret == 200 if alg == "HS256" else algorithms is None or alg in algorithms.split(",")
                for target, status in (("/v1/logs/user-%s/head" % alg, 200), ("/v1/logs/team-jose/head", 200), ("/v1/logs/x/head", 403)):
                    same(ask(connection, [bearer(token)], target).status, status if allowed else 401, "status of %s at %s" % (alg, target))


@story.story
def why_is_in_the_log_and_no_token_is():
    daemon, token = setup(), make(keys["foreign"])
    with daemon.connection() as connection:
        daemon.await_event("keys taken over")
        time.sleep(1.1)  # lines about refusals are limited by the second
        same(ask(connection, [bearer(token)]).status, 401, "status")
        answer = ask(connection, [bearer(token), ("X-Request-Id", "guess-1")])
        same((answer.status, "no key" in answer.body.decode()), (401, False), "status, and what is told")

    def lines():
        return [line for line in daemon.events("request refused") if line["request"] == "guess-1"]
    until(lines, "the line of the refusal")
    same([(line["code"], line["reason"], line["address"]) for line in lines()],
         [("UNAUTHENTICATED", "no key fits, or more than one", "127.0.0.1")], "the refusal's line")
    for part in token.split("."):
        is_true(part not in daemon.log(), "the token is in the log")
    unused = {line["kid"]: line["problem"] for line in daemon.events("key not used")}
    same(sorted(unused), ["enc", "hs", "new", "odd", "short", "signs"], "keys not used")


@story.story
def the_option_table_has_no_secret():
    daemon = setup()
    printed = subprocess.run(daemon.command() + ["--print-config"], capture_output=True, check=True).stdout.decode()
    is_true(not re.search(r"jwks\.json", printed), "--print-config shows what is set")
    served["daemon"].stop()
    served.clear()


story.run()
