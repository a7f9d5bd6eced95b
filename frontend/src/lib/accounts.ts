/** What pages ask of logins, accounts and tokens. */
import type { components } from "./api.gen";
import { answer, ask, get, withBody, type Page } from "./client";

type Schemas = components["schemas"];
export type WhoAmI = Schemas["WhoAmI"];
export type Account = Schemas["AccountRead"];
export type AccountMade = Schemas["AccountMade"];
export type OneTimeLink = Schemas["LinkRead"];
export type Token = Schemas["ApiTokenRead"];
export type Login = Schemas["LoginRead"];
export type TokenMade = Schemas["ApiTokenMade"];
export type AuditEntry = Schemas["AuditRead"];
export type Visibility = Schemas["Visibility"];
export type Role = Account["role"];
export type Scope = Token["scope"];

/** From the least to the most. */
export const ROLES: readonly Role[] = ["viewer", "annotator", "editor", "admin"];
export const SCOPES: readonly Scope[] = ["read", "annotate", "edit", "admin"];

export const ROLE_MEANS: Record<Role, string> = {
  viewer: "sees and searches",
  annotator: "also says what features mean",
  editor: "also starts and cancels long work",
  admin: "also lets people in",
};

/** Whether a role is at least another one. */
export function atLeast(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** The scopes that a token of this role may have. */
export function scopesOf(role: Role): Scope[] {
  return SCOPES.slice(0, ROLES.indexOf(role) + 1);
}

/** An address of this app to go on to after a login; anything else leads to the start. */
export function nextPage(given: string | null): string {
  return given !== null && /^\/(?![/\\])/.test(given) ? given : "/";
}

export function whoAmI(signal?: AbortSignal): Promise<WhoAmI> {
  return get("/api/session", {}, signal);
}

export function logIn(name: string, password: string): Promise<WhoAmI> {
  return ask("/api/session", withBody("POST", { name, password }));
}

export async function logOut(): Promise<void> {
  await answer("/api/session", { method: "DELETE" });
}

export async function logOutEverywhere(): Promise<void> {
  await answer("/api/me/sessions", { method: "DELETE" });
}

/** The browsers that one is logged in with, this one first. */
export function listLogins(signal?: AbortSignal): Promise<Page<Login>> {
  return get("/api/me/sessions", {}, signal);
}

export async function endLogin(id: number): Promise<void> {
  await answer(`/api/me/sessions/${id}`, { method: "DELETE" });
}

export async function changePassword(old: string, changed: string): Promise<void> {
  await answer("/api/me/password", withBody("PUT", { old, new: changed }));
}

/** Whose password a one-time link sets. */
export async function lookAtLink(secret: string): Promise<string> {
  const found = await ask<{ account: string }>("/api/links/look", withBody("POST", { secret }));
  return found.account;
}

export function useLink(secret: string, password: string): Promise<WhoAmI> {
  return ask("/api/links/use", withBody("POST", { secret, password }));
}

export function listAccounts(signal?: AbortSignal): Promise<Page<Account>> {
  return get("/api/accounts", {}, signal);
}

export function addAccount(name: string, role: Role): Promise<AccountMade> {
  return ask("/api/accounts", withBody("POST", { name, role }));
}

export function changeAccount(
  name: string,
  change: { role?: Role; disabled?: boolean },
): Promise<Account> {
  return ask(`/api/accounts/${encodeURIComponent(name)}`, withBody("PATCH", change));
}

export function makeLink(name: string): Promise<OneTimeLink> {
  return ask(`/api/accounts/${encodeURIComponent(name)}/link`, withBody("POST"));
}

export function listTokens(signal?: AbortSignal): Promise<Page<Token>> {
  return get("/api/tokens", {}, signal);
}

export function createToken(name: string, scope: Scope, days: number | null): Promise<TokenMade> {
  return ask("/api/tokens", withBody("POST", { name, scope, days }));
}

export function revokeToken(id: number): Promise<Token> {
  return ask(`/api/tokens/${id}`, { method: "DELETE" });
}

export function listAudit(cursor: string | null, signal?: AbortSignal): Promise<Page<AuditEntry>> {
  return get("/api/audit", { cursor, limit: 30 }, signal);
}

function visibilityOf(release: string): string {
  return `/api/releases/${release.split("/").map(encodeURIComponent).join("/")}/visibility`;
}

export function whoSees(release: string, signal?: AbortSignal): Promise<Visibility> {
  return ask(visibilityOf(release), { signal: signal ?? null });
}

export function letSee(release: string, wanted: Visibility): Promise<Visibility> {
  return ask(visibilityOf(release), withBody("PUT", wanted));
}
