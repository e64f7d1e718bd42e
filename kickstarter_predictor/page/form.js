// The form's view, the same in JupyterLab (through anywidget) and on the page (through page.js).
// It sends `request` {seq, visitor, predict, keep, fields} and draws `answer` and `history`; the kernel checks and predicts.
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
const percent = (p) => `${Math.round(100 * p)} %`;
const size = (text) => (text.length > 2 * LONGEST ? text.length : [...text].length);
const whole = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd"); // half a character cannot be sent
const day = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
const later = (days) => { const d = new Date(); d.setDate(d.getDate() + days); return day(d); };

function names(type) {
  const known = new Intl.DisplayNames(["en"], { type, fallback: "code" });
  return (code) => { try { return known.of(code); } catch { return code; } };
}
const country = names("region"), currency = names("currency");

function money(amount, code, compact) {
  const digits = amount % 1 && !compact ? 2 : 0;
  const style = { style: "currency", currency: code, currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits };
  try { return new Intl.NumberFormat("en", compact ? { ...style, notation: "compact" } : style).format(amount); } catch { return `${amount} ${code}`; }
}

// What a tab remembers, so that a reload loses nothing; a browser may forbid it.
const memory = {
  get(store, key) { try { return window[store].getItem(key); } catch { return null; } },
  set(store, key, value) { try { window[store].setItem(key, value); } catch { /* then it is not remembered */ } },
};
function visitor() {
  const key = "kickstarter-predictor-visitor";
  const id = memory.get("localStorage", key) ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  memory.set("localStorage", key, id);
  return id;
}

// ---- the fields -------------------------------------------------------------------------------
let forms = 0;

