// The page: what is looked for, what is shown, and the map beside it.

import {$, ask, chooseAmong, filtered, filters, made, number, plural, say, state, title} from "./common.js";
import {count, listenToFilters} from "./filters.js";
import {Legend} from "./legend.js";
import {PointMap} from "./map.js";
import {facts, listenToResults, showRows, showTicked} from "./results.js";

const WHY = {duplicates: "near duplicates (grouped)", unsafe: "unsafe", violent: "violent"};
const PAGE = 60;
const UNSAFE = 0.5;
let map = null, legend = null, asked = 0, loading = false;

// -- the query --------------------------------------------------------------------------------------------

function showTerms() {
  $("hint").hidden = state.terms.length === 0;
  $("change-row").hidden = state.terms.length === 0 || !state.about.can.text;
  $("terms").replaceChildren(...state.terms.map((term, i) => {
    const chip = made("span", {class: "term"});
    if (term.url) chip.append(made("img", {src: term.url, alt: ""}));
    const name = term.text ?? term.name;
    chip.append(made("span", {class: "what", title: name}, name));
    const weight = made("input", {type: "number", step: "0.1", value: term.weight, "aria-label": `Weight of ${name}`});
    weight.addEventListener("change", () => {
      const value = Number(weight.value);
      if (weight.value === "" || !Number.isFinite(value)) { weight.value = term.weight; return; }
      term.weight = value;
      if (hasQuery()) search(); else say("Every term has a weight of 0: give one another, or type words.");
    });
    const away = made("button", {type: "button", "aria-label": `Remove ${name}`}, "×");
    away.addEventListener("click", () => {
      state.terms.splice(i, 1);
      showTerms();
      ($("terms").querySelectorAll("button")[Math.min(i, state.terms.length - 1)] ?? $("words")).focus();
      refresh();
    });
    chip.append(weight, away);
    return chip;
  }));
}

const hasQuery = () => state.terms.some((term) => term.weight !== 0) || $("words").value.trim() !== "";

function message() {
  const of = (kind, key, value) => state.terms.filter((t) => t.kind === kind && t.weight !== 0).map((t) => ({[key]: value(t), weight: t.weight}));
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
    filters: {...filters(), safe: false},  // what is unsafe is left out of the results, and counted
    deduplicate: $("deduplicate").checked,
    safe: $("safe").checked,
    nonviolent: $("nonviolent").checked,
    change: $("change-row").hidden ? "" : $("change").value.trim(),
    aesthetic: aesthetic === "" ? null : {score: Number(aesthetic), weight: Number($("steer").value) || 0},
  };
}

/** Show what is looked for, or, where nothing is, what passes the filters. */
const refresh = () => (hasQuery() ? search() : browse());

async function search() {
  if (!hasQuery()) { say("Type words or drop a picture."); return; }
  const mine = ++asked;
  say("Searching…");
  try {
    const query = message();
    const found = await (await ask("api/knn", query)).json();
    if (mine !== asked) return;
    state.last = query;
    state.allowed = found.allowed;
    showRows(found.hits);
    mark();
    $("sort-row").hidden = true;
    const gone = Object.entries(found.removed).filter(([, n]) => n).map(([why, n]) => `${number(n)} ${WHY[why] ?? why}`);
    const among = found.allowed < state.about.rows ? ` among ${number(found.allowed)} rows that pass the filters` : "";
    say(`${plural(found.hits.length, "result")}${among}${gone.length ? `; left out: ${gone.join(", ")}` : ""}; ${Math.round(found.seconds * 1000)} ms${found.weak ? ". Weak: none is nearer than chance would have it, and no caption has these words" : ""}${(found.unread ?? []).map((line) => `. ${line[0].toUpperCase()}${line.slice(1)}`).join("")}`);
  } catch (error) { if (mine === asked) say(error.message, true); }
}

async function browse(first = 0) {
  const mine = ++asked;
  const [sort, order] = $("sort").value.split(" ");
  try {
    const body = {filters: filters(), first, most: PAGE, sort: sort || null, descending: order !== "up"};
    const found = await (await ask("api/browse", body)).json();
    if (mine !== asked) return;
    state.last = null;
    state.allowed = found.allowed;
    showRows(found.rows, first > 0);
    mark();
    $("sort-row").hidden = false;
    say(found.allowed === state.about.rows ? plural(found.allowed, "pair") : `${number(found.allowed)} of ${plural(state.about.rows, "pair")}`);
  } catch (error) { if (mine === asked) say(error.message, true); }
}

async function more() {
  if (loading || state.last !== null) return;
  loading = true;
  await browse(state.rows.length);
  loading = false;
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
  if (!file || $("picture").disabled) return;
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
  $("words").value = $("change").value = "";
  showTerms();
  show("pictures");
  scrollTo({top: 0});
  search();
  $("terms").querySelector("input").focus({preventScroll: true});  // the button that was pressed goes with the old results
}

