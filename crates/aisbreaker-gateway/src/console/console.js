// The console: mints, inspects and tries keys, by the public API, without any authority of its own.
//
// Only variables and fields hold a key. Whatever comes from a server or a model is text.

const BASE = new URL('../', location.href); // of the API, below any prefix of a proxy
const $ = (id) => document.getElementById(id);

// ---- Elements ----

/** Makes an element of `tag.class.class`, perhaps with properties, and its content. */
function h(selector, ...content) {
  const [tag, ...classes] = selector.split('.');
  const element = document.createElement(tag);
  element.className = classes.join(' ');
  const properties = content[0]?.constructor === Object ? content.shift() : {};
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== 'list') element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...content.filter(Boolean));
  return element;
}

const stack = (...content) => h('div.stack', ...content);
const hint = (text) => h('p.hint', text);
const details = (title, ...content) => h('details', h('summary', title), stack(...content));
const facts = (...rows) => rows.filter(([, value]) => value).map(([name, value]) => h('div', h('dt', name), h('dd', value)));

function button(text, click, classes = '') {
  const element = h(`button${classes}`, { type: 'button' }, text);
  element.addEventListener('click', click);
  return element;
}

let fieldCount = 0;

/** A control with its label, what it is for, and room for what is wrong with it. */
function field(label, { tag = 'input', about, choices = [], ...properties } = {}) {
  const id = `field-${++fieldCount}`;
  const options = choices.map(([value, text]) => h('option', { value }, text));
  // Password managers would store keys.
  const unstored = { autocomplete: 'off', 'data-1p-ignore': '', 'data-lpignore': true, spellcheck: false };
  const control = h(tag, { id, ...unstored, 'aria-describedby': `${id}-note`, ...properties }, ...options);
  const error = h('span.error');
  const note = h('p.hint', { id: `${id}-note` }, error, about);
  control.addEventListener('input', () => {
    error.textContent = '';
    control.ariaInvalid = null;
  });
  return {
    control,
    root: h('div.field', h('label', { htmlFor: id }, label), control, note),
    get value() { return control.value.trim(); },
    refuse(text) {
      error.textContent = `${text} `;
      control.ariaInvalid = 'true';
    },
  };
}

const area = (label, about, more) => field(label, { tag: 'textarea', rows: 2, about, ...more });

/** Shows what would hide or reorder the text beside it, and cuts what is endless. */
function clean(text, most = 2000) {
  const all = String(text);
  const shown = all.slice(0, most).replace(/[^\n\t\P{C}]|[\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  return all.length > most ? `${shown}…` : shown;
}

const code = (text) => text && h('code', clean(text, 100));
const list = (value) => (Array.isArray(value) ? value : []);

function chips(texts) {
  const more = texts.length > 100 && h('li', `and ${number(texts.length - 100)} more`);
  return texts.length ? h('ul.chips', ...texts.slice(0, 100).map((text) => h('li', clean(text, 300))), more) : 'none';
}

function announce(text) {
  $('status').textContent = text;
}

async function copy(source, control) {
  const before = control.textContent;
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    control.textContent = 'Copied';
  } catch {
    // Without a secure context there is no clipboard; a key stroke copies the selection.
    getSelection().selectAllChildren(source);
    source.select?.();
    control.textContent = 'Press Ctrl+C';
  }
  announce(control.textContent);
  setTimeout(() => { control.textContent = before; }, 2000);
}

// ---- Words ----

const UNITS = { year: 31557600, week: 604800, day: 86400, hour: 3600, minute: 60, second: 1 };
const number = (value, minimumFractionDigits = 0) => Number(value).toLocaleString('en', { minimumFractionDigits, maximumFractionDigits: 9 });
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? '' : 's'}`;
const dateTime = (seconds) => new Date(seconds * 1000).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const milliseconds = (time) => (time < 1000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`);

function span(seconds) {
  let rest = Math.max(1, Math.round(seconds));
  const parts = [];
  for (const [word, size] of Object.entries(UNITS).slice(2)) {
    if (rest >= size) parts.push(plural(Math.floor(rest / size), word));
    rest %= size;
  }
  return parts.slice(0, 2).join(' ');
}

/** The seconds of `90d`, `12 hours` and the like. */
function readLifetime(one) {
  if (!one.value) return undefined;
  const [, count, unit] = /^(\d+)\s*(min|[smhdwy]|(?:minute|hour|day|week|year)s?)$/.exec(one.value) ?? [];
  if (!(count > 0)) return refuse(one, 'A number and a unit.');
  return count * UNITS[Object.keys(UNITS).find((word) => word[0] === unit[0])];
}

// ---- The server ----

/** What went wrong, in the words of the server where it has some. */
class Problem extends Error {
  constructor(title, text, response, word) {
    super(text);
    const [id, wait] = ['x-request-id', 'retry-after'].map((name) => response?.headers.get(name));
    this.title = title;
    const seconds = wait >= 0 ? wait : (Date.parse(wait) - Date.now()) / 1000;
    this.more = [response?.status, word, id && `request ${id}`, wait && `try again in ${span(seconds)}`];
  }

