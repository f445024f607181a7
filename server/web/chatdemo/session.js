// Who is signed in in this tab: sessionStorage, so two tabs can be two people, and the token is in no
// address bar, bookmark or history.
const KEY = 'wkim.session';

export function loadSession() {
  try {
    const s = JSON.parse(sessionStorage.getItem(KEY));
    return s && s.uid && s.token && s.api ? s : null;
  } catch {
    return null;
  }
}

export function saveSession(session) {
  sessionStorage.setItem(KEY, JSON.stringify(session));
}

export function dropSession() {
  sessionStorage.removeItem(KEY);
}

// '#/chat?uid=alice&channel=team&type=2' -> {path, params}
export function route() {
  const [path, query] = location.hash.replace(/^#/, '').split('?');
  return { path: path || '/', params: new URLSearchParams(query ?? '') };
}

export function go(path, params = {}, replace = false) {
  const query = new URLSearchParams(params).toString();
  const url = `#${path}${query ? `?${query}` : ''}`;
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
}
