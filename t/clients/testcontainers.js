#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon through Testcontainers: what waits for a container, copies, execs, settings, reuse. Prints TAP.
// DOCKER_HOST names the daemon, IMAGE a busybox that it has. The reaper needs an image of a registry and is off.
'use strict';

process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
process.env.TESTCONTAINERS_REUSE_ENABLE = 'true';
process.env.TESTCONTAINERS_HOST_OVERRIDE = '127.0.0.1';

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { GenericContainer, Network, Wait } = require('testcontainers');
const tar = require('tar-stream');
const { slow, ok, is, has, rejects, until, text, run } = require('./checks.js');

const image = process.env.IMAGE;
const started = [];

function box(script = 'echo ready; exec sleep 600') {
	return new GenericContainer(image).withCommand(['sh', '-c', script]).withNetworkMode('none').withStartupTimeout(20000 * slow)
		.withWaitStrategy(Wait.forLogMessage('ready'));
}

async function up(container) {
	const c = await container.start();
	started.push(c);
	return c;
}

// Its logs follow.
function first(stream) {
	return new Promise((done) => stream.once('data', (d) => { stream.destroy(); done(String(d)); }));
}

async function sh(c, script, opts) {
	return (await c.exec(['sh', '-c', script], opts)).output;
}

async function clean() {
	for (const c of started)
		await c.stop({ timeout: 0 }).catch(() => {});
}

async function waits() {
	let c = await up(box('echo one; echo ready; exec sleep 600'));
	ok(c.getId().length === 64 && c.getName(), 'forLogMessage');
	has(await first(await c.logs()), 'one', 'logs');
	const s = await c.stop({ timeout: 0 });
	is(s.getId(), c.getId(), 'stop');
	await up(box('for i in 1 2 3; do echo again $i; done; exec sleep 600').withWaitStrategy(Wait.forLogMessage(/again \d/, 3)));
	ok(true, 'forLogMessage, a pattern three times');
	c = await up(box('sleep 0.3; touch /ok; exec sleep 600').withWaitStrategy(Wait.forSuccessfulCommand('test -f /ok')));
	is((await c.exec(['test', '-f', '/ok'])).exitCode, 0, 'forSuccessfulCommand');
	c = await up(box('sleep 0.3; touch /ok; exec sleep 600').withHealthCheck({ test: ['CMD-SHELL', 'test -f /ok'], interval: 200, timeout: 5000 * slow, retries: 100 })
		.withWaitStrategy(Wait.forHealthCheck()));
	is((await c.exec(['test', '-f', '/ok'])).exitCode, 0, 'forHealthCheck');
	await up(box('echo done').withWaitStrategy(Wait.forOneShotStartup()));
	ok(true, 'forOneShotStartup');
	let e = await rejects('forOneShotStartup of what fails', () => box('exit 3').withWaitStrategy(Wait.forOneShotStartup()).start());
	has(e.message, 'failed to start', 'in words');
	await up(box('echo a; echo b; exec sleep 600').withWaitStrategy(Wait.forAll([Wait.forLogMessage('a'), Wait.forLogMessage('b')])));
	ok(true, 'forAll');
	e = await rejects('a wait that ends', () => box().withWaitStrategy(Wait.forLogMessage('never')).withStartupTimeout(500).start());
	has(e.message, 'not received after 500ms', 'in words');
	e = await rejects('an unhealthy one', () => box().withHealthCheck({ test: ['CMD', 'false'], interval: 100, retries: 1 }).withWaitStrategy(Wait.forHealthCheck()).start());
	has(e.message, 'failed', 'in words');
	e = await rejects('no image', () => new GenericContainer('nope-nope.invalid/x:1').withNetworkMode('none').start());
	ok(e.message, 'in words');
	await rejects('no command', () => new GenericContainer(image).withCommand(['nope-nope']).withNetworkMode('none').start());
}

async function copies() {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'dkd-tc-'));
	fs.writeFileSync(path.join(dir, 'f'), 'file');
	fs.mkdirSync(path.join(dir, 'sub'));
	fs.writeFileSync(path.join(dir, 'sub', 'g'), 'deep');
	const p = tar.pack();
	p.entry({ name: 'packed' }, 'archive');
	p.finalize();
	const c = await up(box('cat /in/content; echo ready; exec sleep 600').withCopyFilesToContainer([{ source: path.join(dir, 'f'), target: '/in/f', mode: 0o600 }])
		.withCopyDirectoriesToContainer([{ source: dir, target: '/in/dir' }])
		.withCopyContentToContainer([{ content: 'content\n', target: '/in/content', mode: 0o755 }])
		.withCopyArchivesToContainer([{ tar: p, target: '/tmp' }]));
	has(await first(await c.logs()), 'content', 'what is copied is there at the start');
	is(await sh(c, 'cat /in/f /in/dir/f /in/dir/sub/g /tmp/packed'), 'filefiledeeparchive', 'files, folders, contents, archives');
	is((await sh(c, 'stat -c %a /in/f /in/content')).split(/\s+/).slice(0, 2), ['600', '755'], 'their modes');
	await c.copyContentToContainer([{ content: 'later', target: '/later' }]);
	await c.copyFilesToContainer([{ source: path.join(dir, 'f'), target: '/later2' }]);
	await c.copyDirectoriesToContainer([{ source: dir, target: '/later3' }]);
	is(await sh(c, 'cat /later /later2 /later3/sub/g'), 'laterfiledeep', 'into a container that runs');
	const names = [];
	const x = tar.extract();
	x.on('entry', (h, body, next) => { names.push(h.name); body.on('end', next); body.resume(); });
	await new Promise(async (done, fail) => { x.on('finish', done); x.on('error', fail); (await c.copyArchiveFromContainer('/in/dir')).pipe(x); });
	is(names.sort(), ['dir/', 'dir/f', 'dir/sub/', 'dir/sub/g'], 'copyArchiveFromContainer');
	fs.rmSync(dir, { recursive: true });
}

