/** Who uses this browser; shared by the header and the pages. */
import { atLeast, whoAmI, type Role, type WhoAmI } from "./accounts";
import { Answer } from "./answer.svelte";

class Who extends Answer<WhoAmI> {
  /** Stays on its page though nobody is known: it shows what is shown only once. */
  staying = $state(false);

  may(role: Role): boolean {
    const me = this.value?.me;
    return me != null && atLeast(me.role, role);
  }
}

export const who = new Who();

export function loadWho(): Promise<void> {
  return who.load(whoAmI);
}