  view() {
    const more = this.more.filter(Boolean).map((text) => clean(text, 80)).join(' · ');
    return h('div.problem', { role: 'alert' }, h('strong', this.title), h('p', { dir: 'auto' }, clean(this.message)), h('small', more));
  }
}

async function call(path, { key, json, form, headers, signal } = {}) {
  const body = json ? JSON.stringify(json) : form && new URLSearchParams(form);
  const response = await fetch(new URL(path, BASE), {
    method: body ? 'POST' : 'GET', body, signal, credentials: 'omit', cache: 'no-store', redirect: 'error',
    headers: { ...headers, ...(json && { 'content-type': 'application/json' }), ...(key && { authorization: `Bearer ${key}` }) },
  }).catch((error) => {
    throw error.name === 'AbortError' ? error : new Problem('No answer', 'The server could not be reached, or broke off.');
  });
  if (response.ok) return response;
  const answer = await response.json().catch(() => undefined);
  // An object in the APIs of providers, a word in those of OAuth (RFC 6749).
  const { message = answer?.error_description, code: word, type } = Object(answer?.error);
  if (!message) throw unreadable(response);
  const title = response.status < 500 ? 'Refused' : 'Not available';
  throw new Problem(title, message, response, [word, type, answer.error].find((one) => typeof one === 'string'));
}

async function callJson(path, options) {
  const response = await call(path, options);
  const value = await response.json().catch(() => undefined);
  if (Object(value) !== value) throw unreadable(response);
  return value;
}

function unreadable(response) {
  const type = response.headers.get('content-type') ?? 'no type';
  return new Problem('Not an answer of this API', `What came cannot be read (${type}). Does a proxy answer instead?`, response);
}

/** Counts what Forget ends: what began before shows nothing any more. */
let generation = 0;

/** Runs the action of a button, once at a time. It returns what shows its result. */
async function run(control, slot, action) {
  if (control.ariaDisabled === 'true') return;
  // `disabled` would take the focus away.
  control.ariaDisabled = 'true';
  slot.replaceChildren();
  const started = generation;
  try {
    const show = await action();
    if (started === generation) show?.();
  } catch (error) {
    const problem = error.view ? error : new Problem('The page failed', error.message);
    if (started === generation && error.name !== 'AbortError') slot.append(problem.view());
  }
  control.ariaDisabled = 'false';
}

// ---- Reading forms ----

let refused; // the first field that is wrong

function refuse(one, text) {
  const { control } = one;
  one.refuse(text);
  for (let parent = control.closest('details'); parent; parent = parent.parentElement.closest('details')) parent.open = true;
  refused ??= control;
}

/** Goes to the field that was refused first, if any, and ends quietly what was to be done. */
function check() {
  const control = refused;
  refused = undefined;
  if (!control) return;
  control.focus();
  throw new DOMException('', 'AbortError');
}

const lines = ({ value }) => value.match(/[^\s,]+/g) ?? undefined;

/** Leaves out what is absent, and a whole object of it. */
function compact(members) {
  const kept = Object.entries(members).filter(([, value]) => value !== undefined && value !== '');
  return kept.length ? Object.fromEntries(kept) : undefined;
}

function wholeNumber(one, most = 2 ** 53) {
  if (!one.value) return undefined;
  if (!/^[1-9]\d*$/.test(one.value) || one.value > most) refuse(one, `A whole number from 1 to ${number(most)}.`);
  return Number(one.value);
}

function dollars(one) {
  const isFine = /^(0|[1-9]\d{0,6})(\.\d{1,9})?$/.test(one.value) && one.value > 0 && one.value <= 9e6;
  if (one.value && !isFine) refuse(one, 'Dollars such as 2.50, above 0 and at most 9000000.');
  return one.value;
}

/** The members that limit a unit per period, and what they are called. */
const per = (unit) => [['Minute', 'a minute'], ['Hour', 'an hour'], ['Day', 'a day']]
  .map(([name, words]) => [`${unit.toLowerCase()}Per${name}`, `${unit} ${words}`]);
const SCOPES = { client: 'Each client', global: 'All clients together' };

/** Fields for limits, a group for each scope. A member may be of one scope only. */
function limits(members, take) {
  const fields = Object.keys(SCOPES).map((scope) => members.filter(([, , only = scope]) => only === scope)
    .map(([member, label]) => Object.assign(field(label, { inputMode: 'decimal' }), { member })));
  return {
    roots: fields.map((some, at) => h('fieldset', h('legend', Object.values(SCOPES)[at]), h('div.grid.narrow', ...some.map(({ root }) => root)))),
    isEmpty: () => fields.flat().every(({ value }) => !value),
    read: () => fields.map((some) => compact(Object.fromEntries(some.map((one) => [one.member, take(one)])))),
  };
}

function quotaFields() {
  const { roots, isEmpty, read } = limits(per('Requests'),
    (one) => (one.value ? wholeNumber(one, 2 ** 32 - 1) : refuse(one, 'All six, or none.')));
  return {
    root: details('Quotas', hint('All six or none. Without them the small defaults of the server apply.'), ...roots),
    read() {
      if (isEmpty()) return undefined;
      const [perClientRequestLimits, globalRequestLimits] = read();
      return { perClientRequestLimits, globalRequestLimits };
    },
  };
}

