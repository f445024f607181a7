// The JavaScript SDK 1.0.4 against one server.
import assert from 'node:assert/strict';
import { sleep } from './server.mjs';
import { eventually, test } from './suite.mjs';
import { JsClient } from './js_client.mjs';

const PERSON = 1;
const GROUP = 2;
const WEB = 1;
const STATUS_FAIL = 3;
const STATUS_KICK = 4;
const SENDERS = 10;

const range = (n) => Array.from({ length: n }, (_, i) => i);
const payloadOf = (row) => JSON.parse(Buffer.from(row.payload, 'base64'));

// What an app writes around the SDK: rows of the HTTP API into the SDK's objects.
function appCallbacks(client) {
  const { server, uid, names, sdk } = client;
  const message = (row) => {
    const m = new names.Message();
    Object.assign(m, { messageID: row.message_idstr, messageSeq: row.message_seq, fromUID: row.from_uid,
      clientMsgNo: row.client_msg_no, timestamp: row.timestamp,
      channel: client.channel(row.channel_id, row.channel_type), content: new names.MessageText() });
    m.content.decode(new Uint8Array(Buffer.from(row.payload, 'base64')));
    return m;
  };
  sdk.config.provider.syncMessagesCallback = async (channel, o) => {
    const answer = await server.history(uid, channel.channelID, channel.channelType, {
      start_message_seq: o.startMessageSeq, end_message_seq: o.endMessageSeq, limit: o.limit, pull_mode: o.pullMode });
    return answer.messages.map(message);
  };
  sdk.config.provider.syncConversationsCallback = async () => {
    const rows = await server.post('/conversation/sync', { uid, version: 0, last_msg_seqs: '', msg_count: 1 });
    return rows.map((row) => {
      const c = new names.Conversation();
      Object.assign(c, { channel: client.channel(row.channel_id, row.channel_type), unread: row.unread,
        timestamp: row.timestamp, lastMessage: message(row.recents[0]) });
      return c;
    });
  };
  sdk.config.provider.syncRemindersCallback = async () => [];
}

async function client(server, uid, level = 0) {
  const c = new JsClient(server, uid, await server.token(uid, WEB, level));
  appCallbacks(c);
  await c.connect();
  return c;
}

function untouched(c) {
  assert.equal(c.merged, 0, `${c.uid}: frames that share a WebSocket message`);
  assert.equal(c.text, 0, `${c.uid}: binary clients get binary messages`);
}

