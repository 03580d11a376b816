/* What is looked at: one small record, and who wants to know when a part of it changes. Whatever comes from outside (a
   slider, a key, the address bar) passes through `settle`, which keeps only what the payload has. */

import { nearest } from "./axes.js";
import { framesOf, pictures } from "./pictures.js";

export const PLACES = ["branch", "step", "layer", "frame"];
const REDRAWS = 100; // so many are timed; a page may be open for days

/* Where a page opens: in the middle of everything but the branches, which have none. */
const start = (dim, values) => values[dim === "branch" ? 0 : Math.floor(values.length / 2)];

/* The axes that the controls move along: those of the map, or those of the pictures where there is no map. */
function axesOf(payload, trace, id) {
  const map = mapOf(payload, trace, id);
  if (map) return Object.fromEntries(map.axes.map((axis) => [axis.dim, axis.values]));
  const film = payload.films.find((one) => one.trace === trace);
  const run = payload.runs.find((one) => one.trace === trace);
  const steps = film?.steps ?? run?.steps.map((known) => known.step) ?? [];
  const filled = (values) => (values?.length ? values : [null]);
  return {
    branch: [film?.branch ?? null],
    step: filled(steps),
    layer: [null],
    frame: filled(film?.frames ?? framesOf(run)),
    y: [null],
    x: [null],
  };
}

/* A map by its id, which the maps of one variable share over all traces: two results may have maps of one name. */
export function mapOf(payload, trace, id) {
  return payload.maps.find((map) => map.trace === trace && map.id === id) ?? null;
}

export class View {
  constructor(payload) {
    this.payload = payload;
    this.listeners = [];
    this.redraws = [];
    this.pending = null;
    this.now = this.settle({ opacity: 0.6 });
    this.drawn = {};
  }

  /* The nearest view to a wanted one that this page can show. */
  settle(wanted) {
    const { runs, maps } = this.payload;
    const traces = runs.map((run) => run.trace);
    const trace = traces.includes(wanted.trace) ? wanted.trace : (traces[0] ?? null);
    const other = traces.includes(wanted.with) && wanted.with !== trace ? wanted.with : null;
    const known = maps.filter((map) => map.trace === trace).map((map) => map.id);
    const map = known.includes(wanted.map) ? wanted.map : (known[0] ?? null);
    const axes = axesOf(this.payload, trace, map);
    const places = Object.fromEntries(
      [...PLACES, "y", "x"].map((dim) => [dim, nearest(axes[dim], wanted[dim], start(dim, axes[dim]))]),
    );
    const kinds = pictures(this.payload, trace).map(([key]) => key);
    const picture = kinds.includes(wanted.picture) ? wanted.picture : kinds[0];
    const scale = wanted.scale === "panel" ? "panel" : "fixed";
    return { ...wanted, trace, with: other, map, ...places, picture, scale };
  }

  get axes() {
    return axesOf(this.payload, this.now.trace, this.now.map);
  }

  run(trace) {
    return this.payload.runs.find((run) => run.trace === trace) ?? null;
  }

  /* The runs that are looked at: one, or two. */
  get runs() {
    return [this.now.trace, this.now.with].map((trace) => this.run(trace)).filter(Boolean);
  }

  set(changes) {
    this.now = this.settle({ ...this.now, ...changes });
    this.pending ??= requestAnimationFrame(() => this.redraw());
  }

  /* Go along an axis by a number of entries; the ends are ends. */
  move(dim, by) {
    const values = this.axes[dim];
    const at = Math.max(0, Math.min(values.length - 1, values.indexOf(this.now[dim]) + by));
    this.set({ [dim]: values[at] });
  }

  /* Call back now, and at every redraw before which one of the keys changed. */
  on(keys, callback) {
    this.listeners.push([keys, callback]);
    callback(this.now);
  }

  redraw() {
    const start = performance.now();
    this.pending = null;
    const [before, now] = [this.drawn, this.now];
    this.drawn = now;
    for (const [keys, callback] of this.listeners) {
      if (keys.some((key) => before[key] !== now[key])) callback(now);
    }
    this.redraws.push(performance.now() - start);
    if (this.redraws.length > REDRAWS) this.redraws.shift();
  }

  stop() {
    this.listeners = [];
    if (this.pending !== null) cancelAnimationFrame(this.pending);
  }
}
