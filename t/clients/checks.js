// SPDX-License-Identifier: LGPL-2.1-or-later
// TAP for the clients of this folder that are written for Node.js.
'use strict';

const util = require('util');

let count = 0;
let failed = 0;
const slow = Number(process.env.DKD_SLOW || 3);

function note(text) {
	for (const line of String(text).slice(0, 1000).split('\n'))
		console.log('# ' + line);
}

function ok(good, what) {
	count++;
	if (!good)
		failed++;
	console.log(`${good ? 'ok' : 'not ok'} ${count} - ${what}`);
	return Boolean(good);
}

function is(got, want, what) {
	if (!ok(util.isDeepStrictEqual(got, want), what)) {
		note(' got: ' + util.inspect(got, { depth: 6 }));
		note('want: ' + util.inspect(want, { depth: 6 }));
	}
}

function has(text, part, what) {
	if (!ok(String(text).includes(part), what)) {
		note(' got: ' + text);
		note('want: ...' + part);
	}
}

// The error that fn() rejects with.
async function rejects(what, fn) {
	try {
		const got = await fn();
		note('returned ' + util.inspect(got, { depth: 1 }));
	} catch (e) {
		ok(true, what);
		return e;
	}
	ok(false, what);
	return new Error('nothing was raised');
}

async function until(fn, what, seconds = 10) {
	const end = Date.now() + seconds * slow * 1000;
	let got = await fn();
	while (!got && Date.now() < end) {
		await new Promise((done) => setTimeout(done, 50));
		got = await fn();
	}
	if (what)
		ok(got, what);
	return got;
}

// All of a stream, as text.
function text(stream) {
	return new Promise((done, fail) => {
		const parts = [];
		stream.on('data', (part) => parts.push(Buffer.from(part)));
		stream.on('end', () => done(Buffer.concat(parts).toString()));
		stream.on('close', () => done(Buffer.concat(parts).toString()));
		stream.on('error', fail);
	});
}

// Each part is a function; what it throws is one failed check, and the next one goes on.
async function run(parts, after) {
	const alive = setInterval(() => {}, 1000); // streams that are not waited for end no test
	const names = process.argv.slice(2);
	for (const part of parts) {
		if (names.length && !names.includes(part.name))
			continue;
		try {
			await part();
		} catch (e) {
			note(e.stack);
			ok(false, part.name + ' goes through');
		}
	}
	await after();
	clearInterval(alive);
	console.log(`1..${count}`);
	process.exit(failed ? 1 : 0);
}

module.exports = { slow, note, ok, is, has, rejects, until, text, run };
