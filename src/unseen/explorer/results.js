// The pictures: cards, ticks, tags, downloads.

import {$, ask, filtered, filters, made, number, plural, say, short, state} from "./common.js";

let on = {};

/** `actions` has what is called: `like(row, name)`, `tagged()`, `more()`, `sorted()`. */
export function listenToResults(actions) {
  on = actions;
  $("all").addEventListener("change", () => {
    for (const {row} of state.rows) tick(row, $("all").checked);
    for (const box of document.querySelectorAll(".pick input")) box.checked = $("all").checked;
    showTicked();
  });
  $("untick").addEventListener("click", () => {
    state.ticked.clear();
    for (const box of document.querySelectorAll(".pick input")) box.checked = false;
    $("all").checked = false;
    showTicked();
    $("all").focus();
  });
  $("sort").addEventListener("change", () => on.sorted());
  $("more").addEventListener("click", () => on.more());
  $("tag").addEventListener("keydown", (event) => { if (event.key === "Enter") tag(true); });
  $("tag-on").addEventListener("click", () => tag(true));
  $("tag-off").addEventListener("click", () => tag(false));
  $("download").addEventListener("click", () => download(state.ticked.size ? {rows: [...state.ticked]} : state.last ? {rows: state.rows.map((one) => one.row)} : {filters: filters()}));
  $("download-above").addEventListener("click", () => download({query: state.last, above: Number($("above").value)}));
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !$("more").hidden) on.more(); }, {rootMargin: "600px"}).observe($("more"));
}

/** Show rows, after those that are there or instead of them. */
export function showRows(rows, append = false) {
  state.rows = append ? [...state.rows, ...rows] : rows;
  if (append) $("results").append(...rows.map(card)); else $("results").replaceChildren(...rows.map(card));
  $("more").hidden = state.last !== null || state.rows.length >= state.allowed;
  $("all").checked = false;
  showTicked();
}

function card(one) {
  const element = $("card").content.cloneNode(true).firstElementChild;
  const {columns, row} = one;
  const name = columns.text || `row ${row}`;
  const box = element.querySelector("input");
  box.checked = state.ticked.has(row);
  element.dataset.row = row;
  element.querySelector(".pick .hidden").textContent = `Tick ${name}`;
  box.addEventListener("change", () => { tick(row, box.checked); showTicked(); });
  const shot = element.querySelector(".shot");
  shot.href = `api/picture/${row}`;
  shot.setAttribute("aria-label", `Open the picture of ${name} in a new tab`);
  showPicture(shot.querySelector("img"), row, 256, columns.text ?? "");
  const caption = element.querySelector(".caption");
  caption.textContent = columns.text ?? "";
  caption.dir = "auto";
  caption.title = columns.text ?? "";
  element.querySelector(".facts").textContent = facts(columns, one.similarity);
  element.title = Object.entries(columns).filter(([key, value]) => value !== null && key !== "text").map(([key, value]) => `${key}: ${typeof value === "number" ? short(value) : value}`).join("\n");
  showOwnTags(element, one.tags);
  const like = element.querySelector(".like");
  like.setAttribute("aria-label", `Neighbours of ${name}`);
  like.addEventListener("click", () => on.like(row, name));
  showDuplicates(element, one.duplicates ?? [], name);
  return element;
}

/** A picture, or why there is none. */
export function showPicture(image, row, side, alt) {
  image.alt = alt || `row ${row}`;
  image.onerror = () => {
    const told = made("span", {class: "no-picture", role: "img", "aria-label": image.alt}, "The picture is not kept or cannot be read.");
    image.replaceWith(told);
  };
  image.src = `api/picture/${row}?side=${side}`;
}

export function facts(columns, similarity) {
  const told = similarity === undefined ? [] : [`cosine ${similarity.toFixed(3)}`];
  if (columns.width && columns.height) told.push(`${columns.width} × ${columns.height}`);
  for (const name of ["language", "label", "split", "domain"]) if (columns[name]) told.push(columns[name]);
  return told.join(" · ");
}

function showOwnTags(element, tags) {
  element.querySelector(".own-tags").replaceChildren(...tags.map((tag) => made("li", {}, tag)));
}

function showDuplicates(element, duplicates, name) {
  const alike = element.querySelector(".alike");
  if (!duplicates.length) { alike.remove(); return; }
  const group = element.querySelector(".group");
  alike.textContent = plural(duplicates.length, "near duplicate");
  alike.setAttribute("aria-expanded", "false");
  alike.setAttribute("aria-label", `${alike.textContent} of ${name}`);
  alike.addEventListener("click", () => {
    group.hidden = !group.hidden;
    alike.setAttribute("aria-expanded", String(!group.hidden));
    if (!group.childElementCount) group.append(...duplicates.map((other) => {
      const item = made("li");
      const link = made("a", {"aria-label": `Open the picture of row ${other} in a new tab`, href: `api/picture/${other}`, target: "_blank", rel: "noopener noreferrer"});
      link.append(made("img", {src: `api/picture/${other}?side=64`, alt: `row ${other}`, loading: "lazy"}));
      item.append(link);
      return item;
    }));
  });
}

function tick(row, ticked) {
  if (ticked) state.ticked.add(row); else state.ticked.delete(row);
}

/** What tags and downloads are about: the ticked ones, or all that is found. */
export function showTicked() {
  const n = state.ticked.size;
  const found = state.last === null ? state.allowed : state.rows.length;
  const what = n ? `${number(n)} ticked` : `all ${number(found)}`;
  for (const [id, verb] of [["download", "Download"], ["tag-on", "Tag"], ["tag-off", "Untag"]]) {
    $(id).textContent = id === "tag-off" ? verb : `${verb} ${what}`;
    $(id).title = `${verb} ${what}`;
    $(id).disabled = n === 0 && found === 0;
  }
  $("untick").hidden = n === 0;
  $("above-row").hidden = state.last === null;
}

async function tag(put) {
  const name = $("tag").value.trim();
  if (!name) { say("Type a tag first.", true); $("tag").focus(); return; }
  const rows = state.ticked.size ? [...state.ticked] : state.last ? state.rows.map((one) => one.row) : null;
  if (rows === null && !filtered() && !confirm(`${put ? "Tag" : "Untag"} all ${plural(state.allowed, "pair")}?`)) return;
  say("Saving…");
  try {
    const body = rows === null ? {filters: filters()} : {rows};
    const {changed} = await (await ask("api/tags", {tag: name, on: put, ...body})).json();
    await on.tagged();
    say(`${plural(changed, "pair")} ${put ? "tagged" : "untagged"} “${name}”; saved in tags.jsonl beside the collection.`);
  } catch (error) { say(error.message, true); }
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
    const [rows, found] = ["x-rows", "x-found"].map((name) => Number(answer.headers.get(name)));
    const cut = answer.headers.get("x-truncated") === "true";
    say(cut ? `Only the first ${number(rows)} of ${number(found)} rows are in ${link.download}: no more are written at once.` : `${number(rows)} rows written to ${link.download}`, cut);
  } catch (error) { say(error.message, true); }
}
