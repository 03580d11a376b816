/* The view as a link: `#trace=..&branch=..&step=..`. Whoever follows a link may have been handed anything, so a part
   counts only if it has the form of one, and View.settle keeps only what the page has. The address is written a moment
   after the last change, because browsers refuse to write it hundreds of times in a row. */

const WORDS = ["trace", "with", "map", "branch", "picture", "scale"];
const NUMBERS = ["step", "layer", "frame", "y", "x"];
const NUMBER = /^-?\d{1,9}$/;
const PAUSE_MS = 200;

function toHash(now) {
  const parts = new URLSearchParams();
  for (const key of [...WORDS, ...NUMBERS]) {
    const plain = key === "scale" && now[key] === "fixed";
    if (now[key] !== null && now[key] !== undefined && !plain) parts.set(key, now[key]);
  }
  return `#${parts}`;
}

function fromHash(hash) {
  const parts = new URLSearchParams(hash.slice(1));
  const words = WORDS.filter((key) => parts.has(key)).map((key) => [key, parts.get(key)]);
  const numbers = NUMBERS.filter((key) => NUMBER.test(parts.get(key) ?? "")).map((key) => [
    key,
    Number(parts.get(key)),
  ]);
  return Object.fromEntries([...words, ...numbers]);
}

/* Tie a view to the address bar; returns what unties it. */
export function followHash(view) {
  let timer = null;
  const write = () => history.replaceState(null, "", toHash(view.now));
  // The event's own address: the present one may by now be what `write` wrote over it.
  const read = ({ newURL }) => view.set({ with: null, scale: "fixed", ...fromHash(new URL(newURL).hash) });
  view.set(fromHash(location.hash));
  view.on([...WORDS, ...NUMBERS], () => {
    clearTimeout(timer);
    timer = setTimeout(write, PAUSE_MS);
  });
  addEventListener("hashchange", read);
  return () => {
    clearTimeout(timer);
    removeEventListener("hashchange", read);
  };
}
