/* What a curve is made of: a scale from numbers to pixels, round ticks, and paths that break where a value is missing. */

import { draw } from "./dom.js";

/* Round numbers between two values, about `count` of them. */
export function roundTicks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, at) => (first + at) * step);
}

/* The least and the largest of everything that is drawn, with a little room. */
export function extent(curve) {
  const lines = curve.lines.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])]);
  const all = [...lines, ...curve.floors.map((floor) => floor.y)].filter((value) => value !== null);
  const [low, high] = all.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  if (low > high) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.04;
  return [low - room, high + room];
}

const pair = ([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`;

/* Stretches without a missing value: [[at...]...]. */
function stretches(count, present) {
  const found = [[]];
  for (let at = 0; at < count; at += 1) {
    if (present(at)) found.at(-1).push(at);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((one) => one.length);
}

/* One line; a value between two missing ones is a dot. */
export function linePath(values, x, y, attributes) {
  const parts = stretches(values.length, (at) => values[at] !== null);
  const words = parts.map((part) => {
    const points = part.map((at) => pair([x(at), y(values[at])]));
    return `M${points.length > 1 ? points.join("L") : `${points[0]}h.01`}`;
  });
  return draw("path", { d: words.join(""), ...attributes });
}

/* The interval round a line. */
export function band(low, high, x, y, attributes) {
  const parts = stretches(low.length, (at) => low[at] !== null && high[at] !== null);
  const words = parts.map((part) => {
    const there = part.map((at) => pair([x(at), y(high[at])]));
    const back = part.toReversed().map((at) => pair([x(at), y(low[at])]));
    return part.length > 1 ? `M${[...there, ...back].join("L")}Z` : `M${there[0]}L${back[0]}`;
  });
  return draw("path", { d: words.join(""), ...attributes });
}
