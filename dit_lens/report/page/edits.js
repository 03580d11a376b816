/* Edits, where they were made. An edit names steps, layers, frames and branches; null is all of them. Along one axis it
   is a set of spans; at one address it is there or not. */

import { positionOf } from "./axes.js";

const PLURAL = { step: "steps", layer: "layers", frame: "frames", branch: "branches" };

/* Whether an edit touches a place; dimensions that the place does not name do not matter. */
function touches(edit, place) {
  return Object.entries(PLURAL).every(([dim, many]) => {
    const [wanted, at] = [edit[many], place[dim]];
    return at === null || at === undefined || wanted === null || wanted.includes(at);
  });
}

/* Runs of neighbours among the entries of an axis that an edit touches: [[first, last]...], in entries. An edit
   of every branch is not marked on them: it is what an edit is, unless it says otherwise. */
function spans(edit, dim, values) {
  const wanted = edit[PLURAL[dim]];
  if (wanted === undefined || (wanted === null && dim === "branch")) return [];
  if (wanted === null) return [[0, values.length - 1]];
  const places = wanted.map((value) => positionOf(values, value)).sort((a, b) => a - b);
  return places.reduce((found, at) => {
    const last = found.at(-1);
    if (last && at - last[1] <= 1) last[1] = at;
    else found.push([at, at]);
    return found;
  }, []);
}

/* All spans of all edits of some runs along one axis: [{first, last, row, words}]. */
export function marks(runs, dim, values) {
  const made = runs.flatMap((run) => run.edits.map((edit) => ({ edit, words: `edit of ${run.trace}: ${edit.text}` })));
  return made.flatMap(({ edit, words }, row) =>
    spans(edit, dim, values).map(([first, last]) => ({ first, last, row, words })),
  );
}

/* The edits that touch a place, in words. */
export function editsAt(runs, place) {
  return runs
    .flatMap((run) => run.edits.filter((edit) => touches(edit, place)))
    .map((edit) => edit.text)
    .join("; ");
}
