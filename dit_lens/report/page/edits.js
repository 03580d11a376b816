/* Edits, where they were made. An edit names steps, layers, frames and branches; null is all of them. Along one axis it
   is a set of spans; at one address it is there or not. */

import { positionOf } from "./axes.js";

const PLURAL = { step: "steps", layer: "layers", frame: "frames", branch: "branches" };

/* Whether an edit touches a place; dimensions that the place does not name do not matter. */
export function touches(edit, place) {
  return Object.entries(PLURAL).every(([dim, many]) => {
    const [wanted, at] = [edit[many], place[dim]];
    return at === null || at === undefined || wanted === null || wanted.includes(at);
  });
}

/* Runs of neighbours among the entries of an axis that an edit touches: [[first, last]...], in entries. */
export function spans(edit, dim, values) {
  const wanted = edit[PLURAL[dim]];
  if (wanted === undefined) return [];
  if (wanted === null) return [[0, values.length - 1]];
  const places = wanted.map((value) => positionOf(values, value)).sort((a, b) => a - b);
  return places.reduce((found, at) => {
    const last = found.at(-1);
    if (last && at - last[1] <= 1) last[1] = at;
    else found.push([at, at]);
    return found;
  }, []);
}

/* All spans of all edits of a run along one axis: [{edit, first, last, row}]. */
export function marks(run, dim, values) {
  if (!run) return [];
  return run.edits.flatMap((edit, row) => spans(edit, dim, values).map(([first, last]) => ({ edit, first, last, row })));
}
