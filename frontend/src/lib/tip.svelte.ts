/** The one tooltip of the page: which words it shows, and over which element. */

interface Tip {
  words: string;
  at: DOMRect;
}

class Tips {
  current = $state.raw<Tip | null>(null);
  #element: Element | null = null;

  show(words: string, element: Element): void {
    // A token that is broken over two lines is pointed at on its first one.
    const at = element.getClientRects()[0] ?? element.getBoundingClientRect();
    this.showAt(words, at);
    this.#element = element;
  }

  /** Show it over a part of an element, such as a cell of a drawing. */
  showAt(words: string, at: DOMRect): void {
    this.current = { words, at };
    this.#element = null;
  }

  /** What is pointed at leaves the pointer; what has the focus takes its words along. */
  scrolled = (): void => {
    const element = this.#element;
    if (this.current && element && element === document.activeElement) {
      this.show(this.current.words, element);
    } else this.hide();
  };

  hide = (): void => {
    this.current = null;
  };
}

export const tips = new Tips();
