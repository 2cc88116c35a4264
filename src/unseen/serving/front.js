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
        $("answers").replaceChildren(...found.answers[0].map(line));
      }
      return;
    }
    told = answer.status === 401 ? "The token is missing or wrong." : `${found.detail}.`;
  } catch (error) {
    console.info(error);
  }
  if (turn === latest) $("status").textContent = told;
}

if (["image", "clip", "audio"].includes(about.kind)) {
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
    const numbers = typed.trim().split(/[\s,;]+/).map(Number);
    if (about.kind === "features" && (numbers.length !== about.width || numbers.some(Number.isNaN))) {
      $("status").textContent = `Give ${about.width} numbers with commas or spaces between.`;
      $("answers").replaceChildren();
      return;
    }
    const samples = [about.kind === "text" ? typed : numbers];
    ask(JSON.stringify({ samples }), { "content-type": "application/json" });
  });
}
