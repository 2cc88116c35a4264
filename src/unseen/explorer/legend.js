// What the points of the map are coloured by, and what the colours mean.

import {$, ask, made, say, short, title} from "./common.js";
import {toggle} from "./filters.js";

const MISSING = 255;
const SHOWN = 20;
const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];

/** Red, green and blue of a colour that a canvas understands. */
function channels(colour) {
  const ink = document.createElement("canvas").getContext("2d");
  ink.fillStyle = colour;
  return [1, 3, 5].map((at) => parseInt(ink.fillStyle.slice(at, at + 2), 16));
}

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The colours of the reports first, then others between them. */
function categories() {
  const own = Array.from({length: 7}, (_, i) => token(`c${i}`));
  const more = Array.from({length: SHOWN - own.length}, (_, i) => hex((i * 137.5 + 20) % 360, 45 + 25 * (i % 2), dark.matches ? 68 : 42));
  return [...own, ...more];
}

function hex(h, s, l) {
  const a = s / 100 * Math.min(l / 100, 1 - l / 100);
  const part = (n) => { const k = (n + h / 30) % 12; return Math.round(255 * (l / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1)))).toString(16).padStart(2, "0"); };
  return `#${part(0)}${part(8)}${part(4)}`;
}

function ramp(share) {
  const at = Math.min(RAMP.length - 2, Math.floor(share * (RAMP.length - 1)));
  const [a, b, t] = [channels(RAMP[at]), channels(RAMP[at + 1]), share * (RAMP.length - 1) - at];
  return a.map((one, i) => Math.round(one + t * (b[i] - one)));
}

export class Legend {
  constructor(map, about) {
    this.map = map;
    this.kept = new Map();
    const columns = [...about.words, ...about.numbers];
    const choices = [["group", "group"], ["tags", "tags"], ...columns.map((name) => [`column:${name}`, title(name)])];
    $("colour").replaceChildren(...choices.map(([value, name]) => made("option", {value}, name)));
    const first = ["label", "class", "domain", "split"].find((name) => about.words.includes(name));
    if (first) $("colour").value = `column:${first}`;
    $("colour").addEventListener("change", () => this.show());
    dark.addEventListener("change", () => this.show());
    map.setPalette(Array(256).fill(this.theme()));
  }

  /** A code for each row, and the legend that goes with it. */
  async coded(by) {
    if (!this.kept.has(by)) {
      const bytes = await (await ask(`api/colours?by=${encodeURIComponent(by)}`)).arrayBuffer();
      const length = new DataView(bytes).getUint32(0, true);
      const told = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
      this.kept.set(by, {told, codes: new Uint8Array(bytes, 4 + length)});
    }
    return this.kept.get(by);
  }

  async codesOf(by) { return (await this.coded(by)).codes; }

  /** What was coloured by may have changed. */
  async again(by) {
    this.kept.delete(by);
    if ($("colour").value === by) await this.show();
  }

  /** The colours of what is pale, of rings, and, until others are set, of all points. */
  theme() {
    const [ink, quiet] = ["ink", "bar"].map((name) => channels(token(name)));
    const share = (colour, opacity) => [...colour.map((one) => one / 255), opacity];
    this.map.setTheme({faint: share(quiet, 0.25), mark: share(ink, 1)});
    return quiet;
  }

  async show() {
    try {
      const quiet = this.theme();
      const by = $("colour").value;
      const {told, codes} = await this.coded(by);
      if (by !== $("colour").value) return;
      const colours = told.kind === "words" ? categories().map(channels) : null;
      const palette = Array.from({length: 256}, (_, code) => (code === MISSING ? quiet : colours ? colours[code % SHOWN] : ramp(Math.min(1, code / 254))));
      this.map.setColours(codes, palette);
      this.explain(by, told, palette);
    } catch (error) { say(error.message, true); }
  }

  explain(by, told, palette) {
    const dot = (code) => {
      const one = made("span", {class: "dot"});
      one.style.background = `rgb(${palette[code].join(",")})`;
      return one;
    };
    if (told.kind === "numbers") {
      const bar = made("span", {class: "ramp"});
      bar.style.background = `linear-gradient(to right, ${[0, 64, 127, 191, 254].map((code) => `rgb(${palette[code].join(",")})`).join(", ")})`;
      $("legend").replaceChildren(made("span", {}, short(told.low)), bar, made("span", {}, short(told.high)), dot(MISSING), made("span", {}, "none"));
      return;
    }
    if (by === "group") { $("legend").replaceChildren(made("span", {class: "quiet small"}, "Names on the map are frequent in the captions of a group and rare elsewhere. Choose one to see its pairs.")); return; }
    const column = by === "tags" ? null : by.slice("column:".length);
    const entries = told.values.slice(0, SHOWN).map((value, code) => {
      const button = made("button", {type: "button", title: `Only ${value || "none"}`});
      button.append(dot(code), made("span", {class: "value"}, value || "(none)"));
      button.addEventListener("click", () => toggle(column, value, true));
      return button;
    });
    const rest = told.values.length + told.more - SHOWN;
    if (rest > 0) entries.push(made("span", {class: "quiet small"}, `and ${rest} more, in the same colours again`));
    if (by === "tags") { const none = made("span", {class: "few"}); none.append(dot(MISSING), ` ${told.values.length ? "no tag" : "no pair has a tag yet"}`); entries.push(none); }
    $("legend").replaceChildren(...entries);
  }
}
