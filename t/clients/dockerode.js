#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon through dockerode: streams, hijacked execs, progress, archives, events, callbacks, promises, signals of abort. Prints TAP.
// DOCKER_HOST names the daemon, BUSYBOX_TAR an image archive.
'use strict';

const fs = require('fs');
const { PassThrough } = require('stream');
const Docker = require('dockerode');
const tar = require('tar-stream');
const { slow, ok, is, has, rejects, until, text, run } = require('./checks.js');

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', '') });
const labels = { checks: 'dockerode' };
const mark = { label: ['checks=dockerode'] };
let image;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function create(cmd, more = {}) {
	return docker.createContainer({ Image: image, Cmd: typeof cmd === 'string' ? ['sh', '-c', cmd] : cmd, Labels: labels, ...more,
		HostConfig: { NetworkMode: 'none', ...more.HostConfig } });
}

async function start(cmd = 'sleep 600', more = {}) {
	const c = await create(cmd, more);
	await c.start();
	return c;
}

// Both streams apart, to their ends.
async function apart(stream) {
	const out = new PassThrough();
	const err = new PassThrough();
	const both = Promise.all([text(out), text(err)]);
	docker.modem.demuxStream(stream, out, err);
	const end = () => { out.end(); err.end(); };
	stream.on('end', end);
	stream.on('close', end);
	return both;
}

function pack(files) {
	const p = tar.pack();
	for (const [name, content] of Object.entries(files))
		p.entry({ name, mode: 0o640 }, content);
	p.finalize();
	return p;
}

async function unpack(stream) {
	const got = {};
	const x = tar.extract();
	x.on('entry', (header, body, next) => {
		text(body).then((t) => { got[header.name] = header.type === 'file' ? t.slice(0, 100) : null; next(); });
		body.resume();
	});
	await new Promise((done, fail) => { x.on('finish', done); x.on('error', fail); stream.pipe(x); });
	return got;
}

async function clean() {
	for (const c of await docker.listContainers({ all: true, filters: mark }))
		await docker.getContainer(c.Id).remove({ force: true, v: true });
}

async function engine() {
	is((await docker.ping()).toString(), 'OK', 'ping');
	const v = await docker.version();
	ok(v.ApiVersion && v.Os === 'linux' && v.Components.length > 0, 'version');
	ok((await docker.info()).ID, 'info');
	ok(Array.isArray((await docker.df()).Images), 'df');
	ok(Array.isArray(await docker.listNetworks()), 'listNetworks');
	is((await docker.getNetwork('none').inspect()).Name, 'none', 'network');
	const e = await rejects('login', () => docker.checkAuth({ username: 'a', password: 'b', serveraddress: 'localhost:1' }));
	ok(e.statusCode >= 400 && e.json && e.json.message, 'is answered in words');
	await rejects('swarm', () => docker.swarmInspect());
	is((await rejects('a service', () => docker.getService('x').inspect())).statusCode, 503, 'needs a swarm');
	const old = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', ''), version: 'v1.24' });
	is((await old.version()).Os, 'linux', 'an old version');
	const wrong = new Docker({ socketPath: process.env.DOCKER_HOST.replace('unix://', ''), version: 'v9.99' });
	const w = await rejects('a version to come', () => wrong.version());
	has(w.message, 'client version 9.99 is too new', 'in words');
}

async function load() {
	const data = fs.createReadStream(process.env.BUSYBOX_TAR);
	const progress = await docker.loadImage(data);
	const all = await new Promise((done, fail) => docker.modem.followProgress(progress, (e, out) => (e ? fail(e) : done(out))));
	const loaded = all.map((o) => o.stream || '').join('').match(/Loaded image: (\S+)/);
	ok(loaded, 'loadImage, with followProgress');
	image = loaded[1];
}

async function images() {
	const seen = [];
	const imported = await docker.importImage(pack({ 'etc/one': 'x' }), { repo: 'dockerode/imported', tag: '1' });
	await new Promise((done, fail) => docker.modem.followProgress(imported, (e) => (e ? fail(e) : done()), (o) => seen.push(o)));
	ok(seen.some((o) => /^sha256:/.test(o.status || '')), 'importImage, with the events of followProgress');
	const i = docker.getImage('dockerode/imported:1');
	is((await i.inspect()).RepoTags, ['dockerode/imported:1'], 'image.inspect');
	ok((await i.history()).length === 1, 'image.history');
	await i.tag({ repo: 'dockerode/other', tag: '2' });
	is((await docker.listImages({ filters: { reference: ['dockerode/*'] } }))[0].RepoTags.sort(), ['dockerode/imported:1', 'dockerode/other:2'], 'listImages');
	const saved = await unpack(await docker.getImage('dockerode/other:2').get());
	ok('manifest.json' in saved, 'image.get');
	is(await docker.getImage('dockerode/other:2').remove(), [{ Untagged: 'dockerode/other:2' }], 'image.remove');
	ok((await i.remove()).some((x) => x.Deleted), 'image.remove, the last');
	const e = await rejects('an image that is gone', () => i.inspect());
	is([e.statusCode, e.reason, e.json.message], [404, 'no such image', 'No such image: dockerode/imported:1'], 'the error');
	const p = await rejects('a pull of nothing', async () => {
		const s = await docker.pull('nope-nope.invalid/x:1');
		await new Promise((done, fail) => docker.modem.followProgress(s, (x) => (x ? fail(x) : done())));
	});
	ok(p.message, 'the pull fails in words');
	const b = await rejects('a build', () => docker.buildImage(pack({ Dockerfile: 'FROM scratch\n' }), { t: 'x' }).then((s) =>
		new Promise((done, fail) => docker.modem.followProgress(s, (x) => (x ? fail(x) : fail(new Error('built')))))));
	ok(b.message, 'is answered');
}

