// Middle column: the messages of the open chat and the field to write one.
import { GROUP } from './api.js';
import { avatar, batched, h, icon, linked, place } from './dom.js';
import { clockText, dayText, reasonText, t } from './i18n.js';

const TOGETHER_S = 300; // messages of one sender closer than this form a block
const NEAR_PX = 80;

function bodyOf(m) {
  if (m.kind === 'text') return linked(m.text);
  if (m.kind === 'system') return [m.text];
  return [m.kind === 'unreadable' ? t('unreadable') : t('unsupported', { type: m.type })];
}

function rowOf(store, c, m) {
  const mine = m.from === store.uid;
  const state = h('span', { class: 'state' });
  const retry = h('button', { class: 'link', type: 'button', onclick: () => store.retry(c, m) },
    t('retry'));
  const bubble = h('div', { class: `bubble ${m.kind === 'text' ? '' : 'odd'}` },
    h('span', { class: 'text' }, bodyOf(m)),
    h('span', { class: 'meta' }, h('time', null, clockText(m.at)), mine ? state : null));
  const why = h('p', { class: 'why' });
  const node = m.kind === 'system'
    ? h('li', { class: 'system' }, ...bodyOf(m))
    : h('li', { class: `message ${mine ? 'mine' : 'theirs'}`, 'data-no': m.no },
      mine ? null : avatar(m.from || '?', false, 'small'),
      h('div', { class: 'stack' },
        !mine && c.type === GROUP ? h('span', { class: 'sender' }, m.from) : null, bubble, why));
  let drawn;
  return {
    node,
    draw(follows) {
      node.classList.toggle('follows', follows);
      if (drawn === m.state) return;
      drawn = m.state;
      node.dataset.state = m.state;
      state.replaceChildren(icon({ sending: 'clock', sent: 'check', failed: 'alert' }[m.state]));
      state.setAttribute('title', m.state === 'failed' ? '' : t(m.state));
      why.replaceChildren(...(m.state === 'failed'
        ? [t('notSent', { why: m.reason === undefined ? t('noAnswer') : reasonText(m.reason) }),
          ' ', retry] : []));
    },
  };
}

// Rows and day lines, in order; nodes are made once per message.
function rowsOf(store, c, made) {
  const nodes = [];
  let day = '';
  let before = null;
  for (const m of c.messages) {
    const text = dayText(m.at);
    if (text !== day) {
      day = text;
      before = null;
      const key = `day ${text}`;
      if (!made.has(key)) made.set(key, { node: h('li', { class: 'day' }, h('span', null, text)) });
      nodes.push(made.get(key).node);
    }
    if (!made.has(m.no)) made.set(m.no, rowOf(store, c, m));
    const row = made.get(m.no);
    row.draw(before !== null && before.from === m.from && m.at - before.at < TOGETHER_S &&
      before.kind !== 'system');
    nodes.push(row.node);
    before = m;
  }
  return nodes;
}

function composer(store, c) {
  const field = h('textarea', { id: 'compose', rows: 1, maxlength: 5000, placeholder: t('message'),
    'aria-label': t('message') });
  const button = h('button', { class: 'round', type: 'submit', id: 'send', 'aria-label': t('send'),
    title: t('send'), disabled: true }, icon('send'));
  const note = h('p', { class: 'soft small note' });
  const fit = () => {
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight, 160)}px`;
    button.disabled = field.value.trim() === '';
  };
  const submit = () => {
    const text = field.value.trim();
    if (!text) return;
    field.value = '';
    fit();
    store.send(c, text);
    field.focus();
  };
  field.addEventListener('input', fit);
  // Enter also ends a word in an input method; then it is not meant for us.
  field.addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || e.shiftKey || e.isComposing || e.keyCode === 229) return;
    e.preventDefault();
    submit();
  });
  const linkChanged = () => {
    note.textContent = store.link.state === 'online' ? '' : t('offlineNote');
  };
  store.addEventListener('link', linkChanged);
  linkChanged();
  return {
    node: h('form', { class: 'composer', onsubmit: (e) => { e.preventDefault(); submit(); } },
      note, h('div', { class: 'row' }, field, button)),
    focus: () => field.focus(),
    stop: () => store.removeEventListener('link', linkChanged),
  };
}

export function thread({ store, c, onBack }) {
  const made = new Map();
  const list = h('ol', { class: 'messages', role: 'log', 'aria-live': 'polite' });
  const head = h('p', { class: 'soft small note top' });
  const scroller = h('div', { class: 'scroller', tabindex: '0' }, head, list);
  const toEnd = h('button', { class: 'to-end', type: 'button', hidden: true,
    onclick: () => { scroller.scrollTop = scroller.scrollHeight; } }, icon('down'), t('toEnd'));
  const write = composer(store, c);
  const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;
  let stick = true;
  let newest = null;

  const draw = batched(() => {
    const nodes = rowsOf(store, c, made);
    const last = c.messages[c.messages.length - 1] ?? null;
    const height = scroller.scrollHeight;
    const top = scroller.scrollTop;
    const grewAtEnd = last !== newest;
    place(list, nodes);
    head.textContent = c.loading ? t('older') : !c.loaded ? ''
      : c.messages.length === 0 ? t('empty') : c.older ? '' : t('beginning');
    if (stick || (grewAtEnd && last?.from === store.uid)) scroller.scrollTop = scroller.scrollHeight;
    else if (!grewAtEnd) scroller.scrollTop = top + scroller.scrollHeight - height;
    toEnd.hidden = atEnd() || !(grewAtEnd || !toEnd.hidden);
    newest = last;
  });
  const onMessages = (e) => { if (e.detail === c) draw(); };

  scroller.addEventListener('scroll', () => {
    stick = atEnd();
    if (stick) toEnd.hidden = true;
    if (scroller.scrollTop < 250) store.attempt(store.loadOlder(c));
  });
  store.addEventListener('messages', onMessages);
  draw();
  if (!matchMedia('(max-width: 720px)').matches) queueMicrotask(write.focus);
  return {
    node: h('section', { class: 'thread', 'aria-label': c.id },
      h('header', { class: 'thread-head' },
        h('button', { class: 'tool back', type: 'button', 'aria-label': t('back'), onclick: onBack },
          icon('back')),
        avatar(c.id, c.type === GROUP),
        h('div', null, h('strong', { id: 'thread-name' }, c.id),
          h('p', { class: 'soft small' }, c.type === GROUP ? t('group') : t('person')))),
      h('div', { class: 'log' }, scroller, toEnd), write.node),
    stop() {
      store.removeEventListener('messages', onMessages);
      write.stop();
    },
  };
}
