/** Feature ids: `{model}/{layer}-{set}/{index}`, where the model may contain slashes. */

export interface FeatureParts {
  model: string;
  source: string;
  layer: number;
  setName: string;
  index: number;
}

const FEATURE_ID = /^(.+)\/((\d+)-([^/]+))\/(\d+)$/;

/** Take an id apart; null when it is none. */
export function parseId(id: string): FeatureParts | null {
  const match = FEATURE_ID.exec(id.trim());
  if (!match) return null;
  const [, model = "", source = "", layer, setName = "", index] = match;
  return { model, source, layer: Number(layer), setName, index: Number(index) };
}

/** An id as the end of an address: each part encoded, its slashes kept. */
export function encodeId(id: string): string {
  return id.split("/").map(encodeURIComponent).join("/");
}

/** The address of a feature's page. */
export function featurePath(id: string): string {
  return `/features/${encodeId(id)}`;
}

/** How a feature is called where model and set are known: `L2 · 917`. */
export function shortName(feature: { layer: number; index: number }): string {
  return `L${feature.layer} · ${feature.index}`;
}
