/* What the page is about, in words: the manifest of the run that is looked at (with a second trace: what of it differs),
   the edits, and what was done to the numbers to fit them into a page. */

import { make, said } from "./dom.js";

function row(label, values) {
  const differ = values.length > 1 && values.some((value) => value !== values[0]);
  const cells = values.map((value) => said(value ?? "–", "td"));
  return make("tr", { class: differ ? "differs" : null }, said(label, "th", { scope: "row" }), ...cells);
}

function manifest(runs) {
  const labels = [...new Set(runs.flatMap((run) => run.words.map(([label]) => label)))];
  const word = (run, label) => run.words.find(([known]) => known === label)?.[1];
  const rows = labels.map((label) =>
    row(
      label,
      runs.map((run) => word(run, label)),
    ),
  );
  const edits = runs.some((run) => run.edits.length)
    ? [
        row(
          "edits",
          runs.map((run) => run.edits.map((edit) => edit.text).join("; ") || "none"),
        ),
      ]
    : [];
  const head = runs.map((run) => said(run.trace, "th", { scope: "col" }));
  return make(
    "table",
    { class: "manifest" },
    make("thead", {}, make("tr", {}, make("th", { scope: "row" }, "trace"), ...head)),
    make("tbody", {}, ...rows, ...edits),
  );
}

/* The manifest of the trace, or of the two. */
export function facts(view) {
  const holder = make("div", { class: "scroll" });
  const hint = make("p", { class: "hint" }, "Rows that differ are marked.");
  const element = make("section", { class: "facts" }, make("h2", {}, "Manifest"), hint, holder);
  view.on(["trace", "with"], (now) => {
    const runs = [now.trace, now.with].filter((trace) => trace !== null).map((trace) => view.run(trace));
    holder.replaceChildren(manifest(runs));
    hint.hidden = runs.length < 2;
    element.hidden = runs.every((run) => !run.words.length && !run.edits.length);
  });
  return element;
}

/* What each result is: its probe, parameters, captures. */
export function results(payload) {
  const known = payload.results ?? [];
  if (!known.length) return null;
  const table = ({ name, words }) =>
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, said(name, "th", { colspan: 2, scope: "colgroup" }))),
      make("tbody", {}, ...words.map(([label, text]) => row(label, [text]))),
    );
  const tables = known.map((result) => make("div", { class: "scroll" }, table(result)));
  return make("section", { class: "results" }, make("h2", {}, "Results"), make("div", { class: "gallery" }, ...tables));
}

/* How the page was made and what it left out. */
export function notes(payload) {
  const items = payload.notes.map((words) => said(words, "li"));
  const { software, command } = payload;
  const made = make("p", {}, "Made by ", said(software), command ? " with" : ", in Python, of what was never saved.");
  return make(
    "section",
    { class: "notes" },
    make("h2", {}, "About the numbers"),
    items.length ? make("ul", {}, ...items) : null,
    made,
    command ? said(command, "pre") : null,
  );
}
