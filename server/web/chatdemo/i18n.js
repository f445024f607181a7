// The page's texts, English and Chinese. A key that is missing in one language is a build-time
// mistake; the browser test compares the two tables.

export const TEXTS = {
  en: {
    title: 'WuKongIM chat',
    tagline: 'Open this page in two tabs, sign in as two people, and talk.',
    uid: 'Your name', uidHint: 'for instance alice',
    password: 'Password', passwordHint: 'optional: the demo sets it',
    server: 'HTTP API address', signIn: 'Sign in', guest: 'Come in as a guest', signingIn: 'Signing in…',
    uidMissing: 'A name is needed.', uidBad: 'A name cannot contain @ # & or blanks.',
    urlBad: 'The API address must start with http:// or https://.',
    signOut: 'Sign out', language: '中文', theme: 'Light or dark', sdk: 'SDK {version}',
    connecting: 'connecting…', online: 'connected', waiting: 'disconnected, next try in {s} s',
    kicked: 'signed out by the server: {why}', failed: 'refused: {why}', retryNow: 'Try now',
    signInAgain: 'Sign in again',
    chats: 'Chats', newChat: 'New chat', search: 'Search chats',
    noChats: 'No chats yet. Start one with the + button.', noMatch: 'No chat matches.',
    choose: 'Choose a chat, or start one.', person: 'Person', group: 'Group',
    withPerson: 'Person', joinGroup: 'Join a group', makeGroup: 'New group',
    personId: 'Name of the person', groupId: 'Name of the group',
    members: 'Members', membersHint: 'names, separated by commas or blanks',
    start: 'Start', join: 'Join', create: 'Create', cancel: 'Cancel',
    idMissing: 'A name is needed.', idBad: 'Names cannot contain @ # & or blanks.',
    idSelf: 'That is you.', membersMissing: 'Name at least one other member.',
    message: 'Write a message', send: 'Send', sending: 'sending', sent: 'sent',
    notSent: 'not sent: {why}', retry: 'Send again', noAnswer: 'no answer from the server',
    back: 'Back to the chats', toEnd: 'New messages', older: 'Loading older messages…',
    beginning: 'This is the beginning.', empty: 'No messages yet. Say hello.',
    today: 'Today', yesterday: 'Yesterday', now: 'now', you: 'You',
    unsupported: '[message of type {type}]', unreadable: '[unreadable message]',
    unreadCount: '{n} unread', offlineNote: 'Messages go out as soon as the connection is back.',
    httpDown: 'The HTTP API at {url} does not answer.',
    httpAuth: 'The HTTP API wants a manager token, which a web page must not have.',
    httpError: 'The HTTP API answered: {why}', noAddress: 'The server names no WebSocket address.',
    mixed: 'This page came over https, but the server only offers ws:// ({url}).',
    reason: 'reason {code}',
  },
  zh: {
    title: 'WuKongIM 聊天',
    tagline: '在两个标签页中打开本页，用两个名字登录，就可以聊天了。',
    uid: '用户名', uidHint: '例如 alice',
    password: '密码', passwordHint: '可选：演示环境会自动设置',
    server: 'HTTP API 地址', signIn: '登录', guest: '以访客身份进入', signingIn: '正在登录…',
    uidMissing: '请输入用户名。', uidBad: '用户名不能包含 @ # & 或空格。',
    urlBad: 'API 地址必须以 http:// 或 https:// 开头。',
    signOut: '退出登录', language: 'English', theme: '浅色或深色', sdk: 'SDK {version}',
    connecting: '连接中…', online: '已连接', waiting: '已断开，{s} 秒后重试',
    kicked: '已被服务器下线：{why}', failed: '连接被拒绝：{why}', retryNow: '立即重试',
    signInAgain: '重新登录',
    chats: '会话', newChat: '发起聊天', search: '搜索会话',
    noChats: '还没有会话，点击 + 开始聊天。', noMatch: '没有匹配的会话。',
    choose: '选择一个会话，或发起新的聊天。', person: '单聊', group: '群聊',
    withPerson: '单聊', joinGroup: '加入群聊', makeGroup: '新建群聊',
    personId: '对方用户名', groupId: '群名称',
    members: '成员', membersHint: '用户名，用逗号或空格分隔',
    start: '开始', join: '加入', create: '创建', cancel: '取消',
    idMissing: '请输入名称。', idBad: '名称不能包含 @ # & 或空格。',
    idSelf: '这是你自己。', membersMissing: '请至少填写一位其他成员。',
    message: '输入消息', send: '发送', sending: '发送中', sent: '已发送',
    notSent: '发送失败：{why}', retry: '重新发送', noAnswer: '服务器没有应答',
    back: '返回会话列表', toEnd: '新消息', older: '正在加载更早的消息…',
    beginning: '没有更早的消息了。', empty: '还没有消息，打个招呼吧。',
    today: '今天', yesterday: '昨天', now: '刚刚', you: '你',
    unsupported: '[类型为 {type} 的消息]', unreadable: '[无法读取的消息]',
    unreadCount: '{n} 条未读', offlineNote: '连接恢复后消息会自动发出。',
    httpDown: '{url} 的 HTTP API 没有响应。',
    httpAuth: 'HTTP API 需要管理令牌，网页不能持有它。',
    httpError: 'HTTP API 返回：{why}', noAddress: '服务器没有提供 WebSocket 地址。',
    mixed: '本页通过 https 打开，但服务器只提供 ws:// ({url})。',
    reason: '原因 {code}',
  },
};

