// Classifies a picture as the library does: `look` gives the answer, `tell` shows it, `clear` takes it away.

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

async function look(pixels, width, height) {
  const [h, w] = about.preprocess.size;
  const { data } = await run(prepared(pixels, width, height), h, w);
  return decided(Array.from(data));
}

function clear() {
  $("answers").replaceChildren();
  $("unknown").hidden = true;
}

function tell(answer) {
  $("unknown").hidden = !answer.unknown;
  bars($("answers"), answer.top);
}
