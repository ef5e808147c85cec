"use strict";
const $ = (id) => document.getElementById(id);
const csrf = document.querySelector("meta[name=csrf]").content;
let task = null, item = null, chosen = new Set(), spans = [], busy = false;

async function call(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json", "x-csrf": csrf }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const value = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw new Error(value.error || response.statusText);
  return value;
}

function progress(value) {
  $("bar").max = value.total || 1;
  $("bar").value = value.done;
  $("count").textContent = `${value.done} of ${value.total} judged`;
  task = { ...task, ...value };
}

async function show(number) {
  $("error").textContent = "";
  if (number === null || number === undefined) return finished();
  item = await call(`item/${number}`);
  const facts = [item.origin, item.purpose === "sample" ? "random sample: judge without the model" : "in doubt"];
  if (item.given !== null && task.kind === "classify") facts.push(`label before: ${item.given}`);
  if (item.human !== null) facts.push(`judged by ${item.by}: ${item.human}`);
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  const said = item.human !== null ? item.human : item.label;
  chosen = new Set(task.kind === "multilabel" && said ? JSON.parse(said) : []);
  spans = task.kind === "spans" && said ? JSON.parse(said) : [];
  $("answer").value = task.kind === "answer" ? said || "" : "";
  model();
  text();
  options();
  if (task.kind === "answer") $("answer").focus(); else if (document.activeElement) document.activeElement.blur();
  window.scrollTo(0, 0);
}

function finished() {
  item = null;
  $("text").textContent = "Every row is judged. Build again to take the words into the data.";
  for (const id of ["facts", "model", "options", "spans"]) $(id).textContent = "";
  $("answer").hidden = true;
}

function model() {
  const place = $("model");
  place.textContent = "";
  if (item.label === null) {
    if (item.purpose !== "sample") place.textContent = `the model gave no label (${item.status})`;
    return;
  }
  const shares = Object.entries(item.distribution || {}).sort((a, b) => b[1] - a[1]).slice(0, 4);
  const strong = document.createElement("b");
  strong.textContent = task.kind === "answer" || task.kind === "spans" ? "shown" : item.label;
  place.append("model: ", strong, ` ${Math.round(100 * item.confidence)} %`);
  if (shares.length > 1 && task.kind !== "answer" && task.kind !== "spans")
    place.append(" · " + shares.map(([name, share]) => `${name} ${Math.round(100 * share)}`).join(", "));
}

function text() {
  const place = $("text");
  place.textContent = "";
  const characters = Array.from(item.text || "");
  let at = 0;
  for (const [start, end, name] of [...spans].sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    place.append(characters.slice(at, start).join(""));
    const mark = document.createElement("mark");
    mark.textContent = characters.slice(start, end).join("");
    mark.title = name;
    place.append(mark);
    at = end;
  }
  place.append(characters.slice(at).join(""));
}

function ranked() {
  const shares = (item && item.distribution) || {};
  const wanted = $("filter").value.trim().toLowerCase();
  let found = task.options.filter((one) => `${one.name} ${one.description || ""}`.toLowerCase().includes(wanted));
  if (task.options.length > 9) found = [...found].sort((a, b) => (shares[b.name] || 0) - (shares[a.name] || 0));
  return found;
}

