// The form's view, the same in JupyterLab (through anywidget) and on the page (through page.js).
// It sends `request` {seq, visitor, predict, keep, store, forget, fields} and draws `answer` and `history`; the kernel checks and predicts.
// Text goes into the document as text nodes only.

const SVG = "http://www.w3.org/2000/svg";
const LONGEST = 2000; // characters of a field that are sent; the kernel allows far fewer
const PAUSE = 30; // ms after a keystroke

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {}))
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  node.append(...children.flat(Infinity).filter((c) => c != null && c !== false));
  return node;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const hundredths = (p) => { const n = Math.round(100 * p); return n === 0 ? "<1" : n === 100 ? ">99" : String(n); };
const percent = (p) => `${hundredths(p)} %`;
const size = (text) => (text.length > 2 * LONGEST ? text.length : [...text].length);
const whole = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd"); // half a character cannot be sent
const day = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
const later = (days) => { const d = new Date(); d.setDate(d.getDate() + days); return day(d); };
const signed = (n) => `${n < 0 ? "−" : "+"}${Math.abs(n)}`;
const points = (n) => `${Math.abs(n)} point${Math.abs(n) === 1 ? "" : "s"}`;

function names(type) {
  const known = new Intl.DisplayNames(["en"], { type, fallback: "code" });
  return (code) => { try { return known.of(code); } catch { return code; } };
}
const country = names("region"), currency = names("currency");

let signs = {}; // {currency: its sign}, of those whose sign is no other's
const sign = (code) => signs[code] ?? code;
function money(amount, code, compact) {
  const digits = amount % 1 && !compact ? 2 : 0;
  const style = { minimumFractionDigits: digits, maximumFractionDigits: digits, notation: compact ? "compact" : "standard" };
  return `${signs[code] ?? `${code} `}${new Intl.NumberFormat("en", style).format(amount)}`;
}

// What this browser remembers; it may forbid that.
const memory = {
  get(key) { try { return localStorage.getItem(`kickstarter-predictor-${key}`); } catch { return null; } },
  set(key, value) { try { value == null ? localStorage.removeItem(`kickstarter-predictor-${key}`) : localStorage.setItem(`kickstarter-predictor-${key}`, value); } catch { /* then it is not remembered */ } },
};
function visitor() {
  const id = memory.get("visitor") ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  memory.set("visitor", id);
  return id;
}

// ---- the fields -------------------------------------------------------------------------------
const EMPTY = { name: "", blurb: "", goal: "", currency: "USD", days: "30", parent: "", category: "", country: "US", video: null, launch: "", created: "", earlier_campaigns: "", earlier_successes: "", staff_pick: null, link: "" };
const LABELS = { name: "Name", blurb: "Blurb", goal: "Goal", currency: "Currency", days: "Days", parent: "Category", category: "Subcategory", country: "Country", video: "Video", launch: "Launch", created: "Begun", earlier_campaigns: "Earlier campaigns", earlier_successes: "Earlier successes", staff_pick: "Staff pick" };
const YES = ["video", "staff_pick"]; // yes, no or not given
const BESIDE = { category: "parent", goal: "currency", created: "launch", earlier_successes: "earlier_campaigns" }; // what a field is checked against

