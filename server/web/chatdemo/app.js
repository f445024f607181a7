// The demo: signs people in, and shows the chats of one of them.
import { Api } from './api.js';
import { h, icon } from './dom.js';
import { currentLanguage, t } from './i18n.js';
import { loginView } from './login.js';
import { dropSession, go, loadSession, route } from './session.js';
import { sidebar } from './sidebar.js';
import { Store } from './store.js';
import { thread } from './thread.js';
import { applyTheme } from './tools.js';

const root = document.getElementById('app');
const toasts = h('div', { class: 'toasts', role: 'alert' });
let session = null;
let store = null;
let side = null;
let middle = null;

function toast(text) {
  const shown = [...toasts.children].find((n) => n.textContent === text);
  if (shown) return;
  const node = h('p', { class: 'toast' }, icon('alert'), text);
  toasts.append(node);
  setTimeout(() => node.remove(), 6000);
}

function clearViews() {
  side?.stop();
  middle?.stop();
  side = middle = null;
}

function showLogin(problem) {
  clearViews();
  document.title = t('title');
  root.replaceChildren(loginView({
    uid: route().params.get('uid') ?? '',
    problem,
    onSignedIn: (s) => {
      go('/chat', { uid: s.uid });
      enter(s);
    },
    onRedraw: render,
  }));
}

function showMiddle(pane) {
  const { params } = route();
  const id = params.get('channel');
  const type = Number(params.get('type')) || 1;
  middle?.stop();
  middle = null;
  root.firstElementChild.classList.toggle('in-chat', Boolean(id));
  if (!id) {
    store.close();
    pane.replaceChildren(h('div', { class: 'nothing' },
      h('img', { src: 'favicon.svg', width: 72, height: 72, alt: '' }), h('p', null, t('choose'))));
    return;
  }
  const c = store.openConversation(id, type);
  middle = thread({ store, c, onBack: () => openChat(null) });
  pane.replaceChildren(middle.node);
}

function openChat(id, type) {
  go('/chat', id ? { uid: store.uid, channel: id, type } : { uid: store.uid });
  showMiddle(root.querySelector('.pane'));
}

function showChat() {
  clearViews();
  side = sidebar({ store, api: store.api, onOpen: openChat, onSignOut: signOut, onRedraw: render });
  const pane = h('div', { class: 'pane' });
  root.replaceChildren(h('main', { class: 'chat' }, side.node, pane));
  showMiddle(pane);
}

function enter(s) {
  session = s;
  store = new Store(new Api(s.api), s.uid, s.token);
  store.addEventListener('problem', (e) => toast(e.detail));
  store.start();
  render();
}

function signOut() {
  const { uid } = store;
  store.stop();
  store = session = null;
  dropSession();
  go('/', { uid });
  render();
}

function render() {
  document.documentElement.lang = currentLanguage() === 'zh' ? 'zh-CN' : 'en';
  if (store) showChat();
  else showLogin();
}

// Old links carry a token in the address: it is not used, and does not stay there.
function cleanAddress() {
  const { path, params } = route();
  if (!params.has('token')) return;
  params.delete('token');
  go(path, Object.fromEntries(params), true);
}

function navigated() {
  cleanAddress();
  const { path, params } = route();
  const saved = loadSession();
  const uid = params.get('uid');
  if (path !== '/chat') {
    if (store) signOut();
    else showLogin();
  } else if (store && (!uid || uid === store.uid)) {
    showMiddle(root.querySelector('.pane'));
  } else if (!store && saved && (!uid || uid === saved.uid)) {
    enter(saved);
  } else {
    store?.stop();
    store = null;
    showLogin();
  }
}

applyTheme();
document.body.append(toasts);
window.addEventListener('popstate', navigated);
navigated();
