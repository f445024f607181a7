// Bundles the pages: `npm run build` writes build/web/<page>/ of the repository (WEB_OUT overrides).
import { createHash } from 'node:crypto';
import * as esbuild from 'esbuild';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const out = process.env.WEB_OUT ?? path.join(here, '..', '..', 'build', 'web');

// The licence text a package ships, or what its package.json declares when it ships none.
async function licenceOf(name) {
  const folder = path.join(here, 'node_modules', name);
  const about = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
  const author = typeof about.author === 'object' ? about.author?.name : about.author;
  const text = file
    ? await readFile(path.join(folder, file), 'utf8')
    : `Licence declared by the package: ${about.license}. Author: ${author ?? 'not named'}.`;
  return `${about.name} ${about.version} (${about.license})\n\n${text.trim()}\n`;
}

function packagesOf(metafile) {
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const found = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) names.add(found[1]);
  }
  return [...names].sort();
}

// The page names its files with their hash, so that caches may keep them and still notice an upgrade.
async function stamped(page, folder) {
  let text = await readFile(page, 'utf8');
  for (const file of ['app.js', 'app.css']) {
    const hash = createHash('sha256').update(await readFile(path.join(folder, file))).digest('hex');
    text = text.replace(`"${file}"`, `"${file}?v=${hash.slice(0, 12)}"`);
  }
  return text;
}

async function buildPage(page) {
  const from = path.join(here, page);
  const to = path.join(out, page);
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  const result = await esbuild.build({
    absWorkingDir: here,
    entryPoints: [path.join(from, 'app.js'), path.join(from, 'app.css')],
    bundle: true,
    minify: true,
    // The SDK writes message contents to the console.
    drop: ['console', 'debugger'],
    format: 'iife',
    target: ['es2020', 'safari15'],
    charset: 'utf8',
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    outdir: to,
  });
  await cp(path.join(from, 'favicon.svg'), path.join(to, 'favicon.svg'));
  await writeFile(path.join(to, 'index.html'), await stamped(path.join(from, 'index.html'), to));
  const licences = await Promise.all(packagesOf(result.metafile).map(licenceOf));
  await writeFile(path.join(to, 'licences.txt'), licences.join(`\n${'-'.repeat(78)}\n\n`));
  for (const [file, about] of Object.entries(result.metafile.outputs))
    process.stdout.write(`${page}/${path.basename(file)} ${(about.bytes / 1024).toFixed(1)} KiB\n`);
}

await buildPage('chatdemo');