function budgetFields() {
  const { roots, read } = limits(
    [...per('Tokens'), ['usdPerDay', 'Dollars a day'], ['usdPerMonth', 'Dollars in 30 days', 'global'], ['usdTotal', 'Dollars in all', 'global']],
    (one) => (one.member.startsWith('usd') ? dollars(one) : wholeNumber(one)),
  );
  return {
    root: details('Budgets', hint('An absent limit is none.'), ...roots),
    read() {
      const [perClient, global] = read();
      return compact({ perClient, global });
    },
  };
}

function restrictionFields() {
  const lists = [
    ['services', 'Services and models', 'One a line, such as chat:openai.com or chat:openai.com/gpt-4.1-mini.'],
    ['operations', 'Operations', 'Such as chat/completions, responses, messages, embeddings, files or process.'],
    ['clients', 'Client addresses', 'Addresses and networks, such as 203.0.113.0/24.'],
    ['origins', 'Web origins', `Pages that may use the key, such as ${location.origin}.`],
  ].map(([member, label, about]) => [member, area(label, about)]);
  const size = field('Largest request body', { inputMode: 'numeric', about: 'In bytes, such as 65536.' });
  return {
    root: details('Restrictions', ...lists.map(([, { root }]) => root), size.root),
    read: () => compact({ ...Object.fromEntries(lists.map(([member, one]) => [member, lines(one)])), maxBodyBytes: wholeNumber(size) }),
  };
}

function grantFields(example, ...extra) {
  const name = field('Name', { about: 'What the log calls the key.', maxLength: 64 });
  const lifetime = field('Lifetime', { placeholder: '2h', about: 'Such as 90d, 12h or 30m. Two hours if empty.' });
  const more = area('Other members', `As JSON, such as ${example}`);
  const parts = { requestQuotas: quotaFields(), budgets: budgetFields(), restrict: restrictionFields() };
  const read = () => {
    const seconds = readLifetime(lifetime) ?? 7200;
    const grant = { name: name.value || undefined };
    for (const [member, part] of Object.entries(parts)) grant[member] = part.read();
    let others;
    try { others = JSON.parse(more.value || '{}'); } catch { /* Refused in a moment. */ }
    if (others?.constructor !== Object) refuse(more, 'An object in JSON.');
    return [seconds, { ...grant, ...others }];
  };
  const rest = details('More', more.root, ...extra.map(({ root }) => root));
  return { read, first: h('div.grid', name.root, lifetime.root), rest: [...Object.values(parts).map(({ root }) => root), rest] };
}

// ---- The key in use ----

/** The controls with the key, which is the same in all views. */
let keyControls = [];
let modelControl;

function keyField(about) {
  const one = field('Key', { type: 'password', about, placeholder: 'aisbreaker_…' });
  one.control.addEventListener('input', () => useKey(one.control.value));
  keyControls.push(one.control);
  return one;
}

function useKey(text) {
  for (const control of keyControls) control.value = text;
}

function readKey(one) {
  if (/[^\x21-\x7e]/.test(one.value)) refuse(one, 'A key is one word of plain characters.');
  return one.value;
}

const introspect = (key) => callJson('api/v1/oauth/introspect', { key, form: { token: key } });

// ---- Sealing (RFC 7516: ECDH-ES over X25519, A256GCM) ----

