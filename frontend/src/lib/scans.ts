/** What pages ask of scans. */
import { address, ask, get, withBody, type Feature, type Page, type Schemas } from "./client";

export type Scan = Schemas["ScanRead"];
export type ScanAsked = Schemas["ScanAskedRead"];
export type ScanSummary = Schemas["ScanSummaryRead"];
export type ScanCoverage = Schemas["ScanCoverageRead"];
export type PartsContrast = Schemas["PartsContrastRead"];
export type ScanConcept = Schemas["ScanConceptRead"];
/** A feature of a scan, with or without the passages that come with a summary. */
export type FoundFeature = Omit<Schemas["ScannedFeatureRead"], "examples">;
export type Ratio = FoundFeature | ScanConcept;
export type Hit = Schemas["ScanHitRead"] & { id: string };
export type FeatureOfScan = Schemas["ScanFeatureRead"] & { id: string };
export type ScanSort = "over" | "under" | "share" | "tokens" | "max" | "log2";
export type Form = "html" | "csv" | "parquet";

export type ScanDocument = Schemas["ScanDocumentRead"];

/** The numbers as text: those of an address may be too long for a number. */
export interface DocumentOfScan {
  scan: string;
  document: string;
}

/** Characters of a document: of most languages fewer tokens than a request may have. */
const READ_AT_ONCE = 4000;

/** What is asked of a scan; the API fills in what is left out. */
export type ScanRequest = Partial<Schemas["ScanAskRequest"]> & { release: string };

export function listScans(cursor: string | null, signal?: AbortSignal): Promise<Page<Scan>> {
  return get("/api/scans", { cursor, limit: 30 }, signal);
}

/** The number as text: one of the address may be too long for a number. */
export function getScan(id: string, signal?: AbortSignal): Promise<Scan> {
  return ask<Scan>(`/api/scans/${id}`, { signal: signal ?? null });
}

export function startScan(request: ScanRequest): Promise<ScanAsked> {
  return ask("/api/scans", withBody("POST", request));
}

export interface FeaturesAsked {
  part: string;
  sort: ScanSort;
  /** The largest false discovery rate; null: tested or not. */
  fdr: number | null;
  flagged: boolean;
}

export async function scanFeatures(
  scan: number,
  query: FeaturesAsked,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<Page<FeatureOfScan>> {
  const path = `/api/scans/${scan}/features` as "/api/scans/{scan_id}/features";
  const { items, next } = await get(path, { ...query, cursor, limit: 50 }, signal);
  return { items: items.map((item) => ({ ...item, id: item.feature })), next: next ?? null };
}

/** Where a feature fires, or what fires in a document, the strongest first. */
export async function scanHits(
  scan: number,
  of: { feature: string } | { document: number },
  cursor: string | null,
  signal?: AbortSignal,
): Promise<Page<Hit>> {
  const path = `/api/scans/${scan}/hits` as "/api/scans/{scan_id}/hits";
  const { items, next } = await get(path, { ...of, cursor, limit: 25 }, signal);
  const known = items.map((hit) => ({ ...hit, id: `${hit.document_id} ${hit.feature}` }));
  return { items: known, next: next ?? null };
}

/** A document of a scan: its text, or as much of it as the model is to read at once. */
export function scanDocument(
  { scan, document }: DocumentOfScan,
  signal?: AbortSignal,
): Promise<ScanDocument> {
  const path = `/api/scans/${scan}/documents/${document}`;
  return ask(address(path, { length: READ_AT_ONCE }), { signal: signal ?? null });
}

export function documentAddress(release: string, scan: number, document: number): string {
  return address("/inspect", { release, scan, document });
}

/** The document of a scan that an address names. */
export function documentOf(params: URLSearchParams): DocumentOfScan | null {
  const [scan, document] = [params.get("scan"), params.get("document")];
  return scan && document && /^\d+$/.test(scan) && /^\d+$/.test(document)
    ? { scan, document }
    : null;
}

/** The wordings of features by their ids; those without one are left out. */
export async function labelsOf(features: string[]): Promise<Map<string, string>> {
  if (features.length === 0) return new Map();
  const found = await ask<{ items: Feature[] }>(
    "/api/features/batch",
    withBody("POST", { features }),
  );
  return new Map(found.items.flatMap(({ id, label }) => (label ? [[id, label.text]] : [])));
}

export function exportAddress(scan: number, form: Form): string {
  return `/api/scans/${scan}/export?form=${form}`;
}

/** The corpora that a scan is held against, each once. */
export function referenceWords(summary: ScanSummary): string {
  return [...new Set(summary.references.map((one) => one.corpus))].join(", ");
}
