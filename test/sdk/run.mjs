// Published client SDKs and our own codec against real servers; see README.
// usage: node run.mjs [js|rpc|easy|go|versions|grpc]      SDK_BUILD: where run.sh put the programs
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { program, summary, withServer } from './suite.mjs';
import { jsTests } from './js_tests.mjs';
import { rpcTests } from './rpc_tests.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const built = process.env.SDK_BUILD ?? path.join(here, '..', '..', 'build', 'test', 'sdk');
const only = process.argv[2];
const suite = (name, title, options, body) =>
  (!only || only === name ? withServer(title, options, body) : null);

for (const tokenAuthOn of [false, true]) {
  const tag = tokenAuthOn ? 'tokens' : 'open';
  const env = (s) => ({ SDK_TCP: s.tcp, SDK_WS: s.ws, SDK_API: s.api, SDK_TOKENS: String(tokenAuthOn) });
  await suite('js', `JavaScript SDK, ${tag}`, { tokenAuthOn }, (s) => jsTests(s, tag));
  await suite('rpc', `JSON-RPC, ${tag}`, { tokenAuthOn }, (s) => rpcTests(s, tag));
  await suite('easy', `Easy SDK for Python, ${tag}`, { tokenAuthOn },
    (s) => program(`easy ${tag}`, 'python3', [path.join(here, 'easy.py')],
      { ...env(s), PYTHONPATH: path.join(built, 'python') }));
  await suite('go', `Go SDK, ${tag}`, { tokenAuthOn },
    (s) => program(`go ${tag}`, path.join(built, 'gosdk'), [], env(s)));
}
for (const disableEncryption of [false, true]) {
  const how = disableEncryption ? 'plain' : 'sealed';
  for (const max of [5, 6]) {
    await suite('versions', `Versions up to ${max}, ${how}`, { disableEncryption, proto: { maxVersion: max } },
      (s) => program('versions', path.join(built, 'versions'), [...s.tcp.split(':'), how, String(max)]));
  }
}
if (!only || only === 'grpc') {
  process.stdout.write('-- Webhooks to a grpcio server\n');
  await program('grpc', 'python3', [path.join(here, 'grpc_hook.py')], { PYTHONPATH: path.join(built, 'python') });
}
process.exit(summary());
