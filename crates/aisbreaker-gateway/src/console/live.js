// Live metrics: asks the listener that this page came from for `/metrics`, and draws what has changed.

const PERIOD = 2000;
const KEPT = 31; // samples: a minute of them
const samples = [];
const $ = (id) => document.getElementById(id);

/** The lines of each metric in Prometheus' text format. */
function parse(text) {
  const metrics = {};
  for (const [, name, labels = '', value] of text.matchAll(/^aisbreaker_(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const line = { value: Number(value) };
    for (const [, label, content] of labels.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)) line[label] = content;
    (metrics[name] ??= []).push(line);
  }
  return metrics;
}

/** What a metric has in all, of the lines that `pick` takes. */
function total({ metrics }, name, pick = () => true) {
  return (metrics[name] ?? []).filter(pick).reduce((sum, { value }) => sum + value, 0);
}

/** What a metric has gained in a second. */
const rate = (now, then, ...metric) => (1000 * (total(now, ...metric) - total(then, ...metric))) / (now.time - then.time || 1);

/** The bound in seconds that so large a part of a histogram has kept to, if it has counted anything. */
function quantile(part, now, then, name, pick = () => true) {
  const bounds = [...new Set((now.metrics[`${name}_bucket`] ?? []).map(({ le }) => le))];
  const counts = bounds.map((bound) => {
    const [later, earlier] = [now, then].map((sample) => total(sample, `${name}_bucket`, (line) => line.le === bound && pick(line)));
    return later - earlier;
  });
  const all = counts.at(-1);
  return all > 0 ? Number(bounds[counts.findIndex((count) => count >= part * all)].replace('+Inf', 'Infinity')) : undefined;
}

const short = (value) => value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : 0 });
const dollars = (value) => `$${value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 4 })}`;
const isFailure = ({ status }) => status >= '500';
const isRefusal = ({ status }) => status >= '400' && status < '500';
const isCall = ({ route }) => route.startsWith('/v1') || route === '/api/v1/process';

const bound = (seconds) => (seconds < 1 ? `≤ ${short(seconds * 1000)} ms` : `≤ ${short(seconds)} s`);
const orNone = (value, write) => (value === undefined ? '–' : write(value));

const counted = (title, metric) => [title, (now, then) => rate(now, then, metric), short, (now) => `${short(total(now, metric))} since the start`];
const timed = (title, ...metric) => [title, (now, then) => quantile(0.5, now, then, ...metric), bound,
  (now, then) => `95 %: ${orNone(quantile(0.95, now, then, ...metric), bound)}`];
const COST = ['budget_settled_total', ({ unit }) => unit === 'usd']; // in billionths
/** A title, what is drawn of two samples, how it is written, and more about it. */
const TILES = [
  counted('Requests per second', 'requests_total'),
  ['Errors per second', (now, then) => rate(now, then, 'requests_total', isFailure), short,
    (now, then) => `and ${short(rate(now, then, 'requests_total', isRefusal))} refused (4xx)`],
  timed('Latency, median', 'request_duration_seconds', isCall),
  timed('First byte, median', 'provider_first_byte_seconds'),
  ['In flight', (now) => total(now, 'requests_in_flight'), short, (now) => `connections: ${short(total(now, 'connections'))}`],
  counted('Tokens per second', 'tokens_total'),
  ['Cost per hour', (now, then) => 3600e-9 * rate(now, then, ...COST), dollars, (now) => `${dollars(1e-9 * total(now, ...COST))} by keys with budgets`],
];

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

function svg(tag, attributes, ...content) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

/** A line of values, with the largest at the top. */
function spark(values) {
  const most = Math.max(...values) || 1;
  const points = values.map((value, at) => `${100 - ((values.length - 1 - at) * 100) / (KEPT - 2)},${39 - (value / most) * 37}`).join(' ');
  return svg('svg', { class: 'spark', viewBox: '0 0 100 40', preserveAspectRatio: 'none', 'aria-hidden': true },
    svg('polyline', { points, 'vector-effect': 'non-scaling-stroke' }));
}

function draw() {
  const [then, now] = [samples[0], samples.at(-1)];
  $('tiles').replaceChildren(...TILES.map(([title, value, write, more]) => {
    const line = samples.slice(1).map((sample, at) => Math.min(value(sample, samples[at]) || 0, 1e9));
    const figure = element('dd', '', orNone(value(now, then), write));
    return element('div', 'card', element('dt', '', title), figure, element('dd', 'hint', more(now, then)), spark(line));
  }));
}

function say(text, isBad) {
  if ($('state').textContent !== text) $('state').textContent = text;
  $('state').className = isBad ? 'badge bad' : 'badge';
}

async function ask() {
  try {
    const response = await fetch('../metrics', { credentials: 'omit', cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(5000) });
    const sample = { time: performance.now(), metrics: parse(await response.text()) };
    if (!sample.metrics.build_info) throw new Error('These are not the metrics of a server.');
    // Counters that went back are those of another process.
    if (samples.length && total(sample, 'requests_total') < total(samples.at(-1), 'requests_total')) samples.length = 0;
    if (!samples.length) samples.push(sample, sample);
    samples.push(sample);
    if (samples.length > KEPT) samples.shift();
    draw();
    say('Live', false);
  } catch {
    say('Lost connection', true);
  }
  setTimeout(ask, PERIOD);
}

ask();
