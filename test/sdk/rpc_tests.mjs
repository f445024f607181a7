// Plain JSON-RPC over `ws`, as the easy SDKs speak it: no version, no key, no "jsonrpc".
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { eventually, test } from './suite.mjs';
import { JsClient } from './js_client.mjs';

const PERSON = 1;
const GROUP = 2;
const WEB = 1;

const base64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64');

class Rpc {
  constructor(server, uid) {
    Object.assign(this, { server, uid, got: [], next: 0, binary: 0 });
  }

  async open() {
    this.token = await this.server.token(this.uid, WEB);
    this.socket = new WebSocket(this.server.ws);
    this.closed = new Promise((done) => { this.socket.on('close', done); });
    this.socket.on('message', (data, binary) => {
      if (binary) this.binary++;
      this.got.push(JSON.parse(data));
    });
    await new Promise((done, fail) => { this.socket.on('open', done).on('error', fail); });
    return this;
  }

  text(method, params, id = `${method}-${++this.next}`) {
    return JSON.stringify({ method, params, id });
  }

  async call(method, params) {
    const id = `${method}-${++this.next}`;
    this.socket.send(this.text(method, params, id));
    return this.answer(id);
  }

  answer(id) {
    return eventually(`${this.uid}: answer to ${id}`, () => this.got.find((m) => m.id === id));
  }

  connectParams() {
    return { uid: this.uid, token: this.token, deviceId: `web_${this.uid}`, deviceFlag: WEB,
      clientTimestamp: Date.now() };
  }

  async connect() {
    await this.open();
    const answer = await this.call('connect', this.connectParams());
    assert.equal(answer.result.reasonCode, 1, JSON.stringify(answer));
    return answer;
  }

  send(to, type, payload) {
    return this.call('send', { clientMsgNo: `${this.uid}-${++this.next}`, channelId: to, channelType: type,
      payload: base64(payload), header: { redDot: true } });
  }

  // The newest recv with this payload.
  recv(payload) {
    return eventually(`${this.uid}: recv`, () => this.got.find(
      (m) => m.method === 'recv' && m.params.payload === base64(payload))).then((m) => m.params);
  }

  acknowledge(recv) {
    this.socket.send(JSON.stringify({ method: 'recvack',
      params: { header: recv.header, messageId: recv.messageId, messageSeq: recv.messageSeq } }));
  }

  end() {
    this.socket.close();
  }
}

async function connected(server, uid) {
  const c = new Rpc(server, uid);
  await c.connect();
  return c;
}