// A link carries the fields behind its #, which no browser sends to a server; not the address of a draft.
export function toFragment(fields) {
  const parts = Object.keys(LABELS).map((k) => [k, fields[k]]).filter(([, v]) => v != null && v !== "");
  return new URLSearchParams(parts.map(([k, v]) => [k, v === true ? "yes" : v === false ? "no" : whole(v)])).toString();
}
export function fromFragment(text) {
  const parts = new URLSearchParams(text.replace(/^#/, "")), read = {};
  for (const key of Object.keys(LABELS)) {
    const value = (parts.get(key) ?? "").slice(0, LONGEST);
    read[key] = YES.includes(key) ? { yes: true, no: false }[value] ?? null : value;
  }
  return Object.keys(LABELS).some((k) => parts.has(k)) ? read : null;
}

let forms = 0;

function field(id, key, label, hint, input, { most, wide, around, extra } = {}) {
  const error = h("p", { class: "kp-error", id: `${id}-error` });
  const counter = most && h("span", { class: "kp-count", "aria-hidden": "true" });
  const help = h("p", { class: "kp-hint", id: `${id}-hint` }, hint);
  fill(input, { id, "aria-describedby": `${id}-hint ${id}-error` }, []);
  const node = h("div", { class: `kp-field kp-${key}${wide ? " kp-wide" : ""}` },
    h("div", { class: "kp-label" }, h("label", { for: id }, label), counter), around ? fill(around, {}, [input]) : input, extra, help, error);
  const count = () => {
    if (!counter) return;
    counter.textContent = `${size(input.value)} / ${most}`;
    counter.classList.toggle("kp-over", size(input.value) > most);
  };
  return { key, node, input, help, count, get: () => (input.validity?.badInput ? "incomplete" : input.value), set: (v) => { input.value = v ?? ""; count(); },
    show(text) { error.textContent = text ?? ""; node.classList.toggle("kp-wrong", !!text); text ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid"); } };
}

function choice(id, key, label, hint, options) { // yes, no or not given: three radio buttons
  const error = h("p", { class: "kp-error", id: `${id}-error` });
  const inputs = options.map(([value, text], i) => [h("input", { type: "radio", name: id, id: `${id}-${i}`, value, checked: i === options.length - 1 }), text]);
  const node = h("fieldset", { class: `kp-field kp-${key}`, "aria-describedby": `${id}-hint ${id}-error` }, h("legend", { class: "kp-label" }, label),
    h("div", { class: "kp-radios" }, inputs.map(([input, text]) => h("label", { for: input.id }, input, h("span", {}, text)))),
    h("p", { class: "kp-hint", id: `${id}-hint` }, hint), error);
  return { key, node, input: inputs[0][0], count() {},
    get: () => ({ yes: true, no: false })[inputs.find(([i]) => i.checked)?.[0].value] ?? null,
    set: (v) => { const want = v === true ? "yes" : v === false ? "no" : ""; for (const [i] of inputs) i.checked = i.value === want; },
    show(text) { error.textContent = text ?? ""; node.classList.toggle("kp-wrong", !!text); } };
}

function options(select, values, text = (v) => v) {
  select.replaceChildren(...values.map((v) => h("option", { value: v }, text(v))));
}

function fields(choices) {
  const id = (key) => `kp${forms}-${key}`;
  const text = (more) => h("input", { type: "text", autocomplete: "off", ...more });
  const select = () => h("select", {});
  const symbol = h("span", { class: "kp-sign", "aria-hidden": "true" });
  const amount = h("div", { class: "kp-amount" }, symbol);
  const list = h("datalist", { id: id("subcategories") });
  const [shortest, longest] = choices.days;
  const all = [
    field(id("name"), "name", "Name", `What people read first. Kickstarter allows ${choices.name} characters.`, text({ dir: "auto" }), { most: choices.name, wide: true }),
    field(id("blurb"), "blurb", "Blurb", `The sentence under the name. Kickstarter allows ${choices.blurb} characters.`, h("textarea", { rows: 2, dir: "auto" }), { most: choices.blurb, wide: true }),
    field(id("goal"), "goal", "Goal", "All of it or nothing.", text({ inputmode: "decimal", placeholder: "12,000" }), { around: amount }),
    field(id("currency"), "currency", "Currency", "", select()),
    field(id("days"), "days", "Days", `Kickstarter: ${shortest} to ${longest}.`, text({ inputmode: "numeric" })),
    field(id("parent"), "parent", "Category", "Where people will look for it.", select()),
    field(id("category"), "category", "Subcategory", "Type to find it, if one fits.", text({ list: list.id }), { extra: list }),
    field(id("country"), "country", "Country", "Where you live.", select()),
    choice(id("video"), "video", "Video on the page", "A film about the project.", [["yes", "Yes"], ["no", "No"], ["", "Not sure"]]),
    field(id("launch"), "launch", "Launch date", "The day it goes live.", h("input", { type: "date" })),
    field(id("created"), "created", "Project begun", "The day of its first draft.", h("input", { type: "date" })),
    field(id("earlier_campaigns"), "earlier_campaigns", "Your earlier Kickstarter campaigns", "How many have ended; 0 if none.", text({ inputmode: "numeric" })),
    field(id("earlier_successes"), "earlier_successes", "… that reached their goal", "How many of these.", text({ inputmode: "numeric" })),
    choice(id("staff_pick"), "staff_pick", "Picked by Kickstarter's staff",
      "“Projects we love”: chosen by the staff after launch, so nobody knows beforehand. Leave it open, unless you want to see what it would change.", [["yes", "Yes"], ["no", "No"], ["", "Open"]]),
    field(id("link"), "link", "Link to your draft or project",
      "So that the end of the campaign can be told for sure later. It changes nothing in the answer. Only the part that names the project is kept.",
      h("input", { type: "url", inputmode: "url", autocomplete: "off", spellcheck: "false", placeholder: "https://www.kickstarter.com/projects/…" })),
  ];
  const by = Object.fromEntries(all.map((f) => [f.key, f]));
  const categories = choices.categories;
  options(by.currency.input, choices.currencies, (c) => (sign(c) === c ? c : `${c} ${sign(c)}`));
  options(by.country.input, [...choices.countries].sort((a, b) => country(a).localeCompare(country(b))), country);
  options(by.parent.input, ["", ...Object.keys(categories)], (c) => c || "Choose …");
  const holds = (parent, sub) => (categories[parent] ?? []).find((c) => c.toLowerCase() === sub.trim().toLowerCase());
  by.parent.follow = () => {
    const parent = by.parent.get(), order = parent ? [parent] : Object.keys(categories);
    list.replaceChildren(...order.flatMap((p) => (categories[p] ?? []).map((c) => h("option", { value: c }, parent ? "" : p))));
    if (!holds(parent, by.category.get())) by.category.set("");
  };
  by.category.follow = () => { // a subcategory of one category only also tells the category
    const sub = by.category.get(), parents = Object.keys(categories).filter((p) => holds(p, sub));
    if (!holds(by.parent.get(), sub) && parents.length === 1 && !by.parent.get()) { by.parent.set(parents[0]); by.parent.follow(); }
  };
  by.currency.follow = () => {
    symbol.textContent = sign(by.currency.get());
    amount.style.setProperty("--sign", symbol.textContent.length);
    by.currency.help.textContent = `${currency(by.currency.get())}.`;
  };
  by.country.follow = () => { if (!by.currency.chosen && choices.currency_of[by.country.get()]) { by.currency.set(choices.currency_of[by.country.get()]); by.currency.follow(); } };
  return by;
}

const number = (text) => { const plain = String(text ?? "").replaceAll(",", ""); return /^\d+(\.\d+)?$/.test(plain) ? String(+plain) : text ?? ""; };

// A field of a campaign as a person reads it.
function shownValue(key, fields) {
  const v = fields[key];
  if (v == null || v === "") return "not given";
  if (YES.includes(key)) return v ? "yes" : "no";
  if (key === "goal") return /^[\d.]+$/.test(number(v)) ? money(+number(v), fields.currency) : `${v} ${fields.currency}`;
  return key === "country" ? country(v) : String(v);
}
const COMPARED = Object.keys(LABELS).filter((k) => k !== "currency");
function changed(now, before) { // [label, before, now] of each field that differs
  return COMPARED.filter((k) => (k === "goal" ? number(now[k]) + now.currency !== number(before[k]) + before.currency : (now[k] ?? "") !== (before[k] ?? "")))
    .map((k) => [LABELS[k], shownValue(k, before), shownValue(k, now)]);
}

// ---- the answer -------------------------------------------------------------------------------
const level = (p) => (p < 0.25 ? "low" : p < 0.6 ? "middle" : "high");
const at = (p) => `${(100 * p).toFixed(1)}%`;
const placed = (node, left, width) => { node.style.left = at(left); if (width != null) node.style.width = at(width); return node; };

function figures(n) { // ten, n of them filled
  return h("div", { class: "kp-ten", "aria-hidden": "true" }, Array.from({ length: 10 }, (_, i) =>
    s("svg", { viewBox: "0 0 12 22", class: i < n ? "kp-filled" : "" }, s("circle", { cx: 6, cy: 4.5, r: 3.5 }), s("path", { d: "M1.5 20v-6a4.5 4.5 0 0 1 9 0v6z" }))));
}

function bar(a) {
  return h("div", { class: "kp-bar", "aria-hidden": "true" },
    h("div", { class: "kp-track" }, placed(h("i", { class: "kp-done" }), 0, a.probability),
      a.low != null && placed(h("i", { class: "kp-range" }), a.low, a.high - a.low),
      placed(h("i", { class: "kp-base" }), a.base_rate), placed(h("i", { class: "kp-dot" }), a.probability)),
    h("div", { class: "kp-scale" }, [0, 25, 50, 75, 100].map((t) => placed(h("span", {}, t === 100 ? "100 %" : String(t)), t / 100))));
}

function head(a) {
  return [h("div", { class: "kp-chance" },
    h("p", { class: "kp-number" }, hundredths(a.probability), h("small", {}, "%")),
    h("div", { class: "kp-meaning" }, figures(a.ten), h("p", {}, h("b", {}, a.words)),
      a.low != null && h("p", { class: "kp-likely" }, h("i", { "aria-hidden": "true" }), `Learned from other samples of campaigns, 9 of 10 models would say between ${hundredths(a.low)} and ${percent(a.high)}.`),
      a.beyond && h("p", { class: "kp-beyond" }, a.beyond),
      h("p", { class: "kp-basis" }, h("i", { "aria-hidden": "true" }), `Base rate ${percent(a.base_rate)}, of ${a.base_of}.`))),
  bar(a)];
}

function waterfall(a) {
  const ends = [a.from];
  for (const r of a.reasons) ends.push(ends.at(-1) + r.points);
  const low = Math.min(0, ...ends), scale = Math.max(100, ...ends) - low;
  const step = (kind, from, to) => h("span", { class: "kp-weight", "aria-hidden": "true" }, placed(h("i", { class: `kp-${kind}` }), (Math.min(from, to) - low) / scale, Math.abs(to - from) / scale));
  const rows = a.reasons.map((r, i) => {
    const kind = r.points > 0 ? "up" : "down";
    return h("li", {}, h("span", { class: `kp-points kp-${kind}`, "aria-hidden": "true" }, signed(r.points)),
      h("span", {}, r.text, h("span", { class: "kp-sr" }, ` ${kind === "up" ? "raises" : "lowers"} it by ${points(r.points)}.`)), step(kind, ends[i], ends[i + 1]));
  });
  const total = (n, text, more) => h("li", { class: "kp-total" }, h("span", { "aria-hidden": "true" }, String(n)), h("span", {}, text, more), step("all", 0, n));
  return [h("p", { class: "kp-start" }, a.start),
    h("ol", { class: "kp-reasons" }, total(a.from, "The average campaign", h("span", { class: "kp-sr" }, `: ${a.from} of 100.`)), rows, total(a.to, "Your campaign", h("span", { class: "kp-sr" }, `: ${a.to} of 100.`))),
    h("p", { class: "kp-sum" }, `${a.from} ${a.to < a.from ? "−" : "+"} ${Math.abs(a.to - a.from)} = ${a.to} of 100 campaigns like this.`)];
}

function wording(marks) { // name and blurb as typed, the words that count marked
  if (![...marks.name, ...marks.blurb].some(([, w]) => w)) return null;
  const line = (pieces, tag) => h(tag, { dir: "auto" }, pieces.map(([text, w]) => (w ? h("mark", { class: w > 0 ? "kp-up" : "kp-down" }, text, h("span", { class: "kp-sr" }, w > 0 ? " (counts for it)" : " (counts against it)")) : text)));
  return h("div", { class: "kp-words" }, h("h2", {}, "The words that count"), line(marks.name, "p"), marks.blurb.length > 0 && line(marks.blurb, "p"),
    h("p", { class: "kp-hint" }, h("mark", { class: "kp-up" }, "for it"), " ", h("mark", { class: "kp-down" }, "against it")));
}

function similar(t) {
  if (!t) return [];
  const short = (v) => money(v, "USD", true);
  const label = (i) => (i === 0 ? `below ${short(t.edges[0])}` : i === t.edges.length ? `${short(t.edges.at(-1))} and more` : `${short(t.edges[i - 1])} to ${short(t.edges[i])}`);
  const years = t.years, W = 300, H = 64, each = W / Math.max(years.length, 6);
  return [h("div", {}, h("h2", {}, "How similar campaigns did"), h("p", { class: "kp-hint" }, `${t.of}, of a random sample of all campaigns, 2009 to 2017, by goal in US dollars; counts rounded to tens.`)),
    h("ul", { class: "kp-bands" }, t.bands.map((b, i) => b && h("li", { class: i === t.band ? "kp-own" : "" }, h("span", {}, label(i), i === t.band && h("span", { class: "kp-sr" }, " (your goal)")),
      h("span", { class: "kp-track", "aria-hidden": "true" }, placed(h("i", { class: "kp-done" }), 0, b[1] / 100)), h("span", {}, `${b[1]} % of ${b[0].toLocaleString("en")}`)))),
    h("div", {}, t.typical && h("p", {}, `Half of those that succeeded asked for ${money(t.typical, "USD")} or less.`), years.length > 1 && h("figure", { class: "kp-years" }, h("figcaption", {}, "Success by year of launch"),
      s("svg", { viewBox: `0 0 ${W} ${H + 16}`, role: "img", "aria-label": years.map(([y, n, p]) => `${y}: ${p} % of ${n}`).join("; ") },
        years.map(([y, , p], i) => [s("rect", { x: i * each + 3, width: each - 6, y: H - (p / 100) * (H - 14), height: (p / 100) * (H - 14) }), s("text", { x: (i + 0.5) * each, y: H - (p / 100) * (H - 14) - 3, "text-anchor": "middle" }, `${p} %`), s("text", { x: (i + 0.5) * each, y: H + 12, "text-anchor": "middle" }, y)]))))];
}

// A curve whose values can be read by pointer and keyboard; choosing one calls `tryIt`.
function Curve(format, tryIt) {
  const W = 320, H = 150, L = 34, R = 12, T = 10, B = 22;
  const caption = h("span", {}), readout = h("span", { class: "kp-readout", "aria-hidden": "true" });
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  const plot = h("div", { class: "kp-plot", role: "slider", tabindex: "0" }, svg);
  const node = h("figure", { class: "kp-curve" }, h("figcaption", {}, caption, readout), plot);
  const cursor = s("g", { class: "kp-cursor" }, s("line", { y1: T, y2: H - B }), s("circle", { r: 4 }));
  let all = [], now = 0, i = 0, x, y, pressed = false;
  const tell = () => {
    const { v, p } = all[i], text = `${format(v)}: ${percent(p)}${i === now ? " (now)" : ""}`;
    plot.setAttribute("aria-valuenow", v);
    plot.setAttribute("aria-valuetext", text);
    readout.textContent = text;
    cursor.toggleAttribute("hidden", i === now);
    cursor.firstChild.setAttribute("x1", x(v)); cursor.firstChild.setAttribute("x2", x(v));
    cursor.lastChild.setAttribute("cx", x(v)); cursor.lastChild.setAttribute("cy", y(p));
  };
  const go = (to) => { i = Math.max(0, Math.min(all.length - 1, to)); tell(); };
  const choose = () => { if (i !== now) tryIt(all[i].v); };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), px = ((event.clientX - box.left) / box.width) * W;
    return all.reduce((best, point, k) => (Math.abs(x(point.v) - px) < Math.abs(x(all[best].v) - px) ? k : best), 0);
  };
  fill(plot, {
    onpointermove: (e) => go(nearest(e)), onpointerleave: () => pressed || go(now), onblur: () => go(now),
    onpointerdown: (e) => { if (e.button) return; pressed = true; plot.setPointerCapture(e.pointerId); go(nearest(e)); },
    onpointerup: (e) => { if (pressed) { pressed = false; go(nearest(e)); choose(); } }, onpointercancel: () => { pressed = false; go(now); },
    onkeydown: (e) => {
      const to = { ArrowLeft: i - 1, ArrowDown: i - 1, ArrowRight: i + 1, ArrowUp: i + 1, PageDown: i - 5, PageUp: i + 5, Home: 0, End: all.length - 1, Escape: now }[e.key];
      if (to == null && e.key !== "Enter" && e.key !== " ") return;
      e.preventDefault();
      to == null ? choose() : go(to);
    },
  }, []);
  function update({ title, values, p, now: v0, p_now, log }) {
    all = values.map((v, k) => ({ v, p: p[k] })).filter(({ v }) => v !== v0).concat({ v: v0, p: p_now }).sort((a, b) => a.v - b.v);
    now = all.findIndex(({ v }) => v === v0);
    const f = log ? Math.log : (v) => v, from = f(all[0].v), to = f(all.at(-1).v);
    x = (v) => L + ((f(v) - from) / (to - from)) * (W - L - R);
    y = (v) => T + (1 - v) * (H - T - B);
    const tens = values.filter((v) => Number.isInteger(+Math.log10(v).toFixed(6)));
    const ticks = log ? tens.filter((_, k) => k % Math.ceil(tens.length / 6) === 0) : [1, 15, 30, 45, 60];
    caption.textContent = title;
    fill(plot, { "aria-label": `${title}. Arrow keys read values, Enter tries one.`, "aria-valuemin": all[0].v, "aria-valuemax": all.at(-1).v }, []);
    svg.setAttribute("aria-label", `${title}: ${percent(all[0].p)} at ${format(all[0].v)}, ${percent(p_now)} at ${format(v0)} (now), ${percent(all.at(-1).p)} at ${format(all.at(-1).v)}.`);
    svg.replaceChildren(
      ...[0, 0.5, 1].flatMap((v) => [s("line", { class: "kp-grid", x1: L, x2: W - R, y1: y(v), y2: y(v) }), s("text", { x: L - 5, y: y(v) + 3.5, "text-anchor": "end" }, v === 1 ? "100 %" : `${100 * v}`)]),
      ...ticks.map((v) => s("text", { x: x(v), y: H - 6, "text-anchor": "middle" }, format(v, true))),
      s("line", { class: "kp-now", x1: x(v0), x2: x(v0), y1: y(0), y2: y(p_now) }),
      s("path", { class: "kp-line", d: all.map((q, k) => `${k ? "L" : "M"}${x(q.v).toFixed(1)} ${y(q.p).toFixed(1)}`).join("") }),
      s("circle", { class: "kp-mark", cx: x(v0), cy: y(p_now), r: 5 }), cursor);
    pressed || go(now);
  }
  return { node, update };
}

function sentence(a) {
  return `Chance of success: ${percent(a.probability)}` + (a.low == null ? "." : `, in 9 of 10 models between ${percent(a.low)} and ${percent(a.high)}.`) + ` Of ${a.base_of}, ${percent(a.base_rate)} succeed.`;
}

function advised(advice) {
  return h("div", { class: "kp-advice" }, h("h2", {}, "What helps a campaign"), h("ul", {}, advice.map((t) => h("li", {}, t))));
}

// ---- all of it --------------------------------------------------------------------------------
function render({ model, el }) {
  forms += 1;
  const choices = model.get("choices");
  signs = choices.signs;
  const by = fields(choices), list = Object.values(by), who = visitor();
  const onPage = document.body.classList.contains("kp-page");
  let seq = 0, waiting = 0, timer = 0; // one request is on its way at a time
  let again = false, predict = false, keep = false, keeping = false, forget = null, forgetting = null;
  let last = null, undo = [], kept = []; // the answer drawn; changes tried; requests of this tab that are not stored
  const touched = new Set();
  let hint = ""; // what to do next, until an answer is asked for

  const button = h("button", { type: "submit", class: "kp-main" }, "Show my chances");
  const status = h("p", { class: "kp-status", role: "status" });
  const folds = Object.fromEntries([["staff_pick", "Staff pick"], ["link", "Link to your project"]].map(([key, name]) => [key, h("details", {}, h("summary", {}, name), by[key].node)]));
  const consent = h("input", { type: "checkbox", id: `kp${forms}-store`, "aria-describedby": `kp${forms}-stored`, checked: memory.get("store") !== "no" });
  const stored = h("p", { class: "kp-stored", id: `kp${forms}-stored` });
  const storing = h("div", { class: "kp-storing kp-wide" }, h("label", { for: consent.id }, consent, " Store each request, to check the model later"), h("details", {}, h("summary", {}, "What is stored?"), stored));
  const form = h("form", { novalidate: true, class: "kp-form", "aria-label": "Your campaign" },
    ["name", "blurb", "goal", "currency", "days", "parent", "category", "country", "video", "launch", "created", "earlier_campaigns", "earlier_successes"].map((k) => by[k].node), Object.values(folds), storing,
    h("div", { class: "kp-send kp-wide" }, button, h("button", { type: "reset", class: "kp-quiet" }, "Start over"), status));

  const top = h("div", { class: "kp-shown" }), why = h("section", {}), words = h("section", {}), could = h("section", { class: "kp-could" });
  const tryValue = (key, text) => tryOut(`${LABELS[key]} ${text}`, { [key]: text });
  const curves = {
    goal: Curve((v, short) => money(v, last?.code ?? "USD", short), (v) => tryValue("goal", v.toLocaleString("en", { maximumFractionDigits: 2 }))),
    days: Curve((v, short) => (short ? String(v) : `${v} day${v === 1 ? "" : "s"}`), (v) => tryValue("days", String(v))),
  };
  const whatIf = h("section", { class: "kp-whatif" }, h("div", {}, h("h2", {}, "What if"), h("p", { class: "kp-hint" }, "Point at a curve to read it; click, or press Enter, to try a value.")), curves.goal.node, curves.days.node);
  const notes = h("ul", { class: "kp-notes" }), others = h("section", { class: "kp-similar" }), tools = h("p", { class: "kp-tools" });
  const result = h("div", { class: "kp-result" }, top, h("div", { class: "kp-why" }, why, h("div", {}, could, words)), whatIf, others, notes, tools);
  const answer = h("div", { class: "kp-drawn" });
  const spoken = h("p", { class: "kp-sr", role: "status" });
  const printed = h("dl", { class: "kp-printed" });
  const about = h("p", { class: "kp-about" });
  const panel = h("section", { class: "kp-answer", id: `kp${forms}-answer`, "aria-label": "The answer", tabindex: "-1" }, printed, answer, spoken, about);
  const earlier = h("section", { class: "kp-history", "aria-label": "Your earlier requests" });
  const summary = h("button", { type: "button", class: "kp-summary", hidden: true, onclick: () => { panel.scrollIntoView(); panel.focus({ preventScroll: true }); } });
  const root = h("div", { class: "kp" }, h("div", { class: "kp-columns" }, form, panel), earlier, summary);

  const blank = (text) => h("div", { class: "kp-blank" }, s("svg", { viewBox: "0 0 120 66", "aria-hidden": "true" },
    s("path", { d: "M10 60a50 50 0 0 1 100 0", class: "kp-arc" }), s("path", { d: "M60 60l26-34", class: "kp-hand" }), s("circle", { cx: 60, cy: 60, r: 5 })), h("p", {}, text));

  const values = () => Object.fromEntries(list.map((f) => [f.key, typeof f.get() === "string" ? whole(f.get().slice(0, LONGEST)) : f.get()]));
  const remember = () => memory.set("draft", JSON.stringify(values()));
  function put(typed) {
    for (const f of list) if (f.key !== "category") f.set(typed[f.key]);
    by.currency.follow();
    by.parent.follow();
    by.category.set(typed.category);
    for (const f of list) f.count();
    if (typed.link) folds.link.open = true;
  }

  // until the button is pressed, only fields that were filled in and left leave the browser, to be checked, with those that they depend on
  const wanted = () => Object.fromEntries(Object.entries(values()).filter(([key]) => predict || touched.has(key) || [...touched].some((t) => BESIDE[t] === key)));
  function send() {
    clearTimeout(timer);
    if (waiting) { again = true; return; }
    seq += 1;
    root.dataset.sent = seq;
    waiting = setTimeout(() => { status.textContent = "No answer yet. Trying again …"; resend(); }, 8000);
    [keeping, keep, forgetting, forget] = [keep, false, forget, null];
    model.set("request", { seq, visitor: who, keep: keeping, predict, store: consent.checked, forget: forgetting, today: day(new Date()), fields: wanted() });
    model.save_changes();
  }
  function resend() { clearTimeout(waiting); waiting = 0; keep ||= keeping; forget ??= forgetting; send(); }
  function soon() { root.dataset.sent = "soon"; clearTimeout(timer); timer = setTimeout(send, PAUSE); }

  function tryOut(text, change) {
    undo.push({ text, before: Object.fromEntries(Object.keys(change).map((k) => [k, by[k].get()])) });
    set(change);
  }
  function set(change) {
    for (const [key, value] of Object.entries(change)) by[key].set(value);
    said.textContent = "";
    remember();
    send();
  }

  function got() {
    const a = model.get("answer");
    if (!a || a.seq !== seq) return;
    clearTimeout(waiting);
    waiting = 0;
    const errors = a.errors ?? {}, wrong = list.filter((f) => errors[f.key]);
    for (const f of list) f.show(predict || touched.has(f.key) ? errors[f.key] : null);
    for (const f of wrong) if (folds[f.key] && predict) folds[f.key].open = true;
    if (keeping && wrong.length) wrong[0].input.focus();
    if (keeping && a.probability != null && !(consent.checked && model.get("history")?.stores)) { kept = [{ probability: a.probability, fields: values() }, ...kept].slice(0, 20); drawHistory(); }
    keeping = false;
    const n = wrong.filter((f) => predict || touched.has(f.key)).length;
    status.textContent = a.trouble ?? (predict && n ? `${n} field${n === 1 ? " needs" : "s need"} a look.` : predict ? "" : hint);
    draw(a);
    if (again) { again = false; send(); }
  }

  function drawSuggestions(a) {
    const focused = could.contains(document.activeElement) && document.activeElement.dataset.focus;
    const back = undo.at(-1);
    could.replaceChildren(...[h("h2", {}, "What you could change"),
      back && h("p", { class: "kp-tried" }, `Tried: ${back.text}. `, h("button", { type: "button", class: "kp-quiet", "data-focus": "undo", onclick: () => { undo.pop(); set(back.before); } }, "Undo")),
      a.suggestions.length > 0
        ? h("ol", { class: "kp-suggestions" }, a.suggestions.map((t) => h("li", {}, h("button", { type: "button", class: "kp-try", "data-focus": "undo", onclick: () => tryOut(t.text, t.values) },
            h("b", {}, signed(t.points)), h("span", {}, t.text, h("small", {}, `then ${t.to === 100 ? ">99" : t.to} %`, h("span", { class: "kp-sr" }, `: ${points(t.points)} more. Try it.`)))))))
        : h("p", { class: "kp-hint" }, by.launch.get() < day(new Date()) ? "The launch lies in the past: nothing can be changed any more." : "None of the changes we tried adds a point: a lower goal, another length, a video, another day of launch."),
      h("p", { class: "kp-hint" }, "Computed by the model, each alone. It knows what went together in past campaigns: a correlation is no promise.")].filter(Boolean));
    if (focused) (could.querySelector(`[data-focus="${focused}"]`) ?? could.querySelector("button"))?.focus({ preventScroll: true });
  }

  function draw(a) {
    const good = a.probability != null;
    root.classList.toggle("kp-answered", good);
    last = good ? a : null;
    if (a.advice) {
      answer.replaceChildren(advised(a.advice));
      spoken.textContent = "";
    } else if (good) {
      panel.dataset.level = level(a.probability);
      top.replaceChildren(...head(a).filter(Boolean));
      why.replaceChildren(h("h2", {}, "What moves it"), ...waterfall(a));
      words.replaceChildren(...[wording(a.marks)].filter(Boolean));
      drawSuggestions(a);
      for (const key of Object.keys(curves)) curves[key].update(a.curves[key]);
      others.replaceChildren(...similar(a.similar).filter(Boolean));
      notes.replaceChildren(...a.notes.map((n) => h("li", {}, n)));
      printed.replaceChildren(...Object.keys(LABELS).filter((k) => k !== "currency").flatMap((k) => [h("dt", {}, LABELS[k]), h("dd", { dir: "auto" }, shownValue(k, values()))]));
      if (!result.isConnected) answer.replaceChildren(result);
      summary.replaceChildren(h("b", {}, percent(a.probability)), h("span", {}, a.low == null ? "chance of success" : `chance · ${hundredths(a.low)} to ${percent(a.high)}`), h("span", { class: "kp-more" }, "Why?"));
      clearTimeout(draw.timer);
      draw.timer = setTimeout(() => { spoken.textContent = sentence(a); }, 700);
    } else {
      answer.replaceChildren(blank(predict ? "No prediction: some fields need a look first." : "Describe your campaign and press “Show my chances”. A name, a goal and a category are enough; the more, the better."));
      delete panel.dataset.level;
      spoken.textContent = "";
    }
    root.dataset.seq = a.seq;
  }

  // ---- earlier requests, and what was changed between them
  let asking = false; // whether to delete all
  function drawHistory() {
    const t = model.get("history") ?? {}, rows = [...kept, ...(t.visitor === who ? t.rows ?? [] : [])];
    const focused = earlier.contains(document.activeElement);
    earlier.hidden = !rows.length && !t.note;
    const back = (r) => { predict = true; undo = []; by.currency.chosen = true; put({ ...EMPTY, ...r.fields }); remember(); send(); form.scrollIntoView(); by.name.input.focus({ preventScroll: true }); };
    const remove = (r) => { if (r.id) { forget = r.id; send(); } else { kept = kept.filter((k) => k !== r); drawHistory(); } };
    const removeAll = () => { if (!asking) { asking = true; drawHistory(); earlier.querySelector(".kp-all").focus(); return; } asking = false; kept = []; forget = "all"; send(); drawHistory(); };
    const called = (r) => `${r.fields.name}${r.probability == null ? "" : `, ${percent(r.probability)}`}`;
    const differs = (r, i) => { const before = rows[i + 1]; return before && h("ul", { class: "kp-changed", "aria-label": "Changed since the one before" }, changed(r.fields, before.fields).slice(0, 6).map(([label, was, is]) => h("li", { dir: "auto" }, `${label}: ${was} → ${is}`))); };
    earlier.replaceChildren(h("h2", { tabindex: "-1" }, "Your earlier requests"),
      h("p", { class: "kp-hint" }, "What you asked for, newest first, with what you changed each time. ", rows.some((r) => r.id) && "Only this browser can see and delete what it stored."),
      h("ul", { class: "kp-requests" }, rows.map((r, i) => h("li", {},
        h("b", { class: "kp-p" }, r.probability == null ? "–" : percent(r.probability)),
        h("span", { class: "kp-what" }, h("strong", { dir: "auto" }, r.fields.name), h("span", {}, `${shownValue("goal", r.fields)} · ${r.fields.days} days · ${r.fields.category || r.fields.parent}`)),
        differs(r, i),
        h("span", { class: "kp-do" }, h("button", { type: "button", class: "kp-quiet", "aria-label": `Back to ${called(r)}`, onclick: () => back(r) }, "Back to this"),
          h("button", { type: "button", class: "kp-quiet kp-delete", "aria-label": `Delete ${called(r)}`, onclick: () => remove(r) }, "Delete"), !r.id && h("small", {}, "not stored"))))),
      rows.length ? h("button", { type: "button", class: "kp-quiet kp-delete kp-all", onclick: removeAll }, asking ? "Really delete all of them?" : "Delete all of mine") : "",
      t.note ? h("p", { class: "kp-hint", role: "status" }, t.note) : "");
    if (focused && !earlier.contains(document.activeElement)) (earlier.hidden ? by.name.input : earlier.querySelector("h2")).focus({ preventScroll: true });
    stored.textContent = t.stored ?? "";
    storing.classList.toggle("kp-off", t.stores === false);
    consent.disabled = t.stores === false;
  }

  // ---- share, print, keep
  const saved = () => { const { seq: _, errors, ...answer } = last; return JSON.stringify({ fields: values(), answer, model: choices.about, at: new Date().toISOString() }, null, 1); };
  const link = () => `${location.origin}${location.pathname}#${toFragment(values())}`;
  const said = h("span", { role: "status" });
  const copy = async () => { try { await navigator.clipboard.writeText(link()); said.textContent = "Copied. The link holds what you typed, and no server sees that part of it until somebody presses the button."; } catch { said.replaceChildren(h("input", { class: "kp-link-text", readonly: true, "aria-label": "Link to this campaign", value: link() })); said.firstChild.select(); } };
  const download = () => {
    const url = URL.createObjectURL(new Blob([saved()], { type: "application/json" }));
    h("a", { href: url, download: "kickstarter-prediction.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  const tool = (text, onclick) => h("button", { type: "button", class: "kp-quiet", onclick }, text);
  fill(tools, {}, [onPage && [tool("Copy link", copy), tool("Print or save as PDF", () => window.print())], tool("Download as JSON", download), said]);

  const edited = (event) => {
    const f = list.find((f) => f.node.contains(event.target));
    if (!f) return;
    f.count();
    if (f.key === "currency") f.chosen = true;
    f.follow?.();
    undo = undo.filter((tried) => !(f.key in tried.before));
    remember();
    said.textContent = "";
    if (!predict && !touched.has(f.key)) return;
    event.type === "input" && event.target.matches("input[type=text], input[type=url], textarea") ? soon() : send();
  };
  form.addEventListener("input", edited);
  form.addEventListener("focusout", (event) => {
    const f = list.find((f) => f.node.contains(event.target));
    if (f?.key === "goal" && /^\d{4,12}$/.test(f.get())) f.set(Number(f.get()).toLocaleString("en"));
    if (f && !touched.has(f.key) && f.get() !== "" && f.get() != null) { touched.add(f.key); send(); }
  });
  consent.addEventListener("change", () => { memory.set("store", consent.checked ? null : "no"); send(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); predict = keep = true; send(); });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    predict = by.currency.chosen = false;
    undo = [];
    hint = "";
    touched.clear();
    put({ ...EMPTY, launch: later(30) });
    memory.set("draft", null);
    send();
    by.name.input.focus();
  });

  about.append(choices.about, " ", ...(onPage ? [h("a", { href: "card" }, "What the model is, and what it cannot tell"), ". "] : []), "Not affiliated with Kickstarter.");
  let draft = {};
  try { draft = JSON.parse(memory.get("draft")) ?? {}; } catch { /* none, or not ours */ }
  put({ ...EMPTY, launch: later(30), ...draft });
  const follow = () => { // a link that was shared; the draft of this browser stays until something is typed
    const shared = onPage && fromFragment(location.hash);
    if (!shared) return;
    predict = keep = false;
    undo = [];
    touched.clear();
    by.currency.chosen = !!shared.currency;
    put({ ...EMPTY, launch: later(30), ...Object.fromEntries(Object.entries(shared).filter(([, v]) => v !== "" && v != null)) });
    by.country.follow();
    history.replaceState(null, "", location.pathname + location.search);
    status.textContent = hint = "Filled in from a link: press “Show my chances”.";
  };
  follow();
  window.addEventListener("hashchange", () => { follow(); send(); });
  draw({ seq: 0 });
  drawHistory();
  el.replaceChildren(root);
  new IntersectionObserver(([seen]) => { summary.hidden = seen.intersectionRatio > 0.15; }, { threshold: [0, 0.15, 0.3] }).observe(answer);
  model.on("change:answer", got);
  model.on("change:history", () => { asking = false; drawHistory(); });
  model.on("change:choices", resend); // a new kernel
  send();
}

export default { render };