async function runs() {
	const out = new PassThrough();
	const all = text(out);
	const [data, c] = await docker.run(image, ['sh', '-c', 'echo one; exit 3'], out, { Labels: labels, HostConfig: { NetworkMode: 'none' } });
	is(data.StatusCode, 3, 'run');
	is(await all, 'one\r\n', 'what it wrote, to a terminal');
	await c.remove();
	const o = new PassThrough();
	const e = new PassThrough();
	const texts = Promise.all([text(o), text(e)]);
	await docker.run(image, ['sh', '-c', 'echo out; echo err >&2'], [o, e], { Tty: false, Labels: labels, HostConfig: { NetworkMode: 'none', AutoRemove: true } });
	o.end();
	e.end();
	is(await texts, ['out\n', 'err\n'], 'run, both streams');
	await new Promise((done) => {
		docker.run(image, ['false'], new PassThrough(), { Labels: labels, HostConfig: { NetworkMode: 'none' } }, (err, result, container) => {
			is([err, result.StatusCode], [null, 1], 'run with a callback');
			container.remove((x) => { is(x, null, 'remove with a callback'); done(); });
		});
	});
	const n = await rejects('run of no image', () => docker.run('nope-nope:1', ['true'], new PassThrough()));
	is([n.statusCode, n.reason], [404, 'no such container'], 'the error');
}

async function attach() {
	const c = await create('while read x; do echo out $x; echo err $x >&2; done; exit 5', { OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true });
	const s = await c.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
	const both = apart(s);
	await c.start();
	s.write('a\n');
	s.write('b\n');
	s.end();
	is((await c.wait()).StatusCode, 5, 'a half closed stream ends the input');
	is(await both, ['out a\nout b\n', 'err a\nerr b\n'], 'attach with demuxStream');
	is(await apart(await c.logs({ follow: true, stdout: true, stderr: true })), ['out a\nout b\n', 'err a\nerr b\n'], 'logs as a stream');
	const l = await c.logs({ stdout: true });
	is(l.subarray(8, 14).toString(), 'out a\n', 'logs as a buffer');
	await c.remove();
	const t = await create('stty size; read x; stty size; echo got $x', { Tty: true, OpenStdin: true });
	const ts = await t.attach({ stream: true, stdin: true, stdout: true, stderr: true });
	const all = text(ts);
	await t.start();
	await until(async () => (await t.logs({ stdout: true })).length);
	await t.resize({ h: 20, w: 70 });
	ts.write('word\n');
	await t.wait();
	has(await all, '20 70\r\ngot word\r\n', 'a terminal, its size');
	await t.remove();
	const k = await start('echo x; sleep 600', { OpenStdin: true, Tty: true });
	const ks = await k.attach({ stream: true, stdin: true, stdout: true, detachKeys: 'ctrl-a,b' });
	const end = text(ks);
	ks.write('\x01b');
	await end;
	ok((await k.inspect()).State.Running, 'detach keys end the stream, not the container');
	await k.remove({ force: true });
}

