/** Which language model may word a feature again, and the asking of it. */
import { ask, get, withBody, type FeatureSummary, type Job, type Schemas } from "./client";

export interface LanguageModel {
  endpoint: string;
  model: string;
}

/** The servers that the settings name, and whether whoever asks may name others, too. */
export type Servers = Schemas["ServersRead"];

/** Word one feature again, by keywords where no model is given; nothing changes for the others. */
export function relabel(feature: FeatureSummary, llm: LanguageModel | null): Promise<Job> {
  const { release, layer, index } = feature;
  const asked = { release, layers: [layer], features: [index], llm };
  return ask("/api/labels", withBody("POST", asked));
}

export function listServers(): Promise<Servers> {
  return get("/api/labels/servers");
}

/** The language model that labelled a feature's layer last, by a server; null: none has. */
export async function newestModel(feature: FeatureSummary): Promise<LanguageModel | null> {
  const { items } = await get("/api/labels/coverage", { release: feature.release });
  const layer = items.find((item) => item.layer === feature.layer);
  for (const { source, method, parameters, finished_at } of layer?.labelings ?? []) {
    const endpoint: unknown = parameters["endpoint"];
    // A folder of the server's machine can be named in its terminal alone.
    if (source === "llm" && finished_at && /^https?:/.test(String(endpoint))) {
      return { endpoint: String(endpoint), model: method };
    }
  }
  return null;
}

/**
 * The models to choose from, the one to propose first: who may not name a server is proposed none
 * that the settings do not name, whoever had it asked before.
 */
export function proposals(servers: Servers, newest: LanguageModel | null): LanguageModel[] {
  const named = servers.items.map(({ endpoint, model }) => ({ endpoint, model: model ?? "" }));
  const again = newest && named.find(({ endpoint }) => same(endpoint, newest.endpoint));
  if (newest && again) {
    const model = { ...again, model: newest.model };
    return [model, ...named.filter((one) => one !== again)];
  }
  return newest && servers.others ? [newest, ...named] : named;
}

function same(one: string, other: string): boolean {
  return base(one) === base(other);
}

function base(endpoint: string): string {
  if (!URL.canParse(endpoint)) return endpoint;
  const { origin, pathname } = new URL(endpoint);
  return origin + pathname.replace(/\/+$/, "").replace(/\/chat\/completions$/, "");
}
