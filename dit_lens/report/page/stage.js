/* The stage: the frame, under the heat map, under the token that is pointed at. With a second trace there are three
   panels: the two, and the second minus the first. A panel is two small canvases, painted pixel for pixel and scaled
   by the style sheet; painting never depends on how large the page is. */

import { cellUnder, make, percent, said } from "./dom.js";
import { gridsOf } from "./grids.js";
import { editsAt } from "./edits.js";
import { pictureAt } from "./pictures.js";

const SMOOTH = 200;

async function paintPicture(view, source, panel, trace) {
  const { images, which, words } = pictureAt(view, trace);
  panel.caption.textContent = words;
  panel.picture.hidden = images === null || images.blob !== panel.blob; // what is there is of another trace
  showThrough(panel, view.now);
  const wanted = (panel.wanted = (panel.wanted ?? 0) + 1);
  if (images === null) return;
  try {
    const sheet = await source.sheet(images);
    if (wanted === panel.wanted) drawPicture(panel, sheet, which, view.now);
  } catch (error) {
    if (wanted === panel.wanted) losePicture(panel, error, view.now);
  }
}

function drawPicture(panel, sheet, which, now) {
  const images = sheet.spec;
  if (panel.picture.width !== images.width) panel.picture.width = images.width;
  if (panel.picture.height !== images.height) panel.picture.height = images.height;
  panel.picture.classList.toggle("smooth", images.width >= SMOOTH);
  sheet.paint(panel.picture.getContext("2d"), which, 0, 0);
  panel.blob = images.blob;
  panel.picture.hidden = false;
  showThrough(panel, now);
}

/* The reader is told why there is no picture. */
function losePicture(panel, error, now) {
  panel.caption.textContent = error.message;
  panel.blob = null;
  panel.picture.hidden = true;
  showThrough(panel, now);
}

/* With nothing under it the heat map is opaque: hatching that shows through would look like missing values. */
function showThrough(panel, now) {
  panel.heat.style.opacity = panel.picture.hidden ? 1 : now.opacity;
}

function paintHeat(panel, grid, now) {
  const index = grid?.index(now) ?? null;
  panel.heat.hidden = index === null;
  if (index === null) return;
  if (panel.heat.width !== grid.columns || panel.heat.height !== grid.rows || !panel.image) {
    [panel.heat.width, panel.heat.height] = [grid.columns, grid.rows];
    panel.image = new ImageData(grid.columns, grid.rows);
    panel.pixels = new Uint32Array(panel.image.data.buffer);
  }
  grid.paint(panel.pixels, grid.columns, 0, 0, index, now.scale === "panel");
  panel.heat.getContext("2d").putImageData(panel.image, 0, 0);
}

function placeCursor(panel, grid, now) {
  const [row, column] = grid ? [grid.axes.y.indexOf(now.y), grid.axes.x.indexOf(now.x)] : [-1, -1];
  panel.cursor.hidden = row < 0 || column < 0;
  if (panel.cursor.hidden) return;
  Object.assign(panel.cursor.style, {
    left: percent(column / grid.columns),
    top: percent(row / grid.rows),
    width: percent(1 / grid.columns),
    height: percent(1 / grid.rows),
  });
}

function listen(panel, view, grid) {
  panel.box.addEventListener("pointermove", (event) => {
    const shown = grid();
    const cell = shown && cellUnder(event, panel.box, shown.rows, shown.columns);
    if (cell) view.set({ y: shown.axes.y[cell[0]], x: shown.axes.x[cell[1]] });
  });
}

function emptyPanel(name) {
  const panel = {
    title: make("h3"),
    caption: make("figcaption"),
    cursor: make("div", { class: "cursor" }),
    picture: make("canvas", { class: "picture" }),
    heat: make("canvas", { class: "heat" }),
  };
  panel.box = make("div", { class: "box", role: "img", "aria-label": name }, panel.picture, panel.heat, panel.cursor);
  panel.element = make("figure", { class: "panel" }, panel.title, panel.box, panel.caption);
  return panel;
}

/* A panel is as wide as it is high in the picture that it shows, or in tokens. */
function shape(panel, images, grid) {
  const [width, height] = images ? [images.width, images.height] : [grid?.columns ?? 1, grid?.rows ?? 1];
  panel.box.style.aspectRatio = `${width} / ${height}`;
  panel.box.style.setProperty("--shape", String(width / height));
}

function editedHere(view, trace) {
  const { branch, step, layer, frame } = view.now;
  const made = editsAt([view.run(trace)], { branch, step, layer, frame });
  return made ? [make("span", { class: "edited", title: made }, " edited here")] : [];
}

const LOOKS = ["trace", "with", "map", "branch", "step", "layer", "frame", "scale", "grids"];

function tracePanel(view, source, which, name) {
  const panel = emptyPanel(name);
  const trace = () => view.now[which === "a" ? "trace" : "with"];
  const grid = () => gridsOf(view)?.[which] ?? null;
  view.on([...LOOKS, "picture"], (now) => {
    panel.element.hidden = trace() === null;
    if (panel.element.hidden) return;
    panel.title.replaceChildren(said(trace()), ...editedHere(view, trace()));
    paintPicture(view, source, panel, trace());
    const { images } = pictureAt(view, trace());
    if (images || gridsOf(view)) shape(panel, images, grid());
    paintHeat(panel, grid(), now);
  });
  view.on(["opacity"], (now) => showThrough(panel, now));
  view.on([...LOOKS, "y", "x"], (now) => placeCursor(panel, grid(), now));
  listen(panel, view, grid);
  return panel.element;
}

const differenceWords = ({ why }) =>
  why === null ? "the difference, opaque, on a symmetric scale of its own" : `No difference: ${why}.`;

function differencePanel(view) {
  const panel = emptyPanel("difference of the two traces");
  const grid = () => gridsOf(view)?.difference ?? null;
  view.on(LOOKS, (now) => {
    panel.element.hidden = now.with === null;
    if (panel.element.hidden) return;
    panel.title.replaceChildren(said(now.with), " − ", said(now.trace));
    const grids = gridsOf(view);
    panel.caption.textContent = grids ? differenceWords(grids) : "";
    if (grids) {
      panel.box.hidden = grids.why !== null;
      shape(panel, pictureAt(view, now.trace).images, grid());
    }
    paintHeat(panel, grid(), now);
  });
  view.on([...LOOKS, "y", "x"], (now) => placeCursor(panel, grid(), now));
  listen(panel, view, grid);
  return panel.element;
}

export function stage(view, source) {
  const panels = [
    tracePanel(view, source, "a", "the frame under the heat map"),
    tracePanel(view, source, "b", "the frame of the second trace under its heat map"),
    differencePanel(view),
  ];
  const element = make("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "stage" }, ...panels);
  return element;
}