// Reason codes of the protocol, as a person would say them.
export const REASONS = {
  en: ['unknown', 'success', 'wrong token', 'you are not in this group', 'you are on the deny list',
    'the channel does not exist', 'wrong server for this user', 'the sender is offline',
    'wrong message key', 'the payload cannot be decoded', 'forwarding failed',
    'sending is not allowed', 'signed in elsewhere', 'you are not on the allow list',
    'the token cannot be checked', 'an error in the server', 'bad channel name', 'wrong server',
    'wrong server', 'banned', 'unsupported header', 'no client key', 'too many messages',
    'unsupported channel type', 'the channel was disbanded', 'the channel is closed for sending'],
  zh: ['未知', '成功', '令牌错误', '你不是群成员', '你在黑名单中', '频道不存在', '用户不在此节点',
    '发送者不在线', '消息密钥错误', '消息无法解码', '转发失败', '不允许发送', '账号在其他地方登录',
    '你不在白名单中', '无法验证令牌', '服务器错误', '频道名称错误', '节点错误', '节点错误', '已被封禁',
    '不支持的消息头', '缺少客户端密钥', '发送过于频繁', '不支持的频道类型', '频道已解散', '频道禁止发送'],
};

const saved = localStorage.getItem('wkim.language');
let language = saved === 'en' || saved === 'zh' ? saved
  : (navigator.language ?? '').toLowerCase().startsWith('zh') ? 'zh' : 'en';

export function currentLanguage() {
  return language;
}

export function switchLanguage() {
  language = language === 'en' ? 'zh' : 'en';
  localStorage.setItem('wkim.language', language);
}

export function t(key, values) {
  const text = TEXTS[language][key] ?? TEXTS.en[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? '')) : text;
}

export function reasonText(code) {
  return REASONS[language][code] ?? t('reason', { code });
}

export function clockText(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
}

function daysAgo(seconds) {
  const day = new Date(seconds * 1000).setHours(0, 0, 0, 0);
  return Math.round((new Date().setHours(0, 0, 0, 0) - day) / 86400000);
}

export function dayText(seconds) {
  const ago = daysAgo(seconds);
  if (ago <= 0) return t('today');
  if (ago === 1) return t('yesterday');
  const date = new Date(seconds * 1000);
  const sameYear = date.getFullYear() === new Date().getFullYear();
  return date.toLocaleDateString(language, {
    weekday: ago < 7 ? 'long' : undefined, year: sameYear ? undefined : 'numeric',
    month: 'long', day: 'numeric' });
}

// For the list: short, and exact enough.
export function agoText(seconds) {
  if (!seconds) return '';
  if (Date.now() / 1000 - seconds < 60) return t('now');
  const ago = daysAgo(seconds);
  if (ago <= 0) return clockText(seconds);
  if (ago === 1) return t('yesterday');
  return new Date(seconds * 1000).toLocaleDateString(language,
    ago < 7 ? { weekday: 'short' } : { month: 'numeric', day: 'numeric' });
}
