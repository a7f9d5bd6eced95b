/** What pages ask of webhooks. */
import type { components } from "./api.gen";
import { answer, ask, get, withBody, type Page } from "./client";

type Schemas = components["schemas"];
export type Webhook = Schemas["WebhookRead"];
export type WebhookMade = Schemas["WebhookMade"];
export type Delivery = Schemas["DeliveryRead"];
export type WebhookEvent = Webhook["events"][number];

export const EVENTS: readonly { event: WebhookEvent; words: string }[] = [
  { event: "label.accepted", words: "a label is accepted" },
  { event: "run.ended", words: "a run has ended" },
];

export function listWebhooks(signal?: AbortSignal): Promise<Page<Webhook>> {
  return get("/api/webhooks", {}, signal);
}

export function addWebhook(url: string, events: WebhookEvent[]): Promise<WebhookMade> {
  return ask("/api/webhooks", withBody("POST", { url, events }));
}

export async function removeWebhook(id: number): Promise<void> {
  await answer(`/api/webhooks/${id}`, { method: "DELETE" });
}

export function listDeliveries(id: number, signal?: AbortSignal): Promise<Page<Delivery>> {
  return ask(`/api/webhooks/${id}/deliveries?limit=10`, { signal: signal ?? null });
}

export function deliverAgain(id: number, delivery: number): Promise<Delivery> {
  return ask(`/api/webhooks/${id}/deliveries/${delivery}/again`, withBody("POST"));
}
