/* Airflow's theme, which it keeps in this origin's storage. No module: it is there before anything is drawn. */
"use strict";
(() => {
  function dress() {
    let chosen = "";
    try { chosen = localStorage.getItem("theme") || ""; } catch { /* the browser keeps nothing */ }
    const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  window.addEventListener("storage", (event) => { if (event.key === "theme") dress(); });
})();
