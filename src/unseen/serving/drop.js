"use strict";
// What pages that try a model share: a place to drop a picture (#drop with #file, #picture, #hint), and bars of classes.

const $ = (id) => document.getElementById(id);

// Fills a list with classes and their probabilities, the most probable first.
function bars(list, rows) {
  list.replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    const name = document.createElement("span");
    const value = document.createElement("span");
    const bar = document.createElement("meter");
    name.textContent = row.class;
    value.textContent = `${(100 * row.probability).toFixed(1)} %`;
    bar.value = row.probability;
    item.append(name, value, bar);
    return item;
  }));
}

// Shows the file that was chosen, or nothing; of a table its name.
function preview(file) {
  if ($("picture") === null) {
    if (file !== null) $("hint").textContent = file.name;
    return;
  }
  if ($("picture").src) URL.revokeObjectURL($("picture").src);
  $("picture").hidden = file === null;
  if (file === null) return;
  $("picture").onerror = () => { $("picture").hidden = true; };  // a browser knows fewer formats than the model
  $("picture").src = URL.createObjectURL(file);
  $("hint").textContent = file.name;
}

// Calls `seen` with each picture that is chosen, dropped on the page or pasted.
function pictures(seen) {
  const take = (files) => !$("file").disabled && files.length && seen(files[0]);
  $("file").addEventListener("change", () => take($("file").files));
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
}