const X25519 = { name: 'X25519' };
const MOST_CHARACTERS = 6144; // of a key that servers seal
const bytes = (text) => new TextEncoder().encode(text);
const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest('SHA-256', data));
const base64url = (data) => btoa(String.fromCharCode(...data)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

/** Why this browser cannot seal. Empty if it can. */
const cannotSeal = (async () => {
  if (!isSecureContext) return 'the page came neither by https nor from this machine';
  const pair = await crypto.subtle.generateKey(X25519, false, ['deriveBits']).catch(() => undefined);
  return pair ? '' : 'this browser does not know X25519';
})();

/** Seals a grant. Returns the key, and the thumbprint (RFC 7638) of the server's. */
async function seal(grant, lifetime) {
  const response = await call('.well-known/jwks.json');
  const set = await response.json().catch(() => undefined);
  const jwk = list(set?.keys).find((one) => one?.crv === 'X25519');
  if (!jwk) throw unreadable(response);
  const { crv, kid, kty, x } = jwk;
  const theirs = await crypto.subtle.importKey('jwk', { crv, kty, x }, X25519, false, []);
  const ours = await crypto.subtle.generateKey(X25519, false, ['deriveBits']);
  const epk = await crypto.subtle.exportKey('jwk', ours.publicKey);
  const shared = await crypto.subtle.deriveBits({ ...X25519, public: theirs }, ours.privateKey, 256);
  // Concat KDF (RFC 7518 section 4.6.2): one round, no PartyUInfo and no PartyVInfo, 256 bits.
  const material = [0, 0, 0, 1, ...new Uint8Array(shared), 0, 0, 0, 7, ...bytes('A256GCM'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
  const content = await crypto.subtle.importKey('raw', await sha256(new Uint8Array(material)), 'AES-GCM', false, ['encrypt']);

  // By the clock of the server, which refuses a key from its future.
  const iat = Math.floor((Date.parse(response.headers.get('date')) || Date.now()) / 1000);
  const claims = { aud: location.hostname.replace(/\.$/, ''), iat, exp: iat + lifetime, ...grant };
  const header = base64url(bytes(JSON.stringify({ typ: 'JWT', alg: 'ECDH-ES', enc: 'A256GCM', kid, epk: { kty, crv, x: epk.x } })));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const algorithm = { name: 'AES-GCM', iv, additionalData: bytes(header) };
  const sealed = new Uint8Array(await crypto.subtle.encrypt(algorithm, content, bytes(JSON.stringify(claims))));
  const key = `aisbreaker_${header}..${[iv, sealed.slice(0, -16), sealed.slice(-16)].map(base64url).join('.')}`;
  if (key.length > MOST_CHARACTERS) {
    throw new Problem('Too much for one key', `It would have ${number(key.length)} characters, of at most ${number(MOST_CHARACTERS)}.`);
  }
  return { key, thumbprint: base64url(await sha256(bytes(JSON.stringify({ crv, kty, x })))) };
}

// ---- Minting ----

const VENDORS = 'dummy openai.com anthropic.com gemini.google.com mistral.ai groq.com x.ai deepseek.com openrouter.ai azure.com '
  + 'together.ai fireworks.ai perplexity.ai cohere.com huggingface.co cerebras.ai deepinfra.com nvidia.com sambanova.ai '
  + 'moonshot.ai z.ai alibabacloud.com replicate.com ollama vllm lmstudio llama.cpp';

function serviceRow(count) {
  const service = field('Service', { list: 'services', placeholder: 'chat:openai.com' });
  const secret = field('Secret', { type: 'password', about: 'The API key of the provider. The dummy needs none.' });
  const url = field('URL', { placeholder: 'https://llm.example.com', about: 'If it is not at its usual address.' });
  const fallback = field('Fallbacks', { placeholder: 'chat:groq.com/…', about: 'Called if it fails. Each needs an entry, too.' });
  const remove = count > 1 && h('div', button('Remove', () => root.remove(), '.small'));
  const root = h('div.service', { role: 'group', ariaLabel: `Service ${count}` }, service.root, secret.root,
    details('URL and fallbacks', url.root, fallback.root), remove);
  return {
    root, control: service.control,
    read() {
      const more = compact({ url: url.value, fallback: lines(fallback) });
      if (!service.value && !secret.value && !more) return undefined;
      if (!/^[a-z-]+:\S*$/.test(service.value)) refuse(service, 'A task and a provider, such as chat:openai.com.');
      return { serviceId: service.value, authSecret: secret.value, ...more };
    },
  };
}

function mintView() {
  const permission = field('Minting secret', { type: 'password', about: 'Where not everybody may mint.' });
  const fields = grantFields('{"modelAliases": {"fast": "chat:groq.com/llama-3.1-8b-instant"}, "delegation": 0}', permission);
  const rows = [];
  const services = stack();
  const add = () => {
    const row = serviceRow(rows.length + 1);
    rows.push(row);
    services.append(row.root);
    return row.control;
  };
  add();

  const way = (title, about, checked) => h('label.way', h('input', { type: 'radio', name: 'way', checked }), h('span', title, h('small', about)));
  const ways = h('fieldset', h('legend', 'Who makes the key'),
    way('This browser seals it', 'With the public key of the server. The secrets do not pass its mint.', true),
    way('The server mints it', 'It receives the secrets and stores nothing. It says what is wrong.', false));
  cannotSeal.then((reason) => {
    const text = `The server mints the key, and receives the secrets: this browser cannot seal them, since ${reason}.`;
    if (reason) ways.replaceChildren(h('p.note', text));
  });
  $('mint-fields').replaceChildren(stack(services, h('div', button('Add service', () => add().focus(), '.small')), fields.first, ...fields.rest, ways));
  $('mint-result').replaceChildren(h('h3', 'Your key'), h('p.empty', 'The new key appears here, once. Without any service it can call the dummy.'));

  return async () => {
    const serviceSecrets = rows.filter(({ root }) => root.isConnected).map((row) => row.read()).filter(Boolean);
    const [lifetime, read] = fields.read();
    const grant = { serviceSecrets, ...read };
    const clientSecret = permission.value || undefined;
    check();
    const made = ways.querySelector('input')?.checked ? await sealHere({ ...grant, clientSecret }, lifetime)
      : await issue({ requestAuthAndQuotas: grant, clientSecret }, lifetime, 'Minted by the server, which received the secrets and stored nothing.');
    return () => showKey($('mint-result'), 'Your key', made, grant);
  };
}

async function issue(request, lifetime, how) {
  const made = await callJson('api/v1/oauth/token', { json: { ...request, expirationTimeSpan: `${lifetime}s` } });
  const { access_token: key, keyId: id, name, expires_in: seconds, warnings } = made;
  if (!key) throw new Problem('Not an answer of this API', 'There is no key in it.');
  return { key, id, name, lifetime: seconds, warnings, how };
}

async function sealHere({ notBefore, restrict, ...grant }, lifetime) {
  const nbf = notBefore && Date.parse(notBefore) / 1000;
  const { key, thumbprint } = await seal({ ...grant, nbf, restrict: restrict && [restrict].flat() }, lifetime);
  // Nobody has checked it yet. The server does so now, as with each call.
  const found = await introspect(key);
  if (!found.active && !nbf) throw new Problem('The server refuses the sealed key', 'It does not say why. Choose “The server mints it” to see why.');
  return { key, thumbprint, id: found.jti, name: grant.name, lifetime, how: 'Sealed in this browser: the secrets did not pass the server’s mint.' };
}

/** A model to begin with: one that the key names, of its first service, or the dummy. */
function modelOf({ restrict, serviceSecrets }) {
  const known = { 'chat:openai.com': 'gpt-4.1-mini', 'chat:anthropic.com': 'claude-sonnet-4-5' };
  const ids = ([restrict].flat()[0]?.services ?? list(serviceSecrets).map(({ serviceId }) => serviceId)).filter((id) => /^chat:./.test(id));
  const [id = 'chat:dummy'] = ids;
  const model = ids.find((one) => one.includes('/')) ?? (id === 'chat:dummy' ? id : `${id}/${known[id] ?? 'MODEL'}`);
  return model.slice(5);
}

// ---- A new key, once ----

function showKey(slot, title, { key, id, name, lifetime, thumbprint, warnings, how }, grant) {
  const model = modelOf(grant);
  const heading = h('h3', { tabIndex: -1 }, title);
  const text = h('textarea.key', { readOnly: true, value: key, ariaLabel: 'Your key', rows: 6 });
  const copyKey = button('Copy key', () => copy(text, copyKey), '.primary');
  slot.replaceChildren(stack(heading, h(thumbprint ? 'p.note.good' : 'p.note', how), text, hint('Copy it now: it is shown once.'),
    h('div.actions', copyKey, button('Use in playground', () => {
      useKey(key);
      modelControl.value = model;
      location.hash = 'playground';
    }), button('Inspect', () => {
      useKey(key);
      location.hash = 'inspect';
      $('inspect-form').requestSubmit();
    })),
    list(warnings).length && h('div.note', h('h4', 'The server remarks'),
      ...warnings.slice(0, 20).map((one) => h('p', { dir: 'auto' }, clean(one, 500)))),
    h('dl.facts', ...facts(['Name', name && clean(name)], ['Key id', code(id)],
      ['Expires', `in ${span(lifetime)}, ${dateTime(Date.now() / 1000 + lifetime)}`],
      ['Sealed for', thumbprint && h('div', code(thumbprint), hint('The thumbprint of the server’s public key.'))])),
    snippets(key, model)));
  heading.focus();
}

let listed = new Map(); // models, and the API of each
/** Anthropic's API if the list or the name says so, else OpenAI's. */
const pathOf = (model) => listed.get(model) ?? (/^(chat:)?(anthropic\.com\/|claude)/.test(model) ? 'messages' : 'chat/completions');
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function snippets(key, model) {
  const root = BASE.href.slice(0, -1);
  const path = pathOf(model);
  const isMessages = path === 'messages';
  const [type, library, node, method, answer] = isMessages
    ? ['Anthropic', 'anthropic', '@anthropic-ai/sdk', 'messages', 'content[0].text']
    : ['OpenAI', 'openai', 'openai', 'chat.completions', 'choices[0].message.content'];
  const [name, secret, base] = [model, key, isMessages ? root : `${root}/v1`].map((text) => JSON.stringify(text));
  const most = (member) => (isMessages ? `${member}, ` : '');
  const messages = '[{"role": "user", "content": "What is a gateway?"}]';
  const texts = {
    curl: `export AISBREAKER_API_KEY=${shell(key)}
curl --no-buffer ${shell(`${root}/v1/${path}`)} \\
  --header "Authorization: Bearer $AISBREAKER_API_KEY" \\
  --header "Content-Type: application/json" \\
  --data ${shell(`{"model": ${name}, ${most('"max_tokens": 1000')}"stream": true, "messages": ${messages}}`)}`,
    Python: `# pip install ${library}
import ${library}

client = ${library}.${type}(base_url=${base}, api_key=${secret})
answer = client.${method}.create(model=${name}, ${most('max_tokens=1000')}messages=${messages})
print(answer.${answer})`,
    Node: `// npm install ${node}
import ${type} from "${node}";

const client = new ${type}({ baseURL: ${base}, apiKey: ${secret} });
const answer = await client.${method}.create({ model: ${name}, ${most('max_tokens: 1000')}messages: ${messages} });
console.log(answer.${answer});`,
    'Claude Code': `# A model of Anthropic's API, or an alias that is translated
export ANTHROPIC_BASE_URL=${shell(root)}
export ANTHROPIC_AUTH_TOKEN=${shell(key)}
claude --model ${shell(model)}`,
  };
  return h('div', ...Object.entries(texts).map(([label, text]) => {
    const pre = h('pre', { tabIndex: 0, role: 'region', ariaLabel: `${label} snippet` }, text);
    const control = button('Copy', () => copy(pre, control), '.small');
    return h('details', { open: label === 'curl' }, h('summary', label), stack(pre, h('div', control)));
  }));
}

// ---- Inspecting ----

const WINDOWS = { minute: 'a minute', hour: 'an hour', day: 'a day', month: 'in 30 days', lifetime: 'in all' };

function bars(standings) {
  const groups = Object.entries(SCOPES).map(([scope, words]) => [words, list(standings).filter((one) => one.scope === scope)])
    .filter(([, some]) => some.length);
  if (!groups.length) return h('p.empty', 'No limits of its own.');
  return h('div.grid', ...groups.map(([words, some]) => stack(h('h4', words), ...some.slice(0, 18).map((one) => bar(one, words)))));
}

function bar({ unit, window: period, limit, remaining, resetSeconds }, words) {
  const name = `${{ requests: 'Requests', tokens: 'Tokens', usd: 'Dollars' }[unit]} ${WINDOWS[period]}`;
  const amount = (value) => (unit === 'usd' ? `$${number(value, 2)}` : number(value));
  const left = `${amount(remaining)} of ${amount(limit)} left`;
  const part = Math.min(1, remaining / limit) || 0;
  const fill = h('i');
  fill.style.setProperty('--part', part);
  const properties = { role: 'meter', ariaLabel: `${name}, ${words}`, ariaValueMin: 0, ariaValueMax: 1, ariaValueNow: part, ariaValueText: left };
  const meter = h(part < 0.15 ? 'div.meter.low' : 'div.meter', properties, fill);
  return h('div.limit', h('span', name), h('span', left), meter, resetSeconds > 0 && hint(`More in ${span(resetSeconds)}`));
}

function inspectView() {
  const key = keyField('It is sent to this server only.');
  $('inspect-fields').replaceChildren(key.root);
  const result = $('inspect-result');
  result.replaceChildren();
  return async () => {
    const text = readKey(key) || refuse(key, 'Paste a key.');
    check();
    result.replaceChildren(); // Its buttons are for another key.
    const quota = callJson('api/v1/quota', { key: text }).catch((error) => error);
    const [info, standings] = [await introspect(text), await quota];
    return () => key.value === text && showInfo(text, info, standings);
  };
}

function showInfo(key, info, standings) {
  const heading = h('h3', { tabIndex: -1, dir: 'auto' }, info.active ? clean(info.name ?? 'A key without a name', 200) : 'This key is not active');
  const badge = h('span.badge', 'Active');
  const made = info.sealed ? 'With the public key of the server' : list(info.ancestors).length ? 'From another key' : 'By the server';
  $('inspect-result').replaceChildren(...info.active ? [
    h('div.card.stack', h('div.title', heading, badge),
      h('dl.facts', ...facts(['Expires', expiry(info.exp, badge)], ['Services', list(info.services).length ? chips(info.services) : 'The dummy only'],
        ['Host', clean(info.aud, 300)], ['Issued', info.iat && dateTime(info.iat)], ['Made', made], ['Key id', code(info.jti)])),
      ...list(info.restrict).map(restrictionFacts)),
    h('div.card.stack', h('h3', 'What is left'), ...whatIsLeft(standings)),
    narrowCard(key), revokeCard(key, badge),
  ] : [h('div.card.stack', heading,
    h('p', 'It has expired or begins later, is revoked or cut off, or is for another server or host name. The server tells nobody which.'))]);
  heading.focus();
}

/** The expiry in words, as long as somebody looks at it. */
function expiry(exp, badge) {
  const text = h('span');
  const tick = () => {
    const left = exp - Date.now() / 1000;
    text.textContent = `${left > 0 ? `in ${span(left)}` : 'expired'}, ${dateTime(exp)}`;
    if (left <= 0) end(badge, 'Expired');
    return left > 0;
  };
  const timer = setInterval(() => (text.isConnected && tick()) || clearInterval(timer), 1000);
  tick();
  return text;
}

function end(badge, word) {
  badge.textContent = word;
  badge.classList.add('bad');
  announce(`The key: ${word}.`);
}

function restrictionFacts(restriction) {
  const rows = Object.entries(restriction).map(([member, value]) => [
    member === 'maxBodyBytes' ? 'Largest body' : clean(member, 80), Array.isArray(value) ? chips(value) : number(value)]);
  return stack(h('h4', 'Restricted to'), h('dl.facts', ...facts(...rows)));
}

function whatIsLeft(standings) {
  if (standings instanceof Problem) return [standings.view()];
  return [
    standings.areDefaultQuotas && hint('The server’s default quotas apply.'),
    standings.areShares && h('p.note', 'The servers cannot count together: these are the shares of this one.'),
    bars(standings.limits),
    ...list(standings.ancestors).slice(0, 3).flatMap((above) => [h('h4', `Of the key above it, ${clean(above.keyId, 100)}`), bars(above.limits)]),
  ];
}

function narrowCard(key) {
  const fields = grantFields('{"delegation": 0}');
  const [slot, made] = [h('div'), h('div')];
  const submit = h('button.primary', { type: 'submit' }, 'Narrow');
  const form = h('form.stack', { noValidate: true }, fields.first, ...fields.rest, h('div', submit), slot);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    run(submit, slot, async () => {
      const [lifetime, grant] = fields.read();
      check();
      const oauth = 'urn:ietf:params:oauth:';
      const exchange = { grant_type: `${oauth}grant-type:token-exchange`, subject_token_type: `${oauth}token-type:access_token`, subject_token: key };
      const issued = await issue({ ...grant, ...exchange }, lifetime, 'Made by the server. It ends when the key above does.');
      return () => showKey(made, 'The narrower key', issued, grant);
    });
  });
  return h('div.card.stack', h('h3', 'Make a narrower key'), h('p.empty', 'What it uses counts for this key as well.'), form, made);
}

function revokeCard(key, badge) {
  const slot = h('div');
  const revoke = button('Revoke', () => {
    body.replaceChildren(question);
    keep.focus();
  }, '.danger');
  const keep = button('Keep it', () => {
    body.replaceChildren(revoke);
    revoke.focus();
  });
  const sure = button('Revoke for good', () => run(sure, slot, async () => {
    await call('api/v1/oauth/revoke', { form: { token: key } });
    return () => {
      const done = h('p.note.good', { tabIndex: -1 }, 'Revoked, and so is every key that was made from it.');
      body.replaceChildren(done);
      done.focus();
      end(badge, 'Revoked');
    };
  }), '.danger');
  const about = h('p', h('strong', 'Revoke this key?'), ' It ends for good, and so does every key that was made from it.');
  const question = stack(about, h('div.actions', sure, keep));
  const body = h('div', revoke);
  return h('div.card.stack', h('h3', 'End this key'), body, slot);
}

// ---- Playground ----

const ANTHROPIC = { 'anthropic-version': '2023-06-01' };
const MOST_SHOWN = 1e6;
let stopping = new AbortController(); // of the answer that arrives

function playgroundView() {
  const key = keyField('Optional. Only this page holds it, and only this server gets it.');
  const model = field('Model', { value: 'dummy', about: 'A name, a service such as groq.com/llama-3.1-8b-instant, or an alias of the key.' });
  modelControl = model.control;
  const message = area('Message', 'Ctrl+Enter sends it.', { value: 'What is a gateway?' });
  message.control.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('ask').requestSubmit();
  });
  const found = h('div');
  const find = button('List models', () => run(find, $('ask-problem'), async () => {
    const text = readKey(key);
    check();
    const names = await listModels(text);
    return () => {
      const choices = [['', 'Choose one'], ...names.map((name) => [name, clean(name, 100)])];
      const { root, control } = field(plural(names.length, 'model'), { tag: 'select', choices });
      control.addEventListener('change', () => { modelControl.value = control.value; });
      found.replaceChildren(root);
      control.focus();
    };
  }), '.small');
  $('ask-fields').replaceChildren(stack(key.root, model.root, h('div.actions', find, hint('Counts as two requests.')), found, message.root));
  showAnswer(false);
  $('answer-state').textContent = 'It appears here, word by word.';
  return () => {
    const asked = [readKey(key), model.value || refuse(model, 'Name a model, such as dummy.'), message.value || refuse(message, 'Write a message.')];
    check();
    return ask(...asked);
  };
}

