/** Light or dark: the system's wish unless the reader chose; the choice is stored. */

export type Theme = "light" | "dark";

function chosen(): Theme | null {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : null;
}

class Themes {
  #system = matchMedia("(prefers-color-scheme: dark)");
  current = $state<Theme>("light");

  constructor() {
    this.#follow();
    this.#system.addEventListener("change", () => this.#follow());
  }

  toggle = (): void => {
    this.current = this.current === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = this.current;
    try {
      localStorage.setItem("theme", this.current);
    } catch {
      // Storage may be forbidden: the choice then holds for this page.
    }
  };

  #follow(): void {
    this.current = chosen() ?? (this.#system.matches ? "dark" : "light");
  }
}

export const themes = new Themes();
