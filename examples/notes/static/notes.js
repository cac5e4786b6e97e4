// The page of the notes: it knows the path /api, and finds the rest there.

const links = await (await fetch("/api")).json();
const element = (id) => document.getElementById(id);

async function ask(url, options = {}) {
  const response = await fetch(url, options);
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function send(url, data, method = "POST") {
  return ask(url, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });
}

function item(text, detail, more) {
  const line = document.createElement("li");
  const small = document.createElement("small");
  small.textContent = detail;
  line.append(text, small, ...more);
  return line;
}

async function showNotes() {
  const notes = await ask(links.notes);
  element("notes").replaceChildren(...notes.map((note) => {
    const button = document.createElement("button");
    button.textContent = "Delete";
    button.addEventListener("click", () => attempt(async () => {
      await ask(`${links.notes}/${note.id}`, { method: "DELETE" });
      await showNotes();
    }));
    return item(note.text, note.author, [button]);
  }));
}

async function showFiles() {
  const files = await ask(links.files);
  element("files").replaceChildren(...files.map((file) => {
    const link = document.createElement("a");
    link.href = file.url;
    link.textContent = file.name;
    return item(link, `${file.size} bytes`, []);
  }));
}

async function showAll() {
  const { name } = await ask(links.session);
  element("name").textContent = name;
  element("sign-in").hidden = name !== null;
  element("sign-out").hidden = element("signed-in").hidden = name === null;
  if (name !== null) await Promise.all([showNotes(), showFiles()]);
}

async function attempt(action) {
  element("trouble").hidden = true;
  try {
    await action();
  } catch (error) {
    element("trouble").textContent = error.message;
    element("trouble").hidden = false;
  }
}

function onSubmit(id, action) {
  element(id).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      await action(new FormData(event.target));
      event.target.reset();
    });
  });
}

onSubmit("sign-in", async (form) => {
  await send(links.session, { name: form.get("name") });
  await showAll();
});
onSubmit("sign-out", async () => {
  await ask(links.session, { method: "DELETE" });
  await showAll();
});
onSubmit("add", async (form) => {
  await send(links.notes, { text: form.get("text") });
  await showNotes();
});
onSubmit("upload", async (form) => {
  await ask(links.files, { method: "POST", body: form });
  await showFiles();
});

if (links.events) {
  const events = new EventSource(links.events);
  events.addEventListener("message", (event) => {
    const { seconds, watchers } = JSON.parse(event.data);
    element("seconds").textContent = seconds;
    element("watchers").textContent = watchers;
    element("clock").hidden = false;
  });
  events.addEventListener("error", () => { element("clock").hidden = true; });
}

await attempt(showAll);