async function execs() {
	const c = await start();
	const x = await c.exec({ Cmd: ['sh', '-c', 'cat; echo e >&2; exit 4'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
	const s = await x.start({ hijack: true, stdin: true });
	const both = apart(s);
	s.write('through');
	s.end();
	is(await both, ['through', 'e\n'], 'exec, hijacked');
	await until(async () => !(await x.inspect()).Running);
	is((await x.inspect()).ExitCode, 4, 'its exit code');
	const y = await c.exec({ Cmd: ['sh', '-c', 'echo o; echo e >&2'], AttachStdout: true, AttachStderr: true });
	is(await apart(await y.start({})), ['o\n', 'e\n'], 'exec, not hijacked');
	const z = await c.exec({ Cmd: ['sh', '-c', 'stty size; read a; stty size'], AttachStdin: true, AttachStdout: true, Tty: true, Env: ['A=1'], User: 'nobody', WorkingDir: '/tmp' });
	const zs = await z.start({ hijack: true, stdin: true, Tty: true });
	const all = text(zs);
	await z.resize({ h: 11, w: 44 });
	zs.write('\n');
	has(await all, '11 44', 'exec with a terminal, its size');
	const d = await c.exec({ Cmd: ['true'] });
	await d.start({ Detach: true });
	await until(async () => (await d.inspect()).ExitCode === 0, 'exec, detached');
	is((await rejects('an exec starts once', () => d.start({ Detach: true }))).statusCode, 409, 'then is a conflict');
	is((await rejects('an exec of no container', () => docker.getContainer('nope').exec({ Cmd: ['true'] }))).statusCode, 404, 'is not found');
	is((await rejects('an exec without a command', () => c.exec({}))).statusCode, 400, 'is refused');
	const many = await Promise.all([1, 2, 3, 4, 5].map(async (i) => apart(await (await c.exec({ Cmd: ['echo', String(i)], AttachStdout: true })).start({}))));
	is(many.map((m) => m[0]).join(''), '1\n2\n3\n4\n5\n', 'execs at once');
	await c.remove({ force: true });
}

async function archives() {
	const c = await create('sleep 600');
	await c.putArchive(pack({ 'a/b': 'text' }), { path: '/tmp' });
	is(await unpack(await c.getArchive({ path: '/tmp/a' })), { 'a/': null, 'a/b': 'text' }, 'putArchive, getArchive');
	const info = await c.infoArchive({ path: '/tmp/a/b' });
	ok(info.headers ? info.headers['x-docker-container-path-stat'] : info, 'infoArchive');
	is((await rejects('getArchive of nothing', () => c.getArchive({ path: '/nope' }))).statusCode, 404, 'is not found');
	is((await unpack(await c.export()))['tmp/a/b'], 'text', 'export');
	is((await c.changes()).filter((x) => x.Path.startsWith('/tmp')).map((x) => x.Path), ['/tmp', '/tmp/a', '/tmp/a/b'], 'changes');
	const made = await c.commit({ repo: 'dockerode/made', tag: '1', changes: 'ENV A=1' });
	ok(/^sha256:/.test(made.Id), 'commit');
	ok((await docker.getImage('dockerode/made:1').inspect()).Config.Env.includes('A=1'), 'what it changed');
	await docker.getImage('dockerode/made:1').remove();
	await c.remove();
}

async function life() {
	const c = await create('sleep 600', { name: 'dockerode-life', platform: 'linux', Healthcheck: { Test: ['CMD', 'true'], Interval: 200e6 } });
	is((await c.inspect()).Name, '/dockerode-life', 'create with a name');
	const next = c.wait({ condition: 'next-exit' });
	await c.start();
	is((await rejects('start twice', () => c.start())).statusCode, 304, 'is not modified');
	await until(async () => (await c.inspect()).State.Health.Status === 'healthy', 'healthy');
	await c.pause();
	ok((await c.inspect()).State.Paused, 'pause');
	await c.unpause();
	await c.rename({ name: 'dockerode-new' });
	await c.update({ Memory: 64 << 20, MemorySwap: -1, RestartPolicy: { Name: 'no' } });
	is((await c.inspect()).HostConfig.Memory, 64 << 20, 'update');
	has(JSON.stringify(await c.top({ ps_args: '-o pid,args' })), 'sleep 600', 'top');
	const s = await c.stats({ stream: false });
	ok(s.memory_stats.usage > 0 && s.cpu_stats.cpu_usage.total_usage > 0, 'stats once');
	const stream = await c.stats({ stream: true });
	const line = await new Promise((done) => stream.once('data', done));
	is(JSON.parse(line).id, c.id, 'stats as a stream');
	stream.destroy();
	is((await rejects('remove of what runs', () => c.remove())).statusCode, 409, 'is a conflict');
	await c.kill({ signal: 'SIGKILL' });
	is((await next).StatusCode, 137, 'wait for the next exit');
	is((await rejects('stop of what is stopped', () => c.stop())).statusCode, 304, 'is not modified');
	await c.restart({ t: 0 });
	await c.stop({ t: 0 });
	is((await docker.listContainers({ all: true, filters: { ...mark, status: ['exited'] } })).map((x) => x.Names), [['/dockerode-new']], 'listContainers');
	const pruned = await docker.pruneContainers({ filters: mark });
	is(pruned.ContainersDeleted, [c.id], 'pruneContainers');
}

async function volumes() {
	const v = await docker.createVolume({ Name: 'dockerode-v', Labels: labels });
	is(v.Name ? v.Name : v.name, 'dockerode-v', 'createVolume');
	is((await docker.listVolumes({ filters: mark })).Volumes.map((x) => x.Name), ['dockerode-v'], 'listVolumes');
	const c = await start('echo kept > /v/f; sleep 600', { HostConfig: { Binds: ['dockerode-v:/v'] } });
	is((await c.inspect()).Mounts.map((m) => m.Name), ['dockerode-v'], 'a volume of a container');
	is((await rejects('a volume in use', () => docker.getVolume('dockerode-v').remove())).statusCode, 409, 'stays');
	await c.remove({ force: true });
	await docker.getVolume('dockerode-v').remove();
	is((await rejects('it is gone', () => docker.getVolume('dockerode-v').inspect())).statusCode, 404, 'not found');
}

async function events() {
	const stream = await docker.getEvents({ filters: { ...mark, type: ['container'] } });
	const seen = [];
	let rest = '';
	stream.on('data', (d) => {
		const lines = (rest + d).split('\n');
		rest = lines.pop();
		for (const l of lines.filter(Boolean))
			seen.push(JSON.parse(l));
	});
	const since = Math.floor(Date.now() / 1000) - 1;
	const c = await start('exit 7');
	await c.wait();
	await c.remove();
	await until(() => seen.some((e) => e.Action === 'destroy'), 'getEvents');
	is(seen.filter((e) => e.Actor.ID === c.id).map((e) => e.Action), ['create', 'start', 'die', 'destroy'], 'the actions');
	is(seen.find((e) => e.Action === 'die').Actor.Attributes.exitCode, '7', 'an attribute');
	stream.destroy();
	const past = await text(await docker.getEvents({ since, until: Math.floor(Date.now() / 1000) + 1, filters: { container: [c.id] } }));
	is(past.trim().split('\n').map((l) => JSON.parse(l).Action), ['create', 'start', 'die', 'destroy'], 'events of the past, to an end');
}

async function networks() {
	const n = await docker.createNetwork({ Name: 'js1', CheckDuplicate: true, Labels: { a: 'b' }, IPAM: { Config: [{ Subnet: '10.83.0.0/24' }] } });
	is((await n.inspect()).IPAM.Config[0].Subnet, '10.83.0.0/24', 'createNetwork');
	is((await rejects('another of that name', () => docker.createNetwork({ Name: 'js1' }))).statusCode, 409, 'is a conflict');
	is((await docker.listNetworks({ filters: { label: ['a=b'] } })).map((x) => x.Name), ['js1'], 'listNetworks by label');
	const m = await docker.createNetwork({ Name: 'js2' });
	const c = await docker.createContainer({
		Image: image, Cmd: ['sleep', '600'], Labels: labels,
		HostConfig: { NetworkMode: 'js1', PortBindings: { '80/tcp': [{ HostPort: '' }] } },
		NetworkingConfig: { EndpointsConfig: { js1: { IPAMConfig: { IPv4Address: '10.83.0.9' }, Aliases: ['x'] } } },
	});
	await c.start();
	let s = (await c.inspect()).NetworkSettings;
	is(s.Networks.js1.IPAddress, '10.83.0.9', 'an address of its own');
	ok(s.Ports['80/tcp'].every((p) => Number(p.HostPort) >= 1024), 'a port of the host');
	await m.connect({ Container: c.id, EndpointConfig: { Aliases: ['y'] } });
	is(Object.keys((await c.inspect()).NetworkSettings.Networks).sort(), ['js1', 'js2'], 'connect');
	is((await rejects('remove of one in use', () => m.remove())).statusCode, 403, 'is forbidden');
	await m.disconnect({ Container: c.id });
	s = (await c.inspect()).NetworkSettings;
	is(Object.keys(s.Networks), ['js1'], 'disconnect');
	await c.remove({ force: true });
	await n.remove();
	is((await docker.pruneNetworks()).NetworksDeleted, ['js2'], 'pruneNetworks');
}

async function aborts() {
	const c = await start();
	for (const [what, fn] of [
		['wait', (signal) => c.wait({ abortSignal: signal })],
		['logs', (signal) => c.logs({ follow: true, stdout: true, abortSignal: signal }).then(text)],
		['events', (signal) => docker.getEvents({ abortSignal: signal }).then(text)],
		['stats', (signal) => c.stats({ stream: true, abortSignal: signal }).then(text)],
	]) {
		const a = new AbortController();
		const p = fn(a.signal).then(() => 'ended', (e) => e.name);
		await sleep(100);
		a.abort();
		ok(await Promise.race([p, sleep(10000 * slow).then(() => 'hangs')]) !== 'hangs', `${what} is given up`);
	}
	is((await docker.ping()).toString(), 'OK', 'the daemon goes on');
	await c.remove({ force: true });
}

run([load, images, engine, runs, attach, execs, archives, life, volumes, events, networks, aborts], clean);
