// The business HTTP API, called from the browser as the demo of v2 does. A real product calls it
// from its own back-end.
import { t } from './i18n.js';
import { describeBase64 } from './content.js';

const LIMIT_MS = 15000;
export const PERSON = 1;
export const GROUP = 2;

export function defaultBase() {
  const asked = new URLSearchParams(location.search).get('apiurl');
  return (asked || `${location.protocol}//${location.hostname}:5001`).replace(/\/+$/, '');
}

function message(m) {
  return {
    no: m.client_msg_no,
    id: m.message_idstr ?? String(m.message_id),
    seq: m.message_seq,
    from: m.from_uid,
    at: m.timestamp,
    ...describeBase64(m.payload),
  };
}

export class Api {
  constructor(base) {
    this.base = base;
  }

  async call(method, path, body) {
    let answer;
    try {
      answer = await fetch(this.base + path, {
        method,
        headers: body ? { 'Content-Type': 'application/json' } : {},
        body: body && JSON.stringify(body),
        credentials: 'omit',
        signal: AbortSignal.timeout(LIMIT_MS),
      });
    } catch {
      throw new Error(t('httpDown', { url: this.base }));
    }
    if (answer.status === 401) throw new Error(t('httpAuth'));
    const data = await answer.json().catch(() => null);
    if (!answer.ok) throw new Error(t('httpError', { why: data?.msg ?? answer.status }));
    return data;
  }

  async giveToken(uid, token) {
    const answer = await this.call('POST', '/user/token',
      { uid, token, device_flag: 1, device_level: 0 });
    // A banned user is answered 200 with a reason code in the body.
    if (answer?.status !== undefined && answer.status !== 200)
      throw new Error(t('httpError', { why: t('reason', { code: answer.status }) }));
  }

  async address(uid) {
    const route = await this.call('GET', `/route?uid=${encodeURIComponent(uid)}`);
    const address = route?.wss_addr || route?.ws_addr;
    if (!address) throw new Error(t('noAddress'));
    if (location.protocol === 'https:' && address.startsWith('ws://'))
      throw new Error(t('mixed', { url: address }));
    return address;
  }

  async conversations(uid) {
    const list = await this.call('POST', '/conversation/sync', { uid, version: 0, msg_count: 1 });
    return (Array.isArray(list) ? list : []).map((c) => ({
      id: c.channel_id,
      type: c.channel_type,
      unread: c.unread,
      at: c.timestamp,
      last: c.recents?.length ? message(c.recents[0]) : null,
    }));
  }

  // Messages ascending by seq; before 0: the newest.
  async messages(uid, id, type, before, limit) {
    const answer = await this.call('POST', '/channel/messagesync', {
      login_uid: uid, channel_id: id, channel_type: type, start_message_seq: before,
      end_message_seq: 0, pull_mode: 0, limit });
    return (answer?.messages ?? []).map(message);
  }

  clearUnread(uid, id, type) {
    return this.call('POST', '/conversations/setUnread',
      { uid, channel_id: id, channel_type: type, unread: 0 });
  }

  joinGroup(id, uids) {
    return this.call('POST', '/channel/subscriber_add',
      { channel_id: id, channel_type: GROUP, subscribers: uids });
  }

  makeGroup(id, uids) {
    return this.call('POST', '/channel', { channel_id: id, channel_type: GROUP, subscribers: uids });
  }
}
