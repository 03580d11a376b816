/* The contact sheet: every layer by every frame, at the step and branch of the stage, on the colours of the stage. It is
   one canvas with a pixel for each token and a gap between the panels. */

import { runOf } from "./axes.js";
import { cellUnder, make } from "./dom.js";
import { gridKey } from "./grids.js";
import { touches } from "./edits.js";
import { select } from "./controls.js";
import { markCell, ruled } from "./ruler.js";

const PANEL_PX = [34, 92];
const SHEET_PX = 1000;
const GRIDS = { first: "a", second: "b", difference: "difference" };

function gridOf(view) {
  return view.grids?.[GRIDS[view.now.sheet]] ?? view.grids?.a ?? null;
}

/* How large a panel is on the screen. */
function tileSize(grid) {
  const width = Math.max(PANEL_PX[0], Math.min(PANEL_PX[1], SHEET_PX / grid.axes.frame.length));
  const height = Math.max(16, Math.min(2 * width, (width * grid.rows) / grid.columns));
  return [width, height];
}

function paint(canvas, held, grid, now) {
  const gap = Math.max(1, Math.round(Math.min(grid.rows, grid.columns) / 12));
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

function editWords(view) {
  const { branch, step } = view.now;
  const made = view.run(view.now.trace)?.edits.filter((edit) => touches(edit, { branch, step })) ?? [];
  return made.length ? `Edited at this step: ${made.map((edit) => edit.text).join("; ")}` : "";
}

/* Everything but the pixels, which is the same at every step. */
function lay(view, canvas, mark, grid) {
  const box = make("div", { class: "box", role: "img", "aria-label": "contact sheet, layers by frames" }, canvas, mark);
  const [rows, columns] = ["layer", "frame"].map((dim) => ({ dim, values: grid.axes[dim], labels: null }));
  const [width, height] = tileSize(grid);
  const size = [width * columns.values.length, height * rows.values.length];
  box.style.height = `${size[1]}px`;
  box.addEventListener("click", (event) => {
    const cell = cellUnder(event, box, rows.values.length, columns.values.length);
    if (cell) view.set({ layer: rows.values[cell[0]], frame: columns.values[cell[1]] });
  });
  const run = runOf(view.payload, view.now.trace);
  return ruled({ run, rows, columns, box, size });
}

function chooser(view) {
  const choices = () => (view.now.with === null ? [["first", ""]] : Object.keys(GRIDS).map((key) => [key, key]));
  return select(view, "contact sheet of", ["with"], {
    choices, chosen: (now) => now.sheet, choose: (sheet) => view.set({ sheet }),
  });
}

export function contactSheet(view) {
  const [canvas, mark, held] = [make("canvas"), make("span", { class: "mark" }), {}];
  const [holder, edits] = [make("div", { class: "scroll" }), make("p", { class: "edited said" })];
  view.on(["trace", "map", "with", "sheet", "grids"], (now) => {
    const grid = gridOf(view);
    if (grid && view.grids.key === gridKey(now)) holder.replaceChildren(lay(view, canvas, mark, grid));
  });
  view.on(["trace", "map", "with", "sheet", "grids", "branch", "step", "scale"], (now) => {
    const grid = gridOf(view);
    if (grid && view.grids.key === gridKey(now)) paint(canvas, held, grid, now);
    edits.textContent = editWords(view);
  });
  view.on(["trace", "map", "with", "sheet", "grids", "layer", "frame"], (now) => {
    const grid = gridOf(view);
    if (!grid) return;
    const { layer, frame } = grid.axes;
    markCell(mark, layer.indexOf(now.layer), frame.indexOf(now.frame), layer.length, frame.length);
  });
  return make("div", { class: "sheet" }, chooser(view), holder, edits);
}
