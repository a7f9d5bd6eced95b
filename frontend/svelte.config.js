import adapter from "@sveltejs/adapter-static";

/** @type {import("@sveltejs/kit").Config} */
export default {
  kit: {
    // One page for every address: the API serves index.html for unknown paths.
    adapter: adapter({
      pages: "../api/scopebook_api/static",
      assets: "../api/scopebook_api/static",
      fallback: "index.html",
    }),
    // Nothing outside the origin may be loaded or called, and nothing inline may run. The API repeats
    // this in a header, which it reads from the built page.
    csp: {
      mode: "hash",
      directives: {
        "default-src": ["self"],
        "script-src": ["self"],
        "style-src": ["self"],
        // One style that stands in an element: that of SvelteKit's own announcer of pages for
        // screen readers. After an update of SvelteKit the browser's console names its new hash.
        "style-src-attr": ["unsafe-hashes", "sha256-S8qMpvofolR8Mpjy4kQvEm7m1q8clzU4dfDH0AmvZjo="],
        "img-src": ["self", "data:"],
        "object-src": ["none"],
        "base-uri": ["self"],
        "form-action": ["self"],
      },
    },
  },
};
