// Tests one after another, counted; what a test waits for has a limit.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Server, sleep } from './server.mjs';

const TEST_MS = 240000;
const counts = { passed: 0, failed: 0 };

export function report(ok, name, why = '') {
  counts[ok ? 'passed' : 'failed']++;
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${name}${why ? `\n       ${why}` : ''}\n`);
}

export async function test(name, body) {
  const started = Date.now();
  let timer;
  try {
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`not done after ${TEST_MS / 1000} s`)), TEST_MS);
    });
    const note = await Promise.race([body(), late]);
    report(true, `${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`, note);
  } catch (error) {
    report(false, name, String(error.stack ?? error).split('\n').slice(0, 12).join('\n       '));
  } finally {
    clearTimeout(timer);
  }
}

export async function eventually(what, check, ms = 60000) {
  const limit = Date.now() + ms;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > limit) throw new Error(`${what}: not within ${ms / 1000} s`);
    await sleep(15);
  }
}

// A server for the tests of `body`; it must end by itself.
export async function withServer(name, options, body) {
  process.stdout.write(`-- ${name}\n`);
  const server = await Server.make(options);
  try {
    await server.start();
    await body(server);
  } catch (error) {
    report(false, name, String(error.stack ?? error));
  } finally {
    await test(`${name}: the server ends in order`, async () => {
      const tail = await server.tail();
      assert.equal(await server.stop(), 0, tail);
      assert.equal(await server.report(), '');
    });
    await server.end();
  }
}

// A program that prints "ok NAME", "not ok NAME: why" or "# remark" per line.
export async function program(name, command, args, env = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((done) => {
    child.once('exit', (code, signal) => done(code ?? signal));
    child.once('error', (error) => done(String(error)));
  });
  const errors = [];
  let lines = 0;
  child.stderr.setEncoding('utf8').on('data', (text) => errors.push(text));
  const late = setTimeout(() => child.kill('SIGKILL'), 2 * TEST_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /^(ok|not ok) ([^:]*):? ?(.*)$/.exec(line);
    if (found) {
      lines++;
      report(found[1] === 'ok', `${name}: ${found[2]}`, found[3]);
    } else if (line.startsWith('# ')) {
      process.stdout.write(`       ${line.slice(2)}\n`);
    }
  }
  const how = await ended;
  clearTimeout(late);
  if (how !== 0 || lines === 0)
    report(false, `${name} ran to its end`, `${how}, ${lines} tests\n${errors.join('').slice(-2000)}`);
}

export function summary() {
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}