/** The models of a key in either API, unless neither has a list. */
async function listModels(key) {
  const lists = [['chat/completions', {}], ['messages', ANTHROPIC]];
  const answers = await Promise.allSettled(lists.map(([, headers]) => callJson('v1/models', { key, headers })));
  if (answers.every(({ reason }) => reason)) throw answers[0].reason;
  // A model of both APIs is called by the first.
  listed = new Map(answers.flatMap(({ value }, at) => list(value?.data).map(({ id }) => [String(id), lists[at][0]])).reverse());
  return [...listed.keys()].reverse();
}

function showAnswer(isBusy) {
  const words = document.createTextNode('');
  $('answer-text').replaceChildren(words);
  $('figures').replaceChildren();
  setBusy(isBusy);
  return words;
}

function setBusy(isBusy) {
  $('answer').ariaBusy = String(isBusy);
  if (document.activeElement === $('stop')) $('ask').querySelector('.primary').focus();
  $('stop').hidden = !isBusy;
}

function say(text) {
  $('answer-state').textContent = text;
  announce(text);
}

async function ask(key, model, message) {
  const started = generation;
  const path = pathOf(model);
  const [headers, more] = path === 'messages' ? [ANTHROPIC, { max_tokens: 4096 }] : [{}, { stream_options: { include_usage: true } }];
  const words = showAnswer(true);
  const seen = { words, usage: {} };
  stopping = new AbortController();
  let outcome = 'The answer is complete.';
  say('Waiting for the answer…');
  try {
    const before = await dollarsLeft(key);
    seen.begin = performance.now();
    const json = { model, stream: true, messages: [{ role: 'user', content: message }], ...more };
    const response = await call(`v1/${path}`, { key, headers, json, signal: stopping.signal });
    await receive(response, seen);
    seen.end = performance.now();
    seen.cost = await costOf(seen.usage, before, key, model);
    if (!words.length) outcome = 'The model answered without text.';
  } catch (error) {
    outcome = error.name === 'AbortError' ? 'Stopped.' : 'The answer has failed.';
    throw error;
  } finally {
    if (started === generation) {
      setBusy(false);
      if (words.length) showFigures(seen);
      say(outcome);
    }
  }
}

