#!/usr/bin/env node
// A whole Edgereplay client, to read and to begin from: docs/clients.md goes through it. Node 18 or newer, no packages.
//
//     client.mjs --state=FILE --url=URL --log=NAME act TYPE PAYLOAD…    the user did something; needs no network
//     client.mjs --state=FILE --url=URL --log=NAME sync [--tries=N]     0: done; 1: stopped, the app must look; 3: later
//     client.mjs --state=FILE --url=URL --log=NAME show                 what it holds, as JSON
//     client.mjs vectors schema/vectors.json                            whether its bytes are the protocol's
//
// A token is taken from the environment, EDGEREPLAY_TOKEN. Numbers in comments are sections of schema/protocol.md.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { blake2b } from './blake2b.mjs';

const BATCH = 500; // actions in a request; the server says in /v1/info how many it takes at most
const BATCH_BYTES = 256 * 1024; // of their payloads, whatever they become in JSON: a body that is far too large may get no answer

// --- the bytes (2) ---

const text = (string) => Buffer.from(string, 'utf8');
const h = (...parts) => blake2b(Buffer.concat(parts));
const genesis = (log) => h(text('edgereplay/1/log\0'), text(log));
const link = (previous, digest) => h(text('edgereplay/1/link\0'), previous, digest);

function digestOf(action) {
	if (action.redacted) // its content is gone; the server still says what it was
		return Buffer.from(action.digest, 'hex');
	const device = text(action.device), type = text(action.type);
	const ts = Buffer.alloc(8), deviceSize = Buffer.alloc(2), typeSize = Buffer.alloc(2);
	ts.writeBigUInt64BE(BigInt(action.ts));
	deviceSize.writeUInt16BE(device.length);
	typeSize.writeUInt16BE(type.length);
	return h(text('edgereplay/1/action\0'), ts, deviceSize, device, typeSize, type, text(action.payload));
}

