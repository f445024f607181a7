// The only file that knows the SDK. It turns wukongimjssdk 1.0.4 into a link with states and plain
// objects, and replaces what the SDK does badly on its own: fixed 3 s retries, a heartbeat that
// brings a kicked user back, unsent messages in text order, listeners whose errors cut the line.
import WKSDK from 'wukongimjssdk';
import { RecvPacket } from 'wukongimjssdk/lib/proto';
import { ConnectStatus } from 'wukongimjssdk/lib/connect_manager';
import { describe, describeBytes } from './content.js';

export const SDK_VERSION = '1.0.4';
const CONNECT_LIMIT_MS = 15000;
const RETRY_MAX_S = 30;

function plain(packet, content) {
  return {
    no: packet.clientMsgNo,
    id: String(packet.messageID ?? ''),
    seq: Number(packet.messageSeq) || 0,
    from: packet.fromUID,
    channelId: packet.channelID,
    channelType: packet.channelType,
    at: packet.timestamp,
    counts: Boolean(packet.reddot) && !packet.syncOnce,
    ...content,
  };
}

export class Link {
  // address: async () => WebSocket address, asked before every attempt.
  // onState({state, reason, seconds}): connecting | online | waiting | kicked | failed
  // onMessage(message), onAck({no, id, seq, reason}), onProblem(error)
  constructor({ uid, token, address, onState, onMessage, onAck, onProblem }) {
    this.address = address;
    this.tell = { onState, onMessage, onAck, onProblem };
    this.attempt = 0;
    this.running = false;
    this.packets = new Map(); // by client_msg_no: what the server has not accepted yet
    this.sdk = WKSDK.shared();
    this.sdk.config.uid = uid;
    this.sdk.config.token = token;
    this.sdk.config.deviceFlag = 1;
    this.sdk.config.heartbeatInterval = 25000;
    this.hook();
  }

  hook() {
    const { connectManager, chatManager, config } = this.sdk;
    this.onStatus = (status, reason) => this.guard(() => this.statusChanged(status, reason));
    this.onSdkMessage = (m) => this.guard(() => {
      const packet = { ...m, channelID: m.channel.channelID, channelType: m.channel.channelType,
        reddot: m.header.reddot, syncOnce: m.header.syncOnce };
      this.tell.onMessage(plain(packet, describe(m.content?.contentObj ?? null)));
    });
    this.onSdkAck = (p) => this.guard(() => this.acknowledged(p));
    // The SDK's own list of conversations would only grow: this page keeps its own.
    chatManager.listeners.length = 0;
    connectManager.addConnectStatusListener(this.onStatus);
    chatManager.addMessageListener(this.onSdkMessage);
    chatManager.addMessageStatusListener(this.onSdkAck);
    config.provider.connectAddrCallback = (found) => this.findAddress(found);
    // Closed, broken or undecodable: all of it is one loss, answered by our own back-off.
    connectManager.reConnect = () => this.guard(() => this.lost());
    chatManager.flushSendingQueue = () => {
      for (const seq of [...chatManager.sendingQueues.keys()].sort((a, b) => a - b))
        connectManager.sendPacket(chatManager.sendingQueues.get(seq));
    };
    const handle = Object.getPrototypeOf(chatManager).onPacket;
    chatManager.onPacket = (packet) => handle.call(chatManager, packet)
      .catch((error) => this.guard(() => this.unreadable(packet, error)));
  }

  // An exception that reaches the SDK is taken for a decoding error and drops the connection.
  guard(action) {
    try {
      action();
    } catch (error) {
      this.tell.onProblem(error);
    }
  }

  start() {
    this.running = true;
    this.attempt = 0;
    this.connect();
  }

  stop() {
    this.running = false;
    clearTimeout(this.timer);
    const { connectManager, chatManager } = this.sdk;
    connectManager.disconnect();
    connectManager.removeConnectStatusListener(this.onStatus);
    chatManager.removeMessageListener(this.onSdkMessage);
    chatManager.removeMessageStatusListener(this.onSdkAck);
    chatManager.sendingQueues.clear();
  }

