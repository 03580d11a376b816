/* The contact sheet: every layer by every frame, at the step and branch of the stage, on the colours of the stage. It is
   one canvas with a pixel for each token and a gap between the panels. */

import { cellUnder, make, percent, said } from "./dom.js";
import { gridsOf } from "./grids.js";
import { editsAt } from "./edits.js";
import { gaps, markCell, ruled } from "./ruler.js";
import { number } from "./words.js";

const PANEL_PX = [34, 92];
const SHEET_PX = [1000, 520];

/* How large a panel is on the screen: the whole sheet fits, unless the panels would become too small to read. */
function tileSize({ axes, rows, columns }) {
  const fits = Math.min(SHEET_PX[0] / axes.frame.length, ((SHEET_PX[1] / axes.layer.length) * columns) / rows);
  const width = Math.max(PANEL_PX[0], Math.min(PANEL_PX[1], fits));
  return [width, Math.max(16, Math.min(2 * width, (width * rows) / columns))];
}

const gapOf = (grid) => Math.max(1, Math.round(Math.min(grid.rows, grid.columns) / 12));

/* The share of its place that a panel fills, down and across. */
const filled = (grid) => [grid.rows, grid.columns].map((count) => count / (count + gapOf(grid)));

function paint(canvas, held, grid, now) {
  const gap = gapOf(grid);
  const { layer, frame } = grid.axes;
  const [width, height] = [frame.length * (grid.columns + gap), layer.length * (grid.rows + gap)];
  if (canvas.width !== width || canvas.height !== height || !held.image) {
    [canvas.width, canvas.height] = [width, height];
    held.image = new ImageData(width, height);
    held.pixels = new Uint32Array(held.image.data.buffer);
  }
  const index = grid.index(now);
  if (index === null) return;
  for (let row = 0; row < layer.length; row += 1) {
    for (let column = 0; column < frame.length; column += 1) {
      const [left, top] = [column * (grid.columns + gap), row * (grid.rows + gap)];
      grid.paint(held.pixels, width, left, top, [index[0], index[1], row, column], now.scale === "panel");
    }
  }
  canvas.getContext("2d").putImageData(held.image, 0, 0);
}

/* Everything but the pixels, which is the same at every step. */
function lay(view, canvas, mark, line, grid, runs) {
  const [rows, columns] = ["layer", "frame"].map((dim) => ({ dim, values: grid.axes[dim], labels: null }));
  const [down, across] = filled(grid).map(percent);
  const lines = gaps(columns.values.length, rows.values.length, across, down);
  const box = make(
    "div",
    { class: "box", role: "img", "aria-label": "contact sheet, layers by frames" },
    canvas,
    lines,
    mark,
  );
  const [width, height] = tileSize(grid);
  const size = [width * columns.values.length, height * rows.values.length];
  box.style.aspectRatio = `${size[0]} / ${size[1]}`;
  const under = (event) => placeUnder(event, box, grid, gapOf(grid));
  box.addEventListener("click", (event) => view.set(under(event) ?? {}));
  box.addEventListener("pointermove", (event) => {
    const place = under(event);
    if (place && "y" in place) read(line, grid, place, view.now);
  });
  const least = Math.min(width, PANEL_PX[0]) * columns.values.length;
  return ruled({ runs, rows, columns, box, size, least });
}

/* The place under a pointer: a panel and, unless it is between panels, a token of it. */
function placeUnder(event, box, { axes, rows, columns }, gap) {
  const [tall, wide] = [rows + gap, columns + gap];
  const cell = cellUnder(event, box, axes.layer.length * tall, axes.frame.length * wide);
  if (!cell) return null;
  const [y, x] = [axes.y[cell[0] % tall] ?? null, axes.x[cell[1] % wide] ?? null];
  const panel = { layer: axes.layer[Math.floor(cell[0] / tall)], frame: axes.frame[Math.floor(cell[1] / wide)] };
  return { ...panel, ...(y === null || x === null ? {} : { y, x }) };
}

/* The value of a token of the sheet, and which one it is; step and branch are those of the stage. */
function read(line, grid, place, now) {
  const value = number(grid.valueAt({ ...now, ...place }), grid.error);
  const where = [`layer ${place.layer}`, `frame ${place.frame}`, `token y ${place.y}, x ${place.x}`].join(" · ");
  line.replaceChildren(make("b", {}, value), ` ${where}`);
}

/* A sheet: `which` of the grids, of which runs, and what it is called. */
function oneSheet(view, which, runsOf, nameOf) {
  const [canvas, mark, held] = [make("canvas"), make("span", { class: "mark" }), {}];
  const [holder, edits, title] = [make("div", { class: "scroll" }), make("p", { class: "edited said" }), make("h3")];
  const line = make("output", { class: "readout said", "aria-live": "polite" });
  const element = make("div", { class: "sheet" }, title, holder, line, edits);
  const shown = () => gridsOf(view)?.[which] ?? null;
  view.on(["trace", "map", "with", "grids"], (now) => {
    const grid = shown();
    element.hidden = !grid;
    if (!grid) return;
    line.replaceChildren("Point at a token to read it.");
    title.replaceChildren("Contact sheet ", make("span", { class: "of" }, ...nameOf(now)));
    holder.replaceChildren(lay(view, canvas, mark, line, grid, runsOf(view.runs)));
  });
  view.on(["trace", "map", "with", "grids", "branch", "step", "scale"], (now) => {
    if (shown()) paint(canvas, held, shown(), now);
    const made = editsAt(runsOf(view.runs).filter(Boolean), { branch: now.branch, step: now.step });
    edits.textContent = made ? `Edited at this step: ${made}` : "";
  });
  view.on(["trace", "map", "with", "grids", "layer", "frame"], (now) => {
    const grid = shown();
    if (!grid) return;
    const { layer, frame } = grid.axes;
    markCell(mark, layer.indexOf(now.layer), frame.indexOf(now.frame), layer.length, frame.length, filled(grid));
  });
  return element;
}

/* The sheet of the trace; with a second trace also its sheet, and that of the difference. */
export function contactSheets(view) {
  return make(
    "div",
    { class: "sheets" },
    oneSheet(
      view,
      "a",
      ([first]) => [first],
      (now) => [said(now.trace)],
    ),
    oneSheet(
      view,
      "b",
      ([, second]) => [second],
      (now) => [said(now.with)],
    ),
    oneSheet(
      view,
      "difference",
      (runs) => runs,
      (now) => [said(now.with), " − ", said(now.trace)],
    ),
  );
}