/** Shows the answer as it arrives. One without its last event has broken off. */
async function receive(response, seen) {
  seen.request = response.headers.get('x-request-id');
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw unreadable(response);
  for await (const data of events(response)) {
    let event;
    // OpenAI's API ends with a word that is no JSON.
    try { event = Object(data === '[DONE]' ? { type: 'message_stop' } : JSON.parse(data)); } catch { throw unreadable(response); }
    if (event.error) throw new Problem('The answer broke off', event.error.message ?? data, response);
    const text = textOf(event, seen);
    if (typeof text === 'string' && text) {
      seen.words.appendData(text);
      seen.first ??= performance.now();
    }
    if (seen.words.length > MOST_SHOWN) throw new Problem('Too long for this page', `It was stopped after ${number(MOST_SHOWN)} characters.`, response);
  }
  if (!seen.isOver) throw new Problem('The answer broke off', 'The connection ended before the answer did.', response);
}

/** The text of an event of either API. Keeps its usage, and whether it ends the answer. */
function textOf(event, seen) {
  const choice = event.choices?.[0];
  const usage = event.usage ?? event.message?.usage ?? {};
  const { prompt_tokens: read = usage.input_tokens, completion_tokens: written = usage.output_tokens, cost } = usage;
  Object.assign(seen.usage, compact({ read, written, cost }));
  seen.isOver ||= Boolean(choice?.finish_reason) || event.type === 'message_stop';
  return choice?.delta?.content ?? event.delta?.text;
}

