/* The start of a page that was opened: its blocks of data are decoded from the document when they are first needed, or
   read from the files beside a page that was written as a bundle. */

import { complain, mount } from "./main.js";

const PREFIX = "dit-lens-blob-";

function fromBase64(words) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(words);
  return Uint8Array.from(atob(words), (letter) => letter.charCodeAt(0));
}

async function bytesOf(block) {
  if (!block.dataset.file) return fromBase64(block.textContent.trim());
  const answer = await fetch(block.dataset.file);
  if (!answer.ok) throw new Error(`This page has lost a file: ${block.dataset.file} (${answer.status}).`);
  return new Uint8Array(await answer.arrayBuffer());
}

function blocks() {
  const found = document.querySelectorAll(`script[id^="${PREFIX}"]`);
  return Array.from(found, (_, at) => () => bytesOf(document.getElementById(`${PREFIX}${at}`)));
}

async function openPage() {
  const element = document.getElementById("dit-lens-report");
  try {
    const payload = JSON.parse(document.getElementById("dit-lens-payload").textContent);
    const { view } = await mount(element, payload, blocks(), { page: true });
    window.ditLens = { redraws: view.redraws, view };
  } catch (error) {
    complain(element, error);
  }
}

openPage();
