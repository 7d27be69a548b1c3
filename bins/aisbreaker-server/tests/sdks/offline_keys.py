"""Seals keys with the server's public key and a JOSE library, and uses them: `offline_keys.py LIBRARY`.

The libraries know nothing of aisbreaker. Only the prefix is not theirs.
"""
import json
import sys
import time
import urllib.error
import urllib.request

from checks import PROVIDER, SECRETS, SERVER

HOST = "127.0.0.1"


def fetch(path, key=None, body=None):
    """Returns the status and the JSON of a response."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(urllib.request.Request(SERVER + path, data, headers), timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def joserfc(jwk, claims):
    from joserfc import jwe
    from joserfc.jwk import OKPKey

    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": jwk["kid"]}
    return jwe.encrypt_compact(header, claims, OKPKey.import_key(jwk), algorithms=["ECDH-ES", "A256GCM"])


def jwcrypto(jwk, claims):
    from jwcrypto import jwe
    from jwcrypto.jwk import JWK

    header = {"typ": "JWT", "alg": "ECDH-ES", "enc": "A256GCM", "kid": jwk["kid"]}
    token = jwe.JWE(claims, protected=header, recipient=JWK(**jwk))
    return token.serialize(compact=True)


def authlib(jwk, claims):
    from authlib.jose import JsonWebEncryption, OKPKey

    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": jwk["kid"]}
    key = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
    return JsonWebEncryption().serialize_compact(header, claims, key).decode()


def seal(library, members):
    status, keys = fetch("/.well-known/jwks.json")
    assert status == 200, keys
    [jwk] = keys["keys"]
    now = int(time.time())
    claims = {"aud": HOST, "iat": now, "exp": now + 3600, **members}
    return "aisbreaker_" + library(jwk, json.dumps(claims).encode())


def main(library):
    secret = {"serviceId": "chat:openai.com", "authSecret": SECRETS["openai"], "url": PROVIDER}
    key = seal(library, {"name": library.__name__, "serviceSecrets": [secret]})
    call = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}

    status, answer = fetch("/v1/chat/completions", key, call)
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"], answer
    print("ok: a call with a key that was sealed offline")

    status, state = fetch("/api/v1/quota", key)
    assert status == 200 and len(state["keyId"]) == 43, state
    print("ok: the key is named by the digest of its text")

    child = seal(library, {"parent": key, "restrict": [{"services": ["chat:openai.com/gpt-4o"]}]})
    status, answer = fetch("/v1/chat/completions", child, call)
    assert status == 200, answer
    status, answer = fetch("/v1/chat/completions", child, {**call, "model": "gpt-4.1"})
    assert status == 403, answer
    print("ok: a key that was nested in it is narrower")

    position = key.rindex(".") - 5
    changed = key[:position] + ("A" if key[position] != "A" else "B") + key[position + 1 :]
    status, answer = fetch("/v1/chat/completions", changed, call)
    assert status == 401, answer
    print("ok: a changed key is refused")


main({"joserfc": joserfc, "jwcrypto": jwcrypto, "authlib": authlib}[sys.argv[1]])