async function talk(server, tag) {
  const a = new Rpc(server, `${tag}-jane`);
  const b = await connected(server, `${tag}-joe`);

  await test(`rpc ${tag}: connect without version and key`, async () => {
    const answer = await a.connect();
    assert.equal(answer.jsonrpc, '2.0');
    assert.deepEqual([answer.result.reasonCode, answer.result.serverVersion, answer.result.nodeId], [1, 5, 1001]);
    assert.ok(!('error' in answer));
    assert.ok(Math.abs(answer.result.timeDiff ?? 0) < 60000);
  });

  await test(`rpc ${tag}: send, recv and recvack`, async () => {
    const { result } = await a.send(b.uid, PERSON, { type: 1, content: 'hello 你好' });
    assert.equal(result.reasonCode, 1);
    assert.match(result.messageId, /^[1-9][0-9]*$/);
    const recv = await b.recv({ type: 1, content: 'hello 你好' });
    assert.deepEqual([recv.messageId, recv.messageSeq, recv.fromUid, recv.channelId, recv.channelType],
      [result.messageId, result.messageSeq, a.uid, a.uid, PERSON]);
    assert.equal(typeof recv.header, 'object');
    assert.ok(Math.abs(recv.timestamp - Date.now() / 1000) < 60);
    b.acknowledge(recv);
    assert.ok((await b.call('ping', {})).result, 'the connection goes on behind a recvack');
  });

  await test(`rpc ${tag}: every recv has a header object`, async () => {
    await server.send(a.uid, b.uid, PERSON, 'bare', { header: {} });
    assert.deepEqual((await b.recv('"bare"')).header, {});
  });

  await test(`rpc ${tag}: ping is answered with a result`, async () => {
    for (const params of [{}, undefined, null])
      assert.deepEqual((await a.call('ping', params)).result, {});
  });

  await test(`rpc ${tag}: errors name their cause and do not poison the connection`, async () => {
    const errors = [[a.text('dance', {}, 'e1'), -32601], [a.text('send', { channelId: 5, channelType: PERSON, payload: '' }, 'e2'), -32602],
      [a.text('send', { channelId: b.uid, channelType: 1, payload: '***' }, 'e3'), -32602],
      ['{"jsonrpc":"1.0","method":"ping","id":"e4"}', -32600]];
    for (const [text, code] of errors) {
      const before = a.got.length;
      a.socket.send(text);
      const answer = await eventually(`an error for ${text}`, () => a.got[before]);
      assert.equal(answer.error?.code, code, JSON.stringify(answer));
      assert.ok((await a.call('ping', {})).result, `alive behind ${text}`);
    }
    assert.equal((await a.send(b.uid, PERSON, 'after errors')).result.reasonCode, 1);
    await b.recv('after errors');
  });

  await test(`rpc ${tag}: a refusal is a result with a reason`, async () => {
    assert.equal((await a.send(`${tag}-no-such-group`, GROUP, 'x')).result.reasonCode, 3);
  });

  await test(`rpc ${tag}: several objects in one message, one object in several messages`, async () => {
    const to = (n) => a.text('send', { channelId: b.uid, channelType: PERSON, payload: base64(n) }, `glued-${n}`);
    a.socket.send(`${to('g1')} \n${to('g2')}${a.text('ping', {}, 'glued-ping')}`);
    for (const n of ['g1', 'g2']) assert.equal((await a.answer(`glued-${n}`)).result.reasonCode, 1);
    assert.ok((await a.answer('glued-ping')).result);
    const split = to('g3 你');
    const before = a.got.length;
    for (const at of [[0, 1], [1, 40], [40, split.length - 1], [split.length - 1, split.length]])
      a.socket.send(split.slice(...at));
    assert.equal((await a.answer('glued-g3 你')).result.reasonCode, 1);
    assert.equal(a.got.length, before + 1, 'nothing was said about the halves');
    for (const n of ['g1', 'g2', 'g3 你']) await b.recv(n);
  });

  await test(`rpc ${tag}: what is glued to connect is done after it`, async () => {
    const c = await new Rpc(server, `${tag}-jill`).open();
    c.socket.send(c.text('connect', c.connectParams(), 'c') + c.text('ping', {}, 'p') +
      c.text('send', { channelId: b.uid, channelType: PERSON, payload: base64('early') }, 's'));
    await c.answer('s');
    assert.deepEqual(c.got.map((m) => [m.id, m.result?.reasonCode ?? 'pong']), [['c', 1], ['p', 'pong'], ['s', 1]]);
    c.end();
  });

  await test(`rpc ${tag}: binary and JSON clients write to each other and in one group`, async () => {
    const binary = new JsClient(server, `${tag}-bin`, await server.token(`${tag}-bin`, WEB));
    await binary.connect();
    const group = `${tag}-mixed`;
    await server.group(group, [a.uid, b.uid, binary.uid]);
    await binary.acked(await binary.send(a.uid, PERSON, 'from binary'));
    const recv = await a.recv({ content: 'from binary', type: 1 });
    assert.deepEqual([recv.fromUid, recv.header.redDot], [binary.uid, true]);
    await a.send(binary.uid, PERSON, { type: 1, content: 'from json' });
    await eventually('RECV', () => binary.texts(a.uid).length === 1);
    await a.send(group, GROUP, { type: 1, content: 'all' });
    await eventually('RECV', () => binary.texts(a.uid).length === 2);
    assert.deepEqual(binary.texts(a.uid), ['from json', 'all']);
    const inGroup = await b.recv({ type: 1, content: 'all' });
    assert.deepEqual([inGroup.channelId, inGroup.channelType], [group, GROUP]);
    assert.equal(binary.merged, 0);
    binary.end();
  });

  await test(`rpc ${tag}: disconnect is answered and closes`, async () => {
    const c = await connected(server, `${tag}-jim`);
    assert.deepEqual((await c.call('disconnect', { reasonCode: 0, reason: 'bye' })).result, {});
    await c.closed;
    assert.equal(a.binary + b.binary + c.binary, 0, 'answers are text messages');
  });
  a.end();
  b.end();
}

export async function rpcTests(server, tag) {
  await talk(server, tag);
  await test(`rpc ${tag}: a wrong start is an error and ends the connection`, async () => {
    const c = await new Rpc(server, `${tag}-jock`).open();
    if (server.tokens) {
      const answer = await c.call('connect', { ...c.connectParams(), token: 'wrong' });
      assert.deepEqual(answer.error, { code: 2, message: 'ReasonAuthFail' });
    } else {
      c.socket.send(c.text('ping', {}, 'first'));
    }
    await c.closed;
  });
}
