// Elements without a framework. Text always enters as text: nothing here parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'class') el.className = value;
    else if (name === 'value') el.value = value;
    else el.setAttribute(name, value === true ? '' : String(value));
  }
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

const ICONS = {
  send: 'M3.4 20.4 21 12 3.4 3.6 3 10l10 2-10 2z',
  plus: 'M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z',
  back: 'M14.7 5.3 16.1 6.7 10.8 12l5.3 5.3-1.4 1.4L8 12z',
  down: 'M5.3 9.3 6.7 7.9 12 13.2l5.3-5.3 1.4 1.4L12 16z',
  leave: 'M10 4H5a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1h5v-2H6V6h4zm5.6 3.6-1.4 1.4 2 2H9v2h7.2l-2 2 1.4 1.4L20 12z',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  group: 'M9 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm0 2c-3.3 0-7 1.6-7 4.4V20h14v-1.6C16 15.6 12.3 14 9 14zm7.5-2a3.5 3.5 0 0 0 0-7c-.4 0-.8.1-1.2.2a5.9 5.9 0 0 1 0 6.6c.4.1.8.2 1.2.2zm1 2.1c1.3.9 2.5 2.3 2.5 4.3V20h3v-1.6c0-2.4-2.9-3.9-5.5-4.3z',
  alert: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm1 15h-2v-2h2zm0-4h-2V7h2z',
  clock: 'M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 18a8 8 0 1 1 0-16 8 8 0 0 1 0 16zm.8-13H11v6l5 3 .8-1.3-4-2.4z',
  check: 'M9.5 16.2 5.3 12l-1.4 1.4 5.6 5.6 11-11-1.4-1.4z',
  search: 'M10 4a6 6 0 1 0 3.7 10.7l5 5 1.4-1.4-5-5A6 6 0 0 0 10 4zm0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8z',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// A stable colour per id, drawn locally: no picture is fetched from anywhere.
export function avatar(id, group, size = '') {
  let hash = 0;
  for (const c of id) hash = (hash * 31 + c.codePointAt(0)) >>> 0;
  const el = h('span', { class: `avatar ${group ? 'group' : ''} ${size}`, 'aria-hidden': 'true' });
  el.style.setProperty('--hue', String((hash % 24) * 15));
  el.append(([...id][0] ?? '?').toUpperCase());
  return el;
}

const LINK = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}，。；：！？）】]/g;

// Text with its web addresses as links; everything else stays text.
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(LINK)) {
    if (found.index > at) parts.push(text.slice(at, found.index));
    parts.push(h('a', { href: found[0], target: '_blank', rel: 'noopener noreferrer' }, found[0]));
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

// Puts `nodes` into `parent` in this order, moving and removing as little as possible.
export function place(parent, nodes) {
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Runs `draw` once after everything that asked for it in this turn.
export function batched(draw) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    queueMicrotask(() => {
      waits = false;
      draw();
    });
  };
}
