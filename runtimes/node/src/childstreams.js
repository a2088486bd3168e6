'use strict';
// process.stdout, process.stderr and console of the child, and their state between two calls of the handler.

const stream = require('stream');
const { writeAll } = require('./descriptors');
const { bufferFrom, fstatSync } = require('./natives');

/** A stream like process.stdout that writes synchronously, whatever kind of file the descriptor is. */
class Printer extends stream.Writable {
  constructor(fd) {
    super({ decodeStrings: true });
    this.fd = fd;
    this._type = 'fs';
  }

  _write(chunk, encoding, done) {
    try {
      writeAll(this.fd, chunk);
    } catch (error) {
      Printer.failed = true;     // the handler has closed the descriptor
    }
    done();
  }
}
Printer.failed = false;

function setStream(name, value) {
  Object.defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
}

function setConsole(value) {
  Object.defineProperty(global, 'console', { value, configurable: true, writable: true, enumerable: false });
}

class ChildStreams {
  /** Replaces Node's streams. `descriptors` are further descriptors of the files behind 1 and 2. */
  constructor(descriptors) {
    const old = parseInt(process.versions.node, 10) < 10;
    for (const name of old ? ['stdout', 'stderr'] : []) {
      // Node 8 has opened its own already; what is still written to them must not be lost.
      if (process[name]._handle && process[name]._handle.setBlocking) process[name]._handle.setBlocking(true);
    }
    for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) setStream(name, new Printer(fd));
    if (old) setConsole(new console.Console(process.stdout, process.stderr));   // Node 8 has bound its console to its own
    this.inodes = descriptors.map((fd) => fstatSync(fd).ino);
    this.streams = this.console = this.methods = null;
  }

  /** Notes what the user's module made of the streams while it was loaded: that stays. */
  remember() {
    this.streams = ['stdout', 'stderr'].map((name) => ({ name, value: process[name], write: process[name].write }));
    this.console = global.console;
    this.methods = ['log', 'info', 'debug', 'warn', 'error'].map((name) => [name, this.console[name]]);
  }

  /** Restores what a handler has replaced or ended. */
  restore() {
    for (const kept of this.streams) {
      const state = kept.value._writableState;
      if (state && (state.ending || state.destroyed) && kept.value instanceof Printer) {
        kept.value = new Printer(kept.value.fd);
        kept.write = kept.value.write;
        setStream(kept.name, kept.value);
      }
      if (process[kept.name] !== kept.value) setStream(kept.name, kept.value);
      if (kept.value.write !== kept.write) kept.value.write = kept.write;
    }
    if (global.console !== this.console) setConsole(this.console);
    for (const method of this.methods) if (this.console[method[0]] !== method[1]) this.console[method[0]] = method[1];
  }

  /** Whether a write to a descriptor has failed since the child started. */
  failed() {
    return Printer.failed;
  }

  /** Whether descriptor 1 or 2 is another file now. Node cannot duplicate descriptors, so it cannot restore them. */
  damaged() {
    try {
      return fstatSync(1).ino !== this.inodes[0] || fstatSync(2).ino !== this.inodes[1];
    } catch (error) {
      return true;
    }
  }

  /** Writes an error to stderr, as an interpreter does. */
  showError(error) {
    try {
      writeAll(2, bufferFrom(error.traceback || error.type + ': ' + error.message + '\n'));
    } catch (failure) {
      Printer.failed = true;
    }
  }
}

module.exports = { ChildStreams };
