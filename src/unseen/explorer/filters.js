// The filters: tags, words and numbers of the collection, each with how many pairs pass.

import {$, ask, drawn, filters, made, number, say, short, state, title} from "./common.js";

const LONG = 12;
let changed = () => {}, asked = 0;

/** Show the filters; `onChange` is called when one was set. */
export function listenToFilters(onChange) {
  changed = onChange;
  $("clear").addEventListener("click", () => { state.filters = {values: {}, ranges: {}, tags: []}; changed(); });
}

export async function count() {
  const mine = ++asked;
  try {
    const told = await (await ask("api/facets", filters())).json();
    if (mine === asked) showFacets(told);
  } catch (error) { if (mine === asked) say(error.message, true); }
}

/** Keep or drop a value of a column, or a tag where no column is named. */
export function toggle(column, value, on) {
  const kept = (column === null ? state.filters.tags : state.filters.values[column] ?? []).filter((one) => one !== value);
  if (on) kept.push(value);
  if (column === null) state.filters.tags = kept;
  else if (kept.length) state.filters.values[column] = kept;
  else delete state.filters.values[column];
  changed();
}

function showFacets(told) {
  const focused = document.activeElement?.dataset?.facet;
  const typed = new Map([...document.querySelectorAll("#facets input[type=search]")].map((one) => [one.dataset.facet, one.value]));
  state.tags = told.tags;
  $("tags").replaceChildren(...told.tags.map(([tag]) => made("option", {value: tag})));
  const tags = told.tags.length || state.filters.tags.length ? [choice("tags", null, [...told.tags, ["", told.untagged]], typed)] : [];
  const words = Object.entries(told.words).map(([name, counts]) => choice(title(name), name, counts, typed));
  const numbers = Object.entries(told.numbers).map(([name, counts]) => range(name, counts));
  $("facets").replaceChildren(...tags, ...words, ...numbers);
  if (focused) [...document.querySelectorAll("[data-facet]")].find((one) => one.dataset.facet === focused)?.focus();
}

/** The values of a column with their counts; where they are many, a box that finds some of them. */
function choice(name, column, counts, typed) {
  const field = made("fieldset");
  const list = made("div", {class: "values"});
  const kept = column === null ? state.filters.tags : state.filters.values[column] ?? [];
  for (const [value, n] of counts) {
    const label = made("label", {class: "check"});
    const box = made("input", {type: "checkbox", "data-facet": `${name}/${value}`, "aria-label": `${name}: ${value || "none"}, ${number(n)} pairs`});
    box.checked = kept.includes(value);
    box.addEventListener("change", () => toggle(column, value, box.checked));
    label.append(box, made("span", {class: "value", title: value}, value || "(none)"), made("span", {class: "count"}, number(n)));
    list.append(label);
  }
  field.append(made("legend", {}, name));
  if (counts.length > LONG) {
    const find = made("input", {type: "search", placeholder: `Find in ${number(counts.length)}`, "aria-label": `Find in ${name}`, "data-facet": `${name}?`});
    const narrow = () => { for (const label of list.children) label.hidden = !label.textContent.toLowerCase().includes(find.value.toLowerCase()); };
    find.value = typed.get(`${name}?`) ?? "";
    find.addEventListener("input", narrow);
    narrow();
    field.append(find);
  }
  field.append(list);
  return field;
}

/** A histogram of a column of numbers, and the ends of what passes. */
function range(name, told) {
  const field = made("fieldset");
  field.append(made("legend", {}, title(name)));
  const picture = drawn("svg", {class: "histogram", viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": `${title(name)}, how many pairs by range`});
  const most = Math.max(1, ...told.counts);
  told.counts.forEach((n, i) => {
    const bar = drawn("g", {});
    const says = drawn("title", {});
    says.textContent = `${short(told.edges[i])} to ${short(told.edges[i + 1])}: ${number(n)} pairs`;
    bar.append(says, drawn("rect", {class: "field", x: i * 10, width: 10, y: 0, height: 30}), drawn("rect", {x: i * 10 + 0.5, width: 9, y: 30 - 30 * (n / most), height: 30 * (n / most)}));
    bar.addEventListener("click", () => {
      state.filters.ranges[name] = [told.edges[i], told.edges[i + 1]];
      changed();
    });
    picture.append(bar);
  });
  const ends = made("div", {class: "ends"});
  const [low, high] = state.filters.ranges[name] ?? [null, null];
  const inputs = [[low, told.edges[0], "least"], [high, told.edges[told.edges.length - 1], "greatest"]].map(([value, placeholder, which]) => {
    const input = made("input", {type: "number", step: "any", placeholder: short(placeholder), "aria-label": `${title(name)}, ${which}`, "data-facet": `${name}/${which}`});
    if (value !== null) input.value = value;
    input.addEventListener("change", () => {
      const limits = inputs.map((one) => (one.value === "" ? null : Number(one.value)));
      if (limits.some((one) => one !== null)) state.filters.ranges[name] = limits; else delete state.filters.ranges[name];
      changed();
    });
    return input;
  });
  ends.append(inputs[0], made("span", {}, "to"), inputs[1]);
  field.append(picture, ends);
  if (told.missing) field.append(made("p", {class: "quiet small"}, `${number(told.missing)} without`));
  return field;
}
