/** Numbers, shares and times as people read them. */

const COUNT = new Intl.NumberFormat("en-US");
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function count(value: number): string {
  return COUNT.format(value);
}

/** Three significant digits, without exponents for what an activation can be. */
export function activation(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 }).format(value);
}

/** A size as disks and download pages say it: `48 kB`, `1.1 MB`, `537 MB`, `12.9 GB`. */
export function size(bytes: number): string {
  for (const [unit, scale] of [
    ["TB", 1e12],
    ["GB", 1e9],
    ["MB", 1e6],
  ] as const) {
    // A little less would be 1000 of the unit below.
    if (bytes < 0.9995 * scale) continue;
    return `${(bytes / scale).toFixed(unit === "MB" && bytes >= 9.95 * scale ? 0 : 1)} ${unit}`;
  }
  return `${bytes === 0 ? 0 : Math.max(1, Math.round(bytes / 1000))} kB`;
}

/** A share of 0..1 as per cent; tiny ones keep two digits instead of becoming zero. */
export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return "0 %";
  if (value < 0.0001) return "< 0.0001 %";
  return `${new Intl.NumberFormat("en-US", { maximumSignificantDigits: value >= 99.95 ? 4 : 2 }).format(value)} %`;
}

/** A density in words: `1 in 240 tokens`. */
export function oneIn(share: number): string {
  if (share <= 0) return "no token";
  if (share > 0.5) return "most tokens";
  const every = 1 / share;
  const rounded = every < 10 ? Math.round(every * 10) / 10 : Number(every.toPrecision(2));
  return `1 in ${count(rounded)} tokens`;
}

/** Where a density lies on a bar of six decades, 0..1: 1e-6 is empty, every token is full. */
export function onDensityScale(share: number): number {
  if (share <= 0) return 0;
  return Math.min(1, Math.max(0.02, (Math.log10(share) + 6) / 6));
}

export function moment(time: string): string {
  return MOMENT.format(new Date(time));
}

/** `42 s`, `5 min 12 s`, `2 h 5 min`. */
export function seconds(amount: number): string {
  const whole = Math.max(0, Math.round(amount));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The time between two moments. */
export function duration(from: string, until: string | number): string {
  const end = typeof until === "number" ? until : Date.parse(until);
  return seconds((end - Date.parse(from)) / 1000);
}

/** `1 step`, `3 steps`. */
export function plural(amount: number, noun: string): string {
  return `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
}
