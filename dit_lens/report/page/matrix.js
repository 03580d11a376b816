/* A matrix, one cell for each pair of entries. Pointing at a cell reads it; a click, or Enter at the cell that the arrow
   keys chose, puts the stage where the cell was measured. The cells that the stage is at are framed. The same numbers
   are there as a table. */

import { colour, DIVERGING, SEQUENTIAL } from "./colours.js";
import { pager } from "./controls.js";
import { cellUnder, make, said } from "./dom.js";
import { runOf, withSteps } from "./axes.js";
import { Link } from "./links.js";
import { markCell, ruled } from "./ruler.js";
import { colourBar } from "./scale.js";
import { tableBelow } from "./table.js";
import { PLACES } from "./view.js";
import { entryWords, number } from "./words.js";

const CELL_PX = { across: [4, 32], down: [4, 24] };
const MATRIX_PX = { across: 320, down: 440 };
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/* What a page asks of the stage. */
function pageSets({ pages, page_sets: sets }) {
  return sets ?? (pages && PLACES.includes(pages.dim) ? { [pages.dim]: pages.values } : null);
}

/* All steps that a matrix speaks of. */
function stepsOf({ rows, columns, pages, row_sets: down, column_sets: across, page_sets: sets }) {
  const own = [rows, columns, pages].filter((axis) => axis?.dim === "step").map((axis) => axis.values);
  const asked = [down, across, sets].map((one) => one?.step ?? []);
  return [...own, ...asked].flat().filter((step) => step !== null);
}

class Shown {
  constructor(view, matrix, field) {
    const { payload } = view;
    Object.assign(this, { view, matrix, field, page: 0, cell: [0, 0] });
    this.run = runOf(payload, matrix.trace, stepsOf(matrix));
    this.edited = [view.run(matrix.trace)].filter(Boolean);
    this.down = withSteps(this.run, matrix.rows, matrix.row_sets);
    this.across = withSteps(this.run, matrix.columns, matrix.column_sets);
    this.pages = matrix.pages && withSteps(this.run, matrix.pages, matrix.page_sets);
    const link = (axis, sets) => new Link(view, this.run, axis, sets);
    this.links = {
      page: link(this.pages, pageSets(matrix)),
      row: link(this.down, matrix.row_sets),
      column: link(this.across, matrix.column_sets),
    };
    [this.rows, this.columns] = [matrix.rows.values.length, matrix.columns.values.length];
    this.table = matrix.diverging ? DIVERGING : SEQUENTIAL;
    [this.canvas, this.mark, this.pointed] = [
      make("canvas"),
      make("span", { class: "mark" }),
      make("span", { class: "pointed" }),
    ];
    this.reading = make("output", { class: "readout said", "aria-live": "polite" }, "Point at a cell to read it.");
    this.bar = colourBar();
    this.below = tableBelow(() => this.numbers());
  }

  value([row, column]) {
    return this.field.value([this.page, row, column]);
  }

  range() {
    if (this.view.now.scale !== "panel") return this.matrix.range;
    const all = Array.from({ length: this.rows * this.columns }, (_, at) => this.value(this.at(at)));
    const values = all.filter((value) => !Number.isNaN(value));
    const [low, high] = values.reduce(
      ([a, b], value) => [Math.min(a, value), Math.max(b, value)],
      [Infinity, -Infinity],
    );
    if (low > high) return this.matrix.range;
    const most = Math.max(Math.abs(low), Math.abs(high));
    return this.matrix.diverging ? [-most, most] : [low, high];
  }

  at(place) {
    return [Math.floor(place / this.columns), place % this.columns];
  }

  paint() {
    const [image, range] = [new ImageData(this.columns, this.rows), this.range()];
    const pixels = new Uint32Array(image.data.buffer);
    for (let place = 0; place < pixels.length; place += 1)
      pixels[place] = colour(this.value(this.at(place)), range, this.table);
    [this.canvas.width, this.canvas.height] = [this.columns, this.rows];
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    this.bar.show({ name: this.matrix.name, units: this.matrix.units, range, table: this.table, fixed: this.fixed() });
  }

  /* For what the colours hold. */
  fixed() {
    if (this.view.now.scale === "panel") return "a scale of its own, from the values that are shown";
    return this.matrix.pages ? "one scale for all pages and traces" : "one scale for all traces";
  }

  /* Frame the cell of the stage, as far as the matrix knows where that is. */
  follow(now) {
    const [row, column] = [this.links.row.entryAt(now), this.links.column.entryAt(now)];
    markCell(this.mark, row, column, this.rows, this.columns);
  }

