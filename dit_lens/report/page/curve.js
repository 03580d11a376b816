/* Curves with their intervals. The plot is drawn anew at the width that it has, so letters keep their size on a phone.
   Pointing reads all lines at one place, a click puts the stage there, and the same numbers are there as a table. */

import { axisWords } from "./axes.js";
import { draw, make, said } from "./dom.js";
import { kind, Plot } from "./plot.js";
import { tableBelow } from "./table.js";
import { PLACES } from "./view.js";
import { entryWords, number, short } from "./words.js";

function key(curve) {
  const lines = curve.lines.map((line, at) => {
    const stroke = draw("line", { class: `line ${kind(at)}`, x1: 0, x2: 22, y1: 5, y2: 5 });
    return make(
      "li",
      {},
      draw("svg", { width: 22, height: 10, "aria-hidden": "true" }, stroke),
      said(line.label, "span"),
    );
  });
  const floors = curve.floors.map(({ label, y }) => {
    const stroke = draw("line", { class: "floor", x1: 0, x2: 22, y1: 5, y2: 5 });
    return make(
      "li",
      {},
      draw("svg", { width: 22, height: 10, "aria-hidden": "true" }, stroke),
      said(`${label}: ${short(y)}`, "span"),
    );
  });
  const named = floors.length > 0 || curve.lines.some((line) => line.label);
  return named ? make("ul", { class: "key" }, ...lines, ...floors) : null;
}

/* " [low, high]", or nothing. */
function interval({ low, high }, at) {
  const ends = [low?.[at] ?? null, high?.[at] ?? null];
  return ends.includes(null) ? "" : ` [${ends.map((end) => number(end, 0)).join(", ")}]`;
}

function reading(plot, at) {
  const { curve, axis } = plot;
  const value = (line) =>
    make(
      "span",
      { class: "reading" },
      said(line.label, "span", { class: "name" }),
      " ",
      make("b", {}, number(line.y[at], 0)),
      interval(line, at),
    );
  const place = [entryWords(axis, at), plot.link.why(at)].filter(Boolean).join(" · ");
  return [said(place, "span", { class: "name" }), " ", ...curve.lines.map(value)];
}

function numbers({ curve, axis }) {
  const cell = (line, at) => number(line.y[at], 0) + interval(line, at);
  const lines = axis.values.map((_, at) => [entryWords(axis, at), curve.lines.map((line) => cell(line, at))]);
  return [curve.lines.map(({ label }) => label), lines];
}

export function curveFigure(view, curve, caption) {
  let plot = new Plot(view, curve, 480);
  const holder = make("div", { class: "plot" });
  const spoken = make("output", { class: "readout", "aria-live": "polite" }, "Point at the curves to read them.");
  const axis = make("div", { class: "axis said" }, `${axisWords(plot.axis)} →`);
  const resize = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width < 1 || Math.abs(contentRect.width - (holder.firstChild?.width.baseVal.value ?? 0)) < 1)
      return;
    plot = new Plot(view, curve, Math.floor(contentRect.width));
    holder.replaceChildren(plot.drawn());
    plot.follow(view.now);
  });
  resize.observe(holder);
  holder.append(plot.drawn());
  holder.addEventListener("pointermove", (event) =>
    spoken.replaceChildren(...reading(plot, plot.under(event, holder))),
  );
  holder.addEventListener("click", (event) => {
    view.set(plot.link.places(plot.under(event, holder)));
  });
  view.on(["trace", ...PLACES], (now) => plot.follow(now));
  return make(
    "figure",
    { class: "curve" },
    ...[caption, key(curve), holder].filter(Boolean),
    axis,
    spoken,
    tableBelow(() => numbers(plot)),
  );
}
