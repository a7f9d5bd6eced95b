import { redirect } from "@sveltejs/kit";

/** The address above a job's own leads to the page that lists them. */
export function load(): never {
  redirect(307, "/runs");
}