  read(cell) {
    const { matrix } = this;
    this.cell = cell;
    markCell(this.pointed, ...cell, this.rows, this.columns);
    const value = this.value(cell);
    const error = matrix.data.error > 0 && !Number.isNaN(value) ? ` ± ${matrix.data.error.toPrecision(1)}` : "";
    const page = matrix.pages ? [this.pageWords(this.page)] : [];
    const [row, column] = [entryWords(this.down, cell[0]), entryWords(this.across, cell[1])];
    const trace = matrix.trace === null ? "all traces" : `trace ${matrix.trace}`;
    const why = this.linked(cell).map(([link, at]) => link.why(at));
    const places = [trace, ...page, row, column, why.find(Boolean)].filter(Boolean).join(" · ");
    this.reading.replaceChildren(make("b", {}, number(value, matrix.data.error)), `${error} `, said(places, "span"));
  }

  pageWords(page) {
    const { dim, values } = this.pages;
    return dim.includes(",") ? values[page] : entryWords(this.pages, page);
  }

  /* The links of a cell, each with its entry. */
  linked([row, column]) {
    const { links } = this;
    return [
      [links.page, this.page],
      [links.row, row],
      [links.column, column],
    ];
  }

  go(cell) {
    this.view.set(Object.assign({}, ...this.linked(cell).map(([link, at]) => link.places(at))));
  }

  press(event) {
    const step = ARROWS[event.key];
    if (step && !event.shiftKey) {
      const limits = [this.rows - 1, this.columns - 1];
      this.read(this.cell.map((at, axis) => Math.max(0, Math.min(limits[axis], at + step[axis]))));
    } else if (event.key === "Enter" || event.key === " ") this.go(this.cell);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  box() {
    const label = `${this.matrix.title}: arrow keys choose a cell, Enter shows it on the stage`;
    const box = make("div", { class: "box", tabindex: "0", role: "application", "aria-label": label });
    box.append(this.canvas, this.mark, this.pointed);
    this.pointed.hidden = true;
    const under = (event) => cellUnder(event, box, this.rows, this.columns);
    box.addEventListener("pointermove", (event) => under(event) && this.read(under(event)));
    box.addEventListener("click", (event) => under(event) && this.go(under(event)));
    box.addEventListener("keydown", (event) => this.press(event));
    return box;
  }

  pager() {
    const { pages } = this.matrix;
    if (!pages || pages.values.length < 2) return null;
    const show = (page) => {
      this.page = page;
      this.below.open = false; // it holds the numbers of another page
      this.paint();
    };
    const found = pager(pages.dim, pages.values.length, (page) => this.pageWords(page), show);
    this.view.on(["trace", ...PLACES], (now) => {
      const page = this.links.page.entryAt(now);
      if (page < 0 || page === this.page) return;
      found.go(page);
      show(page);
    });
    return found.element;
  }

  numbers() {
    const { matrix } = this;
    const head = matrix.columns.values.map((_, at) => entryWords(this.across, at));
    const cells = (row) => matrix.columns.values.map((_, at) => number(this.value([row, at]), matrix.data.error));
    return [head, matrix.rows.values.map((_, row) => [entryWords(this.down, row), cells(row)])];
  }

  /* On a wide screen, in pixels; a square matrix has square cells. */
  size() {
    const cell = (way, count) =>
      Math.max(CELL_PX[way][0], Math.min(CELL_PX[way][1], Math.floor(MATRIX_PX[way] / count)));
    const down = cell("down", this.rows);
    const across = this.rows === this.columns ? down : cell("across", this.columns);
    return [across * this.columns, down * this.rows];
  }

  plot() {
    const [box, size] = [this.box(), this.size()];
    box.style.height = `${size[1]}px`;
    return ruled({ runs: this.edited, rows: this.down, columns: this.across, box, size });
  }
}

/* A matrix as a figure; `caption` comes from whoever lays out the page. */
export async function matrixFigure(view, source, matrix, caption) {
  const shown = new Shown(view, matrix, await source.field(matrix.data));
  const warnings = matrix.warnings.map((words) => said(words, "p", { class: "warning" }));
  const figure = make("figure", { class: "matrix" }, caption, ...warnings);
  figure.append(...[shown.pager(), shown.plot(), shown.bar.element, shown.reading, shown.below].filter(Boolean));
  view.on(["scale"], () => shown.paint());
  view.on(["trace", ...PLACES], (now) => shown.follow(now));
  return figure;
}
