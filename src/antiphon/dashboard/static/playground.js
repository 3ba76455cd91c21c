// Puts a request together from the form, shows it as code, sends it, and shows its stream. Whatever comes from
// outside is text.

const api = window.antiphon;
const form = document.getElementById("ask");
const answer = document.getElementById("answer");
const stop = document.getElementById("stop");
const attached = [];  // {part, name}
let going = null;

// ---- the request -----------------------------------------------------------------------------------

function json(name) {
  const text = form.elements[name]?.value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is no JSON: ${error.message}`);
  }
}

function tools() {
  const chosen = [...form.querySelectorAll("[name=tool]:checked")].map((box) => tool(box.value));
  return [...chosen, ...(json("tools") ?? [])];
}

function tool(type) {
  if (type === "file_search") return { type, vector_store_ids: [form.elements.store.value] };
  if (type === "code_interpreter") return { type, container: { type: "auto" } };
  return { type };
}

function input() {
  const text = form.elements.input.value;
  const items = text.trim().startsWith("[") ? listed(text) : null;
  if (!attached.length) return items ?? (text || undefined);
  const parts = [...(items || !text ? [] : [{ type: "input_text", text }]), ...attached.map((each) => each.part)];
  return [...(items ?? []), { role: "user", content: parts }];
}

function listed(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) && found.every((each) => each && typeof each === "object") ? found : null;
  } catch {
    return null;
  }
}

function prompt() {
  const id = form.elements.prompt?.value.trim();
  if (!id) return undefined;
  const version = form.elements.version.value.trim() || undefined;
  return { id, version, variables: json("variables") };
}

function asked() {
  const value = (name) => form.elements[name].value.trim() || undefined;
  const offered = tools();
  return without({
    model: value("model"),
    prompt: prompt(),
    instructions: value("instructions"),
    input: input(),
    tools: offered.length ? offered : undefined,
    previous_response_id: value("previous_response_id"),
    ...json("more"),
  });
}

const without = (members) => JSON.parse(JSON.stringify(members));

// ---- as code ---------------------------------------------------------------------------------------

function curl(body) {
  const data = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return [
    `curl ${location.origin}/v1/responses \\`,
    `  -H "Authorization: Bearer $OPENAI_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${data}'`,
  ].join("\n");
}

function python(body) {
  const members = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value, "    ")},`);
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${location.origin}/v1")  # the key: OPENAI_API_KEY`,
    "response = client.responses.create(",
    ...members,
    ")",
    "print(response.output_text)",
  ].join("\n");
}

function literal(value, indent) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const members = Array.isArray(value)
    ? value.map((each) => literal(each, inner))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, inner)}`);
  return members.length ? `${open}\n${members.map((each) => `${inner}${each},\n`).join("")}${indent}${close}` : open + close;
}

function showCode() {
  let body = null;
  try {
    body = asked();
  } catch (error) {
    document.getElementById("curl").textContent = error.message;
    return;
  }
  document.getElementById("curl").textContent = curl(body);
  document.getElementById("python").textContent = python(body);
}

// ---- the answer ------------------------------------------------------------------------------------

function made(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// Where the output with this number is written, a section for each item.
function place(index, kind) {
  let section = answer.querySelector(`[data-index="${Number(index)}"]`);
  if (!section) {
    section = made("section", "said");
    section.dataset.index = Number(index);
    section.append(made("p", "kind", kind), made("pre", "plain"));
    answer.append(section);
  }
  return section;
}

const TOLD = new Set([
  "output_text", "refusal", "reasoning_text", "reasoning_summary_text", "function_call_arguments",
  "mcp_call_arguments", "code_interpreter_call_code", "custom_tool_call_input",
].map((kind) => `response.${kind}.delta`));

const PICTURES = { png: "image/png", jpeg: "image/jpeg", webp: "image/webp" };

function itemDone(event) {
  const { item } = event;
  const section = place(event.output_index, item.type);
  if (item.type === "image_generation_call" && item.result) {
    const picture = made("img", "picture");
    picture.alt = "A generated picture";
    picture.src = `data:${PICTURES[item.output_format] ?? "image/png"};base64,${item.result}`;
    section.append(picture);
  } else if (!["message", "reasoning"].includes(item.type)) {
    section.querySelector("pre").textContent = JSON.stringify(item, null, 2);
  }
}

function ended(response) {
  const usage = response.usage;
  const line = made("p", "dim", `${response.status}${usage ? ` · ${usage.input_tokens} tokens in, ${usage.output_tokens} out` : ""} · `);
  if (response.store !== false) {
    const link = made("a", "", response.id);
    link.href = `/dashboard/responses/${encodeURIComponent(response.id)}`;
    link.id = "stored";
    line.append(link);
    if (document.getElementById("follow").checked) continueWith(response);
  }
  answer.append(line);
  if (response.error && !answer.querySelector(".bad")) answer.append(made("p", "bad", response.error.message));
  if (response.incomplete_details) answer.append(made("p", "bad", response.incomplete_details.reason));
  showCode();
}

// The next request goes on from here: what was attached has been read.
function continueWith(response) {
  form.elements.previous_response_id.value = response.id;
  attached.length = 0;
  showAttached();
  form.elements.input.select();
}

function follow(event) {
  if (event.type === "response.output_item.added") place(event.output_index, event.item.type);
  else if (TOLD.has(event.type)) place(event.output_index, "message").querySelector("pre").append(event.delta);
  else if (event.type === "response.output_item.done") itemDone(event);
  else if (event.type === "error") answer.append(made("p", "bad", event.message ?? event.error?.message));
  else if (event.response && /\.(completed|failed|incomplete|cancelled)$/.test(event.type)) ended(event.response);
}

async function read(stream) {
  let waiting = "";
  for await (const text of pieces(stream)) {
    waiting += text;
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
      if (data && data !== "[DONE]") follow(JSON.parse(data));
    }
  }
}

async function* pieces(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

async function send() {
  api.say("");
  going = new AbortController();
  stop.hidden = false;
  answer.replaceChildren(made("p", "dim", "…"));
  answer.scrollIntoView({ block: "nearest" });
  try {
    const stream = await api.send("POST", "/responses", { ...asked(), stream: true }, { signal: going.signal });
    answer.replaceChildren();
    await read(stream.body);
  } catch (error) {
    answer.append(made("p", "bad", error.name === "AbortError" ? "Stopped." : error.message));
  } finally {
    going = null;
    stop.hidden = true;
  }
}

// ---- files -----------------------------------------------------------------------------------------

async function attach(file) {
  const body = new FormData();
  body.append("purpose", "user_data");
  body.append("file", file);
  const { id } = await (await api.send("POST", "/files", body)).json();
  const type = file.type.startsWith("image/") ? "input_image" : "input_file";
  attached.push({ name: file.name, part: { type, file_id: id } });
  showAttached();
}

function showAttached() {
  document.getElementById("attached").replaceChildren(...attached.map((each, index) => {
    const entry = made("li", "tag", each.name);
    const remove = made("button", "quiet", "×");
    remove.type = "button";
    remove.ariaLabel = `Without ${each.name}`;
    remove.addEventListener("click", () => {
      attached.splice(index, 1);
      showAttached();
    });
    entry.append(remove);
    return entry;
  }));
  showCode();
}

// ---- what happens when -----------------------------------------------------------------------------

form.addEventListener("input", showCode);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!going) send();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
stop.addEventListener("click", () => going?.abort());
document.getElementById("attach").addEventListener("change", async (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  try {
    for (const file of files) await attach(file);
  } catch (error) {
    api.say(error.message);
  }
});
showCode();
