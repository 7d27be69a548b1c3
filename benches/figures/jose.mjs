// Prints the CPU time in nanoseconds that jose takes to open a key of the original server with 890 bytes of claims.
import { createRequire } from 'node:module'
const { EncryptJWT, jwtDecrypt } = createRequire(process.cwd() + '/')('jose')

const key = new Uint8Array(32).fill(7)
const header = { ver: 'aisbreaker.org/jwt/v1', typ: 'JOSE', alg: 'dir', enc: 'A128CBC-HS256' }
const registered = { sub: 'api.example.com#aisbreaker', iat: 1795396968, exp: 4951156968 }
const limits = { requestsPerMinute: 60, requestsPerHour: 600, requestsPerDay: 600 }
const secrets = (padding) => [
  { serviceId: 'aisbreaker:network', authSecret: '{{secret}}' },
  { serviceId: 'chat:openai.com', authSecret: 'sk_vector_openai_key' },
  { serviceId: '', authSecret: 'x'.repeat(padding) },
]
const claims = (padding) => ({
  requestQuotas: { perClientRequestLimits: limits, globalRequestLimits: limits },
  serviceSecrets: secrets(padding),
  ...registered,
})
const padding = 890 - JSON.stringify(claims(0)).length
const token = await new EncryptJWT(claims(padding)).setProtectedHeader(header).encrypt(key)
const open = async (count) => {
  for (let i = 0; i < count; i++) await jwtDecrypt(token, key, { subject: registered.sub })
}
await open(5000)
const before = process.cpuUsage()
await open(10000)
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 10)
