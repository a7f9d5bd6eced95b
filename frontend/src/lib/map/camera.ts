/** Where on the screen a place of the map lies. */

/** As d3-zoom counts: a point of the unzoomed picture lies at `k * point + (x, y)`. */
export interface Zoom {
  k: number;
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

const MARGIN = 0.94;
export const MAX_ZOOM = 400;

/** Pixels of one unit of the map in the unzoomed picture: the map just fits. */
export function unit({ width, height }: Size): number {
  return (Math.min(width, height) / 2) * MARGIN;
}

export function toScreen(size: Size, zoom: Zoom, x: number, y: number): [number, number] {
  const one = unit(size);
  return [
    (size.width / 2 + x * one) * zoom.k + zoom.x,
    (size.height / 2 - y * one) * zoom.k + zoom.y,
  ];
}

export function toMap(size: Size, zoom: Zoom, left: number, top: number): [number, number] {
  const one = unit(size);
  return [
    ((left - zoom.x) / zoom.k - size.width / 2) / one,
    (size.height / 2 - (top - zoom.y) / zoom.k) / one,
  ];
}

/** The zoom that brings a part of the map to the middle; `reach` is how far it reaches from there. */
export function zoomTo(size: Size, x: number, y: number, reach: number): Zoom {
  const k = Math.min(MAX_ZOOM, Math.max(1, 0.8 / Math.max(reach, 1e-3)));
  const one = unit(size);
  return {
    k,
    x: size.width / 2 - (size.width / 2 + x * one) * k,
    y: size.height / 2 - (size.height / 2 - y * one) * k,
  };
}

/** The diameter of a point in pixels: they fill the picture, and grow as one comes nearer. */
export function pointSize(size: Size, count: number, k: number): number {
  const room = Math.sqrt((unit(size) * 2) ** 2 / Math.max(count, 1));
  return Math.min(16, Math.min(5, Math.max(1.3, 0.4 * room)) * k ** 0.35);
}