/** The data of server-sent events, of which both APIs have one line each. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
    }
  } catch (error) {
    // A broken connection is an end like any other: the caller knows if it was due.
    if (error.name === 'AbortError') throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The dollars that the key has left, if it has a budget of them. */
async function dollarsLeft(key) {
  const quota = key && await callJson('api/v1/quota', { key }).catch(() => undefined);
  return [quota, ...list(quota?.ancestors)].flatMap((one) => list(one?.limits)).find(({ unit }) => unit === 'usd')?.remaining;
}

/** What an answer cost: as the provider says, or as the budget of the key has shrunk. */
async function costOf({ cost }, before, key, model) {
  if (typeof cost === 'number') return `$${cost.toFixed(6)}`;
  const after = before && await dollarsLeft(key);
  if (after) return `$${Math.max(0, before - after).toFixed(6)}`;
  return /^dummy(\/|$)/.test(model) ? 'none' : 'unknown';
}

function showFigures({ begin, first, end: ended = performance.now(), usage, request, cost }) {
  $('figures').replaceChildren(...facts(['First word', first && milliseconds(first - begin)], ['Whole answer', milliseconds(ended - begin)],
    ['Tokens read', usage.read && number(usage.read)], ['Tokens written', usage.written && number(usage.written)],
    ['Cost', cost], ['Request', code(request)]));
}