function field(id, key, label, hint, input, { most, wide } = {}) {
  const error = h("p", { class: "kp-error", id: `${id}-error` });
  const counter = most && h("span", { class: "kp-count", "aria-hidden": "true" });
  fill(input, { id, "aria-describedby": `${id}-hint ${id}-error` }, []);
  const node = h("div", { class: `kp-field kp-${key}${wide ? " kp-wide" : ""}` },
    h("div", { class: "kp-label" }, h("label", { for: id }, label), counter), input,
    h("p", { class: "kp-hint", id: `${id}-hint` }, hint), error);
  const count = () => {
    if (!counter) return;
    counter.textContent = `${size(input.value)} / ${most}`;
    counter.classList.toggle("kp-over", size(input.value) > most);
  };
  return { key, node, input, count, get: () => input.value, set: (v) => { input.value = v ?? ""; count(); },
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
  const kept = select.value;
  select.replaceChildren(...values.map((v) => h("option", { value: v }, v === "" ? text("") : text(v))));
  if (values.includes(kept)) select.value = kept;
}

function fields(choices) {
  const id = (key) => `kp${forms}-${key}`;
  const text = (more) => h("input", { type: "text", autocomplete: "off", ...more });
  const select = () => h("select", {});
  const all = [
    field(id("name"), "name", "Name", "As people will read it first.", text({}), { most: choices.name, wide: true }),
    field(id("blurb"), "blurb", "Blurb", "The one sentence under the name.", h("textarea", { rows: 2 }), { most: choices.blurb, wide: true }),
    field(id("goal"), "goal", "Goal", "All of it, or nothing.", text({ inputmode: "decimal", placeholder: "12000" })),
    field(id("currency"), "currency", "Currency", "Of the goal.", select()),
    field(id("days"), "days", "Days", `The length: ${choices.days[0]} to ${choices.days[1]}.`, h("input", { type: "text", inputmode: "numeric", autocomplete: "off" })),
    field(id("parent"), "parent", "Category", "Where people will look for it.", select()),
    field(id("category"), "category", "Subcategory", "The closest one, if any fits.", select()),
    field(id("country"), "country", "Country", "Where you, the creator, are.", select()),
    choice(id("video"), "video", "Video on the page", "Of the project, on its page.", [["yes", "Yes"], ["no", "No"], ["", "Not sure"]]),
    field(id("launch"), "launch", "Launch date", "When it goes live.", h("input", { type: "date" })),
    field(id("created"), "created", "Project begun", "When its draft was begun, if known.", h("input", { type: "date" })),
    field(id("earlier_campaigns"), "earlier_campaigns", "Your earlier Kickstarter campaigns", "Those that have ended, if any.", text({ inputmode: "numeric" })),
    field(id("earlier_successes"), "earlier_successes", "… that reached their goal", "How many of these earlier campaigns.", text({ inputmode: "numeric" })),
    choice(id("staff_pick"), "staff_pick", "Picked by Kickstarter's staff",
      "“Projects we love”: chosen by the staff after launch, so nobody knows beforehand. Leave it open, unless you want to see what it would change.", [["yes", "Yes"], ["no", "No"], ["", "Open"]]),
    field(id("link"), "link", "Link to your draft or project",
      "So that the end of the campaign can be told for sure later. It changes nothing in the answer. Only the part that names the project is kept.",
      h("input", { type: "url", inputmode: "url", autocomplete: "off", spellcheck: "false", placeholder: "https://www.kickstarter.com/projects/…" })),
  ];
  const by = Object.fromEntries(all.map((f) => [f.key, f]));
  options(by.currency.input, choices.currencies, (c) => `${c} · ${currency(c)}`);
  options(by.country.input, [...choices.countries].sort((a, b) => country(a).localeCompare(country(b))), country);
  options(by.parent.input, ["", ...Object.keys(choices.categories)], (c) => c || "Choose …");
  by.parent.follow = () => options(by.category.input, ["", ...(choices.categories[by.parent.get()] ?? [])], (c) => c || (by.parent.get() ? "None of these" : "Category first"));
  by.country.follow = () => { if (!by.currency.chosen && choices.currency_of[by.country.get()]) by.currency.set(choices.currency_of[by.country.get()]); };
  return by;
}

const EMPTY = { name: "", blurb: "", goal: "", currency: "USD", days: "30", parent: "", category: "", country: "US", video: null, created: "", earlier_campaigns: "", earlier_successes: "", staff_pick: null, link: "" };

// ---- the answer -------------------------------------------------------------------------------
function bar(a) {
  const at = (p) => `${(100 * p).toFixed(1)}%`;
  const place = (node, left, width) => { node.style.left = at(left); if (width != null) node.style.width = at(width); return node; };
  return h("div", { class: "kp-bar", "aria-hidden": "true" },
    h("div", { class: "kp-track" }, place(h("i", { class: "kp-done" }), 0, a.probability),
      a.low != null && place(h("i", { class: "kp-range" }), a.low, a.high - a.low),
      place(h("i", { class: "kp-base" }), a.base_rate), place(h("i", { class: "kp-dot" }), a.probability)),
    h("div", { class: "kp-scale" }, ["0", "25", "50", "75", "100 %"].map((t) => h("span", {}, t))));
}

function reasons(a) {
  const most = Math.max(10, ...a.reasons.map((r) => Math.abs(r.points))), moved = a.to - a.from;
  const rows = a.reasons.map((r) => {
    const up = r.points > 0, n = Math.abs(r.points);
    const mark = h("i", { class: up ? "kp-up" : "kp-down" });
    mark.style.width = `${(50 * n) / most}%`;
    return h("li", {}, h("span", { class: `kp-points ${up ? "kp-up" : "kp-down"}`, "aria-hidden": "true" }, `${up ? "+" : "−"}${n}`),
      h("span", {}, r.text, h("span", { class: "kp-sr" }, ` ${up ? "raises" : "lowers"} it by ${n} point${n === 1 ? "" : "s"}.`)),
      h("span", { class: "kp-weight", "aria-hidden": "true" }, mark));
  });
  return [h("p", { class: "kp-start" }, a.start), h("ol", { class: "kp-reasons" }, rows),
    h("p", { class: "kp-sum" }, `${a.from} ${moved < 0 ? "−" : "+"} ${Math.abs(moved)} = ${a.to} of 100 campaigns like this.`)];
}

function curve({ title, values, p, now, p_now, log }, format) {
  const W = 320, H = 146, L = 34, R = 10, T = 10, B = 22;
  const f = log ? Math.log : (v) => v, from = f(values[0]), to = f(values[values.length - 1]);
  const x = (v) => L + ((f(v) - from) / (to - from)) * (W - L - R), y = (v) => T + (1 - v) * (H - T - B);
  const ticks = log ? values.filter((v) => Number.isInteger(+Math.log10(v).toFixed(6))) : [1, 15, 30, 45, 60];
  const text = `${title}: ${percent(p[0])} at ${format(values[0])}, ${percent(p_now)} at ${format(now)} (now), ${percent(p[p.length - 1])} at ${format(values[values.length - 1])}.`;
  return h("figure", { class: "kp-curve" }, h("figcaption", {}, title),
    s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": text },
      [0, 0.5, 1].map((v) => [s("line", { class: "kp-grid", x1: L, x2: W - R, y1: y(v), y2: y(v) }), s("text", { x: L - 5, y: y(v) + 3.5, "text-anchor": "end" }, v === 1 ? "100 %" : `${100 * v}`)]),
      ticks.map((v) => s("text", { x: x(v), y: H - 6, "text-anchor": "middle" }, format(v, true))),
      s("line", { class: "kp-now", x1: x(now), x2: x(now), y1: y(0), y2: y(p_now) }),
      s("path", { class: "kp-line", d: p.map((v, i) => `${i ? "L" : "M"}${x(values[i]).toFixed(1)} ${y(v).toFixed(1)}`).join("") }),
      s("circle", { cx: x(now), cy: y(p_now), r: 5 })));
}

