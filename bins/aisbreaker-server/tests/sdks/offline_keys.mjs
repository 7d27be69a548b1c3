// Seals keys with the server's public key, and uses them: `offline_keys.mjs LIBRARY`, where `webcrypto` is none.
//
// What is here for WebCrypto is all that a browser needs.
import assert from "node:assert/strict";

const SERVER = process.env.SDKS_SERVER;
const PROVIDER = process.env.SDKS_PROVIDER;
const CALL = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] };

async function sealWithJose(jwk, claims) {
  const { CompactEncrypt, importJWK } = await import("jose");
  const header = { typ: "JWT", alg: "ECDH-ES", enc: "A256GCM", kid: jwk.kid };
  return new CompactEncrypt(claims).setProtectedHeader(header).encrypt(await importJWK(jwk));
}

async function sealWithWebCrypto(jwk, claims) {
  const { subtle } = crypto;
  const base64url = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const text = new TextEncoder();
  const { kty, crv, x, kid } = jwk;
  const server = await subtle.importKey("jwk", { kty, crv, x }, "X25519", false, []);
  const ephemeral = await subtle.generateKey("X25519", true, ["deriveBits"]);
  const shared = await subtle.deriveBits({ name: "X25519", public: server }, ephemeral.privateKey, 256);
  const epk = await subtle.exportKey("jwk", ephemeral.publicKey);
  const header = base64url(
    text.encode(JSON.stringify({ alg: "ECDH-ES", enc: "A256GCM", kid, epk: { kty, crv, x: epk.x } })),
  );
  const info = [0, 0, 0, 7, ...text.encode("A256GCM"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
  const secret = Uint8Array.from([0, 0, 0, 1, ...new Uint8Array(shared), ...info]);
  const key = await subtle.importKey("raw", await subtle.digest("SHA-256", secret), "AES-GCM", false, ["encrypt"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv, additionalData: text.encode(header) }, key, claims);
  return [header, "", base64url(iv), base64url(sealed.slice(0, -16)), base64url(sealed.slice(-16))].join(".");
}

async function seal(library, members) {
  const response = await fetch(`${SERVER}/.well-known/jwks.json`);
  const [jwk] = (await response.json()).keys;
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: "127.0.0.1", iat: now, exp: now + 3600, ...members };
  return "aisbreaker_" + (await library(jwk, new TextEncoder().encode(JSON.stringify(claims))));
}

const call = (key, more = {}) =>
  fetch(`${SERVER}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ ...CALL, ...more }),
  });

const library = { jose: sealWithJose, webcrypto: sealWithWebCrypto }[process.argv[2]];
const secret = { serviceId: "chat:openai.com", authSecret: "sk-provider-openai", url: PROVIDER };
const key = await seal(library, { name: process.argv[2], serviceSecrets: [secret] });

const response = await call(key);
assert.equal(response.status, 200, await response.clone().text());
assert.ok((await response.json()).choices[0].message.content);
console.log("ok: a call with a key that was sealed offline");

const quota = await fetch(`${SERVER}/api/v1/quota`, { headers: { authorization: `Bearer ${key}` } });
assert.equal((await quota.json()).keyId.length, 43);
console.log("ok: the key is named by the digest of its text");

const child = await seal(library, { parent: key, restrict: [{ services: ["chat:openai.com/gpt-4o"] }] });
assert.equal((await call(child)).status, 200);
assert.equal((await call(child, { model: "gpt-4.1" })).status, 403);
console.log("ok: a key that was nested in it is narrower");

const position = key.lastIndexOf(".") - 5;
const changed = key.slice(0, position) + (key[position] === "A" ? "B" : "A") + key.slice(position + 1);
assert.equal((await call(changed)).status, 401);
console.log("ok: a changed key is refused");
