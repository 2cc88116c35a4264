// The pages work without this but for uploads: it follows runs, sends files, and asks a model without a reload.

(() => {
  const $ = (id) => document.getElementById(id);

  // The part `id` of a page that was fetched takes the place of the one that is shown.
  async function swap(id, url, options, still = () => true) {
    const answer = await fetch(url, { headers: { accept: "text/html" }, ...options });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.getElementById(id);
    if (!still()) return;
    if (part === null) throw new Error(`no #${id} in the answer`);
    const open = [...$(id).querySelectorAll("details")].map((one) => one.open);
    const ticked = new Set([...$(id).querySelectorAll("input:checked")].map((one) => one.value));
    part.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? one.open; });
    part.querySelectorAll("input[type=checkbox]").forEach((one) => { one.checked ||= ticked.has(one.value); });
    const held = $(id).contains(document.activeElement) ? document.activeElement : null;
    $(id).replaceWith(document.adoptNode(part));
    if (held?.name) [...part.querySelectorAll("[name]")].find((one) => one.name === held.name && one.type === held.type && (one.type !== "checkbox" || one.value === held.value))?.focus();
  }

  // -- runs that are under way

  async function follow() {
    if ($("live")?.hasAttribute("data-poll") && !document.hidden && !$("live").contains(document.activeElement)) {
      try {
        await swap("live", location.pathname + location.search);
      } catch (error) {
        console.info(error); // the app may be starting again
      }
    }
    setTimeout(follow, 1000);
  }
  setTimeout(follow, 1000);

  // -- uploads

  function wait(on) {
    document.querySelectorAll("#start button").forEach((one) => { one.disabled = on; });
  }

  function upload(field, file) {
    const state = field.querySelector(".state");
    const input = field.querySelector("input[type=text]");
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => {
      state.textContent = `sending ${file.name}: ${Math.floor((100 * event.loaded) / Math.max(event.total, 1))} %`;
    });
    request.addEventListener("loadend", () => {
      let told = {};
      try {
        told = JSON.parse(request.responseText);
      } catch (error) {
        console.info(error);
      }
      if (told.place) input.value = told.place;
      state.textContent = told.place ? `${file.name} is here` : told.detail || request.responseText || "It could not be sent.";
      wait(false);
    });
    wait(true);
    request.open("POST", `/upload?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.send(file);
  }

  for (const field of document.querySelectorAll(".field.data")) {
    const choose = field.querySelector("input[type=file]");
    choose.addEventListener("change", () => choose.files.length && upload(field, choose.files[0]));
    field.querySelector(".upload").addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose.click();
      }
    });
    for (const name of ["dragover", "dragleave", "drop"]) {
      field.addEventListener(name, (event) => {
        event.preventDefault();
        field.classList.toggle("over", name === "dragover");
        if (name === "drop" && event.dataTransfer.files.length) upload(field, event.dataTransfer.files[0]);
      });
    }
  }

  // -- forms that show their answer at once

  let newest = 0; // an older answer that comes late does not take the place of a newer one
  document.addEventListener("change", async (event) => {
    event.target.closest?.("form[data-go]")?.requestSubmit(); // another page, whose parts are wired anew
    const form = event.target.closest?.("form[data-at-once]");
    if (!form) return;
    const url = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
    history.replaceState(null, "", url);
    const turn = ++newest;
    $(form.dataset.atOnce).setAttribute("aria-busy", "true");
    try {
      await swap(form.dataset.atOnce, url, {}, () => turn === newest);
    } finally {
      if (turn === newest) $(form.dataset.atOnce).removeAttribute("aria-busy");
    }
  });

  // -- a model on a sample

  const form = $("sample-form");
  if (form) {
    let latest = 0;
    const ask = async (body) => {
      const turn = ++latest;
      $("answer").textContent = "Looking …";
      try {
        await swap("answer", form.action, { method: "POST", body }, () => turn === latest);
      } catch (error) {
        console.info(error);
        $("answer").textContent = "The app does not answer. Is it still running?";
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(new FormData(form));
    });
    if ($("drop")) {
      pictures((file) => {
        preview(file);
        const body = new FormData(form);
        body.set($("file").name, file);
        ask(body);
      });
    }
  }
})();
