"""Opens and seals aisbreaker keys of version 2 without any code of the Rust crate.

It follows only the section "Key format" of the README. It reads a JSON list of requests from standard input and writes a
JSON list of responses to standard output:

    {"do": "open", "server_key": TEXT, "key": TEXT}      ->  {"header": {...}, "claims": {...}}
    {"do": "seal", "server_key": TEXT, "claims": {...}}  ->  {"key": TEXT}
"""

import base64
import json
import re
import sys

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.drafts.jwe_chacha20 import register_chacha20_poly1305
from joserfc.jwk import OctKey
from joserfc.registry import HeaderParameter

PREFIX = "aisbreaker_"

register_chacha20_poly1305()
REGISTRY = jwe.JWERegistry(
    header_registry={"ver": HeaderParameter("format version", "str")},
    algorithms=["dir", "XC20P"],
)


def root_of(server_key: str) -> bytes:
    """Returns 32 bytes: decoded from 43 characters of base64url, or derived from a phrase."""
    if re.fullmatch(r"[A-Za-z0-9_-]{43}", server_key):
        return base64.urlsafe_b64decode(server_key + "=")
    return hash_secret_raw(
        secret=server_key.encode(),
        salt=b"aisbreaker.org/jwt/v2 phrase",
        time_cost=3,
        memory_cost=65536,
        parallelism=1,
        hash_len=32,
        type=Type.ID,
        version=0x13,
    )


def derive(server_key: str) -> tuple[OctKey, str]:
    """Returns the content encryption key and the kid."""
    root = root_of(server_key)

    def expand(label: bytes, length: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=label).derive(root)

    encryption_key = expand(b"aisbreaker.org/jwt/v2 XC20P key", 32)
    kid = base64.urlsafe_b64encode(expand(b"aisbreaker.org/jwt/v2 kid", 5))[:6].decode()
    return OctKey.import_key(encryption_key), kid


def open_key(server_key: str, key: str) -> dict:
    encryption_key, kid = derive(server_key)
    assert key.startswith(PREFIX)
    opened = jwe.decrypt_compact(key.removeprefix(PREFIX), encryption_key, registry=REGISTRY)
    assert opened.headers()["kid"] == kid
    return {"header": opened.headers(), "claims": json.loads(opened.plaintext)}


def seal_key(server_key: str, claims: dict) -> dict:
    encryption_key, kid = derive(server_key)
    header = {"ver": "aisbreaker.org/jwt/v2", "typ": "JWT", "alg": "dir", "enc": "XC20P", "kid": kid}
    # Spaces, escapes and the order of the claims are free, and these differ from what the Rust crate writes.
    plaintext = json.dumps(claims, indent=1).encode()
    return {"key": PREFIX + jwe.encrypt_compact(header, plaintext, encryption_key, registry=REGISTRY)}


def respond(request: dict) -> dict:
    if request["do"] == "open":
        return open_key(request["server_key"], request["key"])
    return seal_key(request["server_key"], request["claims"])


json.dump([respond(request) for request in json.load(sys.stdin)], sys.stdout)
