/** Everything is drawn in the browser; the server only has files. */
export const ssr = false;
