// A wkim-server of the test's own: free loopback ports, a temporary rootDir, restartable on the same
// ports.  WKIM_SERVER names another program, WKIM_TEST_PORTS the ports to take ("29000-29999").
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const START_MS = 120000;
const STOP_MS = 60000;

export const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

function listens(port) {
  return new Promise((done) => {
    const s = createServer();
    s.once('error', () => done(false));
    s.listen(port, '127.0.0.1', () => s.close(() => done(true)));
  });
}

async function freePorts(n) {
  const [first, last] = (process.env.WKIM_TEST_PORTS ?? '29000-29999').split('-').map(Number);
  const found = [];
  for (let tries = 0; found.length < n && tries < 1000; tries++) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (!found.includes(port) && await listens(port)) found.push(port);
  }
  if (found.length < n) throw new Error(`no ${n} free ports between ${first} and ${last}`);
  return found;
}

export class Server {
  // options: lines of wk.yaml added to a quiet single node.
  static async make(options = {}) {
    const s = new Server();
    s.binary = process.env.WKIM_SERVER ?? path.join(repository, 'build', 'wkim-server');
    s.folder = await mkdtemp(path.join(os.tmpdir(), 'wkim-sdk-'));
    s.config = path.join(s.folder, 'wk.json');
    s.output = path.join(s.folder, 'output.txt');
    s.tokens = options.tokenAuthOn === true;
    s.stored = new Set();
    const [tcp, ws, http, manager, cluster] = (await freePorts(5)).map((p) => `127.0.0.1:${p}`);
    Object.assign(s, { tcp, ws: `ws://${ws}`, api: `http://${http}` });
    // JSON text is valid YAML.
    await writeFile(s.config, JSON.stringify({
      mode: 'release', rootDir: path.join(s.folder, 'root'), addr: `tcp://${tcp}`, wsAddr: s.ws,
      httpAddr: http, external: { ip: '127.0.0.1', tcpAddr: tcp, wsAddr: s.ws, apiUrl: s.api },
      manager: { addr: manager }, demo: { on: false },
      cluster: { nodeId: 1001, addr: `tcp://${cluster}` }, ...options,
    }));
    return s;
  }

  async start() {
    const output = await open(this.output, 'a');
    const env = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith('WK_')));
    this.process = spawn(this.binary, ['--config', this.config],
      { cwd: this.folder, env, stdio: ['ignore', output.fd, output.fd] });
    this.ended = new Promise((done) => {
      this.process.once('exit', (code, signal) => done(code ?? signal));
      this.process.once('error', (error) => { this.broken = true; done(error.message); });
    });
    await output.close();
    const limit = Date.now() + START_MS;
    while (!await this.answers()) {
      if (Date.now() > limit || this.broken || this.process.exitCode !== null)
        throw new Error(`the server does not start:\n${await this.tail()}`);
      await sleep(30);
    }
  }

  async answers() {
    try {
      return (await fetch(`${this.api}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  // SIGTERM, after a limit SIGKILL; the exit code or the signal's name.
  async stop(signal = 'SIGTERM') {
    if (!this.process) return null;
    this.process.kill(signal);
    const late = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS);
    const how = await this.ended;
    clearTimeout(late);
    this.process = null;
    return how;
  }

  async post(route, body) {
    const answer = await fetch(this.api + route, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // A token for one kind of device; where nobody asks for tokens none is stored.  Stored once: a
  // master's token that is stored again kicks who is there.
  async token(uid, deviceFlag, deviceLevel = 0) {
    if (!this.tokens) return '';
    const token = `t-${uid}-${deviceFlag}`;
    if (this.stored.has(token)) return token;
    this.stored.add(token);
    await this.post('/user/token', { uid, token, device_flag: deviceFlag, device_level: deviceLevel });
    return token;
  }

  group(id, subscribers) {
    return this.post('/channel', { channel_id: id, channel_type: 2, subscribers });
  }

  // A stored message of the back-end, its payload an object.
  send(from, channelId, channelType, payload, more = {}) {
    return this.post('/message/send', { header: { red_dot: 1 }, from_uid: from, channel_id: channelId,
      channel_type: channelType, payload: Buffer.from(JSON.stringify(payload)).toString('base64'), ...more });
  }

  history(uid, channelId, channelType, more = {}) {
    return this.post('/channel/messagesync', { login_uid: uid, channel_id: channelId,
      channel_type: channelType, start_message_seq: 0, end_message_seq: 0, limit: 10000, pull_mode: 1, ...more });
  }

  // What a broken invariant or a sanitizer said, '' when nothing.
  async report() {
    const text = await readFile(this.output, 'utf8').catch(() => '');
    const at = text.search(/invariant broken|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: /);
    return at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 8000);
  }

  async tail() {
    return (await readFile(this.output, 'utf8').catch(() => '')).split('\n').slice(-30).join('\n');
  }

  async end() {
    const how = await this.stop();
    await rm(this.folder, { recursive: true, force: true });
    return how;
  }
}
