"""Opens and seals aisbreaker keys of version 2 without any code of the Rust crate.

It follows only the section "Key format" of the README. It reads a JSON list of requests from standard input and writes a
JSON list of responses to standard output:

    {"do": "open", "server_key": TEXT, "key": TEXT}      ->  {"header": {...}, "claims": {...}}
    {"do": "seal", "server_key": TEXT, "claims": {...}}  ->  {"key": TEXT}
    {"do": "public_key", "server_key": TEXT}             ->  {"jwk": {...}, "thumbprint": TEXT}
    {"do": "seal_offline", "jwk": {...}, "claims": {...}}       ->  {"key": TEXT}
    {"do": "open_offline", "server_key": TEXT, "key": TEXT}     ->  {"header": {...}, "claims": {...}}
"""

import base64
import json
import re
import sys

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.drafts.jwe_chacha20 import register_chacha20_poly1305
from joserfc.jwk import OctKey, OKPKey
from joserfc.registry import HeaderParameter

PREFIX = "aisbreaker_"

register_chacha20_poly1305()
REGISTRY = jwe.JWERegistry(
    header_registry={"ver": HeaderParameter("format version", "str")},
    algorithms=["dir", "XC20P"],
)


OFFLINE_REGISTRY = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"])


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


def expand(root: bytes, label: str, length: int) -> bytes:
    info = f"aisbreaker.org/jwt/v2 {label}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(root)


def derive(server_key: str) -> tuple[OctKey, str]:
    """Returns the content encryption key and the kid."""
    root = root_of(server_key)
    kid = base64url(expand(root, "kid", 5))[:6]
    return OctKey.import_key(expand(root, "XC20P key", 32)), kid


def derive_key_pair(server_key: str) -> tuple[dict, str]:
    """Returns the private key that offline keys are sealed for, and the kid."""
    root = root_of(server_key)
    private = expand(root, "ECDH-ES X25519 key", 32)
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    jwk = {"kty": "OKP", "crv": "X25519", "x": base64url(public), "d": base64url(private)}
    return jwk, base64url(expand(root, "ECDH-ES X25519 kid", 5))[:6]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


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


def public_key(server_key: str) -> dict:
    private, kid = derive_key_pair(server_key)
    public = {name: private[name] for name in ("kty", "crv", "x")}
    jwk = {**public, "kid": kid, "use": "enc", "alg": "ECDH-ES"}
    return {"jwk": jwk, "thumbprint": OKPKey.import_key(public).thumbprint()}


def seal_offline(jwk: dict, claims: dict) -> dict:
    header = {"alg": jwk["alg"], "enc": "A256GCM", "kid": jwk["kid"]}
    key = OKPKey.import_key(jwk)
    return {"key": PREFIX + jwe.encrypt_compact(header, json.dumps(claims).encode(), key, registry=OFFLINE_REGISTRY)}


def open_offline(server_key: str, key: str) -> dict:
    private, kid = derive_key_pair(server_key)
    opened = jwe.decrypt_compact(key.removeprefix(PREFIX), OKPKey.import_key(private), registry=OFFLINE_REGISTRY)
    assert opened.headers()["kid"] == kid
    return {"header": opened.headers(), "claims": json.loads(opened.plaintext)}


def respond(request: dict) -> dict:
    if request["do"] == "public_key":
        return public_key(request["server_key"])
    if request["do"] == "seal_offline":
        return seal_offline(request["jwk"], request["claims"])
    if request["do"] == "open_offline":
        return open_offline(request["server_key"], request["key"])
    if request["do"] == "open":
        return open_key(request["server_key"], request["key"])
    return seal_key(request["server_key"], request["claims"])


if __name__ == "__main__":
    json.dump([respond(request) for request in json.load(sys.stdin)], sys.stdout)
