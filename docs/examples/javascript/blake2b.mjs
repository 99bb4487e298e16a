// BLAKE2b with a 32-byte output, no key, no salt (RFC 7693): Node's own has only the 64-byte one, which is another function.
// Plain and slow, for an example; a phone's app takes a native library (libsodium: crypto_generichash).

const MASK = (1n << 64n) - 1n;
const IV = [
	0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
	0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const SIGMA = [
	[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
	[14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
	[11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
	[7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
	[9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
	[2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
	[12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
	[13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
	[6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
	[10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const ROUNDS = 12;
const BLOCK = 128;

const rotate = (word, bits) => ((word >> bits) | (word << (64n - bits))) & MASK;

function mix(v, a, b, c, d, x, y) {
	v[a] = (v[a] + v[b] + x) & MASK;
	v[d] = rotate(v[d] ^ v[a], 32n);
	v[c] = (v[c] + v[d]) & MASK;
	v[b] = rotate(v[b] ^ v[c], 24n);
	v[a] = (v[a] + v[b] + y) & MASK;
	v[d] = rotate(v[d] ^ v[a], 16n);
	v[c] = (v[c] + v[d]) & MASK;
	v[b] = rotate(v[b] ^ v[c], 63n);
}

function compress(h, block, count, last) {
	const m = Array.from({ length: 16 }, (_, i) => block.readBigUInt64LE(8 * i));
	const v = [...h, ...IV];
	v[12] ^= BigInt(count);
	if (last)
		v[14] ^= MASK;
	for (let round = 0; round < ROUNDS; round++) {
		const s = SIGMA[round % 10];
		for (let i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
		for (let i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
	}
	for (let i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

export function blake2b(data) {
	const h = [...IV];
	h[0] ^= 0x01010020n; // 32 bytes of output, no key
	let at = 0;
	for (; data.length - at > BLOCK; at += BLOCK)
		compress(h, data.subarray(at, at + BLOCK), at + BLOCK, false);
	const block = Buffer.alloc(BLOCK);
	data.copy(block, 0, at);
	compress(h, block, data.length, true);
	const out = Buffer.alloc(32);
	for (let i = 0; i < 4; i++)
		out.writeBigUInt64LE(h[i], 8 * i);
	return out;
}
