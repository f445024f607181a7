import { Api, defaultBase } from './api.js';
import { SDK_VERSION } from './adapter.js';
import { h } from './dom.js';
import { t } from './i18n.js';
import { badName } from './dialog.js';
import { saveSession } from './session.js';
import { toolButtons } from './tools.js';

// The token of somebody who gave no password; the same in each tab, so that the second sign-in of a
// user does not take the first one's token away.
const OPEN_TOKEN = 'default111111';

function guestName() {
  const number = crypto.getRandomValues(new Uint32Array(1))[0] % 9000 + 1000;
  return `guest${number}`;
}

export function loginView({ uid, problem, onSignedIn, onRedraw }) {
  const name = h('input', { id: 'uid', name: 'uid', autocomplete: 'username', maxlength: 40,
    autocapitalize: 'none', spellcheck: 'false', placeholder: t('uidHint'), value: uid ?? '' });
  const password = h('input', { id: 'password', name: 'password', type: 'password', maxlength: 64,
    autocomplete: 'current-password', placeholder: t('passwordHint') });
  const server = h('input', { id: 'server', name: 'server', type: 'url', inputmode: 'url',
    spellcheck: 'false', value: defaultBase() });
  const error = h('p', { class: 'error', role: 'alert', id: 'login-error' }, problem ?? '');
  const submit = h('button', { class: 'primary', type: 'submit' }, t('signIn'));
  const guest = h('button', { class: 'quiet', type: 'button', id: 'guest' }, t('guest'));

  async function signIn(who) {
    const base = server.value.trim().replace(/\/+$/, '');
    error.textContent = !who ? t('uidMissing') : badName(who) ? t('uidBad')
      : !/^https?:\/\/.+/.test(base) ? t('urlBad') : '';
    if (error.textContent) return;
    submit.disabled = guest.disabled = true;
    submit.textContent = t('signingIn');
    try {
      const api = new Api(base);
      const token = password.value || OPEN_TOKEN;
      await api.giveToken(who, token);
      await api.address(who);
      const session = { uid: who, token, api: base };
      saveSession(session);
      onSignedIn(session);
    } catch (e) {
      error.textContent = e.message;
      submit.disabled = guest.disabled = false;
      submit.textContent = t('signIn');
    }
  }

  guest.addEventListener('click', () => signIn(guestName()));
  const form = h('form', { class: 'card login', novalidate: true,
    onsubmit: (e) => { e.preventDefault(); signIn(name.value.trim()); } },
    h('img', { src: 'favicon.svg', width: 52, height: 52, alt: '' }),
    h('h1', null, t('title')),
    h('p', { class: 'soft' }, t('tagline')),
    h('label', { for: 'uid' }, t('uid')), name,
    h('label', { for: 'password' }, t('password')), password,
    h('label', { for: 'server' }, t('server')), server,
    error, submit, guest,
    h('p', { class: 'soft small' }, t('sdk', { version: SDK_VERSION }), ' · ',
      h('a', { href: 'licences.txt' }, t('licences'))));
  queueMicrotask(() => name.focus());
  return h('main', { class: 'login-page' }, h('div', { class: 'corner' }, toolButtons(onRedraw)), form);
}
