// "New chat": with a person, in a group that exists, in a group made now.
import { GROUP, PERSON } from './api.js';
import { h } from './dom.js';
import { t } from './i18n.js';

export function badName(id) {
  return /[@#&\s]/.test(id);
}

function memberNames(text) {
  return [...new Set(text.split(/[\s,，;；]+/).filter(Boolean))];
}

const MODES = ['person', 'join', 'make'];

export function newChatDialog({ api, uid, onStart }) {
  let mode = 'person';
  const id = h('input', { id: 'chat-id', maxlength: 60, autocapitalize: 'none', autocomplete: 'off',
    spellcheck: 'false' });
  const members = h('input', { id: 'chat-members', autocapitalize: 'none', autocomplete: 'off',
    spellcheck: 'false', placeholder: t('membersHint') });
  const idLabel = h('label', { for: 'chat-id' });
  const membersRow = h('div', null, h('label', { for: 'chat-members' }, t('members')), members);
  const error = h('p', { class: 'error', role: 'alert' });
  const submit = h('button', { class: 'primary', type: 'submit' });
  const labels = { person: t('withPerson'), join: t('joinGroup'), make: t('makeGroup') };
  const tabs = MODES.map((m) => h('button', { type: 'button', role: 'tab', 'data-mode': m,
    onclick: () => show(m) }, labels[m]));

  function show(next) {
    mode = next;
    for (const tab of tabs) tab.setAttribute('aria-selected', String(tab.dataset.mode === mode));
    idLabel.textContent = mode === 'person' ? t('personId') : t('groupId');
    membersRow.hidden = mode !== 'make';
    submit.textContent = { person: t('start'), join: t('join'), make: t('create') }[mode];
    error.textContent = '';
    id.focus();
  }

  function mistake(name, uids) {
    if (!name) return t('idMissing');
    if (badName(name) || uids.some(badName)) return t('idBad');
    if (mode === 'person' && name === uid) return t('idSelf');
    if (mode === 'make' && uids.length < 2) return t('membersMissing');
    return '';
  }

  async function start() {
    const name = id.value.trim();
    const uids = [...new Set([uid, ...memberNames(members.value)])];
    error.textContent = mistake(name, mode === 'make' ? uids : []);
    if (error.textContent) return;
    submit.disabled = true;
    try {
      if (mode === 'join') await api.joinGroup(name, [uid]);
      if (mode === 'make') await api.makeGroup(name, uids);
      dialog.close();
      onStart(name, mode === 'person' ? PERSON : GROUP);
    } catch (e) {
      error.textContent = e.message;
    }
    submit.disabled = false;
  }

  const dialog = h('dialog', { class: 'card', 'aria-label': t('newChat'),
    onclose: () => dialog.remove(),
    onclick: (e) => { if (e.target === dialog) dialog.close(); } },
    h('form', { novalidate: true, onsubmit: (e) => { e.preventDefault(); start(); } },
      h('h2', null, t('newChat')),
      h('div', { class: 'tabs', role: 'tablist' }, tabs),
      idLabel, id, membersRow, error,
      h('div', { class: 'row end' },
        h('button', { class: 'quiet', type: 'button', onclick: () => dialog.close() }, t('cancel')),
        submit)));
  document.body.append(dialog);
  dialog.showModal();
  show('person');
}
