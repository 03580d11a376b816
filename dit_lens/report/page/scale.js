/* The colour bar: which colour is which value, and for how many panels that holds. */

import { paintScale } from "./colours.js";
import { make } from "./dom.js";
import { gridsOf } from "./grids.js";
import { short } from "./words.js";

const FIXED = "one scale for all panels, steps and traces";
const BETWEEN = "one scale for all panels and steps";
const OWN =
  "every panel on its own scale, from its least to its largest value: colours of two panels cannot be compared";

/* A bar that `show` fills: ends are numbers, or words where every panel has its own. */
export function colourBar() {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const [low, high] = [make("span", { class: "low" }), make("span", { class: "high" })];
  const words = make("span", { class: "words said" });
  const element = make("div", { class: "bar" }, words, make("div", { class: "ramp" }, low, canvas, high));
  const show = ({ name, units, range, table, own = false, fixed = FIXED }) => {
    paintScale(canvas, table);
    [low.textContent, high.textContent] = own ? ["least", "largest"] : range.map(short);
    words.textContent = `${name}${units ? ` (${units})` : ""} – ${own ? OWN : fixed}`;
  };
  return { element, show };
}

/* The bars of the stage and the contact sheet. While the values of another view are loaded they are not to be seen, but
   keep their room. */
export function scales(view) {
  const [map, difference] = [colourBar(), colourBar()];
  map.element.hidden = difference.element.hidden = true;
  const missing = make("p", { class: "missing" }, make("span", { class: "hatched" }), " no value");
  view.on(["trace", "with", "map", "scale", "grids"], (now) => {
    const [grids, own] = [gridsOf(view), now.scale === "panel"];
    for (const { element } of [map, difference]) element.style.visibility = grids ? "" : "hidden";
    if (!grids) return;
    map.element.hidden = !grids.a;
    difference.element.hidden = !grids.difference;
    const say = (grid, name) => ({ name, units: grid.map.units, range: grid.range, table: grid.table, own });
    if (grids.a) map.show(say(grids.a, grids.a.map.title));
    if (grids.difference) difference.show({ ...say(grids.difference, "difference"), fixed: BETWEEN });
  });
  return make("div", { class: "scales" }, map.element, difference.element, view.payload.maps.length ? missing : null);
}
