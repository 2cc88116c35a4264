// The map: a point for every pair, drawn by WebGL 2; pan, zoom, hover, lasso and box.

const POINTS = `#version 300 es
in vec2 place; in vec2 info;
uniform vec2 centre, factor; uniform float size, pass, opacity; uniform vec4 faint; uniform sampler2D palette;
out vec4 colour;
void main() {
  bool passes = info.y > 0.5;
  bool here = pass > 1.5 || (pass > 0.5) == passes;
  gl_Position = here ? vec4((place - centre) * factor, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
  colour = pass > 0.5 ? vec4(texelFetch(palette, ivec2(int(info.x), 0), 0).rgb, opacity) : faint;
}`;
const ROUND = `#version 300 es
precision highp float;
in vec4 colour; uniform float size, ring; out vec4 seen;
void main() {
  float r = length(gl_PointCoord - 0.5) * size;
  float inside = size < 3.0 ? 1.0 : clamp(size * 0.5 - r, 0.0, 1.0);
  if (ring > 0.0) inside *= clamp(r - size * 0.5 + ring, 0.0, 1.0);
  float a = colour.a * inside;
  seen = vec4(colour.rgb * a, a);
}`;

const CELLS = 256;
const REACH = 10;  // pixels from which a point is met
const LABELS = 40;
const SHORT = 30;  // milliseconds that drawing may take while the map moves: as many points are drawn as fit
const FEWEST = 30_000;
const FINE = 1024;  // dots across a lasso
const RESTS = 200;  // milliseconds without a move after which the map rests

/** A context that draws `POINTS`; null where the browser has none. */
function prepared(canvas) {
  const gl = canvas.getContext("webgl2", {antialias: false, alpha: true, premultipliedAlpha: true});
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, POINTS], [gl.FRAGMENT_SHADER, ROUND]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.bindAttribLocation(program, 0, "place");
  gl.bindAttribLocation(program, 1, "info");
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) { console.error(gl.getProgramInfoLog(program)); return null; }
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  const at = (name) => gl.getUniformLocation(program, name);
  return {gl, at: Object.fromEntries(["centre", "factor", "size", "pass", "opacity", "faint", "ring"].map((name) => [name, at(name)]))};
}

