// Says of every pixel of a picture which class it is of: `look` gives the answer, `tell` shows it, `clear`
// takes it away.

async function look(pixels, width, height) {
  const share = Math.min(1, about.size / Math.max(width, height));
  const [wide, tall] = [width, height].map((side) => Math.max(1, round(side * share)));
  const small = shrink(pixels, width, height, wide, tall);
  const n = wide * tall;
  const x = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) x[c * n + i] = small[3 * i + c] / 255;
  const { data } = await run(x, tall, wide);
  const mask = new Uint16Array(n), sure = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < about.classes.length; k++) {
      if (data[k * n + i] > sure[i]) [mask[i], sure[i]] = [k, data[k * n + i]];
    }
  }
  return { small, wide, tall, mask, sure };
}

// The picture under the colours of its classes, a white line between two.
function coloured({ small, wide, tall, mask }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [wide, tall];
  const context = canvas.getContext("2d");
  const image = context.createImageData(wide, tall);
  for (let i = 0; i < mask.length; i++) {
    const edge = (i % wide && mask[i] !== mask[i - 1]) || (i >= wide && mask[i] !== mask[i - wide]);
    for (let c = 0; c < 3; c++) {
      const over = (1 - about.opacity) * small[3 * i + c] + about.opacity * about.colours[mask[i]][c];
      image.data[4 * i + c] = edge ? 255 : over;
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function clear() {
  $("shown").replaceChildren();
  $("answers").replaceChildren();
}

function tell(answer) {
  const { wide, tall, mask, sure } = answer;
  const counts = about.classes.map(() => 0);
  for (const k of mask) counts[k]++;
  const present = counts.flatMap((count, k) => (count ? [k] : [])).sort((a, b) => counts[b] - counts[a] || a - b);
  bars($("answers"), present.map((k) => ({ class: about.classes[k], probability: counts[k] / mask.length })));
  [...$("answers").children].forEach((item, i) => {
    item.firstChild.className = "swatch";
    item.firstChild.style.borderColor = `rgb(${about.colours[present[i]].join(", ")})`;
  });
  const picture = coloured(answer), words = document.createElement("p");
  picture.className = "mask";
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "The picture under the colours of its classes");
  words.className = "quiet";
  words.textContent = "Point at a place: its class, and how probable it is.";
  picture.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const at = (offset, length, shown) => Math.min(length - 1, Math.max(0, Math.floor((offset * length) / shown)));
    const i = at(offsetY, tall, picture.clientHeight) * wide + at(offsetX, wide, picture.clientWidth);
    words.textContent = `${about.classes[mask[i]]}, ${(100 * sure[i]).toFixed(1)} %`;
  });
  $("shown").replaceChildren(picture, words);
}
