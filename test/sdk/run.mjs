// Published client SDKs and our own codec against real servers; see README.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { program, summary, withServer } from './suite.mjs';
import { jsTests } from './js_tests.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const only = process.argv[2];
const wants = (name) => !only || only === name;

for (const tokenAuthOn of [false, true]) {
  const tag = tokenAuthOn ? 'tokens' : 'open';
  if (wants('js')) await withServer(`JavaScript SDK, ${tag}`, { tokenAuthOn }, (server) => jsTests(server, tag));
}
process.exit(summary());