function options() {
  $("filter").hidden = task.options.length <= 9;
  $("answer").hidden = task.kind !== "answer";
  $("spans").hidden = task.kind !== "spans";
  const several = task.kind === "multilabel" || task.kind === "spans" || task.kind === "answer";
  $("accept-text").textContent = several ? "save" : "accept";
  const place = $("options");
  place.textContent = "";
  ranked().forEach((one, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = one.name;
    button.title = one.description || "";
    button.setAttribute("aria-pressed", String(chosen.has(one.name) || (!several && item.human === one.name)));
    if (number < 9) {
      const key = document.createElement("kbd");
      key.textContent = number + 1;
      button.append(key, " ");
    }
    button.append(one.name);
    button.addEventListener("click", () => pick(one.name));
    place.append(button);
  });
  $("spans").textContent = task.kind === "spans" && !spans.length ? "Select words, then press an option's number." : "";
  spans.forEach(([start, end, name], number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${Array.from(item.text).slice(start, end).join("")} · ${name} ✕`;
    button.addEventListener("click", () => { spans.splice(number, 1); text(); options(); });
    $("spans").append(button);
  });
}

function selected() {
  const selection = window.getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return null;
  const range = selection.getRangeAt(0);
  if (!$("text").contains(range.startContainer) || !$("text").contains(range.endContainer)) return null;
  const before = document.createRange();
  before.selectNodeContents($("text"));
  before.setEnd(range.startContainer, range.startOffset);
  const start = Array.from(before.toString()).length;
  return [start, start + Array.from(range.toString()).length];
}

function pick(name) {
  if (!item) return;
  if (task.kind === "multilabel") {
    if (chosen.has(name)) chosen.delete(name); else chosen.add(name);
    return options();
  }
  if (task.kind === "spans") {
    const place = selected();
    if (!place) { $("error").textContent = "Select words in the text first."; return undefined; }
    spans = spans.filter(([start, end]) => end <= place[0] || place[1] <= start).concat([[...place, name]]);
    window.getSelection().removeAllRanges();
    $("error").textContent = "";
    text();
    return options();
  }
  return say(name);
}

function accept() {
  if (!item) return undefined;
  if (task.kind === "multilabel") return say([...chosen]);
  if (task.kind === "answer") return say($("answer").value);
  if (task.kind === "spans") return say(spans.map(([start, end, label]) => ({ start, end, label })));
  if (!$("filter").hidden && $("filter").value.trim()) {
    const first = ranked()[0];
    return first && say(first.name);
  }
  if (item.label === null) { $("error").textContent = "There is no label to accept: choose one."; return undefined; }
  return say(item.label);
}

async function say(value) {
  if (busy || !item) return;
  busy = true;
  try {
    const number = item.number;
    progress(await call("say", { id: item.id, value }));
    $("filter").value = "";
    const further = number + 1 < task.total ? await call(`item/${number + 1}`) : null;
    await show(further && further.human === null ? number + 1 : task.next);
  } catch (error) {
    $("error").textContent = `Not saved: ${error.message}`;
  } finally {
    busy = false;
  }
}

async function move(step) {
  const number = item ? item.number + step : task.total - 1;
  if (number >= 0 && number < task.total) await show(number);
}

async function undo() {
  const value = await call("undo", {});
  progress(value);
  if (value.number !== null) await show(value.number); else $("error").textContent = "Nothing to take back.";
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "Enter") { event.preventDefault(); accept(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === $("answer") || event.target === $("filter");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    if (event.target === $("filter") && event.key === "Enter") { event.preventDefault(); accept(); }
    return;
  }
  if (event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
  const actions = {
    Enter: accept, s: () => move(1), ArrowRight: () => move(1), ArrowLeft: () => move(-1), u: undo,
    "/": () => { if (!$("filter").hidden) $("filter").focus(); },
  };
  const action = actions[event.key];
  if (action) { event.preventDefault(); action(); return; }
  const number = Number(event.key);
  if (event.key.trim() && number >= 1 && number <= 9) {
    const one = ranked()[number - 1];
    if (one) { event.preventDefault(); pick(one.name); }
  }
});
$("filter").addEventListener("input", options);
$("accept").addEventListener("click", accept);
$("skip").addEventListener("click", () => move(1));
$("back").addEventListener("click", () => move(-1));
$("forth").addEventListener("click", () => move(1));
$("undo").addEventListener("click", undo);

(async () => {
  task = await call("about");
  document.title = `Review · ${task.name}`;
  $("name").textContent = task.name;
  $("who").textContent = task.who;
  $("instruction").textContent = task.instruction;
  progress(task);
  await show(task.next);
  document.body.dataset.ready = "yes";
})().catch((error) => { $("error").textContent = error.message; });
