// Left column: who am I, the state of the link, the chats.
import { GROUP } from './api.js';
import { avatar, batched, h, icon, place } from './dom.js';
import { agoText, reasonText, t } from './i18n.js';
import { newChatDialog } from './dialog.js';
import { toolButtons } from './tools.js';

export function digest(store, c) {
  const m = c.last;
  if (!m) return '';
  const text = m.kind === 'text' || m.kind === 'system' ? m.text.replace(/\s+/g, ' ')
    : m.kind === 'unreadable' ? t('unreadable') : t('unsupported', { type: m.type });
  const who = m.from === store.uid ? t('you') : m.from;
  return c.type === GROUP && m.kind !== 'system' && who ? `${who}: ${text}` : text;
}

function linkText(link, deadline) {
  switch (link.state) {
    case 'online': return t('online');
    case 'waiting': return t('waiting', { s: Math.max(0, Math.ceil((deadline - Date.now()) / 1000)) });
    case 'kicked': return t('kicked', { why: reasonText(link.reason) });
    case 'failed': return t('failed', { why: reasonText(link.reason) });
    default: return t('connecting');
  }
}

function linkLine(store, onSignInAgain) {
  const dot = h('span', { class: 'dot' });
  const text = h('span', { id: 'link-text' });
  const again = h('button', { class: 'link', type: 'button' });
  const line = h('div', { class: 'link-line', role: 'status' }, dot, text, again);
  let deadline = 0;

  again.addEventListener('click', () => {
    if (store.link.state === 'waiting') store.connection.retryNow();
    else onSignInAgain();
  });
  const draw = () => {
    const { state } = store.link;
    line.dataset.state = state;
    text.textContent = linkText(store.link, deadline);
    again.hidden = !['waiting', 'kicked', 'failed'].includes(state);
    again.textContent = state === 'waiting' ? t('retryNow') : t('signInAgain');
  };
  const changed = () => {
    deadline = Date.now() + (store.link.seconds ?? 0) * 1000;
    draw();
  };
  store.addEventListener('link', changed);
  const tick = setInterval(() => { if (store.link.state === 'waiting') draw(); }, 1000);
  changed();
  return { line, stop: () => { clearInterval(tick); store.removeEventListener('link', changed); } };
}

function rowOf(store, c, onOpen) {
  const name = h('span', { class: 'name' }, c.id);
  const at = h('time', { class: 'soft small' });
  const last = h('span', { class: 'digest soft' });
  const badge = h('span', { class: 'badge' });
  const button = h('button', { type: 'button', class: 'chat-row', 'data-key': c.key,
    onclick: () => onOpen(c.id, c.type) },
    avatar(c.id, c.type === GROUP),
    h('span', { class: 'chat-text' },
      h('span', { class: 'row' }, name, at), h('span', { class: 'row' }, last, badge)));
  return {
    node: h('li', null, button),
    draw() {
      at.textContent = agoText(c.last?.at ?? c.at);
      last.textContent = digest(store, c);
      badge.textContent = c.unread > 99 ? '99+' : String(c.unread || '');
      badge.setAttribute('aria-label', c.unread ? t('unreadCount', { n: c.unread }) : '');
      badge.hidden = c.unread === 0;
      button.classList.toggle('open', store.open === c);
      button.setAttribute('aria-current', String(store.open === c));
    },
  };
}

export function sidebar({ store, api, onOpen, onSignOut, onRedraw }) {
  const rows = new Map();
  const list = h('ul', { class: 'chat-list', 'aria-label': t('chats') });
  const note = h('p', { class: 'soft note' });
  const search = h('input', { type: 'search', id: 'search', placeholder: t('search'),
    'aria-label': t('search'), oninput: () => draw() });
  const link = linkLine(store, onSignOut);

  const draw = batched(() => {
    const wanted = search.value.trim().toLowerCase();
    const shown = [...store.conversations.values()]
      .filter((c) => c.id.toLowerCase().includes(wanted))
      .sort((a, b) => (b.last?.at ?? b.at) - (a.last?.at ?? a.at));
    place(list, shown.map((c) => {
      if (!rows.has(c.key)) rows.set(c.key, rowOf(store, c, onOpen));
      const row = rows.get(c.key);
      row.draw();
      return row.node;
    }));
    note.textContent = shown.length ? '' : wanted ? t('noMatch') : t('noChats');
    const unread = store.unreadTotal();
    document.title = `${unread ? `(${unread}) ` : ''}${store.uid} · ${t('title')}`;
  });

  store.addEventListener('list', draw);
  const minute = setInterval(draw, 30000);
  draw();
  const node = h('aside', { class: 'sidebar' },
    h('header', { class: 'me' }, avatar(store.uid, false),
      h('div', { class: 'me-text' }, h('strong', { id: 'me' }, store.uid), link.line),
      h('button', { class: 'tool', type: 'button', id: 'sign-out', 'aria-label': t('signOut'),
        title: t('signOut'), onclick: onSignOut }, icon('leave'))),
    h('div', { class: 'row tools' },
      h('span', { class: 'search' }, icon('search'), search),
      h('button', { class: 'round', type: 'button', id: 'new-chat', 'aria-label': t('newChat'),
        title: t('newChat'),
        onclick: () => newChatDialog({ api, uid: store.uid, onStart: onOpen }) }, icon('plus'))),
    h('nav', { class: 'chat-nav' }, list, note),
    h('footer', { class: 'row foot' }, toolButtons(onRedraw)));
  return {
    node,
    stop() {
      clearInterval(minute);
      link.stop();
      store.removeEventListener('list', draw);
    },
  };
}
