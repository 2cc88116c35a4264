"use strict";
(() => {
  const { file, target, questions, classes } = JSON.parse(document.getElementById("questions").textContent);
  const find = (id) => document.getElementById(id);
  const answers = new Array(questions.length); // undefined: not answered; null: none of these
  const given = []; // positions in the order of the answers, for undo
  let at = 0;
  let saved = true;

  const done = () => answers.filter((answer) => answer !== undefined).length;

  function show() {
    const one = questions[at];
    find("progress").value = done();
    find("place").textContent = `${at + 1} of ${questions.length}, ${done()} answered`;
    find("picture").hidden = !one.picture;
    if (one.picture) find("picture").src = one.picture;
    find("sound").hidden = !one.sound;
    if (one.sound) find("sound").src = one.sound;
    else find("sound").removeAttribute("src");
    find("text").hidden = !one.text;
    find("text").textContent = one.text ?? "";
    find("name").textContent = one.picture || one.sound || one.text ? "" : one.id;
    find("choices").replaceChildren(
      ...one.choices.map((name, i) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        const key = document.createElement("kbd");
        const label = document.createElement("bdi");
        key.textContent = String(i + 1);
        label.textContent = name;
        button.append(key, " ", label);
        button.setAttribute("aria-pressed", String(answers[at] === name));
        button.addEventListener("click", () => answer(name));
        item.append(button);
        return item;
      }),
    );
    find("none").setAttribute("aria-pressed", String(answers[at] === null));
    find("search").value = "";
    list();
    const chosen = answers[at];
    if (typeof chosen === "string" && !one.choices.includes(chosen)) find("search").value = chosen;
    find("undo").disabled = given.length === 0;
    find("save").disabled = done() === 0;
    find("end").hidden = done() < questions.length;
  }

  function answer(name) {
    const complete = done() === questions.length;
    answers[at] = name;
    given.push(at);
    saved = false;
    const open = questions.findIndex((_, i) => i > at && answers[i] === undefined);
    const first = answers.findIndex((value) => value === undefined);
    if (open >= 0) at = open;
    else if (first >= 0) at = first;
    show();
    if (complete || done() < questions.length) return;
    find("end").scrollIntoView({ block: "nearest" }); // it stands above the buttons that were just pressed
    save();
  }

  function undo() {
    const last = given.pop();
    if (last === undefined) return;
    answers[last] = undefined;
    at = last;
    saved = false;
    show();
  }

  function move(step) {
    at = Math.min(Math.max(at + step, 0), questions.length - 1);
    show();
  }

  function save() {
    const told = questions.flatMap((one, i) =>
      answers[i] === undefined ? [] : [{ id: one.id, content: one.content, times: one.times, answer: answers[i] }],
    );
    const blob = new Blob([JSON.stringify({ format: 1, target, answers: told }, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
  }

  // -- the search among all classes

  const SHOWN = 50;
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const keys = classes.map(plain);
  let marked = 0;

  // Classes whose name begins with what is typed, then those with a word that does, then those that hold it.
  function matches(typed) {
    const rank = (key) => (key.startsWith(typed) ? 0 : key.includes(` ${typed}`) ? 1 : key.includes(typed) ? 2 : 3);
    return classes.map((name, i) => [rank(keys[i]), i, name]).filter(([r]) => r < 3).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  }

  function list() {
    const typed = plain(find("search").value.trim());
    const found = typed ? matches(typed).slice(0, SHOWN) : [];
    marked = Math.min(marked, Math.max(found.length - 1, 0));
    find("found").hidden = found.length === 0;
    find("search").setAttribute("aria-expanded", String(found.length > 0));
    find("found").replaceChildren(
      ...found.map(([, i, name], k) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        const label = document.createElement("bdi");
        item.id = `class-${i}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", String(k === marked));
        button.tabIndex = -1;
        button.setAttribute("aria-selected", String(k === marked));
        label.textContent = name;
        button.append(label);
        button.addEventListener("click", () => answer(name));
        item.append(button);
        return item;
      }),
    );
    const now = find("found").children[marked];
    if (now) find("search").setAttribute("aria-activedescendant", now.id);
    else find("search").removeAttribute("aria-activedescendant");
    now?.scrollIntoView({ block: "nearest" });
  }

  find("search").addEventListener("input", () => {
    marked = 0;
    list();
  });
  find("search").addEventListener("keydown", (event) => {
    event.stopPropagation(); // letters are typed here, they are no answers
    const rows = find("found").children;
    if (event.key === "ArrowDown") marked = Math.min(marked + 1, rows.length - 1);
    else if (event.key === "ArrowUp") marked = Math.max(marked - 1, 0);
    else if (event.key === "Enter" && rows.length) {
      const name = rows[marked].textContent;
      find("search").blur();
      answer(name);
    } else if (event.key === "Escape") {
      find("search").value = "";
      find("search").blur();
    } else return;
    event.preventDefault();
    list();
  });

  find("next").addEventListener("click", () => move(1));
  find("none").addEventListener("click", () => answer(null));
  find("undo").addEventListener("click", undo);
  find("save").addEventListener("click", save);
  window.addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const choice = questions[at].choices[Number(event.key) - 1];
    if (choice !== undefined) answer(choice);
    else if (event.key === "n") answer(null);
    else if (event.key === "u") undo();
    else if (event.key === "/" && classes.length) find("search").focus();
    else if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else return;
    event.preventDefault();
  });
  show();
})();
