/* What an entry of a figure and a place on the stage have to do with each other. Layers, frames and branches are known by
   their labels. A step is not: in another schedule the same number is another sigma, so a step links the two only where
   sigma is the same. */

import { PLACES } from "./view.js";
import { stepOf } from "./words.js";

const SAME_SIGMA = 1e-6;

/* Entries of one axis of a figure; `sets` are, for each dimension of the stage, what its entries ask for. Sigma is the
   axis' own, or that of the run behind the figure. */
export class Link {
  constructor(view, run, axis, sets) {
    const known = Object.entries(sets ?? {}).filter(([dim]) => PLACES.includes(dim));
    Object.assign(this, { view, run, axis, known, count: Math.max(0, ...known.map(([, values]) => values.length)) });
  }

  /* What an entry asks for: only what it knows. */
  wanted(at) {
    return this.known.map(([dim, values]) => [dim, values[at] ?? null]).filter(([, value]) => value !== null);
  }

  /* Whether what an entry asks for means the same on the stage. */
  holds(at, [dim, value]) {
    const run = this.view.run(this.view.now.trace);
    if (dim !== "step" || !run) return true;
    const here = this.axis?.sigmas?.[at] ?? stepOf(this.run, value)?.sigma ?? null;
    const there = stepOf(run, value)?.sigma ?? null;
    return here === null || there === null ? here === there : Math.abs(here - there) <= SAME_SIGMA;
  }

  /* The places of the stage that belong to an entry. */
  places(at) {
    return Object.fromEntries(this.wanted(at).filter((one) => this.holds(at, one)));
  }

  /* Why the stage does not go to the step of an entry, in words; or nothing. */
  why(at) {
    const lost = this.wanted(at).find((one) => !this.holds(at, one));
    return lost ? `the schedules differ: step ${lost[1]} of ${this.view.now.trace} has another σ` : null;
  }

  /* The first entry that is where the stage is, or -1. */
  entryAt(now) {
    for (let at = 0; at < this.count; at += 1) {
      const wanted = this.wanted(at);
      if (wanted.length && wanted.every((one) => now[one[0]] === one[1] && this.holds(at, one))) return at;
    }
    return -1;
  }
}