// -- filters ----------------------------------------------------------------------------------------------

function filtersChanged() {
  count();
  refresh();
  dim();
}

/** Draw pale what does not pass. */
async function dim() {
  if (!map?.n) return;
  if (!filtered()) { map.setMask(null); return; }
  const mine = (map.asked = (map.asked ?? 0) + 1);
  try {
    const bits = new Uint8Array(await (await ask("api/passing", filters())).arrayBuffer());
    if (mine !== map.asked || !filtered()) return;
    const mask = new Uint8Array(map.n);
    for (let i = 0; i < map.n; i++) mask[i] = (bits[i >> 3] >> (i & 7)) & 1;
    map.setMask(mask);
  } catch (error) { say(error.message, true); }
}

function select(mask) {
  if (mask !== null && !mask.includes(1)) { say("No pair lies in there."); return; }
  chooseAmong(mask);
  $("selection").hidden = mask === null;
  if (mask !== null) $("selection").firstElementChild.textContent = `${plural(state.among.count, "pair")} chosen on the map.`;
  filtersChanged();
}

/** Tags were put on or taken off: of the cards that are shown, the counts, and the colours. */
async function tagged() {
  await count();
  if (state.filters.tags.length) { await Promise.all([refresh(), dim()]); return legend?.again("tags"); }
  for (let at = 0; at < state.rows.length; at += 1000) {
    const some = state.rows.slice(at, at + 1000);
    const {rows} = await (await ask("api/metadata", {rows: some.map((one) => one.row)})).json();
    rows.forEach((one, i) => { some[i].tags = one.tags; });
  }
  const own = new Map(state.rows.map((one) => [String(one.row), one.tags]));
  for (const card of document.querySelectorAll(".card")) card.querySelector(".own-tags").replaceChildren(...own.get(card.dataset.row).map((tag) => made("li", {}, tag)));
  return legend?.again("tags");
}

// -- the map ----------------------------------------------------------------------------------------------

function mark() {
  if (map?.n) map.setMarks(state.last === null ? [] : state.rows.map((one) => one.row));
}

let hovered = -1, hovering = 0;

function hover(row, x, y) {
  if (row === hovered && row >= 0) { placeHover(x, y); return; }
  hovered = row;
  clearTimeout(hovering);
  $("hover").hidden = true;
  $("map").classList.toggle("over", row >= 0);
  if (row >= 0) hovering = setTimeout(() => describe(row, x, y), 40);
}

async function describe(row, x, y) {
  try {
    const [one] = (await (await ask("api/metadata", {rows: [row]})).json()).rows;
    if (row !== hovered) return;
    const unsafe = $("safe").checked && one.columns.punsafe > UNSAFE;
    const image = $("hover").querySelector("img");
    image.hidden = unsafe;
    image.onerror = () => { image.hidden = true; };
    if (!unsafe) image.src = `api/picture/${row}?side=256`;
    $("hover").querySelector(".says").textContent = unsafe ? "unsafe" : one.columns.text ?? "";
    $("hover").querySelector(".facts").textContent = [facts(one.columns), ...one.tags].filter(Boolean).join(" · ");
    $("hover").hidden = false;
    placeHover(x, y);
  } catch { /* the next one is asked for when the pointer moves */ }
}

function placeHover(x, y) {
  const {clientWidth: w, clientHeight: h} = $("map");
  const [own, tall] = [$("hover").offsetWidth, $("hover").offsetHeight];
  $("hover").style.left = `${Math.max(4, x + 16 + own < w ? x + 16 : x - 16 - own)}px`;
  $("hover").style.top = `${Math.max(4, Math.min(h - tall - 4, y + 16))}px`;
}

async function choosePoint(row) {
  const [one] = (await (await ask("api/metadata", {rows: [row]})).json()).rows;
  like(row, one.columns.text || `row ${row}`);
}

async function chooseGroup(group) {
  const codes = await legend.codesOf("group");
  select(codes.map((one) => (one === group ? 1 : 0)));
}

async function beginMap() {
  const {about} = state;
  map = new PointMap($("map"), {hover, choose: choosePoint, select, group: chooseGroup});
  const why = !about.map ? "There is no map of this collection as it is now. Build it: unseen explore DATA --build"
    : !map.works ? "This browser has no WebGL 2, so the map cannot be drawn; search, filters and pictures work without it." : null;
  if (why !== null) {
    $("no-map").textContent = why;
    $("no-map").hidden = false;
    document.body.classList.add("without-map");
    return;
  }
  legend = new Legend(map, about);
  const [places, {concepts}] = await Promise.all([
    ask("api/points").then((answer) => answer.arrayBuffer()), ask("api/map").then((answer) => answer.json()),
  ]);
  map.setPoints(new Uint16Array(places));
  map.setLabels(concepts);
  $("map").setAttribute("aria-label", `Map of ${plural(map.n, "pair")}: arrows move it, + and − zoom, 0 shows all, Escape clears the selection`);
  $("map").dataset.points = map.n;
  mark();
  dim();
  await legend.show();
}

