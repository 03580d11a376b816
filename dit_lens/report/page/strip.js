/* The strip under a slider: what lies along its axis. Under the steps that is sigma as a line, a dashed line where the
   expert switches, and the edits; under layers and frames the edits alone. Entries stand where the thumb of the slider
   stands, half a thumb from either end (see .track in style.css). */

import { draw, make, percent, said } from "./dom.js";
import { marks } from "./edits.js";
import { switches, withSteps } from "./axes.js";

const LANE_PX = 24;
const LANE_WIDTH = 320; // about what it is on a screen, so that stretching does not change the line

const share = (at, count) => (count > 1 ? at / (count - 1) : 0.5);

function sigmaLine({ sigmas }) {
  if (sigmas.some((sigma) => sigma === null) || sigmas.length < 2) return null;
  const top = Math.max(...sigmas, 1e-9);
  const points = sigmas
    .map((sigma, at) => `${LANE_WIDTH * share(at, sigmas.length)},${(LANE_PX * (1 - sigma / top)).toFixed(2)}`)
    .join(" ");
  const box = `0 0 ${LANE_WIDTH} ${LANE_PX}`;
  const line = draw("polyline", { points, class: "sigma" });
  return draw("svg", { viewBox: box, preserveAspectRatio: "none", "aria-hidden": "true" }, line);
}

function switchMark({ at, from, to }, count) {
  const mark = make("span", { class: "switch", title: `the expert switches from ${from} to ${to}` });
  mark.style.left = percent(share(at - 0.5, count));
  return mark;
}

function expertNames(found, steps) {
  if (!found.length) return [];
  const starts = [0, ...found.map(({ at }) => at - 0.5), steps.length - 1];
  return [found[0].from, ...found.map(({ to }) => to)].map((expert, part) => {
    const name = said(expert, "span", { class: "expert" });
    name.style.left = percent(share((starts[part] + starts[part + 1]) / 2, steps.length));
    name.style.maxWidth = percent((starts[part + 1] - starts[part]) / Math.max(1, steps.length - 1));
    return name;
  });
}

/* Edits as bars, one row for each. */
function editBars(runs, dim, values) {
  return marks(runs, dim, values).map(({ words, first, last, row }) => {
    const bar = make("span", { class: "edit", title: words });
    const count = Math.max(1, values.length - 1);
    bar.style.left = percent(share(first, values.length));
    bar.style.width = percent((last - first) / count);
    bar.style.top = `${(row % 3) * 5}px`;
    return bar;
  });
}

/* All that there is to see along one axis of what is looked at; the steps are those of the first run. */
export function strip(runs, dim, values) {
  const [run] = runs;
  const bars = make("div", { class: "edits" }, ...editBars(runs, dim, values));
  if (dim !== "step") return make("div", { class: "strip" }, bars.childElementCount ? bars : null);
  const axis = withSteps(run, { dim, values });
  const found = switches(axis);
  const lane = make("div", { class: "lane" }, sigmaLine(axis), ...found.map((one) => switchMark(one, values.length)));
  const names = make("div", { class: "experts" }, ...expertNames(found, values));
  return make("div", { class: "strip" }, lane, found.length ? names : null, bars.childElementCount ? bars : null);
}
