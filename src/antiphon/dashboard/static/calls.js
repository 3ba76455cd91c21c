// Buttons and forms that call the API: <button data-call="DELETE /files/file_1" data-sure="Delete it?">,
// <form data-call="POST /vector_stores" data-then="/dashboard/vector_stores/{id}">. Without data-then the page
// is loaded again. A field of a form is a member of the body; data-as says what it is, if no text.
"use strict";

window.antiphon = {
  base: "/dashboard/v1",
  over: "Your session is over. Load the page again.",
  headers: () => ({ "x-csrf-token": document.querySelector("meta[name=csrf-token]")?.content ?? "" }),

  say(text, isBad = true) {
    const place = document.getElementById("said");
    place.textContent = text;
    place.className = isBad ? "bad" : "";
    place.hidden = !text;
  },

  // The answer of the API, or what it refuses as an Error.
  async send(method, path, body, settings = {}) {
    const isForm = body instanceof FormData;
    const headers = { ...this.headers(), ...(body && !isForm ? { "content-type": "application/json" } : {}) };
    const sent = body && !isForm ? JSON.stringify(body) : body;
    const answer = await fetch(this.base + path, { method, headers, body: sent, redirect: "manual", ...settings });
    if (answer.type === "opaqueredirect") throw new Error(this.over);
    if (!answer.ok) throw new Error((await answer.json())?.error?.message ?? answer.statusText);
    return answer;
  },

  body(form) {
    const found = {};
    for (const field of form.querySelectorAll("[name]")) {
      const value = field.type === "checkbox" ? (field.checked ? field.value : "") : field.value;
      if (value.trim() === "") continue;
      const kind = field.dataset.as;
      found[field.name] = kind === "json" ? parsed(field.name, value) : kind === "number" ? Number(value) : value;
    }
    return found;
  },
};

function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is no JSON: ${error.message}`);
  }
}

async function call(element, body) {
  const [method, path] = element.dataset.call.split(" ");
  if (element.dataset.sure && !confirm(element.dataset.sure)) return;
  element.setAttribute("aria-busy", "true");
  try {
    const made = await (await window.antiphon.send(method, path, body?.())).json();
    const there = element.dataset.then?.replace("{id}", encodeURIComponent(made.id));
    if (there) location.assign(there);
    else location.reload();
  } catch (error) {
    window.antiphon.say(error.message);
  } finally {
    element.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (button) call(button);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.call) return;
  event.preventDefault();
  call(form, () => window.antiphon.body(form));
});

// Where there is no room for all names of pages, that of this one is seen.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
