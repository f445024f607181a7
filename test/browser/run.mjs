// Browser tests of the web pages: `npm ci && node run.mjs`.  Needs build/wkim-server, the built pages
// and a Chromium (CHROMIUM, /usr/bin/chromium).  Ends with "N passed, N failed".
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { chatdemo } from './chatdemo.mjs';
import { Server } from './server.mjs';

const pictures = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'build', 'test', 'browser');
const TEST_MS = 180000;
const FAILURES_MAX = 4;

async function launch(profile) {
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1180, height: 760 },
    locale: 'en-US',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows'],
  });
}

function limited(promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${TEST_MS / 1000} s`)), TEST_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function main() {
  const counts = { passed: 0, failed: 0 };
  const server = await Server.make();
  const profile = await mkdtemp(path.join(os.tmpdir(), 'wkim-chromium-'));
  let context;
  try {
    await mkdir(pictures, { recursive: true });
    await server.start();
    context = await launch(profile);
    context.setDefaultTimeout(45000);
    const world = { server, context, pictures, pages: {} };
    for (const [name, test] of Object.entries(chatdemo)) {
      // They build on each other: after some failures the rest would only wait for nothing.
      if (counts.failed >= FAILURES_MAX) {
        counts.failed++;
        console.log(`FAILED  ${name} (not run)`);
        continue;
      }
      const from = Date.now();
      try {
        await limited(test(world));
        counts.passed++;
        console.log(`ok      ${name} (${((Date.now() - from) / 1000).toFixed(1)} s)`);
      } catch (error) {
        counts.failed++;
        console.log(`FAILED  ${name}\n        ${String(error.stack ?? error).split('\n').slice(0, 12).join('\n        ')}`);
        for (const [who, page] of Object.entries(world.pages))
          await page.screenshot({ path: path.join(pictures, `failed-${name}-${who}.png`) }).catch(() => {});
      }
    }
  } catch (error) {
    counts.failed++;
    console.log(`FAILED  ${error.message}`);
  } finally {
    await context?.close();
    const how = await server.stop();
    if (how !== null && how !== 0) {
      counts.failed++;
      console.log(`FAILED  the server ended with ${how}:\n${await server.tail()}`);
    }
    await server.remove();
    await rm(profile, { recursive: true, force: true });
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed || counts.passed === 0 ? 1 : 0;
}

await main();
