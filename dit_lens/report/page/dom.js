/* Elements are made here and nowhere else. Text of the payload is hostile until shown otherwise: it only ever becomes
   the text of a node or the value of an attribute that runs nothing (class, aria-label, title, data-*). */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/* An HTML element; children are nodes, or words that become text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/* An element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/* Words of the payload: kept apart from what stands beside them, whichever way they are written. */
export function said(words, tag = "bdi", attributes = {}) {
  return make(tag, { ...attributes, class: `${attributes.class ?? ""} said`.trim() }, String(words ?? ""));
}

/* A place on an axis as a share of its length. */
export function percent(share) {
  return `${(100 * share).toFixed(4)}%`;
}

/* Names that tie a label to its field. Several reports may stand in one notebook, each with a copy of this module, so
   counting alone would give two fields one name. */
const COPY = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
let made = 0;
export function uniqueId() {
  made += 1;
  return `dit-lens-${COPY}-${made}`;
}

/* Where a pointer is on an element that shows rows x columns: [row, column], or null beside it. */
export function cellUnder(event, element, rows, columns) {
  const box = element.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const inside = row >= 0 && row < rows && column >= 0 && column < columns;
  return inside ? [row, column] : null;
}
