"use strict";
// Keeps a page up to date. An element with data-live="address" hears server-sent events from there:
// `grow` brings changes of a response, `look` says that the page has become another one, `end` that it is
// whole. Pages that nobody sees hear nothing: a browser has few connections to one server.
(() => {
  const PATIENCE = 3000;
  let source = null, after = -1, waiting = 0, ended = false;

  const place = (index) => document.querySelector(`[data-index="${Number(index)}"]`);

  const changes = {
    added({ index, html }) {
      if (!place(index)) document.querySelector("#growing").insertAdjacentHTML("beforeend", html);
    },
    text({ index, text }) {
      const end = place(index)?.querySelector(".growing");
      if (end) end.append(text);
    },
    phase({ index, phase }) {
      const shown = place(index)?.querySelector(".phase");
      if (shown) shown.textContent = phase;
    },
    anew() {
      document.querySelector("#growing").replaceChildren();
    },
    done({ index, html }) {
      const item = place(index);
      if (item) item.outerHTML = html;
    },
    status({ status }) {
      const shown = document.querySelector("#status");
      shown.className = `status ${status}`;
      shown.textContent = status;
    },
  };

  const isUsed = (part) => part.contains(document.activeElement);

  async function look() {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-whole]");
    const here = document.querySelector("[data-whole]");
    if (!found || !here || (!ended && isUsed(here))) return;
    here.replaceWith(found);
    window.htmx?.process(found);
  }

  function open() {
    const root = document.querySelector("[data-live]");
    if (!root || ended || document.hidden) return;
    source = new EventSource(`${root.dataset.live}?after=${after}`);
    source.addEventListener("grow", (event) => {
      for (const change of JSON.parse(event.data)) changes[change.type](change);
      after = Number(event.lastEventId);
    });
    source.addEventListener("look", () => {
      if (!new URLSearchParams(location.search).has("text")) look();
    });
    source.addEventListener("end", () => {
      ended = true;
      close();
      for (const each of document.querySelectorAll(".growing")) each.className = "grown";
      look();
    });
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) {
        close();
        waiting = setTimeout(open, PATIENCE);
      }
    });
  }

  function close() {
    clearTimeout(waiting);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : source || open()));
  open();
})();
