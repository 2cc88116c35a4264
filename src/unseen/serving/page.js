// Classifies one picture as the library does. Resampling repeats Pillow's arithmetic, 22-bit fixed point included,
// because a browser's own resizing would change probabilities.

const about = JSON.parse(document.getElementById("about").textContent);

// -- resampling ----------------------------------------------------------------------------------------------------

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)))],
  bicubic: [2, (x) => {
    x = Math.abs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  }],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};
const ONE = 2 ** 22;

// For every output position: the first input position and the integer weights from there on.
function weights(from, to, name) {
  const scale = from / to;
  if (name === "nearest") {
    return Array.from({ length: to }, (_, i) => [Math.min(from - 1, Math.floor((i + 0.5) * scale)), [ONE]]);
  }
  const [support, filter] = FILTERS[name];
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const last = Math.min(from, Math.trunc(centre + support * stretch + 0.5));
    const k = [];
    for (let x = first; x < last; x++) k.push(filter((x - centre + 0.5) / stretch));
    const sum = k.reduce((a, b) => a + b, 0);
    return [first, k.map((w) => Math.trunc((w / sum) * ONE + (w < 0 ? -0.5 : 0.5)))];
  });
}

const clip = (sum) => Math.min(255, Math.max(0, Math.floor(sum / ONE)));

// Bytes (height, width, step) to bytes (tall, wide, 3): rows first, then columns, rounded in between.
function resize(pixels, width, height, wide, tall, name, step = 4) {
  const rows = new Uint8Array(height * wide * 3);
  weights(width, wide, name).forEach(([first, k], x) => {
    for (let y = 0; y < height; y++) {
      let r = ONE / 2, g = ONE / 2, b = ONE / 2, at = (y * width + first) * step;
      for (let i = 0; i < k.length; i++, at += step) {
        r += pixels[at] * k[i];
        g += pixels[at + 1] * k[i];
        b += pixels[at + 2] * k[i];
      }
      rows.set([clip(r), clip(g), clip(b)], (y * wide + x) * 3);
    }
  });
  const out = new Uint8Array(tall * wide * 3);
  const line = wide * 3;
  weights(height, tall, name).forEach(([first, k], y) => {
    for (let x = 0; x < line; x++) {
      let sum = ONE / 2;
      for (let i = 0; i < k.length; i++) sum += rows[(first + i) * line + x] * k[i];
      out[y * line + x] = clip(sum);
    }
  });
  return out;
}

// Half to even, as Python rounds.
function round(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down % 2) : Math.round(x);
}

// RGBA bytes of a picture to the network's input, (1, 3, height, width).
function prepared(pixels, width, height) {
  const { size, crop, mode, mean, std, interpolation } = about.preprocess;
  const [h, w] = size;
  let tall = h, wide = w;
  if (mode === "center") {
    [tall, wide] = [Math.trunc(h / crop), Math.trunc(w / crop)];
    if (tall === wide && width <= height) tall = Math.trunc((tall * height) / width);
    else if (tall === wide) wide = Math.trunc((wide * width) / height);
  }
  const small = resize(pixels, width, height, wide, tall, interpolation.toLowerCase());
  const left = round((wide - w) / 2), top = round((tall - h) / 2);
  const x = new Float32Array(3 * h * w);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < h; i++) {
      for (let j = 0; j < w; j++) {
        const value = small[((top + i) * wide + left + j) * 3 + c] / 255;
        x[(c * h + i) * w + j] = (value - mean[c]) / std[c];
      }
    }
  }
  return x;
}

// -- deciding ------------------------------------------------------------------------------------------------------

// H(p) / log C, about 1 for a uniform p.
function entropy(p) {
  return -p.reduce((sum, q) => sum + q * Math.log(q + 1e-5), 0) / Math.log(Math.max(p.length, 2));
}

// The probabilities before they were calibrated, by which a method itself rejects.
function uncalibrated(p) {
  const q = p.map((value) => Math.pow(value, about.temperature));
  const sum = q.reduce((a, b) => a + b, 0);
  return q.map((value) => value / sum);
}

function decided(p) {
  const order = p.map((_, i) => i).sort((a, b) => p[b] - p[a] || a - b).slice(0, about.top);
  const rejected = about.reject !== null && entropy(uncalibrated(p)) > about.reject;
  return {
    unknown: rejected || entropy(p) > about.threshold,
    top: order.map((i) => ({ class: about.classes[i], probability: p[i] })),
  };
}

// -- the network ---------------------------------------------------------------------------------------------------

async function unpacked(id) {
  const text = atob($(id).textContent);
  $(id).remove();
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function start() {
  const script = new Blob([await unpacked("runtime")], { type: "text/javascript" });
  const address = URL.createObjectURL(script);
  const ort = await import(address);
  URL.revokeObjectURL(address);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked("program");
  const session = await ort.InferenceSession.create(await unpacked("model"), { executionProviders: ["wasm"] });
  return async (x) => {
    const [h, w] = about.preprocess.size;
    const { probabilities } = await session.run({ x: new ort.Tensor("float32", x, [1, 3, h, w]) });
    return Array.from(probabilities.data);
  };
}

const network = start();

async function classify(file) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  if (image.width * image.height > about.pixels) throw new RangeError("The picture has too many pixels.");
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const x = prepared(data, image.width, image.height);
  return decided(await (await network)(x));
}

// -- the page ------------------------------------------------------------------------------------------------------

let latest = 0, waiting = 0, state = "preparing";

// A picture that comes while the network is prepared waits for it.
async function show(file) {
  const turn = ++latest;
  $("answers").replaceChildren();
  $("unknown").hidden = true;
  if (state !== "preparing") $("status").textContent = "Looking …";
  preview(file);
  let answer;
  waiting++;
  try {
    answer = await classify(file);
  } catch (error) {
    console.info(error);
    if (turn !== latest) return;
    preview(null);
    const why = state === "failed" ? "run the network" : "read that picture";
    $("status").textContent = error instanceof RangeError ? error.message : `This browser cannot ${why}.`;
    return;
  } finally {
    waiting--;
  }
  if (turn !== latest) return;
  $("status").textContent = "";
  $("unknown").hidden = !answer.unknown;
  bars($("answers"), answer.top);
}

pictures(show);
$("file").disabled = false;
network.then(
  () => {
    state = "ready";
    if (waiting || !latest) $("status").textContent = waiting ? "Looking …" : "";
  },
  (error) => {
    console.error(error);
    state = "failed";
    $("status").textContent = "This browser cannot run the network.";
  },
);
