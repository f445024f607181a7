// Message payloads as the demo shows them. The payload is JSON with a `type`; what it is not able to
// show stays a message with a number, never an error.

export const TEXT = 1;
const COMMAND = 99;

function fill(template, extra) {
  return String(template ?? '').replace(/\{(\d+)\}/g, (all, i) => {
    const who = Array.isArray(extra) ? extra[Number(i)] : undefined;
    return String(who?.name ?? who?.uid ?? all);
  });
}

// {kind: 'text' | 'system' | 'other' | 'unreadable' | 'command', text, type}
export function describe(payload) {
  if (payload === null || typeof payload !== 'object') return { kind: 'unreadable', text: '', type: 0 };
  const type = Number(payload.type) || 0;
  if (type === TEXT) return { kind: 'text', text: String(payload.content ?? ''), type };
  if (type === COMMAND) return { kind: 'command', text: '', type };
  if (type >= 1000 && type <= 2000)
    return { kind: 'system', text: fill(payload.content, payload.extra), type };
  return { kind: 'other', text: '', type };
}

export function describeBytes(bytes) {
  try {
    return describe(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return describe(null);
  }
}

export function describeBase64(text) {
  try {
    return describeBytes(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  } catch {
    return describe(null);
  }
}
