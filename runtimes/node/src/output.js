'use strict';
// The output of a child: read from its sockets and assigned to inputs.

const { readSome } = require('./descriptors');
const { MARK } = require('./constants');
const { Tail } = require('./tail');

/** Reads one of the supervisor's sockets: synchronously on request, and by the event loop only while that is switched on. */
class SocketReader {
  constructor(socket, received) {
    this.socket = socket;
    this.handle = socket._handle;
    this.fd = this.handle.fd;
    this.received = received;    // called with what was read
    this.watched = this.closed = false;
    // The stream is in flowing mode with `reading` set, while its handle decides whether it really reads. The stream
    // therefore never buffers, and the order of the bytes is kept between the event loop's reads and those in read().
    this.handle.reading = true;
    socket.on('data', (data) => received(data));
    socket.resume();
    socket.on('end', () => { this.closed = true; });
    socket.on('error', () => { this.closed = true; });
  }

  watch(on) {
    if (on === this.watched || this.closed || this.socket.destroyed) return;
    this.watched = on;
    if (on) this.handle.readStart();
    else this.handle.readStop();
  }

  /** Reads what is available, at most about `max` bytes. Returns whether there was anything. */
  read(max) {
    let total = 0;
    while (total < max && !this.closed && !this.socket.destroyed) {
      let size;
      try {
        size = readSome(this.fd, SocketReader.buffer);
      } catch (error) {
        size = 0;
      }
      if (size < 0) break;
      if (size === 0) {
        this.closed = true;
        break;
      }
      total += size;
      this.received(Buffer.from(SocketReader.buffer.slice(0, size)));
      if (size < SocketReader.buffer.length) break;    // the socket is empty
    }
    return total > 0;
  }

  close() {
    this.closed = true;
    this.socket.destroy();
  }
}
SocketReader.buffer = Buffer.allocUnsafeSlow(256 << 10);

/** The stdout or stderr of one child, divided at the marks. */
class OutputStream {
  constructor(name, socket, containerStream, mark, child) {
    this.name = name;
    this.containerStream = containerStream;
    this.mark = mark;
    this.child = child;
    this.tail = new Tail();
    this.ended = [];             // output of inputs that have ended, in order
    this.part = null;            // bytes that may be the beginning of a mark
    this.reader = new SocketReader(socket, (data) => this.take(data));
  }

  take(data) {
    if (this.part !== null) data = Buffer.concat([this.part, data]);
    this.part = null;
    let from = 0;
    for (;;) {
      const at = data.indexOf(this.mark, from);
      if (at < 0) break;
      this.add(data.slice(from, at));
      this.ended.push(this.tail);
      this.tail = new Tail();
      from = at + MARK;
    }
    let end = data.length;
    for (let at = Math.max(from, end - MARK + 1); at < end; at++) {
      at = data.indexOf(this.mark[0], at);
      if (at < 0) break;
      if (this.mark.compare(data, at, end, 0, end - at) === 0) {
        this.part = Buffer.from(data.slice(at));
        end = at;
      }
    }
    this.add(data.slice(from, end));
  }

  add(data) {
    if (!data.length) return;
    this.tail.add(data, this.child.limits.outputBytes);
    this.containerStream.write(data);
    this.child.onOutput();
  }

  /** Returns the output so far of the input that is executing. It may have ended without its outcome being read yet. */
  current() {
    return this.ended[0] || this.tail;
  }

  /** Returns the output of the next input that has ended. */
  next() {
    while (!this.ended.length && this.reader.read(1)) { /* the child writes the mark before the outcome */ }
    return this.ended.shift() || new Tail();
  }

  /** Reads what the child left. Bounded, because a process left behind may print for ever. */
  drain() {
    this.reader.read(4 << 20);
    if (this.part !== null) this.add(this.part);
    this.part = null;
  }
}

module.exports = { SocketReader, OutputStream };
