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
    // Nothing outside the origin may be loaded or called.
    csp: {
      mode: "hash",
      directives: {
        "default-src": ["self"],
        "script-src": ["self"],
        "style-src": ["self", "unsafe-inline"],
        "img-src": ["self", "data:"],
        "object-src": ["none"],
        "base-uri": ["self"],
        "form-action": ["self"],
      },
    },
  },
};
