/* Numbers as a table, for who cannot see a drawing and for who wants to copy them. It is made when it is opened. */

import { make, said } from "./dom.js";

/* `lines` are [label, cells] below a head of labels. */
function asTable(head, lines) {
  const top = make("tr", {}, make("td"), ...head.map((label) => said(label, "th", { scope: "col" })));
  const rows = lines.map(([label, cells]) =>
    make("tr", {}, said(label, "th", { scope: "row" }), ...cells.map((cell) => make("td", {}, cell))),
  );
  return make("table", {}, make("thead", {}, top), make("tbody", {}, ...rows));
}

/* What opens into a table; `content` returns its head and its lines, as they are at that moment. */
export function tableBelow(content) {
  const holder = make("div", { class: "scroll" });
  const element = make("details", {}, make("summary", {}, "The same as a table"), holder);
  element.addEventListener("toggle", () => element.open && holder.replaceChildren(asTable(...content())));
  return element;
}
