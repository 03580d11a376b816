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

function editMarks(run, axis, upright) {
  return marks(run, axis.dim, axis.values).map(({ edit, first, last, row }) => {
    const bar = make("span", { class: "edit", title: `edit: ${edit.text}` });
    bar.style.setProperty("--row", String(row % 3));
    return place(bar, upright, first, last + 1, axis.values.length);
  });
}

/* An axis {dim, values, labels, sigmas, experts}, along `px` pixels on a wide screen; upright for rows. The edits are
   those of the run. */
export function ruler({ run, axis, px, upright }) {
  const count = axis.values.length;
  const all = axis.values.map((_, at) => tickWords(axis, at));
  const longest = Math.max(1, ...all.map((words) => lengthOf(words, upright)));
  const room = upright ? px / LINE_PX : Math.min(px, NARROW_PX) / (longest * LETTER_PX + 6);
  const shown = ticks(count, Math.floor(room)).map((at) => tick(all[at], (at + 0.5) / count, upright ? "top" : "left"));
  const lines = switches(axis).map(({ at }) => place(make("span", { class: "switch" }), upright, at, null, count));
  const element = make("div", { class: `ruler ${upright ? "upright" : "level"}`, "aria-hidden": "true" });
  element.append(...shown, ...lines, ...editMarks(run, axis, upright));
  if (upright) element.style.width = `${Math.min(22, longest) * LETTER_PX + 10}px`;
  return element;
}

/* Lines across the cells where the expert switches. */
function switchLines(axis, upright) {
  return switches(axis).map(({ at }) =>
    place(make("span", { class: `switch ${upright ? "across" : "down"}` }), upright, at, null, axis.values.length),
  );
}

/* A frame round one cell, or round nothing. */
export function markCell(mark, row, column, rows, columns) {
  mark.hidden = row < 0 || column < 0;
  Object.assign(mark.style, {
    top: percent(row / rows), left: percent(column / columns), height: percent(1 / rows), width: percent(1 / columns),
  });
}

/* Cells with their two rulers and titles. */
export function ruled({ run, rows, columns, box, size: [width, height] }) {
  const element = make(
    "div", { class: "ruled" },
    make("div", { class: "row-title said" }, `${axisWords(rows)} ↓`),
    ruler({ run, axis: rows, px: height, upright: true }), box,
    ruler({ run, axis: columns, px: width, upright: false }),
    make("div", { class: "column-title said" }, `${axisWords(columns)} →`),
  );
  element.style.setProperty("--width", `${width}px`);
  box.append(...switchLines(rows, true), ...switchLines(columns, false));
  return element;
}
