/* The exact value and its address, for the pointer and for the keys, in a line that a screen reader speaks. With two
   traces: both values and their difference, at the same place. */

import { make, said } from "./dom.js";
import { gridsOf } from "./grids.js";
import { address, number, stepWords } from "./words.js";

function valueWords(name, grid, now) {
  const value = grid.valueAt(now);
  const words = number(value, grid.error);
  const error =
    Number.isNaN(value) || !(grid.error > 0)
      ? null
      : make("span", { class: "error" }, ` ± ${grid.error.toPrecision(1)}`);
  const units = grid.map.units ? make("span", { class: "units" }, " ", said(grid.map.units)) : null;
  return make(
    "span",
    { class: "reading" },
    said(name, "span", { class: "name" }),
    " ",
    make("b", {}, words),
    error,
    units,
  );
}

function lines(view) {
  const [now, grids] = [view.now, gridsOf(view)];
  if (!grids?.a) return [];
  const readings = [valueWords(now.with === null ? grids.a.map.name : now.trace, grids.a, now)];
  if (now.with !== null && grids.b) readings.push(valueWords(now.with, grids.b, now));
  if (grids.difference) readings.push(valueWords("difference", grids.difference, now));
  return readings;
}

/* Where the second trace was at that step, if that is not where the first one was. */
function otherStep(view) {
  const { now } = view;
  const [here, there] = [view.run(now.trace), view.run(now.with)].map((run) => stepWords(run, now.step));
  return now.with === null || now.step === null || here === there ? "" : ` · in ${now.with} ${there}`;
}

export function readout(view) {
  const values = make("div", { class: "values" });
  const place = make("div", { class: "address said" });
  view.on(["trace", "with", "map", "branch", "step", "layer", "frame", "y", "x", "grids"], (now) => {
    const run = view.run(now.trace);
    if (!run) return;
    const { branch, step, layer, frame } = now;
    const token = now.y === null ? null : `y ${now.y}, x ${now.x}`;
    values.replaceChildren(...lines(view));
    place.textContent = address(run, { branch, step, layer, frame, token }) + otherStep(view);
  });
  return make(
    "output",
    { class: "readout", "aria-live": "polite", "aria-label": "value at the cursor" },
    values,
    place,
  );
}