async function talk(server, tag) {
  const a = await client(server, `${tag}-ann`);
  const b = await client(server, `${tag}-ben`);
  const group = `${tag}-group`;
  await server.group(group, [a.uid, b.uid]);

  await test(`js ${tag}: two people write to each other`, async () => {
    const first = await a.send(b.uid, PERSON, 'hello 你好 😀');
    const ack = await a.acked(first);
    assert.equal(ack.reasonCode, 1);
    assert.equal(ack.messageSeq, 1);
    const got = await eventually('RECV', () => b.messages[0]);
    assert.deepEqual([got.content.text, got.fromUID, got.channel.channelID, got.messageSeq, got.clientMsgNo,
      got.messageID.toString(), got.header.reddot],
    ['hello 你好 😀', a.uid, a.uid, 1, first.clientMsgNo, ack.messageID.toString(), true]);
    assert.equal((await b.acked(await b.send(a.uid, PERSON, 'back'))).messageSeq, 2);
    await eventually('RECV', () => a.messages.length === 1);
    assert.deepEqual(a.texts(b.uid), ['back']);
  });

  await test(`js ${tag}: a group reaches its members and refuses a stranger`, async () => {
    await a.acked(await a.send(group, GROUP, 'to all'));
    const got = await eventually('RECV', () => b.messages.find((m) => m.channel.channelType === GROUP));
    assert.deepEqual([got.content.text, got.channel.channelID, got.fromUID], ['to all', group, a.uid]);
    const stranger = await client(server, `${tag}-eve`);
    const refused = await stranger.acked(await stranger.send(group, GROUP, 'me too'));
    assert.equal(refused.reasonCode, 3);
    stranger.end();
    assert.equal(b.messages.filter((m) => m.channel.channelType === GROUP).length, 1);
  });

  await test(`js ${tag}: conversations, unread counts and history come through the app's callbacks`, async () => {
    const offline = `${tag}-carl`;
    for (const i of range(25)) await a.acked(await a.send(offline, PERSON, `n${i}`));
    const c = await client(server, offline);
    const [row] = await c.sdk.conversationManager.sync();
    assert.deepEqual([row.channel.channelID, row.unread, row.lastMessage.content.text], [a.uid, 25, 'n24']);
    const channel = c.channel(a.uid, PERSON);
    const newest = await c.sdk.chatManager.syncMessages(channel,
      { startMessageSeq: 0, endMessageSeq: 0, limit: 10, pullMode: 0 });
    assert.deepEqual(newest.map((m) => m.content.text), range(10).map((i) => `n${15 + i}`));
    const older = await c.sdk.chatManager.syncMessages(channel,
      { startMessageSeq: newest[0].messageSeq - 1, endMessageSeq: 0, limit: 100, pullMode: 0 });
    assert.deepEqual(older.map((m) => m.content.text), range(15).map((i) => `n${i}`));
    await server.post('/conversations/setUnread', { uid: c.uid, channel_id: a.uid, channel_type: PERSON, unread: 0 });
    assert.equal((await c.sdk.conversationManager.sync())[0].unread, 0);
    await a.acked(await a.send(offline, PERSON, 'one more'));
    await eventually('RECV', () => c.messages.length === 1);
    assert.equal(c.sdk.conversationManager.findConversation(channel).unread, 1, 'counted by the SDK');
    assert.equal((await c.sdk.conversationManager.sync())[0].unread, 1, 'counted by the server');
    untouched(c);
    c.end();
  });

  await test(`js ${tag}: a command goes to the command listener only and is not stored`, async () => {
    const before = b.messages.length;
    await server.post('/message/send', { header: { no_persist: 1, sync_once: 1, red_dot: 0 }, from_uid: a.uid,
      channel_id: b.uid, channel_type: PERSON,
      payload: Buffer.from(JSON.stringify({ type: 99, cmd: 'typing', param: {} })).toString('base64') });
    await eventually('command', () => b.commands.length === 1);
    assert.equal(b.commands[0].content.cmd, 'typing');
    assert.equal(b.messages.length, before);
    untouched(b);
  });

  await test(`js ${tag}: pings are answered`, async () => {
    a.sdk.config.heartbeatInterval = 300;         // it gives up after some without answer
    a.sdk.connectManager.restHeart();
    await eventually('PONGs', () => a.pongs >= 5);
    a.sdk.config.heartbeatInterval = 60000;
    a.sdk.connectManager.restHeart();
    await eventually('the last PONG', () => a.sdk.connectManager.pingRetryCount === 0);
    assert.ok(a.connected);
    untouched(a);
  });
  a.end();
  b.end();
}

async function burst(server, tag) {
  await test(`js ${tag}: 500 messages of ${SENDERS} API senders arrive once, in order, unmerged`, async () => {
    const c = await client(server, `${tag}-dora`);
    const group = `${tag}-many`;
    await server.group(group, [c.uid, ...range(SENDERS).map((i) => `${tag}-s${i}`)]);
    await Promise.all(range(SENDERS).map(async (s) => {
      for (const i of range(50)) {
        const [to, type] = i % 2 ? [c.uid, PERSON] : [group, GROUP];
        await server.send(`${tag}-s${s}`, to, type, { type: 1, content: `${s}.${i}` });
      }
    }));
    await eventually('500 RECVs', () => c.messages.length >= 500);
    await eventually('500 RECVACKs', () => c.recvacks >= 500);
    await sleep(200);
    const texts = c.texts();
    assert.equal(texts.length, 500);
    assert.equal(new Set(texts).size, 500);
    const seqs = new Map();
    for (const m of c.messages) {
      const key = m.channel.getChannelKey();
      assert.equal(m.messageSeq, (seqs.get(key) ?? 0) + 1, `order in ${key}`);
      seqs.set(key, m.messageSeq);
    }
    assert.equal(c.frames, 501, 'CONNACK and 500 RECVs, one WebSocket message each');
    untouched(c);
    c.end();
  });

  await test(`js ${tag}: 200 messages sent at once are all acknowledged and arrive in order`, async () => {
    const a = await client(server, `${tag}-fay`);
    const b = await client(server, `${tag}-gus`);
    const sent = await Promise.all(range(200).map((i) => a.send(b.uid, PERSON, `m${i}`)));
    await eventually('200 SENDACKs', () => a.acks.length === 200);
    await eventually('200 RECVs', () => b.messages.length === 200);
    const acks = [...a.acks].sort((x, y) => x.clientSeq - y.clientSeq);
    assert.deepEqual(acks.map((k) => [k.clientSeq, k.messageSeq, k.reasonCode]),
      sent.map((m, i) => [m.clientSeq, i + 1, 1]));
    assert.deepEqual(b.texts(), range(200).map((i) => `m${i}`));
    untouched(a);
    untouched(b);
    a.end();
    b.end();
  });
}

