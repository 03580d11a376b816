/* The drawing of curves at one width. Along steps the switch of experts is a dashed line and sigma stands under the
   step; edits are shaded; the stage's place is a line that moves. */

import { runOf, switches, ticks, withSteps } from "./axes.js";
import { band, extent, linePath, roundTicks, tickLabels } from "./chart.js";
import { draw } from "./dom.js";
import { marks } from "./edits.js";
import { Link } from "./links.js";
import { short } from "./words.js";

const PLOT_PX = 220;
const EDGE = { left: 52, right: 12, top: 10, bottom: 34 };
const LABEL_LETTER_PX = 6.2;
const DIGIT_PX = 7; // a plus or an e of a power is wider than other letters

/* The look of a line: colours and dashes that are told apart without colour. */
export function kind(at) {
  return `kind-${at % 8}`;
}

export class Plot {
  constructor(view, curve, width) {
    Object.assign(this, { view, curve, width, count: curve.x.values.length });
    this.run = runOf(view.payload, curve.trace, curve.x.dim === "step" ? curve.x.values : []);
    this.axis = withSteps(this.run, curve.x);
    this.link = new Link(view, this.run, this.axis, { [curve.x.dim]: curve.x.values });
    this.range = extent(curve);
    this.levels = roundTicks(...this.range, 4);
    this.names = tickLabels(this.levels);
    this.left = Math.max(EDGE.left, DIGIT_PX * Math.max(...this.names.map((name) => name.length)) + 10);
    this.right = width - EDGE.right;
    this.bottom = PLOT_PX - EDGE.bottom;
  }

  x(at) {
    const numbers = this.curve.x.values;
    const real = !this.curve.x.labels && numbers.every((value) => typeof value === "number");
    const [first, last] = real ? [numbers[0], numbers.at(-1)] : [0, this.count - 1];
    const here = real ? this.between(at) : at;
    return this.left + (last === first ? 0.5 : (here - first) / (last - first)) * (this.right - this.left);
  }

  /* The number at a position that may lie between two entries. */
  between(at) {
    const numbers = this.curve.x.values;
    const [low, high] = [Math.max(0, Math.floor(at)), Math.min(this.count - 1, Math.ceil(at))];
    return numbers[low] + (numbers[high] - numbers[low]) * (at - low);
  }

  y(value) {
    const [low, high] = this.range;
    return this.bottom - ((value - low) / (high - low)) * (this.bottom - EDGE.top);
  }

  grid() {
    return this.levels.flatMap((value, at) => [
      draw("line", { class: "grid", x1: this.left, x2: this.right, y1: this.y(value), y2: this.y(value) }),
      draw("text", { x: this.left - 6, y: this.y(value) + 4, "text-anchor": "end" }, this.names[at]),
    ]);
  }

  below() {
    const x = this.axis;
    const sigma = (at) => x.sigmas?.[at] ?? null;
    const label = (at) =>
      String(x.labels?.[at] ?? (typeof x.values[at] === "number" ? short(x.values[at]) : x.values[at]));
    const longest = Math.max(...x.values.map((_, at) => Math.max(label(at).length, sigma(at) === null ? 0 : 7)));
    return ticks(this.count, (this.right - this.left) / (longest * LABEL_LETTER_PX + 8))
      .flatMap((at) => [
        draw("text", { x: this.x(at), y: this.bottom + 14, "text-anchor": "middle" }, label(at)),
        sigma(at) === null
          ? null
          : draw(
              "text",
              { class: "sigma", x: this.x(at), y: this.bottom + 27, "text-anchor": "middle" },
              `σ ${sigma(at).toFixed(3)}`,
            ),
      ])
      .filter(Boolean);
  }

  switches() {
    return switches(this.axis).map(({ at }) =>
      draw("line", { class: "switch", x1: this.x(at - 0.5), x2: this.x(at - 0.5), y1: EDGE.top, y2: this.bottom }),
    );
  }

  edits() {
    const runs = [this.view.run(this.curve.trace)].filter(Boolean);
    return marks(runs, this.curve.x.dim, this.curve.x.values).map(({ words, first, last }) => {
      const [from, to] = [this.x(first) - 2, this.x(last) + 2];
      const size = { x: from, y: EDGE.top, width: to - from, height: this.bottom - EDGE.top };
      return draw("rect", { class: "edit", ...size }, draw("title", {}, words));
    });
  }

  floors() {
    return this.curve.floors.map(({ label, y }) =>
      draw(
        "line",
        { class: "floor", x1: this.left, x2: this.right, y1: this.y(y), y2: this.y(y) },
        draw("title", {}, label),
      ),
    );
  }

  lines() {
    const [x, y] = [(at) => this.x(at), (value) => this.y(value)];
    const bands = this.curve.lines.map(({ low, high }, at) =>
      low && high ? band(low, high, x, y, { class: `band ${kind(at)}` }) : null,
    );
    const lines = this.curve.lines.map((line, at) => linePath(line.y, x, y, { class: `line ${kind(at)}` }));
    return [...bands.filter(Boolean), ...lines];
  }

  drawn() {
    const frame = {
      class: "frame",
      x: this.left,
      y: EDGE.top,
      width: this.right - this.left,
      height: this.bottom - EDGE.top,
    };
    const marks = [
      ...this.edits(),
      ...this.grid(),
      ...this.switches(),
      ...this.floors(),
      ...this.lines(),
      ...this.below(),
    ];
    this.here = draw("line", { class: "here", y1: EDGE.top, y2: this.bottom });
    const size = { width: this.width, height: PLOT_PX, "aria-hidden": "true" };
    return draw("svg", size, ...marks, draw("rect", frame), this.here);
  }

  /* Put the moving line where the stage is. */
  follow(now) {
    const at = this.link.entryAt(now);
    this.here.setAttribute("visibility", at < 0 ? "hidden" : "visible");
    if (at >= 0) for (const end of ["x1", "x2"]) this.here.setAttribute(end, this.x(at));
  }

  /* The entry that is nearest to a pointer. */
  under(event, svg) {
    const left = event.clientX - svg.getBoundingClientRect().left;
    const away = this.curve.x.values.map((_, at) => Math.abs(this.x(at) - left));
    return away.indexOf(Math.min(...away));
  }
}
