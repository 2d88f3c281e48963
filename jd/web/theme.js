// Runs before the first paint, so that a chosen theme does not flash. localStorage may be forbidden.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (error) { /* the system's theme, then */ }
})();
