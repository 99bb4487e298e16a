// make.mjs: keys and tokens made by jose, another library than ours, for the tests. Run once:
//
//     npm install jose@6.2.17 && node make.mjs
//
// Writes jwks.json (the public keys, and the shared secret of HS256) and tokens.json (a token for each algorithm, good until
// 2100). The private keys are thrown away; the secret protects nothing but these tests.
import { writeFileSync } from 'node:fs'
import * as jose from 'jose'

const algorithms = ['EdDSA', 'ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'HS256']
const expiry = Date.UTC(2100, 0, 1) / 1000
const keys = []
const tokens = {}
for (const alg of algorithms) {
  const kid = `jose-${alg}`
  let signing, shown
  if (alg.startsWith('HS')) {
    signing = await jose.generateSecret(alg, { extractable: true })
    shown = signing
  } else {
    const pair = await jose.generateKeyPair(alg, { extractable: true, modulusLength: 2048 })
    signing = pair.privateKey
    shown = pair.publicKey
  }
  keys.push({ ...(await jose.exportJWK(shown)), kid, alg, use: 'sig' })
  tokens[alg] = await new jose.SignJWT({ logs: ['team-jose'] })
    .setProtectedHeader({ alg, kid, typ: 'at+jwt' })
    .setSubject(`user-${alg}`)
    .setIssuer('https://issuer.example')
    .setAudience(['edgereplay', 'other'])
    .setIssuedAt(1700000000)
    .setNotBefore(1700000000)
    .setExpirationTime(expiry)
    .sign(signing)
}
writeFileSync('jwks.json', JSON.stringify({ keys }, null, 1) + '\n')
writeFileSync('tokens.json', JSON.stringify(tokens, null, 1) + '\n')
