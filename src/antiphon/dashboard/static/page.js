"use strict";
// Buttons that copy: what is at the address that they name, or else the code that stands behind them.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.copy");
  if (!button) return;
  const place = button.dataset.copy;
  const code = () => button.parentElement.nextElementSibling.textContent;
  const text = place ? await (await fetch(place)).text() : code();
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
});
