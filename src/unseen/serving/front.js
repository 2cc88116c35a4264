// The form of the front page: a picture, a text or a vector goes to /predict, its classes come back.

const about = JSON.parse($("about").textContent);
let latest = 0;

// A row of a model that names no classes: its line, and its mask with what the colours mean where it has one.
function line(row) {
  const item = document.createElement("li");
  const said = document.createElement("span");
  said.textContent = row.answer;
  item.append(said);
  if (row.mask) {
    const mask = document.createElement("img");
    mask.src = `data:image/png;base64,${row.mask}`;
    mask.alt = "The class of every pixel, in colours";
    mask.className = "mask";
    const key = Object.entries(row.colours).map(([name, colour]) => {
      const entry = document.createElement("span");
      entry.className = "key";
      entry.style.borderColor = colour;
      entry.textContent = name;
      return entry;
    });
    item.append(mask, ...key);
  }
  return item;
}

// A curve of what is forecast for each series and column, with its interval, and the numbers folded below it.
function charts(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.series, row.channel]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups.values()].map((points) => {
    const item = document.createElement("li");
    const said = document.createElement("span");
    const [first, last] = [points[0], points.at(-1)];
    const name = groups.size > 1 ? `${first.series}, ${first.channel}` : first.channel;
    said.textContent = `${name}: ${points.length} points, ${first.time} to ${last.time}`;
    const folded = document.createElement("details");
    const summary = document.createElement("summary");
    const numbers = document.createElement("pre");
    summary.textContent = "Numbers";
    numbers.textContent = points.map((row) => row.answer).join("\n");
    folded.append(summary, numbers);
    item.append(said, ...(points.some((row) => row.forecast !== null) ? [curve(points)] : []), folded);
    return item;
  });
}

function curve(points) {
  const [width, height, left] = [600, 210, 86];
  const known = points.flatMap((row) => [row.forecast, row.low, row.high]).filter((value) => typeof value === "number");
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const across = (i) => left + (i * (width - left - 4)) / Math.max(points.length - 1, 1);
  const up = (value) => 8 + ((high - value) * (height - 16)) / (high - low || 1);
  const drawn = (name, settings, text) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(settings)) part.setAttribute(key, value);
    if (text) part.textContent = text;
    return part;
  };
  const told = `From ${points[0].forecast} to ${points.at(-1).forecast}, between ${low} and ${high}`;
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": told });
  const band = points.map((row, i) => [i, row]).filter(([, row]) => row.low !== null && row.low !== undefined);
  const edge = (side, some) => some.map(([i, row]) => `${across(i).toFixed(1)},${up(row[side]).toFixed(1)}`);
  if (band.length) {
    const corners = [...edge("high", band), ...edge("low", [...band].reverse())].join(" ");
    picture.append(drawn("polygon", { points: corners, class: "band" }));
  }
  const middle = points.map((row, i) => [i, row]).filter(([, row]) => row.forecast !== null);
  picture.append(drawn("polyline", { points: edge("forecast", middle).join(" "), class: "line" }));
  for (const value of [high, low]) {
    const at = { x: left - 6, y: up(value) + 4, "text-anchor": "end" };
    picture.append(drawn("text", at, Number(value.toPrecision(4)).toString()));
  }
  return picture;
}

async function ask(body, headers) {
  const turn = ++latest;
  $("answers").replaceChildren();
  $("unknown").hidden = true;
  $("status").textContent = "Looking …";
  if (about.guarded) headers = { ...headers, authorization: `Bearer ${$("token").value.trim()}` };
  let told = "The server does not answer. Is it still running?";
  try {
    const answer = await fetch(`predict?top=${about.top}`, { method: "POST", body, headers });
    const found = await answer.json();
    if (turn !== latest) return;
    if (answer.ok) {
      $("status").textContent = "";
      if (about.named) {
        const [prediction] = found.predictions;
        $("unknown").hidden = !prediction.unknown;
        bars($("answers"), prediction.top);
      } else {
        const rows = found.answers[0];
        $("answers").replaceChildren(...(about.kind === "series" ? charts(rows) : rows.map(line)));
      }
      return;
    }
    told = answer.status === 401 ? "The token is missing or wrong." : `${found.detail}.`;
  } catch (error) {
    console.info(error);
  }
  if (turn === latest) $("status").textContent = told;
}

if (["image", "clip", "audio", "series"].includes(about.kind)) {
  pictures((file) => {
    preview(file);
    const form = new FormData();
    form.append("samples", file);
    ask(form, {});
  });
  $("file").disabled = false;
} else {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = $("sample").value;
    const numbers = typed.trim().split(/[\s,]+/).map(Number);
    if (about.kind === "features" && (numbers.length !== about.width || numbers.some(Number.isNaN))) {
      $("status").textContent = `Give ${about.width} numbers with commas or spaces between.`;
      $("answers").replaceChildren();
      return;
    }
    const samples = [about.kind === "text" ? typed : numbers];
    ask(JSON.stringify({ samples }), { "content-type": "application/json" });
  });
}
