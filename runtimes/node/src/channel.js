'use strict';
// The child's ends of the sockets between it and the supervisor. The messages are described in main.js.

const { CLAIM, DESCRIPTORS_LOST, LIMITS, MAX_CLAIMS } = require('./constants');
const { readSome, writeAll } = require('./descriptors');
const { bufferFrom, parse, reallyExit, writeSync } = require('./natives');

const CLAIMS = 3, RESULT = 4, CONTROL = 5, OUT = 6, ERR = 7;   // descriptors that the child inherits

class Channel {
  constructor() {
    this.record = Buffer.alloc(CLAIM);
    this.inputs = new Map();           // by number: received and not begun
    this.limit = LIMITS.resultBytes;
    this.batchSize = 1;                // inputs of one call of the handler
    this.mark = Buffer.alloc(0);
    this.parts = null;                 // an incomplete message
    this.received = this.needed = 0;   // bytes of it
    this.unannounced = 0;              // outcomes that the supervisor was not notified of
  }

  // -- claims

  /** Claims an input: {number, announced}. Null if there is none, or the supervisor has taken it back. */
  claim() {
    const size = readSome(CLAIMS, this.record);
    if (size < 0) return null;
    if (size !== CLAIM) this.exit(null);
    return { number: this.record.readUInt32LE(0), announced: this.record[4] !== 0 };
  }

  /** Claims up to `count` more inputs and returns their numbers. */
  claimMore(count) {
    const records = Buffer.alloc(CLAIM * count), size = readSome(CLAIMS, records), numbers = [];
    for (let at = 0; at + CLAIM <= size; at += CLAIM) numbers.push(records.readUInt32LE(at));
    return numbers;
  }

  // -- from the supervisor

  /** Reads everything that the supervisor has sent. */
  receive() {
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const size = readSome(CONTROL, buffer);
      if (size === 0) reallyExit.call(process, 0);   // the supervisor has ended
      if (size < 0) return;
      this.push(bufferFrom(buffer.slice(0, size)));
    }
  }

  push(data) {
    if (this.parts !== null) {
      this.parts.push(data);
      this.received += data.length;
      if (this.received < this.needed) return;
      data = Buffer.concat(this.parts);
      this.parts = null;
    }
    let at = 0;
    while (data.length - at >= 4) {
      const size = data.readUInt32LE(at);
      if (data.length - at - 4 < size) break;
      this.take(parse(data.toString('utf8', at + 4, at + 4 + size)));
      at += 4 + size;
    }
    const rest = data.slice(at);
    if (rest.length) {
      this.parts = [rest];
      this.received = rest.length;
      this.needed = rest.length < 4 ? 4 : 4 + rest.readUInt32LE(0);
    }
  }

  take(message) {
    if (message.mark) this.mark = bufferFrom(message.mark, 'hex');
    this.limit = message.limit;
    this.batchSize = message.batchSize || 1;
    if (!message.items) return;
    // The supervisor may have taken back inputs of earlier messages.
    for (const number of this.inputs.keys()) {
      if (number >= message.first - MAX_CLAIMS) break;
      this.inputs.delete(number);
    }
    message.items.forEach((item, i) => this.inputs.set(message.first + i, item));
  }

  // -- to the supervisor

  /** Writes a line, and notifies the supervisor first if it may be longer than the socket's buffer. */
  report(line) {
    const data = bufferFrom(line, 'utf8');
    if (data.length <= 32 << 10) {
      writeAll(RESULT, data);
      return;
    }
    writeAll(RESULT, data.slice(0, 4096));
    this.notify();
    writeAll(RESULT, data.slice(4096));
  }

  /** Asks the supervisor to read the result socket. */
  notify() {
    this.unannounced = 0;
    try {
      writeSync(CONTROL, '!');
    } catch (error) {
      if (error.code !== 'EAGAIN') this.exit(error);   // EAGAIN: it has not read earlier notifications, and so will look
    }
  }

  /** Ends the output of an input. */
  markOutput() {
    writeAll(OUT, this.mark);
    writeAll(ERR, this.mark);
  }

  /** Exits because a socket failed: the supervisor has ended, or the handler has closed the socket. */
  exit(error) {
    const gone = error && (error.code === 'EPIPE' || error.code === 'ECONNRESET');
    if (error && !gone && error.code !== 'EBADF') {
      try {
        writeAll(2, bufferFrom('sharedcloud: ' + (error.stack || error) + '\n'));
      } catch (failure) {
        // stderr is closed, too.
      }
    }
    reallyExit.call(process, gone ? 0 : DESCRIPTORS_LOST);
  }
}

module.exports = { Channel, CONTROL, OUT, ERR };
