// Pages on paper: white whatever the theme, and as wide as a sheet before the plots are drawn for it.

/** Whether the page is being printed. */
export const printing = () => document.documentElement.classList.contains("printing");

/** Have the page ready when somebody prints it: plots have the width of a sheet and the colours for white. */
export function preparePrint() {
  const turn = (on) => {
    document.documentElement.classList.toggle("printing", on);
    document.dispatchEvent(new Event("theme"));
  };
  addEventListener("beforeprint", () => turn(true));
  addEventListener("afterprint", () => turn(false));
}
