/* What a curve is made of: a scale from numbers to pixels, round ticks, and paths that break where a value is missing. */

import { draw } from "./dom.js";
import { short } from "./words.js";

/* Round numbers between two values, about `count` of them. */
export function roundTicks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, at) => (first + at) * step);
}

/* Ticks in words, with the digits that tell one from the next. */
export function tickLabels(values) {
  if (values.length < 2) return values.map(short);
  const place = Math.floor(Math.log10(values[1] - values[0]) + 1e-9); // of the last digit that differs
  const size = Math.max(...values.map(Math.abs));
  if (size < 1e5 && size >= 1e-3) return values.map((value) => String(Number(value.toFixed(Math.max(0, -place)))));
  const digits = (value) => Math.max(0, Math.min(15, Math.floor(Math.log10(Math.abs(value)) + 1e-9) - place));
  return values.map((value) => (Math.abs(value) < 10 ** (place - 1) ? "0" : value.toExponential(digits(value))));
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
