"use strict";
(() => {
  const { file, target, questions } = JSON.parse(document.getElementById("questions").textContent);
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
    find("text").hidden = !one.text;
    find("text").textContent = one.text ?? "";
    find("name").textContent = one.picture || one.text ? "" : one.id;
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
    if (!complete && done() === questions.length) save();
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
      answers[i] === undefined ? [] : [{ id: one.id, content: one.content, answer: answers[i] }],
    );
    const blob = new Blob([JSON.stringify({ format: 1, target, answers: told }, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
  }

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
    else if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else return;
    event.preventDefault();
  });
  show();
})();
