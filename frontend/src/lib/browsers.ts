/** Browsers by name, from what they call themselves. */

/** The first that matches holds: most name those that they descend from, too. */
const BROWSERS: [RegExp, string][] = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\b(Firefox|FxiOS)\//, "Firefox"],
  [/\b(Chrome|CriOS|HeadlessChrome)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];

const SYSTEMS: [RegExp, string][] = [
  [/\bWindows\b/, "Windows"],
  [/\bAndroid\b/, "Android"],
  [/\biPad\b/, "iPad"],
  [/\biPhone\b/, "iPhone"],
  [/\bMac OS X\b/, "macOS"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bLinux\b/, "Linux"],
];

function first(among: [RegExp, string][], agent: string): string | undefined {
  return among.find(([pattern]) => pattern.test(agent))?.[1];
}

/** "Firefox on Linux"; of a program that is none of these its own first word. */
export function browserName(agent: string | null): string {
  if (!agent) return "A browser";
  const browser = first(BROWSERS, agent) ?? agent.split(/[\s/]/, 1)[0] ?? agent;
  const system = first(SYSTEMS, agent);
  return system ? `${browser} on ${system}` : browser;
}
