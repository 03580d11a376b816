/* What the payload's blobs hold, decoded when it is first asked for. Arrays are little-endian integers under gzip that
   stand for offset + scale * q, as every machine with a browser stores them; images are whole files. */

const CODES = { uint16: Uint16Array, uint8: Uint8Array };

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

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
    if (!this.arrays.has(spec.blob)) this.arrays.set(spec.blob, this.bytes(spec.blob).then(gunzip));
    const codes = new CODES[spec.dtype](await this.arrays.get(spec.blob));
    const expected = spec.shape.reduce((a, b) => a * b, 1);
    if (codes.length !== expected) {
      throw new Error(`This page is damaged: block ${spec.blob} has ${codes.length} values, not ${expected}.`);
    }
    return new Field(spec, codes);
  }

  /* One sprite sheet, and where its pictures are. */
  async sheet(spec) {
    if (!this.pictures.has(spec.blob)) {
      const decode = (bytes) => createImageBitmap(new Blob([bytes], { type: spec.mime }));
      this.pictures.set(spec.blob, this.bytes(spec.blob).then(decode));
    }
    return new Sheet(spec, await this.pictures.get(spec.blob));
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
