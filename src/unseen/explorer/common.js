// What all parts of the page share: elements, numbers, requests, and the state that is shown.

export const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

export const state = {
  about: null, terms: [], filters: {values: {}, ranges: {}, tags: []}, among: null,
  rows: [], allowed: 0, last: null, ticked: new Set(), tags: [],
};

/** An element with text and attributes; what comes from the collection is always text, never markup. */
export function made(tag, attributes = {}, text = null) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

export function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const number = (value) => Number(value).toLocaleString("en");
export const short = (value) => (Number.isInteger(value) ? number(value) : Number(value).toPrecision(3));

const TITLES = {
  width: "width, pixels", height: "height, pixels", similarity: "similarity of caption and picture",
  punsafe: "probability of being unsafe", pwatermark: "probability of a watermark", aesthetic: "aesthetic score",
  caption_length: "caption length, characters", nearest_cosine: "cosine to the nearest other pair",
};
/** A column as it is called on the page: columns that curation writes with their unit, others by their name. */
export const title = (name) => TITLES[name] ?? name.replaceAll("_", " ");
export const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;

export async function ask(path, body) {
  const options = body === undefined ? {} : {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)};
  const answer = await fetch(path, options);
  if (!answer.ok) {
    let detail = `the server answers ${answer.status}`;
    try { detail = (await answer.json()).detail; } catch { /* it was no JSON: the number says enough */ }
    throw new Error(detail);
  }
  return answer;
}

export function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

/** Bytes as base64, in pieces that a call can take. */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}

/** A byte for each row as a bit for each row. */
function packed(mask) {
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  for (let i = 0; i < mask.length; i++) if (mask[i]) bits[i >> 3] |= 1 << (i & 7);
  return bits;
}

/** Choose rows by hand (a byte each, or null for all): they filter everything that is shown. */
export function chooseAmong(mask) {
  state.among = mask === null ? null : {count: mask.reduce((sum, one) => sum + one, 0), bits: base64(packed(mask))};
}

export const filters = () => ({...state.filters, safe: $("safe").checked, among: state.among?.bits ?? null});

export const filtered = () => $("safe").checked || state.among !== null || state.filters.tags.length > 0
  || Object.keys(state.filters.values).length > 0 || Object.keys(state.filters.ranges).length > 0;
