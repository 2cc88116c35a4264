"use strict";

const WHY = {duplicates: "near duplicates (grouped)", unsafe: "unsafe", violent: "violent"};
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const state = {about: null, terms: [], hits: [], selected: new Map(), last: null, filters: {values: {}, ranges: {}}, asked: 0, counted: 0};

/** An element with text and attributes; what comes from the collection is always text, never markup. */
function made(tag, attributes = {}, text = null) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const number = (value) => Number(value).toLocaleString("en");
const short = (value) => (Number.isInteger(value) ? number(value) : Number(value).toPrecision(3));

async function ask(path, body) {
  const options = body === undefined ? {} : {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)};
  const answer = await fetch(path, options);
  if (!answer.ok) {
    let detail = `the server answers ${answer.status}`;
    try { detail = (await answer.json()).detail; } catch { /* it was no JSON: the number says enough */ }
    throw new Error(detail);
  }
  return answer;
}

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

// -- the query --------------------------------------------------------------------------------------------

function showTerms() {
  $("terms").replaceChildren(...state.terms.map((term, i) => {
    const chip = made("span", {class: "term"});
    if (term.url) chip.append(made("img", {src: term.url, alt: ""}));
    const name = term.text ?? term.name;
    chip.append(made("span", {class: "what", title: name}, name));
    const weight = made("input", {type: "number", step: "0.1", value: term.weight, "aria-label": `Weight of ${name}`});
    weight.addEventListener("change", () => { term.weight = Number(weight.value) || 1; search(); });
    const away = made("button", {type: "button", "aria-label": `Remove ${name}`}, "×");
    away.addEventListener("click", () => { state.terms.splice(i, 1); showTerms(); if (hasQuery()) search(); });
    chip.append(weight, away);
    return chip;
  }));
}

const hasQuery = () => state.terms.length > 0 || $("words").value.trim() !== "";

function message() {
  const of = (kind, key, value) => state.terms.filter((t) => t.kind === kind).map((t) => ({[key]: value(t), weight: t.weight}));
  const words = $("words").value.trim();
  const texts = of("text", "text", (t) => t.text);
  if (words) texts.push({text: words, weight: 1});
  const aesthetic = $("aesthetic").value;
  return {
    index: $("side").value,
    texts,
    images: of("image", "base64", (t) => t.base64),
    rows: of("row", "row", (t) => t.row),
    k: Math.min(1000, Math.max(1, Math.round(Number($("k").value)) || 40)),
    filters: state.filters,
    deduplicate: $("deduplicate").checked,
    safe: $("safe").checked,
    nonviolent: $("nonviolent").checked,
    aesthetic: aesthetic === "" ? null : {score: Number(aesthetic), weight: Number($("steer").value) || 0},
  };
}

async function search() {
  if (!hasQuery()) { say("Type words or drop a picture."); return; }
  const mine = ++state.asked;
  say("Searching…");
  try {
    const query = message();
    const found = await (await ask("api/knn", query)).json();
    if (mine !== state.asked) return;
    state.last = query;
    state.hits = found.hits;
    showHits();
    const gone = Object.entries(found.removed).filter(([, n]) => n).map(([why, n]) => `${number(n)} ${WHY[why] ?? why}`);
    const among = found.allowed < state.about.rows ? ` among ${number(found.allowed)} rows that pass the filters` : "";
    say(`${number(found.hits.length)} results${among}${gone.length ? `; left out: ${gone.join(", ")}` : ""}; ${Math.round(found.seconds * 1000)} ms`);
  } catch (error) { if (mine === state.asked) say(error.message, true); }
}

function addTerm(term) {
  state.terms.push({weight: 1, ...term});
  showTerms();
}

function keepWords() {
  const words = $("words").value.trim();
  if (!words) return;
  addTerm({kind: "text", text: words});
  $("words").value = "";
  $("words").focus();
  search();
}

function takePicture(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) { say(`${file.name} is no picture.`, true); return; }
  const reader = new FileReader();
  reader.addEventListener("load", () => {
    addTerm({kind: "image", base64: String(reader.result).split(",")[1], name: file.name, url: URL.createObjectURL(file)});
    search();
  });
  reader.readAsDataURL(file);
}

function like(row, name) {
  state.terms = [{kind: "row", row, name: `like: ${name}`, weight: 1, url: `api/picture/${row}?side=64`}];
  $("words").value = "";
  showTerms();
  show("search");
  search();
}

// -- results ----------------------------------------------------------------------------------------------

function showHits() {
  $("results").replaceChildren(...state.hits.map(card));
  $("all").checked = false;
  showSelection();
}

