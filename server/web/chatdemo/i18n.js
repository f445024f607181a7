// Language, words and times as the reader expects them.
import { REASONS, TEXTS } from './texts.js';

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
