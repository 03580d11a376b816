/* What the reader moves: native selects and sliders, each with its label, so that they work as they do everywhere else.
   Every one of them only tells the view; how it looks follows from the view. */

import { make, uniqueId } from "./dom.js";
import { pictures } from "./pictures.js";
import { strip } from "./strip.js";
import { PLACES } from "./view.js";
import { sigmaWords, stepOf } from "./words.js";

function labelled(name, field, ...more) {
  const id = uniqueId();
  field.id = id;
  return make("div", { class: "control" }, make("label", { for: id }, name), field, ...more);
}

/* A select over [value, words] pairs; `choices` is asked again whenever one of `keys` changes. */
function select(view, name, keys, { choices, chosen, choose }) {
  const field = make("select");
  const element = labelled(name, field);
  field.addEventListener("change", () => choose(choices()[field.selectedIndex][0]));
  view.on(keys, (now) => {
    const all = choices(now);
    field.replaceChildren(...all.map(([, words]) => make("option", {}, words)));
    field.selectedIndex = Math.max(
      0,
      all.findIndex(([value]) => value === chosen(now)),
    );
    element.hidden = all.length < 2;
  });
  return element;
}

function placeWords(view, dim, value) {
  const known = dim === "step" ? stepOf(view.run(view.now.trace), value) : null;
  return [String(value ?? "–"), ...(known ? [sigmaWords(known), known.expert] : [])].filter(Boolean).join(" · ");
}

/* A slider over the entries of one axis, with what lies along it. */
function slider(view, dim) {
  const field = make("input", { type: "range", min: 0, step: 1 });
  const words = make("output", { class: "said" });
  const track = make("div", { class: "track" }, field);
  const element = labelled(dim, field, words, track);
  words.htmlFor = field.id;
  field.addEventListener("input", () => view.set({ [dim]: view.axes[dim][Number(field.value)] }));
  view.on(["trace", "with", "map"], () => {
    const values = view.axes[dim];
    field.max = values.length - 1;
    field.disabled = values.length < 2;
    element.hidden = values.length === 1 && values[0] === null;
    track.replaceChildren(field, strip(view.runs, dim, values));
  });
  view.on(["trace", "map", dim], (now) => {
    field.value = view.axes[dim].indexOf(now[dim]);
    words.textContent = placeWords(view, dim, now[dim]);
    field.setAttribute("aria-valuetext", words.textContent);
  });
  return element;
}

function switchBox(name, changed) {
  const field = make("input", { type: "checkbox" });
  field.addEventListener("change", () => changed(field.checked));
  return [make("label", { class: "control check" }, field, make("span", {}, name)), field];
}

function opacity(view) {
  const field = make("input", { type: "range", min: 0, max: 100, value: 60 });
  const words = make("output");
  field.addEventListener("input", () => view.set({ opacity: Number(field.value) / 100 }));
  view.on(["opacity"], (now) => {
    field.value = Math.round(100 * now.opacity);
    words.textContent = `${field.value} %`;
  });
  const element = labelled("heat map opacity", field, words);
  view.on(["trace"], (now) => {
    element.hidden = pictures(view.payload, now.trace).length < 2;
  });
  return element;
}

function ownScale(view) {
  const [element, field] = switchBox("each panel on its own colour scale", (own) => {
    view.set({ scale: own ? "panel" : "fixed" });
  });
  view.on(["scale"], (now) => {
    field.checked = now.scale === "panel";
  });
  return element;
}

function choosers(view) {
  const { payload } = view;
  const traces = payload.runs.map((run) => [run.trace, run.trace]);
  return [
    select(view, "trace", ["trace"], {
      choices: () => traces,
      chosen: (now) => now.trace,
      choose: (trace) => view.set({ trace }),
    }),
    select(view, "compare with", ["trace", "with"], {
      choices: (now = view.now) => [[null, "nothing"], ...traces.filter(([trace]) => trace !== now.trace)],
      chosen: (now) => now.with,
      choose: (trace) => view.set({ with: trace }),
    }),
    select(view, "map", ["trace", "map"], {
      choices: (now = view.now) =>
        payload.maps.filter((map) => map.trace === now.trace).map((map) => [map.id, map.title]),
      chosen: (now) => now.map,
      choose: (map) => view.set({ map }),
    }),
    select(view, "picture", ["trace", "picture"], {
      choices: (now = view.now) => pictures(payload, now.trace),
      chosen: (now) => now.picture,
      choose: (picture) => view.set({ picture }),
    }),
  ];
}

export function controls(view) {
  const sliders = PLACES.map((dim) => slider(view, dim));
  const looks = view.payload.maps.length ? [opacity(view), ownScale(view)] : [];
  return make("form", { class: "controls", "aria-label": "what is shown" }, ...choosers(view), ...sliders, ...looks);
}

/* A slider over the pages of a matrix. */
export function pager(name, count, words, changed) {
  const field = make("input", { type: "range", min: 0, max: count - 1, step: 1, value: 0 });
  const shown = make("output", { class: "said" });
  const show = () => {
    shown.textContent = words(Number(field.value));
    field.setAttribute("aria-valuetext", shown.textContent);
  };
  field.addEventListener("input", () => {
    show();
    changed(Number(field.value));
  });
  show();
  const go = (page) => {
    field.value = page;
    show();
  };
  return { element: labelled(name, field, shown), go };
}
