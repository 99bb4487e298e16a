"""tokens: keys and JSON Web Tokens, honest and otherwise, made with python3-cryptography: nothing here is shared with the daemon."""
import base64
import hashlib
import hmac
import json
import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER, AUDIENCE = "https://issuer.example", "edgereplay"

CURVES = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48), "ES512": (ec.SECP521R1(), "P-521", 66)}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A private key for one algorithm."""

    def __init__(self, alg, kid, bits=2048):
        self.alg, self.kid = alg, kid
        if alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif alg[:2] == "ES":
            self.private = ec.generate_private_key(CURVES[alg][0])
        elif alg[:2] in ("RS", "PS"):
            self.private = rsa.generate_private_key(65537, bits)
        else:
            self.private = os.urandom(bits // 8 if bits < 2048 else 64)

    def jwk(self, **members):
        """The public part; members with the value None are left out."""
        made = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg == "EdDSA":
            raw = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            made.update(kty="OKP", crv="Ed25519", x=b64(raw))
        elif self.alg[:2] == "ES":
            numbers, size = self.private.public_key().public_numbers(), CURVES[self.alg][2]
            made.update(kty="EC", crv=CURVES[self.alg][1], x=number(numbers.x, size), y=number(numbers.y, size))
        elif self.alg[:2] in ("RS", "PS"):
            numbers = self.private.public_key().public_numbers()
            made.update(kty="RSA", n=number(numbers.n), e=number(numbers.e))
        else:
            made.update(kty="oct", k=b64(self.private))
        made.update(members)
        return {name: value for name, value in made.items() if value is not None}

    def pem(self):
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data, alg=None):
        alg = alg or self.alg
        if alg == "EdDSA":
            return self.private.sign(data)
        digest = HASHES[alg[2:]]
        if alg[:2] == "ES":
            size = CURVES[self.alg][2]
            r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if alg[:2] == "RS":
            return self.private.sign(data, padding.PKCS1v15(), digest)
        if alg[:2] == "PS":
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return hmac.new(self.private, data, getattr(hashlib, digest.name)).digest()


def claims(sub="anna", **others):
    """What a good token says; others with the value None are left out."""
    made = {"sub": sub, "iss": ISSUER, "aud": AUDIENCE, "iat": int(time.time()), "exp": int(time.time()) + 3600, **others}
    return {name: value for name, value in made.items() if value is not None}


def header(key, **others):
    made = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid, **others}
    return {name: value for name, value in made.items() if value is not None}


def encode(part):
    """A JSON object, or text or bytes as they are."""
    if isinstance(part, dict):
        part = json.dumps(part)
    return b64(part.encode() if isinstance(part, str) else part)


def make(key, said=None, head=None, sign=None):
    """A token; sign: bytes -> signature, else the key does it."""
    start = encode(header(key) if head is None else head) + "." + encode(claims() if said is None else said)
    signature = (sign or key.sign)(start.encode())
    return start + "." + b64(signature)


def write_jwks(path, *jwks, mode=0o600):
    """Puts a set in place in one piece, as one should."""
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump({"keys": [key.jwk() if isinstance(key, Key) else key for key in jwks]}, file)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)
    return os.path.abspath(path)


def bearer(token):
    return ("Authorization", "Bearer " + token)
