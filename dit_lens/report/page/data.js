/* What the payload's blobs hold, decoded when it is first asked for. Arrays are little-endian integers under gzip that
   stand for offset + scale * q, as every machine with a browser stores them; images are whole files. */

const CODES = { uint16: Uint16Array, uint8: Uint8Array };

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/* What came of a block, under its number. What failed is not kept: a file may be there the next time. */
function kept(held, blob, begin) {
  if (!held.has(blob)) {
    const made = begin();
    held.set(blob, made);
    made.catch(() => held.delete(blob));
  }
  return held.get(blob);
}

const damaged = (blob, words) => () => {
  throw new Error(`This page is damaged: block ${blob} ${words}.`);
};

/* A quantised array. */
class Field {
  constructor(spec, codes) {
    this.spec = spec;
    this.codes = codes;
    this.strides = spec.shape.map((_, axis) => spec.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  }

  place(index) {
    return index.reduce((sum, at, axis) => sum + at * this.strides[axis], 0);
  }

  decode(code) {
    return code === this.spec.missing ? NaN : this.spec.offset + this.spec.scale * code;
  }

  value(index) {
    return this.decode(this.codes[this.place(index)]);
  }
}

/* The blobs of one page. An entry is bytes, or a function that returns them, now or later. */
export class Source {
  constructor(blobs) {
    this.blobs = blobs;
    this.arrays = new Map();
    this.pictures = new Map();
  }

  async bytes(blob) {
    const held = this.blobs[blob];
    if (held === undefined) throw new Error(`This page is damaged: it has no block ${blob}.`);
    return typeof held === "function" ? held() : held;
  }

  async field(spec) {
    const unpack = (bytes) => gunzip(bytes).catch(damaged(spec.blob, "cannot be unpacked"));
    const held = await kept(this.arrays, spec.blob, () => this.bytes(spec.blob).then(unpack));
    const values = held.byteLength / CODES[spec.dtype].BYTES_PER_ELEMENT;
    const expected = spec.shape.reduce((a, b) => a * b, 1);
    if (values !== expected) damaged(spec.blob, `has ${values} values, not ${expected}`)();
    const codes = new CODES[spec.dtype](held);
    return new Field(spec, codes);
  }

  /* One sprite sheet, and where its pictures are. */
  async sheet(spec) {
    const decode = (bytes) =>
      createImageBitmap(new Blob([bytes], { type: spec.mime })).catch(damaged(spec.blob, "is no picture"));
    return new Sheet(spec, await kept(this.pictures, spec.blob, () => this.bytes(spec.blob).then(decode)));
  }
}

/* Pictures of one size in one image. */
class Sheet {
  constructor(spec, bitmap) {
    this.spec = spec;
    this.bitmap = bitmap;
  }

  /* Draw picture `which` at (x, y), pixel for pixel. */
  paint(context, which, x, y) {
    const { width, height, columns } = this.spec;
    const [left, top] = [(which % columns) * width, Math.floor(which / columns) * height];
    context.drawImage(this.bitmap, left, top, width, height, x, y, width, height);
  }
}