/** An order of n things as good as by chance, the same each time: the first of them stand for all. */
function shuffled(n) {
  const order = new Uint32Array(n);
  let seed = 1;
  for (let i = 0; i < n; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((seed / 4294967296) * (i + 1));
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}

export class PointMap {
  /** `on` has what is called: `hover(row or -1, x, y)`, `choose(row)`, `select(mask)`, `group(i)`. */
  constructor(box, on) {
    this.box = box;
    this.on = on;
    this.canvas = box.querySelector("canvas");
    this.canvas.map = this;
    this.mode = "move";
    this.view = {x: 0.5, y: 0.5, scale: 1};
    this.n = 0;
    this.marked = 0;
    this.pointers = new Map();
    this.labels = [];
    this.context = prepared(this.canvas);
    if (!this.context) return;
    const {gl} = this.context;
    this.buffers = {place: gl.createBuffer(), info: gl.createBuffer(), marks: gl.createBuffer()};
    this.listen();
    new ResizeObserver(() => this.resize()).observe(box);
    this.resize();
  }

  get works() { return this.context !== null; }

  // -- what is drawn ----------------------------------------------------------------------------------------

  /** Places of all rows: x and y of each, of 16 bits. */
  setPoints(places) {
    const n = this.n = places.length / 2;
    this.places = places;
    this.order = shuffled(n);
    this.info = new Uint8Array(2 * n);
    for (let i = 0; i < n; i++) this.info[2 * i + 1] = 1;
    const arranged = new Uint16Array(2 * n);
    for (let i = 0; i < n; i++) {
      arranged[2 * i] = places[2 * this.order[i]];
      arranged[2 * i + 1] = places[2 * this.order[i] + 1];
    }
    this.codes = new Uint8Array(n);
    this.mask = null;
    this.cells = null;
    this.budget = null;
    this.upload("place", arranged);
    this.colourAgain();
    this.whole();
  }

  upload(name, content) {
    const {gl} = this.context;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
  }

  colourAgain() {
    const {info, order, codes, mask} = this;
    for (let i = 0; i < this.n; i++) {
      info[2 * i] = codes[order[i]];
      info[2 * i + 1] = mask === null ? 1 : mask[order[i]];
    }
    this.upload("info", info);
    this.draw();
  }

  /** A code for each row, and the colours of all codes (256 times red, green, blue). */
  setColours(codes, palette) {
    this.codes = codes;
    this.setPalette(palette);
    this.colourAgain();
  }

  setPalette(palette) {
    const {gl} = this.context;
    const texels = new Uint8Array(1024).fill(255);
    for (let i = 0; i < 256; i++) texels.set(palette[i], 4 * i);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
    this.draw();
  }

  /** Which rows pass the filters (a byte each); null where all do. */
  setMask(mask) {
    this.mask = mask;
    this.colourAgain();
  }

  /** Rows that are ringed: what a query found. */
  setMarks(rows) {
    const places = new Uint16Array(2 * rows.length);
    rows.forEach((row, i) => places.set(this.places.subarray(2 * row, 2 * row + 2), 2 * i));
    this.marked = rows.length;
    this.upload("marks", places);
    this.draw();
  }

  setTheme({faint, mark}) {
    this.faint = faint;
    this.mark = mark;
    this.draw();
  }

  draw() {
    if (this.waiting || !this.n || !this.context) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; if (this.budget === null) this.measure(); else this.paint(); });
  }

  /** Draw all points once, and know from it how many can be drawn while the map moves. */
  measure() {
    const {gl} = this.context;
    if (!this.canvas.width) return;
    const began = performance.now();
    this.budget = this.n;
    this.paint();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));  // waits until they are drawn
    this.canvas.dataset.milliseconds = Math.round(performance.now() - began);
    this.budget = Math.max(FEWEST, Math.round(this.n * SHORT / Math.max(1, performance.now() - began)));
  }

  paint() {
    const {gl, at} = this.context;
    const [width, height] = [this.canvas.width, this.canvas.height];
    if (!width || !height) return;
    const ratio = devicePixelRatio;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const zoom = this.view.scale / this.least();
    const size = ratio * Math.min(14, Math.min(7, Math.max(1.6, 220 / Math.sqrt(this.n))) * Math.max(1, zoom) ** 0.35);
    gl.uniform2f(at.centre, this.view.x, this.view.y);
    gl.uniform2f(at.factor, 2 * this.view.scale * ratio / width, 2 * this.view.scale * ratio / height);
    gl.uniform1f(at.opacity, Math.min(0.9, Math.max(0.35, 60 / Math.sqrt(this.n)) * Math.max(1, zoom) ** 0.3));
    gl.uniform4fv(at.faint, this.faint);
    gl.uniform1f(at.ring, 0);
    gl.uniform1f(at.size, size);
    this.use("place", this.buffers.info);
    const shown = this.moving ? Math.min(this.n, this.budget) : this.n;
    for (const pass of this.mask === null ? [2] : [0, 1]) {
      gl.uniform1f(at.pass, pass);
      gl.drawArrays(gl.POINTS, 0, shown);
    }
    if (this.marked) {
      gl.uniform1f(at.pass, 0);
      gl.uniform4fv(at.faint, this.mark);
      gl.uniform1f(at.size, Math.max(11 * ratio, size + 6 * ratio));
      gl.uniform1f(at.ring, 2.2 * ratio);
      this.use("marks", null);
      gl.drawArrays(gl.POINTS, 0, this.marked);
    }
    this.placeLabels();
    this.canvas.dataset.drawn = shown;
    if (this.moving) this.restLater(gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0));
  }

  /** Draw all points once nothing has moved for a while and what was drawn is there. */
  restLater(fence) {
    const {gl} = this.context;
    gl.flush();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) { this.restLater(fence); return; }
      this.moving = false;
      this.draw();
    }, RESTS);
  }

  use(place, info) {
    const {gl} = this.context;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[place]);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.UNSIGNED_SHORT, true, 0, 0);
    if (info === null) { gl.disableVertexAttribArray(1); gl.vertexAttrib2f(1, 0, 0); return; }
    gl.bindBuffer(gl.ARRAY_BUFFER, info);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 2, gl.UNSIGNED_BYTE, false, 0, 0);
  }

  // -- the view ---------------------------------------------------------------------------------------------

  least() { return 0.92 * Math.min(this.box.clientWidth, this.box.clientHeight) || 1; }

  resize() {
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    const kept = this.view.scale / (this.fitted ?? 1);
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    if (width && height) { this.fitted = this.least(); this.view.scale = kept * this.fitted; }
    this.draw();
  }

  whole() {
    this.view = {x: 0.5, y: 0.5, scale: this.least()};
    this.draw();
  }

  /** Where a pixel of the box lies on the plane, and the reverse. */
  onPlane(x, y) {
    const {clientWidth: w, clientHeight: h} = this.box;
    return [this.view.x + (x - w / 2) / this.view.scale, this.view.y - (y - h / 2) / this.view.scale];
  }

  onScreen(x, y) {
    const {clientWidth: w, clientHeight: h} = this.box;
    return [w / 2 + (x - this.view.x) * this.view.scale, h / 2 - (y - this.view.y) * this.view.scale];
  }

  zoom(factor, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const [px, py] = this.onPlane(x, y);
    this.view.scale = Math.min(400 * this.least(), Math.max(0.5 * this.least(), this.view.scale * factor));
    const [qx, qy] = this.onPlane(x, y);
    this.pan(px - qx, py - qy);
  }

  pan(x, y) {
    this.view.x = Math.min(1.5, Math.max(-0.5, this.view.x + x));
    this.view.y = Math.min(1.5, Math.max(-0.5, this.view.y + y));
    this.on.hover(-1);
    this.moving = true;  // fewer points are drawn where all take long
    this.draw();
  }

  // -- finding points ---------------------------------------------------------------------------------------

  /** Rows by cells of the plane, so that the nearest one is found among few. */
  index() {
    if (this.cells) return this.cells;
    const {places, n} = this;
    const starts = new Uint32Array(CELLS * CELLS + 1);
    const cell = (i) => (places[2 * i + 1] >> 8) * CELLS + (places[2 * i] >> 8);
    for (let i = 0; i < n; i++) starts[cell(i) + 1]++;
    for (let i = 0; i < CELLS * CELLS; i++) starts[i + 1] += starts[i];
    const next = starts.slice();
    const rows = new Uint32Array(n);
    for (let i = 0; i < n; i++) rows[next[cell(i)]++] = i;
    return (this.cells = {starts, rows});
  }

  /** The row that is nearest to a pixel, of those that pass; -1 where none is near. */
  near(x, y) {
    if (!this.n) return -1;
    const {starts, rows} = this.index();
    const [px, py] = this.onPlane(x, y).map((one) => one * 65535);
    const reach = REACH * 65535 / this.view.scale;
    const bound = (one) => Math.min(CELLS - 1, Math.max(0, Math.floor(one / 256)));
    let [best, least] = [-1, reach * reach];
    for (let v = bound(py - reach); v <= bound(py + reach); v++) {
      for (let k = starts[v * CELLS + bound(px - reach)]; k < starts[v * CELLS + bound(px + reach) + 1]; k++) {
        const row = rows[k];
        if (this.mask !== null && !this.mask[row]) continue;
        const d = (this.places[2 * row] - px) ** 2 + (this.places[2 * row + 1] - py) ** 2;
        if (d < least) [best, least] = [row, d];
      }
    }
    return best;
  }

  /** Which rows lie in a polygon of pixels: a byte each. It is filled on a canvas finer than the screen, and looked up. */
  inside(polygon) {
    const corners = polygon.map(([x, y]) => this.onPlane(x, y).map((one) => one * 65535));
    const [left, low] = [0, 1].map((axis) => Math.min(...corners.map((one) => one[axis])));
    const [width, height] = [0, 1].map((axis) => Math.max(1, Math.max(...corners.map((one) => one[axis])) - [left, low][axis]));
    const canvas = Object.assign(document.createElement("canvas"), {width: FINE, height: FINE});
    const ink = canvas.getContext("2d", {willReadFrequently: true});
    ink.beginPath();
    for (const [x, y] of corners) ink.lineTo((x - left) / width * FINE, (y - low) / height * FINE);
    ink.fill("evenodd");
    const filled = ink.getImageData(0, 0, FINE, FINE).data;
    const mask = new Uint8Array(this.n);
    for (let i = 0; i < this.n; i++) {
      const x = Math.floor((this.places[2 * i] - left) / width * FINE);
      const y = Math.floor((this.places[2 * i + 1] - low) / height * FINE);
      if (x >= 0 && x < FINE && y >= 0 && y < FINE) mask[i] = filled[4 * (y * FINE + x) + 3] >> 7;
    }
    return mask;
  }

  // -- names of groups --------------------------------------------------------------------------------------

  /** Names on the map: the words of groups, larger ones first, each a button. */
  setLabels(concepts) {
    this.labels = concepts.map((one, i) => ({...one, i})).filter((one) => one.words.length).sort((a, b) => b.size - a.size).map((one) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = one.words.slice(0, 2).join(", ");
      button.title = `${one.words.join(", ")}: ${one.size.toLocaleString("en")} pairs; choose them`;
      button.addEventListener("click", () => this.on.group(one.i));
      return {button, x: (one.x + 1) / 2, y: (one.y + 1) / 2, half: button.textContent.length * 3.4 + 6};
    });
    this.box.querySelector("#labels").replaceChildren(...this.labels.map((one) => one.button));
    this.draw();
  }

  /** Names stand above the middle of their group, so that its points can be met; one that would cover another is left out. */
  placeLabels() {
    const taken = [];
    const {clientWidth: w, clientHeight: h} = this.box;
    for (const {button, x, y, half} of this.labels) {
      const [sx, sy] = this.onScreen(x, y);
      const box = [sx - half, sy - 30, sx + half, sy - 10];
      const free = taken.length < LABELS && box[0] > 0 && box[2] < w && box[1] > 0 && box[3] < h
        && taken.every(([a, b, c, d]) => box[2] < a || box[0] > c || box[3] < b || box[1] > d);
      if (free) taken.push(box);
      button.hidden = !free;
      if (free) button.style.transform = `translate(${Math.round(sx)}px, ${Math.round(sy) - 10}px) translate(-50%, -100%)`;
    }
  }

  // -- hands ------------------------------------------------------------------------------------------------

  listen() {
    const {box} = this;
    const at = (event) => { const edge = box.getBoundingClientRect(); return [event.clientX - edge.left, event.clientY - edge.top]; };
    box.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...at(event)); }, {passive: false});
    box.addEventListener("dblclick", (event) => { if (!event.target.closest("button")) this.zoom(2, ...at(event)); });
    box.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button") || event.button) return;
      box.setPointerCapture(event.pointerId);
      this.on.hover(-1);
      this.pointers.set(event.pointerId, at(event));
      this.began = this.pointers.size === 1 ? at(event) : null;
      this.polygon = this.pointers.size === 1 && (this.mode !== "move" || event.shiftKey) ? [at(event)] : null;
      this.trace();
    });
    box.addEventListener("pointermove", (event) => this.moved(event, at(event)));
    for (const name of ["pointerup", "pointercancel"]) box.addEventListener(name, (event) => this.ended(event, at(event)));
    box.addEventListener("pointerleave", () => this.on.hover(-1));
    box.addEventListener("keydown", (event) => this.typed(event));
  }

  moved(event, [x, y]) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") this.on.hover(event.target.closest("button") ? -1 : this.near(x, y), x, y);
      return;
    }
    if (this.began && Math.hypot(x - this.began[0], y - this.began[1]) < 4) return;
    this.began = null;
    if (this.polygon) {
      const [px, py] = this.polygon[this.polygon.length - 1];
      if (this.mode === "box") this.polygon = this.cornered(this.polygon[0], [x, y]);
      else if (Math.hypot(x - px, y - py) > 3) this.polygon.push([x, y]);
      this.trace();
      return;
    }
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const [was, is] = [before, [x, y]].map(([a, b]) => Math.hypot(a - other[0], b - other[1]));
      if (was > 0) this.zoom(is / was, (x + other[0]) / 2, (y + other[1]) / 2);
    }
    const share = this.pointers.size;
    this.pointers.set(event.pointerId, [x, y]);
    this.pan((before[0] - x) / this.view.scale / share, (y - before[1]) / this.view.scale / share);
  }

  cornered([a, b], [c, d]) { return [[a, b], [c, b], [c, d], [a, d]]; }

  ended(event, [x, y]) {
    if (!this.pointers.delete(event.pointerId)) return;
    const {polygon, began} = this;
    this.polygon = this.began = null;
    this.trace();
    if (event.type === "pointercancel") return;
    if (began) {
      const row = this.near(x, y);
      if (row >= 0) this.on.choose(row);
    } else if (polygon && polygon.length > 2) this.on.select(this.inside(polygon));
  }

  trace() {
    const path = this.polygon && this.polygon.length > 1 ? `M${this.polygon.map((one) => one.map(Math.round).join(",")).join("L")}Z` : "";
    this.box.querySelector("svg path").setAttribute("d", path);
  }

  typed(event) {
    if (event.target !== this.box) return;
    const step = 60 / this.view.scale;
    const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
    if (moves[event.key]) this.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (event.key === "0") this.whole();
    else if (event.key === "Escape") this.on.select(null);
    else return;
    event.preventDefault();
  }
}