function listenToMap() {
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => {
    map.mode = button.dataset.mode;
    for (const one of document.querySelectorAll("[data-mode]")) one.setAttribute("aria-pressed", String(one === button));
    $("map").dataset.dragging = map.mode;
  });
  $("closer").addEventListener("click", () => map.zoom(1.5));
  $("farther").addEventListener("click", () => map.zoom(1 / 1.5));
  $("whole").addEventListener("click", () => map.whole());
  $("drop-selection").addEventListener("click", () => { select(null); $("words").focus(); });
}

/** On a small screen one of the three is shown. */
function show(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
}

// -- begin ------------------------------------------------------------------------------------------------

function listen() {
  $("query").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
  for (const id of ["words", "change"]) $(id).addEventListener("search", () => { if ($(id).value === "") refresh(); });
  $("add").addEventListener("click", keepWords);
  $("picture").addEventListener("change", () => { takePicture($("picture").files[0]); $("picture").value = ""; });
  $("safe").addEventListener("change", filtersChanged);
  for (const id of ["side", "k", "deduplicate", "nonviolent", "aesthetic", "steer"]) $(id).addEventListener("change", refresh);
  for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => show(button.dataset.view));
  listenToFilters(filtersChanged);
  listenToResults({like, tagged, more, sorted: () => browse()});
  listenToMap();
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("drop"); });
  document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) document.body.classList.remove("drop"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("drop");
    takePicture(event.dataTransfer.files[0]);
  });
}

function introduce() {
  const {about} = state;
  document.title = `${about.title} · unseen explore`;
  $("title").textContent = about.title;
  const sides = Object.keys(about.indices);
  const recall = sides.map((side) => {
    const share = about.indices[side].recall.same;
    const told = share == null ? "by an index of unknown recall" : `${share === 1 ? "all" : `${(100 * share).toFixed(1)} %`} of the true first 10`;
    return `${side === "image" ? "pictures" : "captions"}: a search finds ${told} (${about.indices[side].key})`;
  });
  $("about").replaceChildren(`${plural(about.rows, "pair")} · ${about.encoder ?? "vectors of an unknown encoder"}`, made("span", {class: "recall"}, ` · ${recall.join(" · ")}`));
  $("side").replaceChildren(...sides.map((side) => made("option", {value: side}, side === "image" ? "pictures" : "captions")));
  $("safe").checked = about.can.safe;
  $("safe").disabled = !about.can.safe;
  $("nonviolent").disabled = !about.can.text;
  if (!about.can.near) {
    $("alike").textContent = "Group copies";
    $("by-file").textContent = `Pictures of equal files only: by cosines of ${about.encoder} a copy cannot be told from another picture.`;
    $("by-file").hidden = false;
  }
  $("change").title = about.can.combine ? "Read beside the picture by the combiner" : "Added to the picture, half and half; a combiner that unseen compose trained does it better: unseen explore --model FOLDER";
  for (const id of ["words", "add", "picture", "go"]) $(id).disabled = !about.can.text;
  const told = [about.can.why_not, about.languages.why_not, ...Object.values(about.stale)].filter(Boolean);
  $("cannot").textContent = told.join(". ");
  $("cannot").hidden = told.length === 0;
  $("aesthetic-row").hidden = $("steer-row").hidden = about.can.aesthetic.length === 0;
  $("aesthetic").replaceChildren(made("option", {value: ""}, "off"), ...about.can.aesthetic.filter((s) => s >= 0 && s <= 10).map((score) => made("option", {value: score}, `towards ${score}`)));
  const names = about.numbers.flatMap((name) => [[`${name} down`, `${title(name)}, greatest first`], [`${name} up`, `${title(name)}, least first`]]);
  $("sort").replaceChildren(made("option", {value: ""}, "as stored"), ...names.map(([value, name]) => made("option", {value}, name)));
}

async function begin() {
  listen();
  try { state.about = await (await ask("api/indices")).json(); } catch (error) { say(error.message, true); return; }
  introduce();
  showTicked();
  await Promise.all([browse(), count(), beginMap().catch((error) => { $("no-map").textContent = error.message; $("no-map").hidden = false; })]);
  if (document.activeElement === document.body && matchMedia("(min-width: 60rem)").matches) $("words").focus();
}

begin();
