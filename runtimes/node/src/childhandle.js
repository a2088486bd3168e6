'use strict';
// The supervisor's side of one child.

const childProcess = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const { CLAIM, MARK, MAX_CLAIMS, RUNNER } = require('./constants');
const { monotonic, readSome } = require('./descriptors');
const { wellFormed } = require('./json');
const { parse, stringify, writeSync } = require('./natives');
const { OutputStream, SocketReader } = require('./output');
const { processes, send, tree, zombies } = require('./processes');
const { socketPairs } = require('./sockets');

const MAX_LOAD_OUTPUT = 8 << 10;  // bytes of each stream
const MAX_UNSENT = 1 << 20;      // bytes on their way to the child, beyond which it gets no more

/** The field loadOutput of a call; null if nothing was printed. */
function loadOutputOf(tails) {
  const [stdout, stderr] = tails.map((tail) => tail.text(MAX_LOAD_OUTPUT)), fields = {};
  if (stdout) fields.stdout = stdout;
  if (stderr) fields.stderr = stderr;
  return stdout || stderr ? fields : null;
}

/** One child: its process, its sockets, and the inputs that it was given and that have no outcome yet. */
class ChildHandle {
  /** Calls changed() when there is something to look at, and onOutput() for everything that the child prints. */
  constructor(code, environment, limits, containerStreams, changed, onOutput) {
    this.limits = limits;
    this.changed = changed;
    this.onOutput = onOutput;
    this.number = 0;
    this.given = [];                   // [index, isLiteral, text] in the order of their claims
    this.begun = 0;                    // how many of them, from the first on, the current call of the handler has
    this.lines = [];                   // of the result socket: parts of an incomplete line
    this.done = [];                    // [index, JSON] in order
    this.loading = true;
    this.loadError = this.status = this.pid = null;
    this.loadOutput = null;            // what the module printed while it was loaded
    this.replaced = false;             // the child asks for another process in its place
    this.uncaught = null;              // an exception that was thrown between two inputs
    this.unsent = 0;                   // bytes on their way to the child
    this.ignored = new Set();          // indexes that were revoked
    this.failure = null;               // why no process could be started
    this.started = monotonic();
    this.zombies = 0;                  // at the last look
    this.streams = [];
    this.containerStreams = containerStreams;
    this.mark = crypto.randomBytes(MARK);
    this.record = Buffer.alloc(MAX_CLAIMS * CLAIM);
    socketPairs(5, (error, pairs) => {
      try {
        if (error) throw error;
        this.spawn(code, environment, pairs);
      } catch (failure) {
        this.failure = failure;
        pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()));
        changed();
      }
    });
  }

  spawn(code, environment, pairs) {
    const ours = pairs.map((pair) => pair[0]), fds = pairs.map((pair) => pair[1]._handle.fd);
    [this.claims, this.resultSocket, this.control] = ours;
    this.claimsKept = pairs[0][1];
    this.claimsFd = this.claims._handle.fd;
    this.claimsKeptFd = fds[0];
    ours.forEach((socket) => socket.on('error', () => {}));
    for (const blocking of [1, 3, 4]) pairs[blocking][1]._handle.setBlocking(true);   // result, stdout and stderr
    this.result = new SocketReader(this.resultSocket, (data) => this.received(data));
    this.streams = ['stdout', 'stderr'].map((name, i) =>
      new OutputStream(name, ours[3 + i], this.containerStreams[i], this.mark, this));
    this.control.on('data', this.changed);
    this.control.resume();
    this.send({ mark: this.mark.toString('hex'), limit: this.limits.resultBytes });
    const child = childProcess.spawn(process.execPath, [RUNNER, '--child', code],
      { env: environment, stdio: ['ignore', fds[3], fds[4], fds[0], fds[1], fds[2], fds[3], fds[4]], detached: true });
    child.on('error', (error) => {
      this.failure = error;
      this.changed();
    });
    child.on('exit', (status, signal) => {
      this.status = { status, signal };
      this.changed();
    });
    this.pid = child.pid || null;
    pairs.slice(1).forEach((pair) => pair[1].destroy());
  }

  // -- inputs

  /**
   * Gives inputs to the child, as many as it may hold, at most `atOnce` in one message. Returns false if it cannot take
   * them now.
   *
   * The child announces the start of the input behind which `announceBefore` others wait; of each input if that is null.
   */
  feed(queue, atOnce, announceBefore, batchSize) {
    let room = MAX_CLAIMS - this.given.length;
    while (queue.length && room > 0 && this.unsent < MAX_UNSENT) {
      const batch = queue.splice(0, Math.min(room, atOnce)), first = this.number;
      const records = this.record.slice(0, batch.length * CLAIM).fill(0);
      const announced = announceBefore === null ? -1 : batch.length - 1 - announceBefore + queue.length;
      batch.forEach((_, i) => {
        records.writeUInt32LE(first + i, i * CLAIM);
        records[i * CLAIM + 4] = announceBefore === null || i === announced ? 1 : 0;
      });
      // The claims go first: an idle child looks for claims when a message arrives, and a child that has claimed an input
      // which has not arrived waits for the message.
      try {
        writeSync(this.claimsFd, records, 0, records.length);
      } catch (error) {
        queue.unshift.apply(queue, batch);
        return false;            // the socket is full, or the child has ended
      }
      room -= batch.length;
      this.number += batch.length;
      this.given = this.given.concat(batch);
      this.send({ first, limit: this.limits.resultBytes, batchSize, items: batch });
    }
    return true;
  }

  send(message) {
    const text = Buffer.from(wellFormed(stringify(message)));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(text.length, 0);
    const size = text.length + 4;
    this.unsent += size;
    this.control.write(Buffer.concat([head, text]), () => {
      this.unsent -= size;
      if (this.unsent < MAX_UNSENT) this.changed();
    });
  }

  /** Takes back the inputs that the child has not claimed, in order. This child does not execute them any more. */
  recall() {
    let records = 0;
    for (;;) {
      const size = this.pid === null ? -1 : readSome(this.claimsKeptFd, this.record);
      if (size <= 0) break;
      records += size / CLAIM;
    }
    return records ? this.given.splice(this.given.length - records) : [];
  }

  // -- outcomes

  /** Returns the outcomes that the child has written since the last call: [index, JSON] in order. */
  collect() {
    if (this.pid === null) return [];
    while (this.result.read(8 << 20)) { /* there may be more */ }
    const done = this.done.filter((pair) => !this.ignored.has(pair[0]));
    this.done = [];
    return done;
  }

  received(data) {
    if (data.indexOf(10) < 0) {
      this.lines.push(data);
      return;
    }
    if (this.lines.length) data = Buffer.concat(this.lines.concat(data));
    let from = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, from)) {
      this.line(data.slice(from, end));
      from = end + 1;
    }
    this.lines = from < data.length ? [data.slice(from)] : [];
    this.changed();
  }

  line(line) {
    switch (String.fromCharCode(line[0])) {
      case '*': this.begun = line.length > 1 ? Number(line.slice(1).toString()) : 1; break;
      case '!':
        this.replaced = true;
        this.line(line.slice(1));
        break;
      case '{':
        this.outcome(line, this.streams.map((output) => output.next().fields(output.name, this.limits.outputBytes)).join(''));
        break;
      case ',': this.outcome(line.slice(1), ''); break;
      case '>':
        this.loading = false;
        this.loadOutput = loadOutputOf(this.streams.map((output) => output.next()));
        break;
      case '<': this.loadError = parse(line.slice(1).toString()); break;
      case '~':
        this.replaced = true;
        this.uncaught = parse(line.slice(1).toString());
    }
  }

  outcome(line, fields) {
    const item = this.given.shift();
    this.begun = Math.max(0, this.begun - 1);
    if (!item) return;
    this.done.push([item[0], fields ? Buffer.concat([line.slice(0, -1), Buffer.from(fields + '}')]) : line]);
  }

  /** What the module has printed, of a child that has ended before it was loaded. */
  printedWhileLoading() {
    return this.streams.length ? loadOutputOf(this.streams.map((output) => output.tail)) : null;
  }

  // -- the process

  /** Continues a child that has stopped itself. */
  continueIfStopped() {
    let text;
    try {
      text = fs.readFileSync('/proc/' + this.pid + '/stat', 'latin1');
    } catch (error) {
      return;
    }
    if (text[text.lastIndexOf(')') + 2] !== 'T') return;
    send(-this.pid, 'SIGCONT');
    send(this.pid, 'SIGCONT');
  }

  /** Kills the child and all that it started, then calls done. It gives up after 5 s. */
  kill(done) {
    const started = monotonic();
    const killAll = () => {
      if (this.pid === null) {
        done();
        return;
      }
      const table = processes();
      let pids = tree(table, this.pid);
      this.zombies = zombies(table);
      if (!pids.length && this.status !== null || monotonic() > started + 5) {
        done();
        return;
      }
      if (pids.length && process.pid === 1 && monotonic() > started + 1) {
        pids = [-1];             // they fork faster than they are listed: kill everything but process 1 with one call
      }
      pids.forEach((pid) => send(pid, 'SIGKILL'));
      setTimeout(killAll, 2);
    };
    killAll();
  }

  /** Lets the child exit by itself, so that its exit handlers run; kills it after `timeout` seconds. */
  dismiss(timeout, done) {
    const deadline = monotonic() + timeout;
    if (this.pid !== null) this.control.end();
    this.streams.forEach((output) => output.reader.watch(true));
    const look = () => {
      if (this.pid === null || this.status !== null || monotonic() > deadline) this.kill(done);
      else setTimeout(look, 2);
    };
    look();
  }

  close() {
    if (!this.streams.length) return;  // it has no sockets
    this.streams.forEach((output) => output.drain());
    this.streams.forEach((output) => output.reader.close());
    this.result.close();
    [this.claims, this.claimsKept, this.control].forEach((socket) => socket.destroy());
  }
}

module.exports = { ChildHandle };
