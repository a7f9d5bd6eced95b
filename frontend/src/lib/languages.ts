/** Languages of documents: corpora name them by code (`zh`) or in English (`Chinese`). */

const CODES =
  "ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv sw ta te th tr uk ur vi zh";
const CODE = /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/i;

const names = new Intl.DisplayNames("en", { type: "language" });
const codes = new Map(CODES.split(" ").map((code) => [names.of(code)?.toLowerCase(), code]));

/** What a `lang` attribute takes, so that a browser picks the right shapes of Han characters. */
export function languageCode(language: string): string | undefined {
  return CODE.test(language) ? language : codes.get(language.toLowerCase());
}

/** The language in English; what is not known stays as it is. */
export function languageName(language: string): string {
  return (CODE.test(language) ? names.of(language) : undefined) ?? language;
}
