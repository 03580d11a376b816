/* Numbers and places in words. A step never stands alone: its sigma and its expert come with it, because the steps of
   two schedulers cannot be compared by their number. */

/* A value with every digit that its error leaves it, and one more. */
export function number(value, error) {
  if (value === null || Number.isNaN(value)) return "no value";
  if (!(error > 0)) return String(Number(value.toPrecision(9)));
  const decimals = Math.max(0, Math.ceil(-Math.log10(error)) + 1);
  if (decimals <= 9) return value.toFixed(decimals);
  const digits = Math.ceil(Math.log10(Math.max(Math.abs(value), error) / error)) + 1;
  return value.toExponential(Math.max(1, Math.min(15, digits)));
}

/* A number for an axis or a legend. */
export function short(value) {
  if (value === null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/* What the payload says of one step of a run. */
export function stepOf(run, step) {
  return run?.steps.find((known) => known.step === step) ?? null;
}

export function sigmaWords(step) {
  return step && step.sigma !== null ? `σ ${step.sigma.toFixed(3)}` : null;
}

/* "step 7 (σ 0.903, transformer)" */
export function stepWords(run, step) {
  const known = stepOf(run, step);
  const more = known ? [sigmaWords(known), known.expert].filter(Boolean) : [];
  return more.length ? `step ${step} (${more.join(", ")})` : `step ${step}`;
}

/* "step 7 (σ 0.903, transformer)", "layer 3", "branch cond" */
function dimWords(run, dim, value) {
  return dim === "step" ? stepWords(run, value) : `${dim} ${value}`;
}

/* One entry of an axis of a matrix or a curve, with its own label and what is known of its step. */
export function entryWords(axis, at) {
  const sigma = axis.sigmas?.[at] ?? null;
  const more = [sigmaWords({ sigma }), sigma === null && axis.dim !== "step" ? null : axis.experts?.[at]].filter(
    Boolean,
  );
  const words = `${axis.dim} ${axis.labels?.[at] ?? axis.values[at] ?? "–"}`;
  return more.length ? `${words} (${more.join(", ")})` : words;
}

/* A whole address: what is null is no part of it. */
export function address(run, places) {
  const words = Object.entries(places)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([dim, value]) => dimWords(run, dim, value));
  return [`trace ${run.trace}`, ...words].join(" · ");
}
