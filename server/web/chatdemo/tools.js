// Language and theme: both are kept for the next visit.
import { h, icon } from './dom.js';
import { switchLanguage, t } from './i18n.js';

const KEY = 'wkim.theme';

export function applyTheme() {
  const theme = localStorage.getItem(KEY);
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function switchTheme() {
  localStorage.setItem(KEY, isDark() ? 'light' : 'dark');
  applyTheme();
}

export function toolButtons(onRedraw) {
  return [
    h('button', { class: 'tool', type: 'button', id: 'language',
      onclick: () => { switchLanguage(); onRedraw(); } }, t('language')),
    h('button', { class: 'tool', type: 'button', id: 'theme', 'aria-label': t('theme'),
      title: t('theme'), onclick: switchTheme }, icon('theme')),
  ];
}
