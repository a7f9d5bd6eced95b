// Show the API's schema; the page's policy allows no script inside it.
globalThis.SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#description",
  deepLinking: true,
  syntaxHighlight: false,
  // A login's changes take a header that no other site can send.
  requestInterceptor: (request) => {
    request.headers["X-Scopebook"] = "1";
    return request;
  },
});
