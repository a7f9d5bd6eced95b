/** What is told of errors that no page has foreseen. */
import type { HandleClientError } from "@sveltejs/kit";

export const handleError: HandleClientError = ({ error, status, message }) => {
  // An address that leads nowhere is no fault of the app: the page says so, and that is all.
  if (status !== 404) console.error(error);
  return { message };
};