function card(hit) {
  const element = $("card").content.cloneNode(true).firstElementChild;
  const {columns, row} = hit;
  const name = columns.text ?? "";
  const box = element.querySelector("input");
  box.checked = state.selected.has(row);
  element.querySelector(".pick .hidden").textContent = `Select ${name || `row ${row}`}`;
  box.addEventListener("change", () => { choose(row, box.checked); showSelection(); });
  const shot = element.querySelector(".shot");
  shot.href = `api/picture/${row}`;
  const image = shot.querySelector("img");
  image.src = `api/picture/${row}?side=256`;
  image.alt = name || `row ${row}`;
  const caption = element.querySelector(".caption");
  caption.textContent = name;
  caption.dir = "auto";
  caption.title = name;
  const facts = [`cosine ${hit.similarity.toFixed(3)}`];
  if (columns.width && columns.height) facts.push(`${columns.width} × ${columns.height}`);
  if (columns.language) facts.push(columns.language);
  element.querySelector(".facts").textContent = facts.join(" · ");
  element.title = Object.entries(columns).filter(([key, value]) => value !== null && key !== "text").map(([key, value]) => `${key}: ${typeof value === "number" ? short(value) : value}`).join("\n");
  element.querySelector(".like").addEventListener("click", () => like(row, name || `row ${row}`));
  const alike = element.querySelector(".alike");
  if (!hit.duplicates.length) { alike.remove(); return element; }
  const group = element.querySelector(".group");
  alike.textContent = `${hit.duplicates.length} near duplicate${hit.duplicates.length > 1 ? "s" : ""}`;
  alike.setAttribute("aria-expanded", "false");
  alike.addEventListener("click", () => {
    group.hidden = !group.hidden;
    alike.setAttribute("aria-expanded", String(!group.hidden));
    if (!group.childElementCount) group.append(...hit.duplicates.map((other) => {
      const item = made("li");
      const link = made("a", {href: `api/picture/${other}`, target: "_blank", rel: "noopener noreferrer"});
      link.append(made("img", {src: `api/picture/${other}?side=64`, alt: `row ${other}`, loading: "lazy"}));
      item.append(link);
      return item;
    }));
  });
  return element;
}

function choose(row, on) {
  if (on) state.selected.set(row, true); else state.selected.delete(row);
}

function showSelection() {
  const n = state.selected.size;
  $("download").disabled = n === 0;
  $("download").textContent = n ? `Download ${number(n)} selected` : "Download selected";
  $("download-above").disabled = state.last === null;
}

async function download(body) {
  say("Writing…");
  try {
    const answer = await ask("api/export", {format: $("format").value, ...body});
    const link = made("a", {href: URL.createObjectURL(await answer.blob())});
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))?.[1] ?? "subset";
    document.body.append(link);
    link.click();
    link.remove();
    URL.revokeObjectURL(link.href);
    say(`${number(answer.headers.get("x-rows"))} rows written to ${link.download}`);
  } catch (error) { say(error.message, true); }
}

// -- filters ----------------------------------------------------------------------------------------------

async function count() {
  const mine = ++state.counted;
  try {
    const told = await (await ask(`api/facets?filters=${encodeURIComponent(JSON.stringify(state.filters))}`)).json();
    if (mine === state.counted) showFacets(told);
  } catch (error) { say(error.message, true); }
}

function filtersChanged() {
  count();
  if (hasQuery()) search();
}

function showFacets(told) {
  const focused = document.activeElement?.dataset?.facet;
  const words = Object.entries(told.words).map(([name, counts]) => {
    const field = made("fieldset");
    field.append(made("legend", {}, name));
    for (const [value, n] of counts) {
      const label = made("label", {class: "check"});
      const box = made("input", {type: "checkbox", "data-facet": `${name}/${value}`});
      box.checked = (state.filters.values[name] ?? []).includes(value);
      box.addEventListener("change", () => {
        const kept = (state.filters.values[name] ?? []).filter((one) => one !== value);
        if (box.checked) kept.push(value);
        if (kept.length) state.filters.values[name] = kept; else delete state.filters.values[name];
        filtersChanged();
      });
      label.append(box, made("span", {class: "value"}, value || "(none)"), made("span", {class: "count"}, number(n)));
      field.append(label);
    }
    return field;
  });
  const numbers = Object.entries(told.numbers).map(([name, told]) => {
    const field = made("fieldset");
    field.append(made("legend", {}, name));
    const picture = drawn("svg", {class: "histogram", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true"});
    const most = Math.max(1, ...told.counts);
    told.counts.forEach((n, i) => picture.append(drawn("rect", {x: i * 10 + 0.5, width: 9, y: 30 - 30 * (n / most), height: 30 * (n / most)})));
    const ends = made("div", {class: "ends"});
    const [low, high] = state.filters.ranges[name] ?? [null, null];
    const inputs = [[low, told.edges[0], "least"], [high, told.edges[told.edges.length - 1], "greatest"]].map(([value, placeholder, which]) => {
      const input = made("input", {type: "number", step: "any", placeholder: short(placeholder), "aria-label": `${name}, ${which}`, "data-facet": `${name}/${which}`});
      if (value !== null) input.value = value;
      input.addEventListener("change", () => {
        const range = inputs.map((one) => (one.value === "" ? null : Number(one.value)));
        if (range.some((one) => one !== null)) state.filters.ranges[name] = range; else delete state.filters.ranges[name];
        filtersChanged();
      });
      return input;
    });
    ends.append(inputs[0], made("span", {}, "to"), inputs[1]);
    field.append(picture, ends);
    return field;
  });
  $("facets").replaceChildren(...words, ...numbers);
  if (focused) [...document.querySelectorAll("[data-facet]")].find((one) => one.dataset.facet === focused)?.focus();
}

// -- the map ----------------------------------------------------------------------------------------------

async function showMap() {
  if ($("map").childElementCount) return;
  let concepts;
  try { concepts = (await (await ask("api/map")).json()).concepts; } catch (error) { $("map").replaceChildren(made("p", {class: "quiet"}, error.message)); return; }
  const [width, height] = [1200, 720];
  const picture = drawn("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${concepts.length} groups`});
  const most = Math.max(...concepts.map((one) => one.size));
  const taken = [];
  for (const one of [...concepts].sort((a, b) => b.size - a.size)) {
    const [x, y, radius] = [width / 2 + one.x * (width / 2 - 90), height / 2 + one.y * (height / 2 - 50), 5 + 22 * Math.sqrt(one.size / most)];
    const words = one.words.join(", ") || "no words";
    const group = drawn("g", {role: "button", tabindex: "0", "aria-label": `${words}: ${number(one.size)} pairs`});
    const title = drawn("title", {});
    title.textContent = `${words}: ${number(one.size)} pairs`;
    const label = drawn("text", {x, y: y + 4});
    label.textContent = one.words.slice(0, 2).join(", ");
    const half = label.textContent.length * 3.3 + 4;
    const box = [x - half, y - 9, x + half, y + 9];
    const free = taken.every(([a, b, c, d]) => box[2] < a || box[0] > c || box[3] < b || box[1] > d);
    if (free) taken.push(box); else label.setAttribute("class", "late");
    group.append(title, drawn("circle", {cx: x, cy: y, r: radius}), label);
    const go = () => like(one.row, words);
    group.addEventListener("click", go);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } });
    picture.append(group);
  }
  $("map").replaceChildren(picture);
}