  // Leave out the rest of the waiting time.
  retryNow() {
    if (!this.running || this.state !== 'waiting') return;
    this.attempt = 0;
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.setState('connecting');
    this.timer = setTimeout(() => this.lost(), CONNECT_LIMIT_MS);
    this.sdk.connectManager.disconnect();
    this.sdk.connectManager.connect();
  }

  async findAddress(found) {
    const timer = this.timer;
    try {
      const address = await this.address();
      // A late answer belongs to an attempt that was given up.
      if (this.running && this.timer === timer) found(address);
    } catch (error) {
      if (!this.running || this.timer !== timer) return;
      this.tell.onProblem(error);
      this.lost();
    }
  }

  setState(state, more) {
    this.state = state;
    this.tell.onState({ state, ...more });
  }

  statusChanged(status, reason) {
    if (!this.running) return;
    if (status === ConnectStatus.Connected) {
      clearTimeout(this.timer);
      this.attempt = 0;
      this.setState('online');
    } else if (status === ConnectStatus.ConnectFail || status === ConnectStatus.ConnectKick) {
      clearTimeout(this.timer);
      this.running = false;
      // Stops the heartbeat too, which would bring a kicked user back.
      this.sdk.connectManager.disconnect();
      this.setState(status === ConnectStatus.ConnectKick ? 'kicked' : 'failed', { reason });
    } else if (status === ConnectStatus.Disconnect) {
      this.lost();
    }
  }

  lost() {
    if (!this.running || this.state === 'waiting') return;
    clearTimeout(this.timer);
    this.sdk.connectManager.disconnect();
    const seconds = Math.min(RETRY_MAX_S, 2 ** this.attempt++);
    const wait = seconds * (0.75 + Math.random() / 2);
    this.setState('waiting', { seconds: wait });
    this.timer = setTimeout(() => this.connect(), wait * 1000);
  }

  // Queues the text; the SDK sends what is queued when it is connected, now or later.
  // {no, at}: what identifies the message, and its time in seconds.
  send(channelId, channelType, text) {
    const { chatManager } = this.sdk;
    const channel = this.sdk.newChannel(channelId, channelType);
    const packet = chatManager.getSendPacket(this.sdk.newMessageText(text), channel);
    this.packets.set(packet.clientMsgNo, packet);
    this.queue(packet);
    return { no: packet.clientMsgNo, at: Math.floor(Date.now() / 1000) };
  }

  // The same client_msg_no again: the server stores it once, whatever became of the first try.
  resend(no) {
    const packet = this.packets.get(no);
    if (!packet) return;
    this.sdk.chatManager.deleteMessageFromSendingQueue(packet.clientSeq);
    packet.clientSeq = this.sdk.chatManager.getClientSeq();
    this.queue(packet);
  }

  giveUp(no) {
    const packet = this.packets.get(no);
    if (packet) this.sdk.chatManager.deleteMessageFromSendingQueue(packet.clientSeq);
  }

  queue(packet) {
    const { chatManager, connectManager } = this.sdk;
    chatManager.sendingQueues.set(packet.clientSeq, packet);
    if (connectManager.connected()) connectManager.sendPacket(packet);
  }

  acknowledged(ack) {
    for (const [no, packet] of this.packets) {
      if (packet.clientSeq !== ack.clientSeq) continue;
      if (ack.reasonCode === 1) this.packets.delete(no);
      this.tell.onAck({ no, id: String(ack.messageID), seq: Number(ack.messageSeq) || 0,
        reason: ack.reasonCode });
      return;
    }
  }

  // A payload that is no JSON makes the SDK throw before it acknowledges.
  unreadable(packet, error) {
    if (!(packet instanceof RecvPacket)) throw error;
    this.sdk.chatManager.sendRecvackPacket(packet);
    const bytes = packet.payload instanceof Uint8Array ? packet.payload : new Uint8Array();
    this.tell.onMessage(plain(packet, describeBytes(bytes)));
  }
}
