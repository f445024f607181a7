// What the page knows: conversations, their messages, the state of the link. It changes only here;
// views listen to 'list', 'messages' (of one conversation), 'link' and 'problem'.
import { Link } from './adapter.js';

const PAGE = 30;
const NO_ANSWER_S = 20;

export const keyOf = (id, type) => `${type}:${id}`;

export class Store extends EventTarget {
  constructor(api, uid, token) {
    super();
    this.api = api;
    this.uid = uid;
    this.conversations = new Map();
    this.open = null;
    this.link = { state: 'connecting' };
    this.connection = new Link({
      uid, token,
      address: () => api.address(uid),
      onState: (s) => this.linkChanged(s),
      onMessage: (m) => this.received(m),
      onAck: (a) => this.acknowledged(a),
      onProblem: (e) => this.problem(e),
    });
  }

  start() {
    this.connection.start();
    this.watch = setInterval(() => this.failSilent(), 2000);
    this.onVisible = () => this.markRead(this.open);
    this.onOnline = () => this.connection.retryNow();
    document.addEventListener('visibilitychange', this.onVisible);
    window.addEventListener('focus', this.onVisible);
    window.addEventListener('online', this.onOnline);
  }

  stop() {
    clearInterval(this.watch);
    document.removeEventListener('visibilitychange', this.onVisible);
    window.removeEventListener('focus', this.onVisible);
    window.removeEventListener('online', this.onOnline);
    this.connection.stop();
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  problem(error) {
    this.emit('problem', error instanceof Error ? error.message : String(error));
  }

  attempt(promise) {
    promise.catch((error) => this.problem(error));
  }

  linkChanged(link) {
    this.link = link;
    this.emit('link');
    if (link.state !== 'online') return;
    this.onlineSince = Date.now();
    this.attempt(this.syncConversations());
    for (const c of this.conversations.values()) c.stale = true;
    if (this.open) this.attempt(this.loadNewest(this.open));
  }

  conversation(id, type) {
    const key = keyOf(id, type);
    let c = this.conversations.get(key);
    if (!c) {
      c = { key, id, type, unread: 0, at: 0, last: null, messages: [], byNo: new Map(),
        read: null, loaded: false, stale: false, older: false, loading: null };
      this.conversations.set(key, c);
      this.emit('list');
    }
    return c;
  }

  async syncConversations() {
    for (const row of await this.api.conversations(this.uid)) {
      const c = this.conversation(row.id, row.type);
      if (c !== this.open) c.unread = row.unread;
      c.at = Math.max(c.at, row.at);
      if (row.last && (!c.last || row.last.seq >= c.last.seq)) c.last = row.last;
    }
    this.markRead(this.open);
    this.emit('list');
  }

  // Adds what is new; a message known by its number takes over what the server says about it.
  merge(c, messages) {
    let changed = false;
    for (const m of messages) {
      const known = c.byNo.get(m.no);
      if (known) {
        if (known.seq === 0 && m.seq > 0) {
          Object.assign(known, { id: m.id, seq: m.seq, state: 'sent' });
          changed = true;
        }
        continue;
      }
      if (m.kind === 'command') continue;
      const row = { state: 'sent', ...m };
      c.byNo.set(m.no, row);
      c.messages.push(row);
      changed = true;
    }
    if (changed) this.sort(c);
  }

  // By message_seq. What waits for its number is at the end; what never gets one (it is not stored)
  // stays behind the message it came after.
  sort(c) {
    const newest = Math.max(0, ...c.messages.map((m) => m.seq));
    const order = (m) => {
      if (m.seq) return m.seq;
      if (m.state !== 'sent') return Infinity;
      m.after ??= newest;
      return m.after + 0.5;
    };
    c.messages.forEach((m, i) => { m.place = i; });
    c.messages.sort((a, b) => order(a) === order(b) ? a.place - b.place : order(a) - order(b));
    const last = c.messages[c.messages.length - 1];
    if (last) {
      c.last = last;
      c.at = Math.max(c.at, last.at);
    }
    this.emit('messages', c);
    this.emit('list');
  }

  // Messages below `oldest` that do not reach up to it lie behind a hole: they go, and are loaded again
  // when somebody scrolls there.
  dropBehindHole(c, oldest) {
    if (c.messages.some((m) => m.seq === oldest - 1)) return;
    c.messages = c.messages.filter((m) => m.seq === 0 || m.seq >= oldest);
    c.byNo = new Map(c.messages.map((m) => [m.no, m]));
  }

  loadNewest(c) {
    c.loading ??= (async () => {
      try {
        const messages = await this.api.messages(this.uid, c.id, c.type, 0, PAGE);
        if (messages.length) this.dropBehindHole(c, messages[0].seq);
        c.loaded = true;
        c.stale = false;
        this.merge(c, messages);
        c.older = c.messages.find((m) => m.seq > 0)?.seq > 1;
      } finally {
        c.loading = null;
        this.emit('messages', c);
      }
    })();
    return c.loading;
  }

  loadOlder(c) {
    const first = c.messages.find((m) => m.seq > 0)?.seq ?? 0;
    if (c.loading || !c.older || first <= 1) return Promise.resolve();
    c.loading = (async () => {
      try {
        const messages = await this.api.messages(this.uid, c.id, c.type, first - 1, PAGE);
        c.older = messages.length > 0 && messages[0].seq > 1;
        this.merge(c, messages);
      } finally {
        c.loading = null;
        this.emit('messages', c);
      }
    })();
    this.emit('messages', c);
    return c.loading;
  }

  openConversation(id, type) {
    const c = this.conversation(id, type);
    if (c.at === 0) c.at = Math.floor(Date.now() / 1000);
    this.open = c;
    if (!c.loaded || c.stale) this.attempt(this.loadNewest(c));
    this.markRead(c);
    this.emit('list');
    return c;
  }

  close() {
    this.open = null;
    this.emit('list');
  }

  // Reading happens in front of eyes: a hidden tab leaves the count alone.
  markRead(c) {
    if (!c || c !== this.open || document.visibilityState !== 'visible') return;
    const seq = c.last?.seq ?? 0;
    if (c.unread === 0 && c.read === seq) return;
    if (c.unread > 0) this.emit('list');
    c.unread = 0;
    c.read = seq;
    clearTimeout(c.readTimer);
    c.readTimer = setTimeout(() =>
      this.attempt(this.api.clearUnread(this.uid, c.id, c.type)), 200);
  }

  received(m) {
    if (m.kind === 'command') return;
    const c = this.conversation(m.channelId, m.channelType);
    const repeated = c.byNo.has(m.no);
    this.merge(c, [m]);
    if (repeated || m.from === this.uid || !m.counts) return;
    c.unread++;
    this.markRead(c);
    this.emit('list');
  }

  send(c, text) {
    const { no, at } = this.connection.send(c.id, c.type, text);
    const m = { no, id: '', seq: 0, from: this.uid, at, kind: 'text', text, type: 1,
      state: 'sending', since: Date.now() };
    c.byNo.set(no, m);
    c.messages.push(m);
    this.sort(c);
  }

  retry(c, m) {
    Object.assign(m, { state: 'sending', since: Date.now(), reason: undefined });
    this.connection.resend(m.no);
    this.emit('messages', c);
  }

  find(no) {
    for (const c of this.conversations.values())
      if (c.byNo.has(no)) return [c, c.byNo.get(no)];
    return [null, null];
  }

  acknowledged({ no, id, seq, reason }) {
    const [c, m] = this.find(no);
    if (!m) return;
    if (reason === 1) Object.assign(m, { id, seq, state: 'sent' });
    else Object.assign(m, { state: 'failed', reason });
    this.sort(c);
  }

  // A message that an open connection does not answer is not left spinning.
  failSilent() {
    if (this.link.state !== 'online') return;
    for (const c of this.conversations.values())
      for (let i = c.messages.length - 1; i >= 0 && c.messages[i].seq === 0; i--) {
        const m = c.messages[i];
        const since = Math.max(m.since ?? 0, this.onlineSince);
        if (m.state !== 'sending' || Date.now() - since < NO_ANSWER_S * 1000) continue;
        m.state = 'failed';
        this.connection.giveUp(m.no);
        this.emit('messages', c);
      }
  }

  unreadTotal() {
    let sum = 0;
    for (const c of this.conversations.values()) sum += c.unread;
    return sum;
  }
}