async function restart(server, tag) {
  await test(`js ${tag}: over a killed server unacknowledged messages are stored exactly once`, async () => {
    const a = await client(server, `${tag}-hal`);
    const b = await client(server, `${tag}-ida`);
    const killed = new Promise((done) => {
      a.sdk.chatManager.addMessageStatusListener(() => {
        if (a.acks.length !== 3) return;
        // What the server has answered beyond this, the client never reads.
        a.socket.terminate();
        done(server.stop('SIGKILL'));
      });
    });
    for (const i of range(40)) a.send(b.uid, PERSON, `before ${i}`);
    await killed;
    await eventually('the loss is seen', () => !a.connected);
    const unsure = 40 - new Set(a.acks.map((k) => k.clientSeq)).size;
    for (const i of range(12)) a.send(b.uid, PERSON, `during ${i}`);
    await server.start();
    await eventually('both come back', () => a.connected && b.connected);
    await eventually('all SENDACKs', () => a.sdk.chatManager.sendingQueues.size === 0);
    const rows = (await server.history(b.uid, a.uid, PERSON)).messages;
    const texts = rows.map((row) => payloadOf(row).content);
    assert.deepEqual([...texts].sort(), [...range(40).map((i) => `before ${i}`), ...range(12).map((i) => `during ${i}`)].sort());
    assert.deepEqual(rows.map((row) => row.message_seq), range(52).map((i) => i + 1));
    assert.ok(a.acks.every((k) => k.reasonCode === 1));
    untouched(a);
    untouched(b);
    a.end();
    b.end();
    return `${unsure} of 40 without SENDACK when line and server were cut, 12 written while it was away`;
  });
}

async function entry(server, tag) {
  await test(`js ${tag}: a master login kicks the first device, which is closed`, async () => {
    const first = await client(server, `${tag}-kim`, 1);
    const socket = first.socket;
    const second = await client(server, `${tag}-kim`, 1);
    await eventually('the kick', () => first.states.some((s) => s.status === STATUS_KICK));
    assert.equal(first.states.find((s) => s.status === STATUS_KICK).reason, 12);
    await eventually('the server closes', () => socket.readyState === 3);
    await sleep(3500);
    assert.ok(!first.connected, 'the kicked SDK stays out');
    assert.ok(second.connected);
    const writer = await client(server, `${tag}-lea`);
    await writer.acked(await writer.send(second.uid, PERSON, 'still there?'));
    await eventually('RECV', () => second.texts().length === 1);
    assert.equal(first.messages.length, 0);
    for (const c of [first, second, writer]) c.end();
  });

  await test(`js ${tag}: a wrong token is refused with a reason and not tried again`, async () => {
    const c = new JsClient(server, `${tag}-max`, 'wrong');
    await server.token(c.uid, WEB);
    c.sdk.connectManager.connect();
    await eventually('CONNACK', () => c.states.length > 0);
    assert.deepEqual(c.states[0], { status: STATUS_FAIL, reason: 2 });
    await sleep(3500);
    assert.ok(!c.connected);
    c.end();
  });
}

export async function jsTests(server, tag) {
  await talk(server, tag);
  await burst(server, tag);
  await restart(server, tag);
  if (server.tokens) await entry(server, tag);
}
