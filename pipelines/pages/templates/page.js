"use strict";
(() => {
  const tools = document.querySelector(".tools");
  if (!tools) return;
  tools.hidden = false;
  const rows = Array.from(document.querySelectorAll("[data-filter]"));
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  const read = (name) => tools.querySelector(`[name=${name}]`);
  const [words, only, least] = ["words", "only", "least"].map(read);
  const sign = least ? Number(least.dataset.sign) : 1;
  const told = tools.querySelector("output");
  const sections = Array.from(document.querySelectorAll("[data-section]"));
  const show = () => {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const limit = least && least.value !== "" ? Number(least.value) : null;
    let shown = 0;
    for (const row of rows) {
      const fits =
        !(only && only.checked && !row.hasAttribute("data-only")) &&
        (limit === null || sign * Number(row.dataset.near) >= sign * limit) &&
        wanted.every((word) => textOf(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    for (const section of sections) section.hidden = !section.querySelector("[data-filter]:not([hidden])");
    const all = !wanted.length && limit === null && !(only && only.checked);
    told.value = all ? "" : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  };
  let waiting;
  tools.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
})();
