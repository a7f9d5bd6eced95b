/** A feature as a card for other pages: its address, and the HTML that shows it in a frame. */
import { encodeId } from "./ids";

/** Wide enough for the text of three examples, high enough for a label of two lines. */
const WIDTH = 560;
const HEIGHT = 300;

export function embedPath(id: string): string {
  return `/embed/${encodeId(id)}`;
}

/** The HTML to be put into another page; `origin` is where that finds this Scopebook. */
export function embedCode(origin: string, id: string, title: string): string {
  return (
    `<iframe src="${origin}${embedPath(id)}" title="${quoted(title)}" ` +
    `width="${WIDTH}" height="${HEIGHT}" style="border: 0" loading="lazy"></iframe>`
  );
}

/** Text for an attribute of HTML. */
function quoted(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
