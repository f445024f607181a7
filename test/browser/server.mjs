// A wkim-server of the test's own: free loopback ports, a temporary rootDir, restartable.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const START_MS = 60000;
const STOP_MS = 60000;

export const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function freePorts(n) {
  const held = await Promise.all(Array.from({ length: n }, () => new Promise((done, fail) => {
    const s = createServer().once('error', fail).listen(0, '127.0.0.1', () => done(s));
  })));
  const ports = held.map((s) => s.address().port);
  await Promise.all(held.map((s) => new Promise((done) => { s.close(done); })));
  return ports;
}

function yaml(root, [tcp, ws, http, manager, demo, cluster]) {
  return `mode: "debug"
rootDir: "${root}"
addr: "tcp://127.0.0.1:${tcp}"
wsAddr: "ws://127.0.0.1:${ws}"
httpAddr: "127.0.0.1:${http}"
tokenAuthOn: true
external:
  ip: "127.0.0.1"
  tcpAddr: "127.0.0.1:${tcp}"
  wsAddr: "ws://127.0.0.1:${ws}"
  apiUrl: "http://127.0.0.1:${http}"
manager:
  addr: "127.0.0.1:${manager}"
demo:
  addr: "127.0.0.1:${demo}"
cluster:
  nodeId: 1001
  addr: "tcp://127.0.0.1:${cluster}"
  serverAddr: "127.0.0.1:${cluster}"
plugin:
  socketPath: "${root}/plugin.sock"
`;
}

export class Server {
  static async make() {
    const s = new Server();
    s.binary = process.env.WKIM_SERVER ?? path.join(repository, 'build', 'wkim-server');
    s.folder = await mkdtemp(path.join(os.tmpdir(), 'wkim-browser-'));
    s.config = path.join(s.folder, 'wk.yaml');
    s.output = path.join(s.folder, 'output.txt');
    const ports = await freePorts(6);
    s.api = `http://127.0.0.1:${ports[2]}`;
    s.demo = `http://127.0.0.1:${ports[4]}`;
    await writeFile(s.config, yaml(path.join(s.folder, 'root'), ports));
    return s;
  }

  async start() {
    const output = await open(this.output, 'a');
    this.process = spawn(this.binary, ['--config', this.config],
      { cwd: repository, stdio: ['ignore', output.fd, output.fd] });
    this.ended = new Promise((done) => { this.process.once('exit', (code, signal) => done(code ?? signal)); });
    this.process.once('error', () => {});
    await output.close();
    const limit = Date.now() + START_MS;
    while (!await this.answers()) {
      if (Date.now() > limit || this.process.exitCode !== null)
        throw new Error(`server does not start:\n${await this.tail()}`);
      await sleep(50);
    }
  }

  async answers() {
    try {
      const [health, page] = await Promise.all([fetch(`${this.api}/health`), fetch(this.demo, { redirect: 'manual' })]);
      return health.ok && page.status === 302;
    } catch {
      return false;
    }
  }

  // SIGTERM, then SIGKILL; the exit code or the signal's name.
  async stop() {
    if (!this.process) return null;
    this.process.kill('SIGTERM');
    const late = setTimeout(() => this.process.kill('SIGKILL'), STOP_MS);
    const how = await this.ended;
    clearTimeout(late);
    this.process = null;
    return how;
  }

  async call(path_, body) {
    const answer = await fetch(this.api + path_, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path_}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async tail() {
    return (await readFile(this.output, 'utf8').catch(() => '')).split('\n').slice(-30).join('\n');
  }

  async remove() {
    await rm(this.folder, { recursive: true, force: true });
  }
}