function show(view) {
  for (const name of ["search", "map"]) {
    const on = name === view;
    $(`view-${name}`).hidden = !on;
    $(`tab-${name}`).setAttribute("aria-selected", String(on));
    $(`tab-${name}`).tabIndex = on ? 0 : -1;
  }
  if (view === "map") showMap();
}

// -- begin ------------------------------------------------------------------------------------------------

function listen() {
  if (matchMedia("(max-width: 48rem)").matches) $("filters").open = false;
  $("query").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  $("add").addEventListener("click", keepWords);
  $("picture").addEventListener("change", () => { takePicture($("picture").files[0]); $("picture").value = ""; });
  for (const id of ["side", "k", "deduplicate", "safe", "nonviolent", "aesthetic", "steer"]) $(id).addEventListener("change", () => { if (hasQuery()) search(); });
  $("clear").addEventListener("click", () => { state.filters = {values: {}, ranges: {}}; filtersChanged(); });
  $("all").addEventListener("change", () => {
    for (const hit of state.hits) choose(hit.row, $("all").checked);
    for (const box of document.querySelectorAll(".pick input")) box.checked = $("all").checked;
    showSelection();
  });
  $("download").addEventListener("click", () => download({rows: [...state.selected.keys()]}));
  $("download-above").addEventListener("click", () => download({query: state.last, above: Number($("above").value)}));
  for (const name of ["search", "map"]) $(`tab-${name}`).addEventListener("click", () => show(name));
  document.querySelector("nav").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    const other = $("view-map").hidden ? "map" : "search";
    show(other);
    $(`tab-${other}`).focus();
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("drop"); });
  document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) document.body.classList.remove("drop"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("drop");
    takePicture(event.dataTransfer.files[0]);
  });
}

async function begin() {
  listen();
  try { state.about = await (await ask("api/indices")).json(); } catch (error) { say(error.message, true); return; }
  const {about} = state;
  document.title = `${about.title} · unseen explore`;
  $("title").textContent = about.title;
  const sides = Object.keys(about.indices);
  const recall = sides.map((side) => `${side}s by ${about.indices[side].key}, recall@10 ${about.indices[side].recall.same ?? "unknown"}`);
  $("about").textContent = `${number(about.rows)} pairs · ${about.encoder ?? "vectors of an unknown encoder"} · ${recall.join(" · ")}`;
  $("side").replaceChildren(...sides.map((side) => made("option", {value: side}, side === "image" ? "pictures" : "captions")));
  $("safe").checked = about.can.safe;
  $("safe").disabled = !about.can.safe;
  $("nonviolent").disabled = !about.can.text;
  for (const id of ["words", "add", "picture"]) $(id).disabled = !about.can.text;
  const steers = about.can.aesthetic.length > 0;
  $("aesthetic-row").hidden = $("steer-row").hidden = !steers;
  $("aesthetic").replaceChildren(made("option", {value: ""}, "off"), ...about.can.aesthetic.filter((s) => s >= 0 && s <= 10).map((score) => made("option", {value: score}, `towards ${score}`)));
  showSelection();
  await count();
  say(`${number(about.rows)} pairs. Type words or drop a picture.`);
  $("words").focus();
}

begin();