function sentence(a) {
  return `Chance of success: ${percent(a.probability)}` + (a.low == null ? "." : `, likely between ${percent(a.low)} and ${percent(a.high)}.`) + ` Of ${a.base_of}, ${percent(a.base_rate)} succeed.`;
}

function drawn(a) {
  const { code, curves } = a;
  return [
    h("div", { class: "kp-chance" },
      h("p", { class: "kp-number" }, String(Math.round(100 * a.probability)), h("small", {}, "%")),
      h("div", { class: "kp-meaning" }, h("p", {}, h("b", {}, a.words)),
        a.low != null && h("p", { class: "kp-likely" }, h("i", { "aria-hidden": "true" }), `Likely between ${Math.round(100 * a.low)} and ${percent(a.high)}.`),
        h("p", { class: "kp-basis" }, h("i", { "aria-hidden": "true" }), `Base rate ${percent(a.base_rate)}, of ${a.base_of}.`))),
    bar(a),
    h("div", { class: "kp-why" },
      h("section", {}, h("h3", {}, "What moves it"), reasons(a)),
      h("section", {}, h("h3", {}, "What if"), curve(curves.goal, (v, short) => money(v, code, short)), curve(curves.days, (v, short) => (short ? String(v) : `${v} day${v === 1 ? "" : "s"}`)))),
    a.notes.length > 0 && h("ul", { class: "kp-notes" }, a.notes.map((n) => h("li", {}, n))),
  ];
}

function advised(advice) {
  return [h("div", { class: "kp-advice" }, h("h3", {}, "What helps a campaign"), h("ul", {}, advice.map((t) => h("li", {}, t))))];
}

