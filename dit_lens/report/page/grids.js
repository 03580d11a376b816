/* The values of one map of one trace, and the difference of two: what the stage and the contact sheet paint. Both have
   the six axes of a map and paint a plane of tokens into an image; they differ in where a value comes from. */

import { colour, colourOfCodes, DIVERGING, SEQUENTIAL } from "./colours.js";
import { mapOf } from "./view.js";

const NAMES = ["branch", "step", "layer", "frame"];

/* What two maps must share before their difference means anything; the reason in words if they do not. */
function whyNot(a, b, runA, runB) {
  if (!b) return "the other trace has no such map";
  for (const [at, axis] of a.axes.entries()) {
    if (JSON.stringify(axis.values) !== JSON.stringify(b.axes[at].values)) {
      return `their axes differ: ${axis.dim} is ${spread(axis)} here and ${spread(b.axes[at])} there`;
    }
  }
  const sigma = (run, step) => run.steps.find((known) => known.step === step)?.sigma ?? 0;
  const apart = a.axes[1].values.filter((step) => Math.abs(sigma(runA, step) - sigma(runB, step)) > 1e-6);
  return apart.length ? `their schedules differ: σ is not the same at ${apart.length} of the steps` : null;
}

function spread({ values }) {
  return values.length > 1 ? `${values[0]}…${values.at(-1)} (${values.length})` : String(values[0]);
}

class Grid {
  constructor(map) {
    this.map = map;
    this.axes = Object.fromEntries(map.axes.map((axis) => [axis.dim, axis.values]));
    [this.rows, this.columns] = [this.axes.y.length, this.axes.x.length];
  }

  /* The first four indices of a place, or null if a part of it is not on the axes. */
  index(place) {
    const found = NAMES.map((dim) => this.axes[dim].indexOf(place[dim]));
    return found.includes(-1) ? null : found;
  }

  valueAt(place) {
    const [index, y, x] = [this.index(place), this.axes.y.indexOf(place.y), this.axes.x.indexOf(place.x)];
    return index && y >= 0 && x >= 0 ? this.value(this.start(index) + y * this.columns + x) : NaN;
  }

  start(index) {
    return this.field.place([...index, 0, 0]);
  }

  /* The scale of one plane alone. */
  ownRange(index) {
    const start = this.start(index);
    let [low, high] = [Infinity, -Infinity];
    for (let at = start; at < start + this.rows * this.columns; at += 1) {
      const value = this.value(at);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? this.around([low, high]) : this.range;
  }

  /* Paint one plane into `pixels`, which is `width` wide, with its corner at (left, top). */
  paint(pixels, width, left, top, index, own = false) {
    const pixel = own ? this.ownPixels(this.ownRange(index)) : this.pixels();
    let at = this.start(index);
    for (let row = 0; row < this.rows; row += 1) {
      const line = (top + row) * width + left;
      for (let column = 0; column < this.columns; column += 1, at += 1) pixels[line + column] = pixel(at);
    }
  }

  /* The pixel of an entry, on the scale of one plane. */
  ownPixels(range) {
    return (at) => colour(this.value(at), range, this.table);
  }

  /* The pixel of an entry, on the scale of all. */
  pixels() {
    return this.ownPixels(this.range);
  }
}

class MapGrid extends Grid {
  constructor(map, field) {
    super(map);
    Object.assign(this, { field, table: SEQUENTIAL, range: map.range, error: map.data.error });
    this.colours = colourOfCodes(map.data, map.range, SEQUENTIAL);
  }

  value(at) {
    return this.field.decode(this.field.codes[at]);
  }

  /* A look-up, and no more: a contact sheet of a large model has a million of them. */
  pixels() {
    const {
      colours,
      field: { codes },
    } = this;
    return (at) => colours[codes[at]];
  }

  around(range) {
    return range;
  }
}

/* The second trace minus the first. */
class Difference extends Grid {
  constructor(a, b) {
    super(a.map);
    Object.assign(this, { a, b, field: a.field, table: DIVERGING, error: a.error + b.error });
    let most = 0;
    for (let at = 0; at < a.field.codes.length; at += 1) {
      const size = Math.abs(this.value(at));
      if (size > most) most = size;
    }
    this.range = [-most, most];
  }

  value(at) {
    return this.b.value(at) - this.a.value(at);
  }

  around([low, high]) {
    const most = Math.max(Math.abs(low), Math.abs(high));
    return [-most, most];
  }
}

/* The grids of a view: {key, a, b, difference, why}. */
export async function loadGrids(view, source) {
  const { payload, now } = view;
  const load = async (map) => (map ? new MapGrid(map, await source.field(map.data)) : null);
  const [mapA, mapB] = [now.trace, now.with].map((trace) => mapOf(payload, trace, now.map));
  const [a, b] = await Promise.all([load(mapA), load(mapB)]);
  const why = a && now.with !== null ? whyNot(mapA, mapB, view.run(now.trace), view.run(now.with)) : null;
  const difference = a && b && why === null ? new Difference(a, b) : null;
  return { key: gridKey(now), a, b, difference, why };
}

function gridKey(now) {
  return JSON.stringify([now.trace, now.with, now.map]);
}

/* The grids of the view as it is now, or null while all that is loaded is those of an earlier one. */
export function gridsOf(view) {
  return view.grids?.key === gridKey(view.now) ? view.grids : null;
}
