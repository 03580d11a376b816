/* The pictures that can stand under a heat map: frames of the run, as a rule the final video, or what a film shows at the
   step of the view. A picture that was not kept is not replaced by its neighbour; the caption says that there is none. */

import { stepWords } from "./words.js";

/* A film by its branch and its number among those of its trace and branch: the same for every trace. */
export function filmKey(payload, film) {
  const alike = payload.films.filter((one) => one.trace === film.trace && one.branch === film.branch);
  return `film ${film.branch} ${alike.indexOf(film)}`;
}

/* The pictures that a trace has: [key, words]. Keys hold for every trace, so that two traces show the same kind. */
export function pictures(payload, trace) {
  const run = payload.runs.find((one) => one.trace === trace);
  const films = payload.films.filter((film) => film.trace === trace);
  const final = run?.frames ? [["final", wordsOf(run.frames)]] : [];
  return [...final, ...films.map((film) => [filmKey(payload, film), `${film.title}, at the step`]), ["none", "none"]];
}

/* What the frames of a run are pictures of: not every trace holds its final video. */
const wordsOf = (images) => images.words ?? "final video";

/* The frames of which a run has a picture, in the order of the pictures. */
export function framesOf(run) {
  return run?.frames?.labels ?? Array.from({ length: run?.frames?.count ?? 0 }, (_, at) => at);
}

function frameOfRun(run, frame) {
  const [which, words] = [framesOf(run).indexOf(frame), wordsOf(run.frames)];
  if (which < 0) return { images: null, words: `${words}: there is no picture of frame ${frame}` };
  return { images: run.frames, which, words: `${words}, frame ${frame}` };
}

/* Which picture stands under the heat map: its sprite sheet, its number there, and what it is. */
export function pictureAt(view, trace) {
  const { payload, now } = view;
  const run = view.run(trace);
  const key = pictures(payload, trace).some(([known]) => known === now.picture) ? now.picture : "none";
  if (key === "final") return frameOfRun(run, now.frame ?? framesOf(run)[0]);
  const film = payload.films.find((one) => one.trace === trace && key === filmKey(payload, one));
  const [row, column] = [film?.steps.indexOf(now.step) ?? -1, film?.frames.indexOf(now.frame ?? film.frames[0]) ?? -1];
  if (!film) return { images: null, words: "no picture" };
  if (row < 0 || column < 0) return { images: null, words: `${film.title} has no picture of this step and frame` };
  const words = `${film.title}, ${stepWords(run, now.step)}, frame ${film.frames[column]}`;
  return { images: film.images, which: row * film.frames.length + column, words };
}
