// A member of the chat. It comes back by itself, and nothing that was said is lost or shown twice.

const element = (id) => document.getElementById(id);
const unheard = new Map(); // what was said and has not come back yet, by key
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10000;

let name = "";
let socket = null;
let timer = null;
let last = 0; // the number of the last line that came
let pause = FIRST_PAUSE;

function connect() {
  const url = new URL("/chat", location);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ name, since: last });
  const ws = socket = new WebSocket(url);
  let opened = false;

  ws.addEventListener("open", () => {
    opened = true;
    pause = FIRST_PAUSE;
    element("status").textContent = "connected";
    for (const [key, text] of unheard) send(key, text); // the server knows what it has by the key
  });

  ws.addEventListener("message", (event) => {
    if (ws !== socket) return;
    const line = JSON.parse(event.data);
    last = line.id;
    if (unheard.delete(line.key)) showUnheard();
    show(line);
  });

  ws.addEventListener("close", (event) => {
    if (ws !== socket) return; // we have left
    if (opened) show({ kind: "closed", text: closing(event) });
    const wait = pause * (0.5 + Math.random() / 2); // not all members at the same time
    pause = Math.min(2 * pause, LONGEST_PAUSE);
    element("status").textContent = "connecting again";
    timer = setTimeout(connect, wait);
  });
}

function closing(event) {
  switch (event.code) {
    case 1001: return "The server is started anew (1001).";
    case 1006: return "The connection was lost (1006).";
    default: return `The connection has ended (${event.code} ${event.reason}).`;
  }
}

function send(key, text) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ key, text }));
}

function show(line) {
  const item = document.createElement("li");
  item.className = line.kind;
  const author = document.createElement("b");
  author.textContent = line.name ?? "";
  const text = { said: `: ${line.text}`, joined: " has joined", left: " has left", closed: line.text }[line.kind];
  item.append(author, text);
  element("lines").append(item);
  while (element("lines").childElementCount > 1000) element("lines").firstChild.remove();
  item.scrollIntoView({ block: "end" });
}

function showUnheard() {
  element("unheard").replaceChildren(...[...unheard.values()].map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

function joined(is) {
  element("join").hidden = is;
  element("room").hidden = !is;
}

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  name = new FormData(event.target).get("name").trim();
  if (name === "") return;
  joined(true);
  connect();
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = new FormData(event.target).get("text").trim();
  event.target.reset();
  if (text === "") return;
  const key = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  unheard.set(key, text);
  showUnheard();
  send(key, text);
});

element("leave").addEventListener("click", () => {
  last = 0;
  unheard.clear();
  showUnheard();
  element("lines").replaceChildren();
  element("status").textContent = "not connected";
  joined(false);
  clearTimeout(timer);
  socket.close(1000);
  socket = null;
});
