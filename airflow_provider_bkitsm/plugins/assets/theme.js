/* Airflow's theme, from this origin's storage. No module: it is set before anything is drawn. */
"use strict";
(() => {
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");

  function chosenTheme() {
    try {
      return localStorage.getItem("theme") || "";
    } catch {
      return ""; // This browser stores nothing.
    }
  }

  function apply() {
    const theme = chosenTheme();
    const isDark = theme === "dark" || (theme !== "light" && wantsDark.matches);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  }

  apply();
  wantsDark.addEventListener("change", apply);
  window.addEventListener("storage", (event) => {
    if (event.key === "theme") apply();
  });
})();
