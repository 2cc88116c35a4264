// Makes pictures smaller as Pillow does, 22-bit fixed point included: a browser's own resizing would change answers.

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

// For every output position: the first input position and the integer weights from there on. The output covers `span`
// input positions, of which the last may be a part.
function weights(from, to, name, span = from) {
  const scale = span / to;
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
function resize(pixels, width, height, wide, tall, name, step = 4, across = width, down = height) {
  const rows = new Uint8Array(height * wide * 3);
  weights(width, wide, name, across).forEach(([first, k], x) => {
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
  weights(height, tall, name, down).forEach(([first, k], y) => {
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

// Means of boxes of a by b pixels, those at the right and lower edge of what is left: bytes (height, width, 4) to
// (ceil(height / b), ceil(width / a), 3).
function reduced(pixels, width, height, a, b) {
  const wide = Math.ceil(width / a), tall = Math.ceil(height / b);
  const out = new Uint8Array(tall * wide * 3);
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < wide; x++) {
      const right = Math.min(width, (x + 1) * a), bottom = Math.min(height, (y + 1) * b);
      const n = (right - x * a) * (bottom - y * b), share = Math.floor(2 ** 24 / n);
      for (let c = 0; c < 3; c++) {
        let sum = Math.floor(n / 2);
        for (let i = y * b; i < bottom; i++) {
          for (let j = x * a; j < right; j++) sum += pixels[(i * width + j) * 4 + c];
        }
        out[(y * wide + x) * 3 + c] = Math.floor((sum * share) / 2 ** 24);
      }
    }
  }
  return out;
}

// Bilinear, of what is far larger by way of boxes that leave it three times as large: reducing_gap=3.
function shrink(pixels, width, height, wide, tall) {
  const a = Math.max(1, Math.trunc(width / wide / 3)), b = Math.max(1, Math.trunc(height / tall / 3));
  if (a === 1 && b === 1) return resize(pixels, width, height, wide, tall, "bilinear");
  const boxes = reduced(pixels, width, height, a, b);
  const [columns, rows] = [Math.ceil(width / a), Math.ceil(height / b)];
  return resize(boxes, columns, rows, wide, tall, "bilinear", 3, width / a, height / b);
}
