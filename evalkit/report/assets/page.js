"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Tabs: one panel per arm; arrows, Home and End move as in every tab list.
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const select = (tab) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  });

  // Tables: a click on a head sorts by it, a second one the other way round.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  for (const button of document.querySelectorAll("table.sortable .sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = head.closest("table");
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => order(value(a, head.cellIndex), value(b, head.cellIndex)));
      body.append(...(up ? rows : rows.reverse()));
    });
  }

  // Task names say under the table what their row means.
  for (const name of document.querySelectorAll(".forest-table tbody .task-name")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "task-name";
    button.textContent = name.textContent;
    button.title = name.title;
    const line = name.closest("[role=tabpanel]").querySelector(".explain");
    line.textContent = "Choose a task for a sentence on its row.";
    button.addEventListener("click", () => {
      line.textContent = `${button.textContent}: ${button.title}`;
    });
    name.replaceWith(button);
  }

  // Items: texts come from data sets and models, so they are only ever set as textContent.
  const list = byId("items");
  if (!list) return;
  const data = JSON.parse(byId("items-data").textContent);
  const [TASK, ID, PROMPT, TARGET, BEFORE] = [0, 1, 2, 3, 4];
  const STEP = 25;
  const WORDS = {
    lost: "forgotten", gained: "learnt", wrong: "wrong answer", format: "label of the new task",
    unreadable: "unreadable", refused: "refused", truncated: "cut off", empty: "empty", unjudged: "no verdict",
  };
  const unpack = (part) =>
    part.flips.map(([arm, item, direction, status, after]) => {
      const row = part.items[item];
      const text = [row[PROMPT], row[TARGET], row[BEFORE], after, row[ID]].filter(Boolean).join("\n").toLowerCase();
      return { arm: data.arms[arm], task: row[TASK], row, direction, status, after, text };
    });
  const flips = unpack(data);
  const filters = ["direction", "arm", "task", "status"];
  const offer = () => {
    for (const name of filters) {
      const counts = new Map();
      for (const flip of flips) counts.set(flip[name], (counts.get(flip[name]) || 0) + 1);
      const control = byId(`f-${name}`);
      const chosen = control.value;
      control.length = 1;
      for (const [key, count] of counts) {
        const word = WORDS[key] && name !== "arm" && name !== "task" ? WORDS[key] : key;
        control.add(new Option(`${word} (${count.toLocaleString("en")})`, key));
      }
      control.value = chosen;
      control.closest("label").hidden = counts.size < 2;
    }
  };
  offer();
  for (const name of filters) byId(`f-${name}`).addEventListener("change", () => show());
  if (flips.some((flip) => flip.direction === "lost")) byId("f-direction").value = "lost";

  // What the page has no room for lies in files beside it, one after another; each calls datakitItems.
  let missing = 0;
  const pending = [...data.parts];
  window.datakitItems = (number, part) => {
    flips.push(...unpack(part));
  };
  const load = () => {
    const part = pending[0];
    if (!part) return;
    const script = document.createElement("script");
    const done = () => {
      pending.shift();
      offer();
      refresh();
      load();
    };
    script.addEventListener("load", done);
    script.addEventListener("error", () => {
      missing += part.flips;
      done();
    });
    script.src = part.file;
    document.body.append(script);
  };
  let timer = 0;
  byId("f-text").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, 120);
  });

  const make = (tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  // The difference of two answers: words of the longest common subsequence are plain, the others marked.
  const segmenter = window.Intl && Intl.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;
  const wordsOf = (text) =>
    segmenter ? Array.from(segmenter.segment(text), (piece) => piece.segment) : text.split(/(\s+)/).filter(Boolean);
  const common = (one, other) => {
    const table = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
    for (let i = one.length - 1; i >= 0; i--)
      for (let j = other.length - 1; j >= 0; j--)
        table[i][j] = one[i] === other[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    const kept = [new Set(), new Set()];
    for (let i = 0, j = 0; i < one.length && j < other.length; ) {
      if (one[i] === other[j]) {
        kept[0].add(i++);
        kept[1].add(j++);
      } else if (table[i + 1][j] >= table[i][j + 1]) i++;
      else j++;
    }
    return kept;
  };
  const marked = (before, after) => {
    if (!before || !after || before === after) return [null, null];
    const words = [wordsOf(before), wordsOf(after)];
    const kept = common(words[0], words[1]);
    // Nothing in common: marking every word would say nothing.
    if (!words[0].some((word, at) => kept[0].has(at) && word.trim())) return [null, null];
    return words.map((list, side) => list.map((word, at) => [word, !kept[side].has(at) && word.trim() !== ""]));
  };
  const answer = (name, text, kind, pieces) => {
    const box = make("div", kind);
    box.append(make("dt", "", name));
    const body = text ? make("dd") : make("dd", "none", text === null ? "not shown" : "(empty)");
    if (text && pieces) {
      for (const [word, differs] of pieces) body.append(differs ? make("mark", "", word) : word);
    } else if (text) body.textContent = text;
    body.dir = "auto";
    box.append(body);
    return box;
  };
  const card = (flip) => {
    const lost = flip.direction === "lost";
    const box = make("article", "item");
    const head = make("p", "item-head");
    head.append(make("b", "", flip.task), make("span", "", `${WORDS[flip.direction]} by ${flip.arm}`));
    if (flip.status !== "wrong") head.append(make("span", "", WORDS[flip.status] || flip.status));
    if (flip.row[ID]) head.append(make("span", "", flip.row[ID]));
    box.append(head);
    if (flip.row[PROMPT] !== null) {
      const prompt = make("p", "prompt", flip.row[PROMPT]);
      prompt.dir = "auto";
      if (flip.row[PROMPT].length > 600) {
        prompt.classList.add("long");
        prompt.tabIndex = 0;
      }
      box.append(prompt);
      const answers = make("dl", "answers");
      const [old, now] = marked(flip.row[BEFORE], flip.after);
      answers.append(
        answer("right answer", flip.row[TARGET], ""),
        answer(lost ? "base, right" : "base, wrong", flip.row[BEFORE], lost ? "right" : "wrong", old),
        answer(`${flip.arm}, ${lost ? "wrong" : "right"}`, flip.after, lost ? "wrong" : "right", now),
      );
      box.append(answers);
    } else {
      box.append(make("p", "none", "text left out: the source is private"));
    }
    return box;
  };

  let found = [];
  let shown = 0;
  const more = () => {
    list.append(...found.slice(shown, shown + STEP).map(card));
    shown = Math.min(found.length, shown + STEP);
    status();
  };
  const status = () => {
    byId("more").hidden = shown >= found.length;
    const notes = [];
    if (pending.length) notes.push("more are being read");
    if (missing) notes.push(`${missing.toLocaleString("en")} are missing: items-N.js must lie beside this page`);
    if (data.left_out) notes.push(`${data.left_out.toLocaleString("en")} more are in the logs only`);
    const left = notes.length ? `; ${notes.join("; ")}` : "";
    byId("count").textContent = found.length
      ? `${shown.toLocaleString("en")} of ${found.length.toLocaleString("en")} items${left}`
      : `No item fits${left}.`;
  };
  const fits = () => {
    const words = byId("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = filters.map((name) => [name, byId(`f-${name}`).value]).filter((pair) => pair[1]);
    found = flips.filter(
      (flip) => wanted.every(([name, key]) => flip[name] === key) && words.every((word) => flip.text.includes(word)),
    );
  };
  const show = () => {
    fits();
    shown = 0;
    list.replaceChildren();
    more();
  };
  // After more items came: what is on the page stays, in its order, and the count is right.
  const refresh = () => {
    fits();
    if (shown < STEP) more();
    else status();
  };
  byId("more").addEventListener("click", more);
  show();
  load();
})();
