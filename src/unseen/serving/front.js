// The form of the front page: a picture, a text or a vector goes to /predict, its classes come back.

const about = JSON.parse($("about").textContent);
let latest = 0;

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
      const [prediction] = found.predictions;
      $("status").textContent = "";
      $("unknown").hidden = !prediction.unknown;
      bars($("answers"), prediction.top);
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