async function execs() {
	const c = await up(box().withEnvironment({ A: '1' }));
	is(await c.exec(['sh', '-c', 'echo out; echo err >&2; exit 9']).then((r) => [r.exitCode, r.stdout, r.stderr]), [9, 'out\n', 'err\n'], 'exec');
	is(await c.exec(['sh', '-c', 'id -u; pwd; echo $A$B'], { user: '1000:1000', workingDir: '/tmp', env: { B: '2' } }).then((r) => r.output.split('\n')),
		['1000', '/tmp', '12', ''], 'exec: user, folder, environment');
	is((await Promise.all([1, 2, 3, 4].map((i) => sh(c, 'echo ' + i)))).join(''), '1\n2\n3\n4\n', 'execs at once');
}

async function settings() {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'dkd-tc-'));
	fs.chmodSync(dir, 0o755);
	fs.writeFileSync(path.join(dir, 'f'), 'bound');
	let seen;
	const c = await up(box().withName('tc-name').withHostname('tc-host').withUser('1000:100').withWorkingDir('/tmp').withEntrypoint(['/bin/sh', '-c'])
		.withCommand(['echo ready; exec sleep 600']).withTmpFs({ '/t': 'rw,size=1m' }).withBindMounts([{ source: dir, target: '/b', mode: 'ro' }])
		.withLabels({ tc: 'yes' }).withAddedCapabilities('SYS_TIME').withDroppedCapabilities('MKNOD').withUlimits({ nofile: { soft: 100, hard: 200 } })
		.withSharedMemorySize(8 << 20).withResourcesQuota({ memory: 0.125, cpu: 0.5 }).withIpcMode('private')
		.withPlatform('linux/amd64').withLogConsumer((s) => s.once('data', (d) => { seen = String(d); })));
	is(c.getName().replace('/', ''), 'tc-name', 'name');
	is((await sh(c, 'hostname; id -u; pwd; ulimit -Hn; cat /b/f; grep -c " /t tmpfs" /proc/mounts')).split('\n'), ['tc-host', '1000', '/tmp', '200', 'bound1', ''],
		'host name, user, folder, ulimits, a folder, a tmpfs');
	ok((await c.exec(['touch', '/b/x'])).exitCode !== 0, 'the folder is read only');
	is((await sh(c, 'df -k /dev/shm | tail -n 1')).split(/\s+/)[1], '8192', 'size of /dev/shm');
	await until(() => seen, 'a consumer of the log');
	const before = c.getId();
	await c.restart({ timeout: 0 });
	is([c.getId() === before, await sh(c, 'echo up')], [true, 'up\n'], 'restart');
	const s = await c.stop({ timeout: 0, remove: false });
	has((await text(await s.copyArchiveFromContainer('/etc/passwd'))), 'root:x:0:0', 'a copy from what is stopped');
	const id = await (await up(box('echo x > /made; echo ready; exec sleep 600'))).commit({ repo: 'tc/made', tag: '1', deleteOnExit: false });
	ok(/^sha256:/.test(id), 'commit');
	const m = await up(new GenericContainer('tc/made:1').withNetworkMode('none').withCommand(['sh', '-c', 'cat /made; echo ready; exec sleep 600']).withWaitStrategy(Wait.forLogMessage('ready')));
	is(await sh(m, 'cat /made'), 'x\n', 'a container of it');
	fs.rmSync(dir, { recursive: true });
}

async function reuse() {
	const a = await up(box().withReuse());
	const b = await box().withReuse().start();
	is(b.getId(), a.getId(), 'reuse');
	const other = await up(box('echo ready; exec sleep 601').withReuse());
	ok(other.getId() !== a.getId(), 'another is not taken for it');
}

async function networks() {
	const n = await new Network().start();
	const c = await new GenericContainer(image).withNetwork(n).withNetworkAliases('web').withExposedPorts(80).withStartupTimeout(20000 * slow)
		.withCommand(['sh', '-c', 'mkdir -p /w && echo hello > /w/index.html && exec httpd -f -p 80 -h /w']).start();
	const body = await new Promise((done, fail) => http.get(`http://127.0.0.1:${c.getMappedPort(80)}/`, (r) => text(r).then(done, fail)).on('error', fail));
	is(body, 'hello\n', 'a network of its own, and a port that is published');
	await c.stop();
	await n.stop();
	ok(true, 'both go');
}

run([waits, copies, execs, settings, reuse, networks], clean);
