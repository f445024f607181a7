// wukongimjssdk as its users get it: bundled unmodified, one copy of the bundle per client because
// the SDK is a singleton.  WebSocket is that of `ws`, watched for frames that share a message.
import * as esbuild from 'esbuild';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { eventually } from './suite.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const CONNECTED = 1;

const bundle = await esbuild.build({
  stdin: { contents: "export { default } from 'wukongimjssdk'; export * as sdk from 'wukongimjssdk/lib/sdk';",
    resolveDir: here },
  bundle: true, write: false, format: 'cjs', platform: 'browser', target: 'es2020', logLevel: 'error',
});
const make = new Function('module', 'exports', 'WebSocket', 'console', bundle.outputFiles[0].text);
const quiet = { log() {}, warn() {}, error() {}, info() {}, debug() {} };

// How many bytes the first frame of a message has.
function frameBytes(data) {
  if (data[0] >> 4 === 7 || data[0] >> 4 === 8) return 1;
  let at = 1;
  let size = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    size += (data[at] & 127) * 2 ** shift;
    if (data[at++] < 128) break;
  }
  return at + size;
}

export class JsClient {
  constructor(server, uid, token = '') {
    const client = this;
    Object.assign(this, { server, uid, messages: [], commands: [], acks: [], states: [], pongs: 0,
      frames: 0, merged: 0, text: 0, recvacks: 0 });
    class Watched extends WebSocket {
      constructor(address) {
        super(address);
        client.socket = this;
        this.on('message', (raw, binary) => {
          const data = new Uint8Array(raw);
          client.frames++;
          if (!binary) client.text++;
          if (frameBytes(data) !== data.length) client.merged++;
          if (data[0] >> 4 === 8) client.pongs++;
        });
      }

      send(data) {
        if (data[0] >> 4 === 6) client.recvacks++;
        // A browser drops what is sent on a closed socket; `ws` throws while it is connecting.
        if (this.readyState === WebSocket.OPEN) super.send(data);
      }
    }
    const module = { exports: {} };
    make(module, module.exports, Watched, quiet);
    this.names = module.exports.sdk;
    this.sdk = module.exports.default.shared();
    Object.assign(this.sdk.config, { uid, token, addr: server.ws });
    this.sdk.connectManager.addConnectStatusListener((status, reason) => this.states.push({ status, reason }));
    this.sdk.chatManager.addMessageListener((m) => { if (!m.send) this.messages.push(m); });
    this.sdk.chatManager.addCMDListener((m) => this.commands.push(m));
    this.sdk.chatManager.addMessageStatusListener((a) => this.acks.push(a));
  }

  get connected() {
    return this.sdk.connectManager.status === CONNECTED;
  }

  get last() {
    return this.states.at(-1);
  }

  // Listeners are told after the SDK has its keys, so a state means that messages can flow.
  connect() {
    const before = this.states.length;
    this.sdk.connectManager.connect();
    return eventually(`${this.uid} connects`, () => this.connected && this.states.length > before);
  }

  channel(id, type) {
    return new this.names.Channel(id, type);
  }

  send(id, type, text) {
    return this.sdk.chatManager.send(new this.names.MessageText(text), this.channel(id, type));
  }

  async acked(message) {
    const found = () => this.acks.find((a) => a.clientSeq === message.clientSeq);
    return eventually(`${this.uid}: SENDACK`, found);
  }

  texts(from) {
    return this.messages.filter((m) => !from || m.fromUID === from).map((m) => m.content.text);
  }

  end() {
    this.sdk.connectManager.disconnect();
  }
}