function identifier(action) {
	const digest = digestOf(action), bits = Buffer.alloc(16);
	bits.writeUIntBE(action.ts, 0, 6);
	digest.copy(bits, 6, 0, 10);
	bits[6] = 0x80 | bits[6] & 0x0f;
	bits[8] = 0x80 | bits[8] & 0x3f;
	return bits.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// --- what it keeps (7) ---

const keyOf = (action) => [action.device, action.ts, digestOf(action).toString('hex')].join(' ');

// The phone's copy: what the server has confirmed, what it has not got yet, in order, and what the app must look at.
//
// The file is a list of events, a JSON array a line; what it holds is what they make, so the store is itself a log and a
// reducer. One event is one transaction: a line that the process could not finish is no line, and is cut off at the start.
class Store {
	constructor(path, log) {
		this.fd = fs.openSync(path, 'a+', 0o600); // one process at a time: the app sees to that
		this.log = log;
		this.confirmed = [];
		this.links = [genesis(log)]; // links[n] is after confirmed[n - 1]
		this.stamps = new Set(); // of this device in confirmed
		this.queue = [];
		this.aside = [];
		this.offset = 0;
		this.load();
		if (!this.device) // random for each install; a backup of the phone must not carry it to another one
			this.write('begin', log, 'js-' + randomBytes(6).toString('hex'));
	}

	load() {
		const data = fs.readFileSync(this.fd);
		const whole = data.lastIndexOf('\n') + 1;
		fs.ftruncateSync(this.fd, whole);
		for (const line of data.subarray(0, whole).toString('utf8').split('\n').slice(0, -1))
			this.apply(...JSON.parse(line));
	}

	// On the disk before anybody hears of it.
	write(...event) {
		fs.writeSync(this.fd, JSON.stringify(event) + '\n');
		fs.fsyncSync(this.fd);
		this.apply(...event);
	}

	apply(name, ...values) {
		Store.reducers[name].apply(this, values);
	}

	static reducers = {
		begin(log, device) {
			if (log !== this.log)
				throw new Error(`this state is of the log ${log}`);
			this.device = device;
		},
		act(action) {
			this.queue.push(action);
		},
		confirm(actions) {
			const keys = new Set(actions.map(keyOf));
			for (const action of actions) {
				this.confirmed.push(action);
				this.links.push(link(this.links.at(-1), digestOf(action)));
				if (action.device === this.device)
					this.stamps.add(action.ts);
			}
			this.queue = this.queue.filter((action) => !keys.has(keyOf(action)));
		},
		// What is after seq goes to the front of the queue, in its order: the server has lost it, or has it elsewhere.
		rollBack(seq) {
			const back = this.confirmed.splice(seq).filter((action) => !action.redacted);
			this.links.length = seq + 1;
			this.stamps = new Set(this.confirmed.filter((a) => a.device === this.device).map((a) => a.ts));
			this.queue.unshift(...back.map((action) => ({ ...action, again: true })));
		},
		drop(place) {
			this.queue.splice(place, 1);
		},
		setAside(place, why) {
			this.aside.push({ ...this.queue.splice(place, 1)[0], why });
		},
		stamp(changes) {
			for (const [place, ts] of changes)
				this.queue[place] = { ...this.queue[place], ts };
		},
		offset(milliseconds) {
			this.offset = milliseconds;
		},
	};

	get base() {
		return this.confirmed.length;
	}

	// A stamp for what goes to this place of the queue (7, "Stamps").
	freeStamp(place, after = 0, queue = this.queue) {
		const own = (actions) => actions.filter((a) => a.device === this.device).map((a) => a.ts);
		const taken = new Set([...this.stamps, ...own(queue.filter((_, n) => n !== place))]);
		const newest = [...this.stamps, ...own(queue.slice(0, place))].reduce((a, b) => Math.max(a, b), 0);
		let ts = Date.now() + this.offset;
		if (newest <= ts + 300_000)
			ts = Math.max(ts, newest + 1);
		ts = Math.max(ts, after + 1);
		while (taken.has(ts))
			ts++;
		return ts;
	}

	act(type, payload) {
		const action = { device: this.device, ts: this.freeStamp(this.queue.length), type, payload };
		this.write('act', action);
		return action;
	}

	// Appends what comes after the base, if it leads to this hash: no hash is adopted that was not computed here.
	confirm(actions, seq, stateHash) {
		const kept = actions.map(({ device, ts, type, payload, redacted, digest }) =>
			redacted ? { device, ts, redacted, digest } : { device, ts, type, payload });
		const end = kept.reduce((previous, action) => link(previous, digestOf(action)), this.links.at(-1));
		if (this.base + kept.length !== seq || end.toString('hex') !== stateHash)
			throw new Later("the server's actions do not lead to its state hash: report this");
		if (kept.length > 0)
			this.write('confirm', kept);
	}

	// New stamps for it and for what is behind it, in order, but for what was confirmed once.
	restampFrom(place, after) {
		const queue = [...this.queue], changes = [];
		for (; place < queue.length; place++) {
			if (queue[place].again)
				continue;
			const ts = this.freeStamp(place, after, queue);
			queue[place] = { ...queue[place], ts };
			changes.push([place, ts]);
		}
		this.write('stamp', changes);
	}
}

// --- what it says and hears ---

// The outcome is unknown, or the server asks to wait: the same again after a pause; after null when the app says so.
class Later extends Error {
	constructor(why, after = 0) {
		super(why);
		this.after = after;
	}
}

// Repeating does not help: the app, its user or the operator must do something.
class Stopped extends Error {}

// {status, after, text} of the whole answer.
function request(url, options, body) {
	return new Promise((resolve, reject) => {
		const { request: open } = url.startsWith('https:') ? https : http;
		const sent = open(url, { ...options, signal: AbortSignal.timeout(60_000) }, (answer) => {
			const pieces = [];
			answer.on('data', (piece) => pieces.push(piece));
			answer.on('error', reject); // it was cut
			answer.on('end', () => resolve({
				status: answer.statusCode, after: answer.headers['retry-after'] ?? '', text: Buffer.concat(pieces).toString('utf8'),
			}));
		});
		sent.on('error', reject);
		sent.end(body);
	});
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

class Client {
	constructor(store, url) {
		this.store = store;
		this.url = url.replace(/\/*$/, '/v1/');
		this.path = `logs/${encodeURIComponent(store.log)}/`;
		this.batch = BATCH;
		this.mismatches = 0;
		this.full = null;
		this.after = 0;
	}

	// {status, document}. Whatever is no answer of the server's own is Later.
	async call(method, target, body) {
		const headers = { 'Content-Type': 'application/json' };
		if (process.env.EDGEREPLAY_TOKEN)
			headers.Authorization = `Bearer ${process.env.EDGEREPLAY_TOKEN}`;
		const wall = Date.now(), steady = performance.now();
		let status, after, document;
		try {
			const answer = await request(this.url + target, { method, headers }, body && JSON.stringify(body));
			({ status, after } = answer);
			document = JSON.parse(answer.text);
		} catch (error) {
			throw new Later(`no answer: ${error.message}`);
		}
		if (!Number.isInteger(document?.serverTimestamp) || (status !== 200 && !document.retry))
			throw new Later(`no document of the server's: ${status}`);
		const took = performance.now() - steady;
		const offset = document.serverTimestamp - Math.round(wall + took / 2);
		const clockWasSet = Math.abs(Date.now() - wall - took) > 100;
		if (!clockWasSet && Math.abs(offset - this.store.offset) > 1000)
			this.store.write('offset', offset);
		this.after = /^[0-9]+$/.test(after) ? Number(after) : 0; // a proxy may send a date
		return { status, document };
	}

	// Pushes and pulls until nothing is left. n of the protocol's pause is counted since the last success.
	async sync(tries) {
		let failures = 0;
		for (let more = true; more;) {
			try {
				more = await this.round();
				failures = 0;
			} catch (error) {
				if (!(error instanceof Later))
					throw error;
				failures++;
				console.error(`later: ${error.message}`);
				if (failures >= tries || error.after === null)
					throw error;
				await sleep(error.after + Math.random() * Math.min(2 ** failures * 0.1, 30));
			}
		}
	}

	// The first of the queue: at most so many, and one at least.
	next() {
		let room = BATCH_BYTES;
		const fits = (action, n) => (room -= Buffer.byteLength(action.payload)) >= 0 || n === 0;
		const end = this.store.queue.findIndex((action, n) => n >= this.batch || !fits(action, n));
		return this.store.queue.slice(0, end < 0 ? undefined : end);
	}

	// One request and what follows from its answer. Whether there is more to do.
	async round() {
		const { store } = this;
		const batch = this.full ? [] : this.next();
		const body = {
			device: store.device, seq: store.base, prevHash: store.links.at(-1).toString('hex'), locator: this.locator(),
			actions: batch.map(({ device, ts, type, payload }) => ({ device, ts, type, payload })),
		};
		if (batch.length > 0)
			body.stateHash = batch.reduce((here, action) => link(here, digestOf(action)), store.links.at(-1)).toString('hex');
		const { status, document } = await this.call('POST', `${this.path}sync`, body);
		if (status !== 200) {
			await this.refused(batch, document);
			return true;
		}
		this.mismatches = 0;
		this.batch = Math.min(2 * this.batch, BATCH);
		await this.accepted(batch, document);
		if (this.full)
			throw new Stopped(this.full);
		await sleep(document.backoffMs / 1000);
		return store.queue.length > 0;
	}

	// Older links with growing gaps, so that the place where histories part is found in the same round trip.
	locator() {
		const pairs = [];
		for (let seq = this.store.base, gap = 1; seq > 0 && pairs.length < 64; gap *= 2) {
			seq = Math.max(seq - gap, 0);
			pairs.push([seq, this.store.links[seq].toString('hex')]);
		}
		return pairs.length > 0 ? pairs : [[0, this.store.links[0].toString('hex')]];
	}

	async accepted(batch, answer) {
		const { store } = this, { base } = store;
		if (answer.fastForward) { // our chain is the log's
			store.confirm(batch, answer.seq, answer.stateHash);
			return;
		}
		const placed = new Map(answer.missed.map((action) => [action.seq, action]));
		answer.results.forEach((result, n) => {
			if (result.seq > base)
				placed.set(result.seq, batch[n]);
		});
		// What is at or before the base is there already, in what we have confirmed.
		const old = answer.results.map((result, n) => result.seq <= base ? batch[n] : null).filter(Boolean);
		if (answer.hasMore) {
			await this.pull();
		} else {
			const run = Array.from({ length: answer.seq - base }, (_, n) => placed.get(base + 1 + n));
			if (run.includes(undefined))
				throw new Later('the answer has gaps: report this');
			store.confirm(run, answer.seq, answer.stateHash);
		}
		for (const action of old)
			if (store.queue.includes(action))
				store.write('drop', store.queue.indexOf(action));
		// Last: what was accepted must have left the queue before stamps change.
		let waits = false;
		for (const [n, result] of answer.results.entries())
			if (result.refused && store.queue.includes(batch[n]))
				waits = await this.refusedAction(store.queue.indexOf(batch[n]), result) || waits;
		if (waits)
			throw new Later("actions are stamped ahead of the server's clock");
	}

	// From the base to the head, page by page (4.2).
	async pull() {
		for (let more = true; more;) {
			const { base, links } = this.store;
			const { status, document: page } = await this.call('GET', `${this.path}actions?after=${base}`);
			if (status !== 200)
				return this.refused([], page); // the next sync finds where the histories part
			if (page.after !== base || page.prevHash !== links.at(-1).toString('hex'))
				throw new Later('the page does not begin at our base');
			this.store.confirm(page.actions, page.seq, page.stateHash);
			more = page.hasMore;
		}
	}

	// The log does not have it (7, "refused"). Whether it has to wait.
	async refusedAction(place, result) {
		const { store } = this, action = store.queue[place];
		if (result.refused === 'TIMESTAMP_TAKEN') {
			store.write('stamp', [[place, action.ts + 1]]);
		} else if (action.again) {
			store.write('setAside', place, result.refused);
		} else if (result.refused === 'NON_MONOTONIC_TIMESTAMP') {
			store.restampFrom(place, result.newest);
		} else { // CLOCK_SKEW: a little ahead is waited for, a new stamp would make a new action
			const { document } = await this.call('GET', 'info');
			if (result.aheadMs >= document.clock.maxSkewMs + 60_000)
				store.restampFrom(place, 0);
			return true;
		}
		return false;
	}

	// What the server's advice asks for (7).
	async refused(batch, problem) {
		const { code, retry, index } = problem, what = `${code}: ${problem.detail}`;
		if (retry === 'after')
			throw new Later(what, this.after);
		if (retry === 'rebase') {
			if (problem.ancestor)
				await this.heal(problem.head, problem.ancestor);
		} else if (retry === 'split' && batch.length > 1) {
			this.batch = Math.floor(batch.length / 2);
		} else if (retry === 'split' && batch.length === 1) {
			this.store.write('setAside', 0, code);
		} else if (code === 'QUOTA_EXCEEDED') {
			this.full = what; // go on reading, keep everything, tell the user
		} else if (retry === 'never' && index < batch.length) {
			this.store.write('setAside', index, what);
		} else if (retry === 'auth') {
			throw new Later(what, null); // the app gets a new token
		} else {
			throw new Stopped(what);
		}
	}

	// The server lost what we have, or has another history: give back what it lost, take what it has.
	async heal(head, ancestor) {
		const { store } = this, isOurs = ({ seq, stateHash }) => store.links[seq]?.toString('hex') === stateHash;
		this.mismatches++;
		const common = isOurs(head) ? head : ancestor;
		if (!isOurs(common))
			throw new Later('the server names an ancestor that we do not have: report this');
		store.write('rollBack', common.seq);
		await this.pull(); // what comes back leaves the queue; the rest is pushed, oldest first
		if (this.mismatches > 5)
			throw new Later('five mismatches in a row: report this');
	}
}

function checkVectors(path) {
	const { cases } = JSON.parse(fs.readFileSync(path, 'utf8'));
	let count = 0;
	for (const { name, log, genesis: first, actions } of cases) {
		let here = genesis(log);
		if (here.toString('hex') !== first)
			throw new Error(`${name}: genesis`);
		for (const action of actions) {
			here = link(here, digestOf(action));
			const found = [digestOf(action).toString('hex'), identifier(action), here.toString('hex')];
			if (found.join() !== [action.digest, action.id, action.link].join())
				throw new Error(`${name}: ${action.seq}: ${found}`);
			count++;
		}
	}
	console.log(`${cases.length} cases, ${count} actions: equal`);
}

async function main() {
	const string = { type: 'string' };
	const { values, positionals: [command, ...words] } = parseArgs({
		options: { state: string, url: string, log: string, tries: { ...string, default: '10' } }, allowPositionals: true,
	});
	if (command === 'vectors')
		return checkVectors(words[0]);
	const store = new Store(values.state, values.log);
	if (command === 'act') {
		for (const payload of words.slice(1))
			console.log(JSON.stringify(store.act(words[0], payload)));
	} else if (command === 'sync') {
		await new Client(store, values.url).sync(Number(values.tries));
	} else {
		const rows = (actions) => actions.map(({ device, ts, type, payload }) => [device, ts, type, payload]);
		console.log(JSON.stringify({
			device: store.device, seq: store.base, stateHash: store.links.at(-1).toString('hex'),
			actions: rows(store.confirmed), queue: rows(store.queue), aside: rows(store.aside),
		}));
	}
}

main().catch((error) => {
	console.error(error instanceof Stopped ? `stopped: ${error.message}` : error instanceof Later ? error.message : error);
	process.exitCode = error instanceof Later ? 3 : 1;
});
