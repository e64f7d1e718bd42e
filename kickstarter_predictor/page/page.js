// The page's side of the widget: a WebSocket to the kernel that Voila started for this visitor, and
// as much of an ipywidgets model as form.js uses. The server lets nothing else through (see 36_app).
import form from "./form.js";

class Model {
  constructor() { this.state = {}; this.changed = new Set(); this.listeners = {}; this.send = () => {}; }
  get(name) { return this.state[name]; }
  set(name, value) { this.state[name] = value; this.changed.add(name); }
  on(event, call) { (this.listeners[event] ||= []).push(call); }
  save_changes() {
    this.send({ method: "update", state: Object.fromEntries([...this.changed].map((n) => [n, this.state[n]])), buffer_paths: [] });
    this.changed.clear();
  }
  receive(state) {
    Object.assign(this.state, state);
    for (const name of Object.keys(state)) for (const call of this.listeners[`change:${name}`] ?? []) call();
  }
}

const place = document.getElementById("form");
const wait = document.getElementById("wait");
const model = new Model();
const session = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
let shown = false, failures = 0, count = 0;

function say(text) { wait.textContent = text; wait.hidden = !text; }

function connect(kernel, id) {
  const url = new URL(`api/kernels/${kernel}/channels?session_id=${session}`, location.href.replace(/^http/, "ws"));
  const socket = new WebSocket(url);
  let due = 0; // a kernel that stays silent is dead: close, and take a new one
  model.send = (data) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    due ||= setTimeout(() => socket.close(), 10000);
    const header = { msg_id: `${session}-${count++}`, msg_type: "comm_msg", username: "", session, version: "5.3", date: new Date().toISOString() };
    socket.send(JSON.stringify({ channel: "shell", header, parent_header: {}, metadata: {}, content: { comm_id: id, data }, buffers: [] }));
  };
  let greeted = false; // what is sent before the kernel's channels are open is lost
  const greet = () => { if (!greeted && socket.readyState === WebSocket.OPEN) { model.send({ method: "request_state" }); setTimeout(greet, 1000); } };
  socket.onopen = greet;
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    const { msg_type, content } = JSON.parse(data);
    if (msg_type !== "comm_msg" || content.comm_id !== id || content.data.method !== "update") return;
    greeted = true;
    failures = due = clearTimeout(due) ?? 0;
    model.receive(content.data.state);
    say("");
    if (!shown) { shown = true; form.render({ model, el: place }); }
  };
  socket.onclose = () => { clearTimeout(due); again(); };
}

// A kernel that went idle is gone: take a new one, what was typed stays.
async function again() {
  if (shown && document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
  say("The connection was lost. Connecting again …");
  await new Promise((done) => setTimeout(done, Math.min(500 * 2 ** failures++, 20000)));
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const place = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("form");
    if (!place) throw new Error("no form");
    connect(place.dataset.kernel, place.dataset.model);
  } catch { again(); }
}

if (place) connect(place.dataset.kernel, place.dataset.model);
else again();
