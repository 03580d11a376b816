/* The report: put together, and kept up to date by the view. The stage comes first and alone, so that it can be seen and
   used while what lies below it is decoded. */

import { controls } from "./controls.js";
import { curveFigure } from "./curve.js";
import { Source } from "./data.js";
import { make, said } from "./dom.js";
import { facts, notes, results } from "./facts.js";
import { filmFigure } from "./film.js";
import { loadGrids } from "./grids.js";
import { followHash } from "./hash.js";
import { help, listenToKeys } from "./keys.js";
import { matrixFigure } from "./matrix.js";
import { readout } from "./readout.js";
import { scales } from "./scale.js";
import { contactSheets } from "./sheet.js";
import { stage } from "./stage.js";
import { View } from "./view.js";

const THEMES = { system: "light", light: "dark", dark: "system" };

function themeButton(root) {
  const button = make("button", { type: "button" }, "colours: system");
  button.addEventListener("click", () => {
    const next = THEMES[root.dataset.theme ?? "system"];
    root.dataset.theme = next;
    button.textContent = `colours: ${next}`;
  });
  return button;
}

function header(root, payload, dialog) {
  const keys = make("button", { type: "button" }, "keys: ?");
  keys.addEventListener("click", () => dialog.showModal());
  return make("header", {}, said(payload.title, "h1"), make("div", { class: "buttons" }, themeButton(root), keys));
}

function caption(words, entry) {
  const trace = entry.trace ? make("span", { class: "of" }, " ", said(entry.trace)) : null;
  const units = entry.units ? make("span", { class: "units" }, " ", said(entry.units)) : null;
  return make("figcaption", {}, said(words, "strong"), trace, units);
}

/* Whether the trace of a figure is one that is looked at; figures of all traces always are. */
const belongs = (entry, now) => entry.trace === null || entry.trace === now.trace || entry.trace === now.with;

/* Entries in their order, but those of several traces that show the same side by side. */
function sideBySide(entries) {
  const keys = entries.map(({ result, name, title, branch }) => JSON.stringify([result, name, title, branch]));
  const first = new Map(keys.map((key) => [key, keys.indexOf(key)]));
  return entries
    .map((entry, at) => [first.get(keys[at]), entry])
    .sort(([a], [b]) => a - b)
    .map(([, entry]) => entry);
}

/* A section of figures. A figure is made when its trace is first looked at. */
function gallery(view, title, given, figure) {
  if (!given.length) return null;
  const entries = sideBySide(given);
  const holder = make("div", { class: "gallery" });
  const empty = make("p", { class: "hint" }, "There is none for this trace.");
  const slots = entries.map((entry) => ({ entry, element: make("div", { class: "slot" }), begun: false }));
  holder.append(...slots.map((slot) => slot.element));
  view.on(["trace", "with"], (now) => {
    for (const slot of slots) {
      slot.element.hidden = !belongs(slot.entry, now);
      if (slot.element.hidden || slot.begun) continue;
      slot.begun = true;
      Promise.resolve(figure(slot.entry)).then(
        (made) => slot.element.append(made),
        (error) => complain(slot.element, error),
      );
    }
    empty.hidden = slots.some((slot) => !slot.element.hidden);
  });
  return make("section", {}, make("h2", {}, title), empty, holder);
}

/* Say what went wrong where the reader looks. */
export function complain(element, error) {
  element.append(make("p", { class: "warning", role: "alert" }, error.message));
}

function galleries(view, source) {
  const { matrices, films, curves } = view.payload;
  return [
    gallery(view, "Matrices", matrices, (one) => matrixFigure(view, source, one, caption(one.title, one))),
    gallery(view, "Filmstrips", films, (one) =>
      filmFigure(view, source, one, caption(`${one.title} – branch ${one.branch}`, one)),
    ),
    gallery(view, "Curves", curves, (one) => curveFigure(view, one, caption(one.title, one))),
  ].filter(Boolean);
}

function top(view, source) {
  const { maps, films, runs } = view.payload;
  const seen = maps.length + films.length > 0 || runs.some((run) => run.frames);
  const shown = seen ? [make("div", { class: "main" }, stage(view, source), readout(view), scales(view))] : [];
  const sheet = maps.length ? [contactSheets(view)] : [];
  const look = make("div", { class: "look" }, ...shown, ...sheet);
  view.on(["with"], (now) => look.classList.toggle("compared", now.with !== null));
  return make("section", { class: "top", "aria-label": "stage and controls" }, look, controls(view));
}

/* Load the values of the view's map, now and whenever another map or trace is chosen. `trouble` holds what went wrong
   with the last of them. */
function loading(view, source, trouble) {
  let turn = 0;
  const show = (grids) => {
    view.grids = grids;
    view.set({ grids: turn });
  };
  view.on(["trace", "with", "map"], () => {
    const mine = (turn += 1);
    const isLast = (act) => (given) => mine === turn && act(given);
    trouble.replaceChildren();
    loadGrids(view, source).then(
      isLast(show),
      isLast((error) => complain(trouble, error)),
    );
  });
}

/* A pause in which the browser shows what there is. */
const shownFirst = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));

/* Show a report in an element. `blobs` are the bytes that the payload numbers. With `page`, the address bar holds the
   view and the keys work everywhere; without it (in a notebook) they work inside the element alone. */
export async function mount(element, payload, blobs, { page = false } = {}) {
  const [view, source, dialog] = [new View(payload), new Source(blobs), help()];
  element.classList.add("dit-lens");
  const stops = page ? [followHash(view)] : [];
  const trouble = make("div");
  loading(view, source, trouble);
  element.replaceChildren(header(element, payload, dialog), trouble, top(view, source), dialog);
  stops.push(listenToKeys(page ? document : element, view, dialog));
  await shownFirst();
  const about = [payload.runs.length ? facts(view) : null, results(payload), notes(payload)].filter(Boolean);
  dialog.before(...galleries(view, source), ...about);
  return { view, remove: () => [() => view.stop(), ...stops].forEach((stop) => stop()) };
}
