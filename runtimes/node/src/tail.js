'use strict';
// The end of what one input printed to one stream.

const MAX_RECENT = 64 << 10;     // bytes that are kept as they were printed, for live output

/** Chunks with their total size. Many small buffers take more memory than their content, so they are joined. */
class Chunks {
  constructor() {
    this.parts = [];
    this.size = 0;
  }

  push(data) {
    this.parts.push(data);
    this.size += data.length;
    if (this.parts.length > 256) this.parts = [Buffer.concat(this.parts)];
  }

  /** Drops chunks from the front that are not part of the last `limit` bytes. */
  trim(limit) {
    while (this.parts.length && this.size - this.parts[0].length >= limit) this.size -= this.parts.shift().length;
  }

  joined() {
    return this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
  }
}

/** Puts a text over the beginning of another one, as a terminal does after a carriage return. Both are bytes as latin1. */
function over(shown, text) {
  text = text.replace(/\x08+$/, '');           // eslint-disable-line no-control-regex
  if (!text || /\x1b\[2?K/.test(text)) return text || shown;   // eslint-disable-line no-control-regex
  // Characters and not bytes: the other bytes of a character in UTF-8 are 80 to bf.
  let width = text.replace(/[\x80-\xbf]/g, '').length, at = 0;
  while (at < shown.length && (width > 0 || /[\x80-\xbf]/.test(shown[at]))) {
    if (!/[\x80-\xbf]/.test(shown[at])) width--;
    at++;
  }
  return text + shown.slice(at);
}

/** A line as a terminal shows it when it has executed the carriage returns. One at the end stays. */
function collapsed(line) {
  if (!line.includes('\r')) return line;
  return line.split('\r').reduce(over) + (line.endsWith('\r') ? '\r' : '');
}

/**
 * The last bytes that one input printed to one stream. It holds about twice the limit and one chunk at most.
 *
 * Up to the limit they are kept as they are. Beyond it, what carriage returns overwrite is dropped before anything is cut:
 * a progress bar does not push out the lines before it.
 */
class Tail {
  constructor() {
    this.total = 0;
    this.lines = new Chunks();         // everything; beyond the limit, the complete lines
    this.line = this.recent = null;    // beyond the limit: the incomplete line, and the last bytes as they were printed
  }

  add(data, limit) {
    this.total += data.length;
    if (this.line === null) {
      this.lines.push(data);
      if (this.lines.size <= limit) return;
      data = this.lines.joined();
      this.lines = new Chunks();
      this.line = new Chunks();
      this.recent = new Chunks();
    }
    this.recent.push(data);
    this.recent.trim(MAX_RECENT);
    this.collapse(data, limit);
  }

  collapse(data, limit) {
    if (data.indexOf(10) >= 0 || data.indexOf(13) >= 0) {
      this.line.push(data);
      const text = this.line.joined().toString('latin1'), end = text.lastIndexOf('\n') + 1;
      let rest = text.slice(end);
      const last = rest.lastIndexOf('\r');
      // The segment behind the last carriage return may continue, and so may what it overwrites.
      if (last > 0) rest = collapsed(rest.slice(0, last)).replace(/\r$/, '') + rest.slice(last);
      if (end) this.lines.push(Buffer.from(text.slice(0, end).split('\n').map(collapsed).join('\n'), 'latin1'));
      this.line = new Chunks();
      if (rest) this.line.push(Buffer.from(rest, 'latin1'));
    } else {
      this.line.push(data);
    }
    if (this.line.size > limit) {
      this.lines.push(this.line.joined());
      this.line = new Chunks();
    }
    this.lines.trim(limit);
  }

  /** Returns the bytes that are kept, at most the limit. */
  data(limit) {
    let kept = this.lines.joined();
    if (this.line !== null) {
      const line = Buffer.from(collapsed(this.line.joined().toString('latin1')), 'latin1');
      kept = Buffer.concat([kept, line]);
    }
    return kept.slice(Math.max(0, kept.length - limit));
  }

  /** Returns the end of what follows the first `known` bytes, as it was printed, at most `max` bytes: [offset, bytes]. */
  since(known, max) {
    const data = (this.recent || this.lines).joined(), size = Math.min(this.total - known, max, data.length);
    return [this.total - size, data.slice(data.length - size)];
  }

  /** Returns the fields of an outcome: the bytes that are kept, and the number of the others. */
  fields(name, limit) {
    if (!this.total) return '';
    const data = this.data(limit), dropped = this.total - data.length;
    return (data.length ? ',"' + name + '":"' + data.toString('base64') + '"' : '') + (dropped ? ',"' + name + 'Dropped":' + dropped : '');
  }

  /** Returns the last `limit` bytes as text, from the beginning of a character on. */
  text(limit) {
    const beyond = new Tail();
    beyond.add(this.data(this.total), limit);
    let data = beyond.data(limit), from = 0;
    while (data.length === limit && from < 3 && (data[from] & 0xc0) === 0x80) from++;
    let text = data.toString('utf8', from);
    while (Buffer.byteLength(text) > limit) text = text.slice(Math.ceil((Buffer.byteLength(text) - limit) / 3));   // U+FFFD is longer
    return text;
  }
}

module.exports = { Tail };
