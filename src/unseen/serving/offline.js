// A page that runs a network on the pictures that it is given: `look`, `tell` and `clear` of another file say
// what for.

const about = JSON.parse(document.getElementById("about").textContent);

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
  return async (x, height, width) => {
    const { probabilities } = await session.run({ x: new ort.Tensor("float32", x, [1, 3, height, width]) });
    return probabilities;
  };
}

const network = start();
const run = async (x, height, width) => (await network)(x, height, width);

// -- the page ------------------------------------------------------------------------------------------------------

async function seen(file) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  if (image.width * image.height > about.pixels) throw new RangeError("The picture has too many pixels.");
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, image.width, image.height);
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return look(data, image.width, image.height);
}

let latest = 0, waiting = 0, state = "preparing";

// A picture that comes while the network is prepared waits for it.
async function show(file) {
  const turn = ++latest;
  clear();
  if (state !== "preparing") $("status").textContent = "Looking …";
  preview(file);
  let answer;
  waiting++;
  try {
    answer = await seen(file);
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
  tell(answer);
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
