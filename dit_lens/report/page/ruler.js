/* The axis of something made of cells: a matrix, a contact sheet, a film. Labels stand at the middle of their cell; the
   switch of experts and the edits between and beside them. Steps carry their sigma. */

import { axisWords, switches, ticks } from "./axes.js";
import { make, percent, said } from "./dom.js";
import { marks } from "./edits.js";

const LINE_PX = 14;
const LETTER_PX = 6.5;
const NARROW_PX = 290;

function tickWords(axis, at) {
  const label = axis.labels?.[at] ?? axis.values[at] ?? "–";
  const sigma = axis.sigmas?.[at] ?? null;
  return [String(label), sigma === null ? null : sigma.toFixed(3)];
}

function tick(words, share, side) {
  const [label, sigma] = words;
  const element = make("span", { class: "tick" }, said(label), sigma === null ? null : make("small", {}, `σ ${sigma}`));
  element.style[side] = percent(share);
  return element;
}

const lengthOf = ([label, sigma], upright) =>
  upright ? label.length + (sigma === null ? 0 : sigma.length + 3) : Math.max(label.length, sigma === null ? 0 : 7);

function place(element, upright, first, last, count) {
  element.style[upright ? "top" : "left"] = percent(first / count);
  if (last !== null) element.style[upright ? "height" : "width"] = percent((last - first) / count);
  return element;
}

/* An edit covers whole cells; one between two cells is at the line between them. */
function editMarks(runs, axis, upright) {
  return marks(runs, axis.dim, axis.values).map(({ words, first, last, row }) => {
    const bar = make("span", { class: "edit", title: words });
    bar.style.setProperty("--row", String(row % 3));
    return place(bar, upright, Math.ceil(first), Math.floor(last) + 1, axis.values.length);
  });
}

/* An axis {dim, values, labels, sigmas, experts}, along `px` pixels on a wide screen; upright for rows. The edits are
   those of the runs. */
function ruler({ runs, axis, px, upright }) {
  const count = axis.values.length;
  const all = axis.values.map((_, at) => tickWords(axis, at));
  const longest = Math.max(1, ...all.map((words) => lengthOf(words, upright)));
  const room = upright ? px / LINE_PX : Math.min(px, NARROW_PX) / (longest * LETTER_PX + 6);
  const shown = ticks(count, Math.floor(room)).map((at) => tick(all[at], (at + 0.5) / count, upright ? "top" : "left"));
  const lines = switches(axis).map(({ at }) => place(make("span", { class: "switch" }), upright, at, null, count));
  const element = make("div", { class: `ruler ${upright ? "upright" : "level"}`, "aria-hidden": "true" });
  element.append(...shown, ...lines, ...editMarks(runs, axis, upright));
  if (upright) element.style.width = `${Math.min(22, longest) * LETTER_PX + 10}px`;
  return element;
}

/* Lines across the cells where the expert switches. */
function switchLines(axis, upright) {
  return switches(axis).map(({ at }) =>
    place(make("span", { class: `switch ${upright ? "across" : "down"}` }), upright, at, null, axis.values.length),
  );
}

/* A frame round one cell; round a whole row or column where only that is known (-1 is unknown); or round nothing. A
   cell with a gap beside it fills only a share of its place. */
export function markCell(mark, row, column, rows, columns, [tall, wide] = [1, 1]) {
  mark.hidden = row < 0 && column < 0;
  const along = (at, count) => (at < 0 ? [0, 1] : [at / count, 1 / count]);
  const [[top, height], [left, width]] = [along(row, rows), along(column, columns)];
  Object.assign(mark.style, {
    top: percent(top),
    left: percent(left),
    height: percent(height * tall),
    width: percent(width * wide),
  });
}

/* Plain lines between cells: `across` and `down` are the shares of a place that its cell fills. */
export function gaps(columns, rows, across, down) {
  const element = make("div", { class: "gaps" });
  element.style.backgroundSize = `${100 / columns}% ${100 / rows}%`;
  element.style.setProperty("--across", across);
  element.style.setProperty("--down", down);
  return element;
}

/* Cells with their two rulers and titles: as wide as `size` where there is room, and no narrower than `least`. */
export function ruled({ runs, rows, columns, box, size: [width, height], least = 0 }) {
  const down = ruler({ runs, axis: rows, px: height, upright: true });
  const element = make("div", { class: "ruled" }, down, box, ruler({ runs, axis: columns, px: width, upright: false }));
  element.style.setProperty("--width", `${width}px`);
  element.style.setProperty("--least", `${least}px`);
  box.append(...switchLines(rows, true), ...switchLines(columns, false));
  const below = make("div", { class: "axis said" }, `${axisWords(columns)} →`);
  below.style.marginLeft = down.style.width;
  return make("div", {}, make("div", { class: "axis said" }, `${axisWords(rows)} ↓`), element, below);
}
