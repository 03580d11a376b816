/* The keys. Fields keep the keys that they have everywhere; the rest is for the stage. */

import { make } from "./dom.js";

const MOVES = {
  ArrowLeft: ["step", -1],
  ArrowRight: ["step", 1],
  ArrowUp: ["layer", -1],
  ArrowDown: ["layer", 1],
};
const SHIFTED = {
  ArrowLeft: ["frame", -1],
  ArrowRight: ["frame", 1],
  ArrowUp: ["branch", -1],
  ArrowDown: ["branch", 1],
};
const TOKENS = { w: ["y", -1], s: ["y", 1], a: ["x", -1], d: ["x", 1] };

const HELP = [
  ["← →", "step"],
  ["↑ ↓", "layer"],
  ["shift ← →", "frame"],
  ["shift ↑ ↓", "branch"],
  ["w a s d", "token"],
  ["tab", "to a matrix; there the arrows choose a cell, and enter puts the stage where it was measured"],
  ["?", "this help"],
];

export function help() {
  const rows = HELP.flatMap(([key, words]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, words)]);
  const close = make("button", { type: "submit" }, "close");
  const form = make("form", { method: "dialog" }, make("h2", {}, "Keys"), make("dl", {}, ...rows), close);
  const words = make(
    "p",
    {},
    "A click on a panel of the contact sheet, a cell, a picture or a curve puts the stage there. " +
      "The address of this page holds the view: copy it to send what you see.",
  );
  form.insertBefore(words, close);
  return make("dialog", { "aria-label": "help" }, form);
}

const FIELDS = "input:not([type=checkbox]), select, textarea, [contenteditable]";

function act(view, dialog, event) {
  if (event.key === "?") dialog.open ? dialog.close() : dialog.showModal();
  const move = (event.shiftKey ? SHIFTED : MOVES)[event.key] ?? TOKENS[event.key];
  if (move) view.move(...move);
  return event.key === "?" || Boolean(move);
}

/* Listen on an element or a document; returns what stops it. */
export function listenToKeys(target, view, dialog) {
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.(FIELDS)) return;
    if (dialog.open && event.key !== "?") return;
    if (act(view, dialog, event)) event.preventDefault();
  };
  target.addEventListener("keydown", press);
  return () => target.removeEventListener("keydown", press);
}
