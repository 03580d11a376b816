/* A filmstrip: what the video would be if it stopped at this step, steps downward and frames to the right. A click puts
   the stage there, on this film. */

import { withSteps } from "./axes.js";
import { cellUnder, make, said } from "./dom.js";
import { gaps, markCell, ruled } from "./ruler.js";
import { filmKey } from "./pictures.js";
import { address } from "./words.js";

const PICTURE_PX = [36, 72];
const FILM_PX = [960, 1200];

async function paintAll(canvas, source, film) {
  const sheet = await source.sheet(film.images);
  const { width, height, count } = film.images;
  [canvas.width, canvas.height] = [width * film.frames.length, height * film.steps.length];
  const context = canvas.getContext("2d");
  for (let at = 0; at < Math.min(count, film.steps.length * film.frames.length); at += 1) {
    const [row, column] = [Math.floor(at / film.frames.length), at % film.frames.length];
    sheet.paint(context, at, column * width, row * height);
  }
}

function sizeOf(film) {
  const { width, height } = film.images;
  const fits = Math.min(FILM_PX[0] / film.frames.length, ((FILM_PX[1] / film.steps.length) * width) / height);
  const tile = Math.max(PICTURE_PX[0], Math.min(PICTURE_PX[1], fits));
  return [tile * film.frames.length, Math.max(16, (tile * height) / width) * film.steps.length];
}

export async function filmFigure(view, source, film, caption) {
  const [canvas, mark] = [
    make("canvas", { class: film.images.width >= PICTURE_PX[1] ? "smooth" : "" }),
    make("span", { class: "mark" }),
  ];
  const [rows, columns] = [film.steps.length, film.frames.length];
  const lines = gaps(columns, rows, "calc(100% - 1px)", "calc(100% - 1px)");
  const box = make(
    "div",
    { class: "box", role: "img", "aria-label": `${film.title}: steps by frames` },
    canvas,
    lines,
    mark,
  );
  const reading = make("output", { class: "readout" }, "Point at a picture to read its address.");
  const run = view.run(film.trace);
  const at = (event) => {
    const cell = cellUnder(event, box, rows, columns);
    return cell && { branch: film.branch, step: film.steps[cell[0]], frame: film.frames[cell[1]] };
  };
  box.addEventListener(
    "pointermove",
    (event) => at(event) && reading.replaceChildren(said(address(run, at(event)), "span")),
  );
  box.addEventListener("click", (event) => {
    const place = at(event);
    if (place) view.set({ step: place.step, frame: place.frame, picture: filmKey(view.payload, film) });
  });
  await paintAll(canvas, source, film);
  const size = sizeOf(film);
  box.style.aspectRatio = `${size[0]} / ${size[1]}`;
  const steps = withSteps(run, { dim: "step", values: film.steps });
  const frames = { dim: "frame", values: film.frames };
  const plot = ruled({
    runs: [run].filter(Boolean),
    rows: steps,
    columns: frames,
    box,
    size,
    least: PICTURE_PX[0] * columns,
  });
  view.on(["step", "frame"], (now) => {
    const row = film.steps.indexOf(now.step);
    markCell(mark, row, row < 0 ? -1 : film.frames.indexOf(now.frame), rows, columns);
  });
  return make("figure", { class: "film" }, caption, make("div", { class: "scroll" }, plot), reading);
}
