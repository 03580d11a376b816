/* Positions along an axis whose entries are drawn at equal distances, which are often not all that a run has: every
   fourth step, say. What lies between two entries (a switch of experts, an edit at a step that was not kept) is drawn
   between them. */

import { stepOf } from "./words.js";

/* Where a value lies among ascending values, in entries; between two of them, or at an end, where it is none of them. */
export function positionOf(values, value) {
  const exact = values.indexOf(value);
  if (exact >= 0) return exact;
  const after = values.findIndex((known) => known > value);
  if (after < 0) return values.length - 1;
  if (after === 0) return 0;
  return after - 1 + (value - values[after - 1]) / (values[after] - values[after - 1]);
}

/* The entry that is nearest to what is wanted. */
export function nearest(values, wanted, otherwise) {
  if (values.includes(wanted)) return wanted;
  if (typeof wanted !== "number" || values.some((value) => typeof value !== "number")) return otherwise;
  return values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));
}

/* An axis with what is known of its steps: what it says itself, or what the run says of the steps behind its entries.
   Sigma is a label of steps only; an expert may be known for other entries too. */
export function withSteps(run, axis, sets = null) {
  const behind = axis.dim === "step" ? axis.values : (sets?.step ?? null);
  const of = (steps, key) => steps?.map((step) => stepOf(run, step)?.[key] ?? null) ?? null;
  const sigmas = axis.sigmas ?? of(axis.dim === "step" ? axis.values : null, "sigma");
  return { ...axis, sigmas, experts: axis.experts ?? of(behind, "expert") };
}

/* Where the expert changes: [{at: the first entry of the next expert, from, to, entry: its label}]. */
export function switches({ values, labels, experts }) {
  return (experts ?? []).flatMap((expert, at) => {
    const before = experts[at - 1];
    const changed = at > 0 && expert && before && expert !== before;
    return changed ? [{ at, from: before, to: expert, entry: labels?.[at] ?? values[at] }] : [];
  });
}

/* The run whose steps an axis shows; of all traces together only if they switch at the same places. */
export function runOf(payload, trace, steps = null) {
  if (trace !== null && trace !== undefined) return payload.runs.find((run) => run.trace === trace) ?? null;
  const [first, ...rest] = payload.runs;
  if (!first) return null;
  const same = (run) =>
    (steps ?? first.steps.map((known) => known.step)).every((step) => {
      const [a, b] = [stepOf(first, step), stepOf(run, step)];
      return a?.expert === b?.expert && a?.sigma === b?.sigma;
    });
  return rest.every(same) ? first : null;
}

/* "step – transformer, from 8 transformer_2" */
export function axisWords(axis) {
  const found = switches(axis);
  const first = axis.sigmas ? (axis.experts?.[0] ?? null) : null;
  const experts = found.length ? [found[0].from, ...found.map(({ to, entry }) => `from ${entry} ${to}`)] : [first];
  return [axis.dim, experts.filter(Boolean).join(", ")].filter(Boolean).join(" – ");
}

/* Every so many entries, so that no more than `most` have a label; the last is left out if it would touch. */
export function ticks(count, most) {
  const stride = Math.max(1, Math.ceil(count / Math.max(1, most)));
  return Array.from({ length: Math.ceil(count / stride) }, (_, at) => at * stride);
}