// ---- The page ----

const VIEWS = { ask: playgroundView, 'mint-form': mintView, 'inspect-form': inspectView };
const submits = {};

/** Builds all views anew: whatever was typed or shown is gone. */
function forget() {
  generation += 1;
  stopping.abort();
  keyControls = [];
  listed = new Map();
  for (const [id, view] of Object.entries(VIEWS)) {
    submits[id] = view();
    $(id).querySelector('[id$=-problem]').replaceChildren();
  }
}

/** Shows the view that the address names, and returns its heading. */
function show() {
  const name = location.hash.slice(1) || 'playground';
  const views = [...document.querySelectorAll('main > section')];
  const view = views.find(({ id }) => id === name);
  if (!view) return undefined;
  for (const one of views) one.hidden = one !== view;
  for (const link of document.querySelectorAll('nav a')) link.ariaCurrent = link.hash === `#${name}` ? 'page' : null;
  const heading = view.querySelector('h2');
  document.title = `${heading.textContent} · aisbreaker`;
  return heading;
}

document.body.append(h('datalist', { id: 'services' }, ...VENDORS.split(' ').map((vendor) => h('option', { value: `chat:${vendor}` }))));
for (const id of Object.keys(VIEWS)) {
  const [submit, slot] = ['[type=submit]', '[id$=-problem]'].map((selector) => $(id).querySelector(selector));
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    run(submit, slot, submits[id]);
  });
}
$('stop').addEventListener('click', () => stopping.abort());
$('forget').addEventListener('click', () => {
  forget();
  announce('Everything here is gone.');
});
// A page in the cache of the Back button must not hold a key.
addEventListener('pagehide', forget);
addEventListener('hashchange', () => show()?.focus());
forget();
show();