// ---- all of it --------------------------------------------------------------------------------
function render({ model, el }) {
  forms += 1;
  const choices = model.get("choices"), by = fields(choices), list = Object.values(by), who = visitor();
  let seq = 0, waiting = 0, timer = 0; // one request is on its way at a time
  let again = false, predict = false, keep = false, keeping = false;
  const touched = new Set();

  const button = h("button", { type: "submit", class: "kp-main" }, "Show my chances");
  const status = h("p", { class: "kp-status", role: "status" });
  const folds = Object.fromEntries([["staff_pick", "Staff pick"], ["link", "Link to your project"]].map(([key, name]) => [key, h("details", {}, h("summary", {}, name), by[key].node)]));
  const form = h("form", { novalidate: true, class: "kp-form", "aria-label": "Your campaign" },
    ["name", "blurb", "goal", "currency", "days", "parent", "category", "country", "video", "launch", "created", "earlier_campaigns", "earlier_successes"].map((k) => by[k].node), Object.values(folds),
    h("div", { class: "kp-send kp-wide" }, button, h("button", { type: "reset", class: "kp-quiet" }, "Start over"), status));
  const answer = h("div", { class: "kp-shown" });
  const spoken = h("p", { class: "kp-sr", role: "status" });
  const about = h("p", { class: "kp-about" });
  const panel = h("section", { class: "kp-answer", id: `kp${forms}-answer`, "aria-label": "The answer", tabindex: "-1" }, answer, spoken, about);
  const earlier = h("section", { class: "kp-history", "aria-label": "Your earlier requests" });
  const summary = h("button", { type: "button", class: "kp-summary", hidden: true, onclick: () => { panel.scrollIntoView(); panel.focus({ preventScroll: true }); } });
  const stored = h("p", { class: "kp-stored" });
  const root = h("div", { class: "kp" }, h("div", { class: "kp-columns" }, form, panel), earlier, stored, summary);

  const blank = (text) => h("div", { class: "kp-blank" }, s("svg", { viewBox: "0 0 120 66", "aria-hidden": "true" },
    s("path", { d: "M10 60a50 50 0 0 1 100 0", class: "kp-arc" }), s("path", { d: "M60 60l26-34", class: "kp-hand" }), s("circle", { cx: 60, cy: 60, r: 5 })), h("p", {}, text));

  const values = () => Object.fromEntries(list.map((f) => [f.key, typeof f.get() === "string" ? whole(f.get().slice(0, LONGEST)) : f.get()]));
  function put(typed) {
    for (const f of list) if (f.key !== "category") f.set(typed[f.key]);
    by.parent.follow();
    by.category.set(typed.category);
    for (const f of list) f.count();
    if (typed.link) folds.link.open = true;
  }

  function send() {
    clearTimeout(timer);
    if (waiting) { again = true; return; }
    seq += 1;
    root.dataset.sent = seq;
    waiting = setTimeout(() => { status.textContent = "No answer yet. Trying again …"; resend(); }, 8000);
    keeping = keep;
    keep = false;
    model.set("request", { seq, visitor: who, keep: keeping, predict, fields: values() });
    model.save_changes();
  }
  function resend() { clearTimeout(waiting); waiting = 0; keep ||= keeping; send(); }
  function soon() { root.dataset.sent = "soon"; clearTimeout(timer); timer = setTimeout(send, PAUSE); }

  function got() {
    const a = model.get("answer");
    if (!a || a.seq !== seq) return;
    clearTimeout(waiting);
    waiting = 0;
    const errors = a.errors ?? {}, wrong = list.filter((f) => errors[f.key]);
    for (const f of list) f.show(predict || touched.has(f.key) ? errors[f.key] : null);
    for (const f of wrong) if (folds[f.key]) folds[f.key].open = true;
    if (keeping && wrong.length) wrong[0].input.focus();
    keeping = false;
    const n = wrong.filter((f) => predict || touched.has(f.key)).length;
    status.textContent = a.trouble ?? (predict && n ? `${n} field${n === 1 ? " needs" : "s need"} a look.` : "");
    draw(a);
    if (again) { again = false; send(); }
  }

  function draw(a) {
    const good = a.probability != null;
    root.classList.toggle("kp-answered", good);
    if (a.advice) {
      answer.replaceChildren(...advised(a.advice));
      button.textContent = "Keep for comparison";
      spoken.textContent = "";
    } else if (good) {
      answer.replaceChildren(...drawn(a).filter(Boolean));
      button.textContent = "Keep for comparison";
      summary.replaceChildren(h("b", {}, percent(a.probability)), h("span", {}, a.low == null ? "chance of success" : `chance · ${Math.round(100 * a.low)} to ${percent(a.high)}`), h("span", { class: "kp-more" }, "Why?"));
      clearTimeout(draw.timer);
      draw.timer = setTimeout(() => { spoken.textContent = sentence(a); }, 700);
    } else {
      answer.replaceChildren(blank(predict ? "No prediction: some fields need a look first." : "Describe your campaign and press “Show my chances”. A name, a goal and a category are enough; the more, the better."));
      spoken.textContent = "";
      button.textContent = "Show my chances";
    }
    root.dataset.seq = a.seq;
  }

  function drawHistory() {
    const t = model.get("history") ?? {}, rows = t.visitor === who ? t.rows ?? [] : [];
    earlier.hidden = !rows.length && !t.note;
    const back = (r) => { predict = true; by.currency.chosen = true; put({ ...EMPTY, ...r.fields }); send(); form.scrollIntoView({ block: "nearest" }); by.name.input.focus({ preventScroll: true }); };
    earlier.replaceChildren(h("h2", {}, "Your earlier requests"),
      h("ul", {}, rows.map((r) => h("li", {},
        h("b", { class: "kp-p" }, r.probability == null ? "–" : percent(r.probability)),
        h("span", { class: "kp-what" }, h("strong", {}, r.fields.name), h("span", {}, `${money(+r.fields.goal, r.fields.currency)} · ${r.fields.days} days · ${r.fields.category || r.fields.parent}`)),
        h("button", { type: "button", class: "kp-quiet", "aria-label": `Back to ${r.fields.name}${r.probability == null ? "" : `, ${percent(r.probability)}`}`, onclick: () => back(r) }, "Back to this")))),
      t.note ? h("p", { class: "kp-hint" }, t.note) : "");
    stored.textContent = t.stored ?? "";
  }

  const changed = (event) => {
    const f = list.find((f) => f.node.contains(event.target));
    if (!f) return;
    f.count();
    if (f.key === "currency") f.chosen = true;
    f.follow?.();
    memory.set("sessionStorage", "kickstarter-predictor-draft", JSON.stringify(values()));
    event.type === "input" && event.target.matches("input[type=text], input[type=url], textarea") ? soon() : send();
  };
  form.addEventListener("input", changed);
  form.addEventListener("focusout", (event) => {
    const f = list.find((f) => f.node.contains(event.target));
    if (f && !touched.has(f.key) && f.get() !== "" && f.get() != null) { touched.add(f.key); send(); }
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); predict = keep = true; send(); });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    predict = by.currency.chosen = false;
    touched.clear();
    put({ ...EMPTY, launch: later(30) });
    memory.set("sessionStorage", "kickstarter-predictor-draft", "");
    send();
    by.name.input.focus();
  });

  about.textContent = choices.about;
  let draft = {};
  try { draft = JSON.parse(memory.get("sessionStorage", "kickstarter-predictor-draft")) ?? {}; } catch { /* none, or not ours */ }
  put({ ...EMPTY, launch: later(30), ...draft });
  draw({ seq: 0 });
  drawHistory();
  el.replaceChildren(root);
  new IntersectionObserver(([seen]) => { summary.hidden = seen.intersectionRatio > 0.15; }, { threshold: [0, 0.15, 0.3] }).observe(answer);
  model.on("change:answer", got);
  model.on("change:history", drawHistory);
  model.on("change:choices", resend); // a new kernel
  send();
}

export default { render };
