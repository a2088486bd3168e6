'use strict';
// The end of what one input printed to one stream.

/** The last bytes that one input printed to one stream. Holds at most the limit and one chunk. */
class Tail {
  constructor() {
    this.parts = [];
    this.kept = this.total = 0;
  }

  add(data, limit) {
    this.parts.push(data);
    this.kept += data.length;
    this.total += data.length;
    while (this.parts.length && this.kept - this.parts[0].length >= limit) this.kept -= this.parts.shift().length;
    // Many small buffers take more memory than their content.
    if (this.parts.length > 256) this.parts = [Buffer.concat(this.parts)];
  }

  /** Returns the end of what follows the first `known` bytes, at most `max` bytes: [offset of the first one, bytes]. */
  since(known, max) {
    const data = Buffer.concat(this.parts), size = Math.min(this.total - known, max, data.length);
    return [this.total - size, data.slice(data.length - size)];
  }

  /** Returns the fields of an outcome: the bytes that are kept, and the number of those dropped before them. */
  fields(name, limit) {
    if (!this.total) return '';
    let data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    data = data.slice(Math.max(0, data.length - limit));
    const dropped = this.total - data.length;
    return (data.length ? ',"' + name + '":"' + data.toString('base64') + '"' : '') + (dropped ? ',"' + name + 'Dropped":' + dropped : '');
  }
}

module.exports = { Tail };
