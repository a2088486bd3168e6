'use strict';
// The process that runs the user's code.

const fs = require('fs');
const net = require('net');
const path = require('path');
const { Channel, CONTROL, ERR, OUT } = require('./channel');
const { ChildStreams } = require('./childstreams');
const { errorJSON } = require('./errors');
const { describe, neverSettled } = require('./exception');
const { readInput } = require('./input');
const { quote } = require('./json');
const {
  PromiseOfNode, apply, hrtime, immediately, isPromise, promiseThen, reallyExit, wall,
} = require('./natives');
const { encode } = require('./result');
const { eventResults, resultOf } = require('./results');
const { callbackError, expectsCallback, withSignature } = require('./signature');
const { loadHandler } = require('./usermodule');

/** One call of the handler. `parts` are its inputs if it has several. */
function newCall(index, parts) {
  return { index, started: wall(), before: hrtime(), spent: null, outcome: null, error: null, waits: false, encoding: false, parts };
}

class Child {
  constructor(file) {
    this.file = file;
    this.folders = [path.dirname(file)];   // left out where a traceback is shown
    this.channel = new Channel();
    this.call = null;                  // the call that executes
    this.number = -1;                  // claimed, and its input has not arrived yet
    this.numbers = null;               // the same for a call with several inputs
    this.announced = false;            // the supervisor wants to know when the claimed input begins
    this.state = 'loading';            // loading, idle, starting, busy, ended
    this.count = 0;
  }

  run() {
    this.channel.receive();
    try {
      fs.writeFileSync('/proc/self/oom_score_adj', '1000');
    } catch (error) {
      // Not permitted everywhere. The kernel then chooses by size.
    }
    this.streams = new ChildStreams([OUT, ERR]);
    process.on('uncaughtException', (error) => this.uncaught('uncaughtException', error));
    process.on('unhandledRejection', (error) => this.uncaught('unhandledRejection', error));
    process.on('beforeExit', () => this.neverSettles());
    this.control = new net.Socket({ fd: CONTROL, readable: true, writable: true, allowHalfOpen: true });
    this.control.unref();              // an ES module may await what never settles
    const exit = process.exit.bind(process), finish = reallyExit.bind(process);
    loadHandler(this.file, this.folders, ({ handler, error }) => {
      if (error !== null) this.reportLoadError(error);
      immediately(() => this.loaded(handler, exit, finish));   // what the module has scheduled for this turn comes first
    });
  }

  loaded(handler, exit, finish) {
    if (this.state !== 'loading') return;
    this.handler = handler;
    this.control.ref();
    this.streams.remember();
    this.channel.markOutput();
    this.channel.report('>\n');
    this.channel.notify();
    this.state = 'idle';
    this.control.on('data', (data) => {
      this.channel.push(data);
      this.resume();
    });
    this.control.on('end', () => exit(0));    // the run is finished, or the supervisor has ended
    this.control.on('error', () => finish(0));
    this.resume();
  }

  reportLoadError(error) {
    this.state = 'ended';
    this.streams.showError(error);
    this.channel.report('<' + errorJSON(error) + '\n');
    this.channel.notify();
    reallyExit.call(process, 1);
  }

  // -- from the claim to the call

  /** Continues where a claim, or the input of one, was missing. */
  resume() {
    try {
      if (this.state === 'idle') this.next();
      else if (this.state === 'starting') this.begin();
    } catch (error) {
      this.channel.exit(error);
    }
  }

  /** Claims the next input; returns whether there is one. */
  claim() {
    const claimed = this.channel.claim();
    if (claimed === null) return false;
    this.number = claimed.number;
    this.announced = claimed.announced;
    return true;
  }

  next() {
    if (!this.claim()) return;
    this.channel.report('*\n');
    if (this.announced) this.channel.notify();
    this.begin();
  }

  /** Calls the handler for the claimed input. */
  begin() {
    const inputs = this.channel.inputs;
    if (!inputs.has(this.number)) this.channel.receive();
    const item = inputs.get(this.number);
    this.state = item ? 'busy' : 'starting';
    if (!item) return;
    if (this.channel.batchSize > 1) {
      this.beginBatch();
      return;
    }
    inputs.delete(this.number);
    const call = newCall(item[0], null);
    this.call = call;
    let event;
    try {
      event = readInput(item[1], item[2]);
    } catch (error) {
      this.fail(call, error);
      return;
    }
    this.invoke(call, event);
  }

  /** Calls the handler for the claimed input and those that can be claimed with it. */
  beginBatch() {
    const inputs = this.channel.inputs;
    if (this.numbers === null) {
      this.numbers = [this.number].concat(this.channel.claimMore(this.channel.batchSize - 1));
      this.channel.report('*' + this.numbers.length + '\n');
      this.channel.notify();
    }
    const arrived = () => this.numbers.every((number) => inputs.has(number));
    if (!arrived()) this.channel.receive();
    this.state = arrived() ? 'busy' : 'starting';
    if (this.state === 'starting') return;
    const call = newCall(-1, []);
    this.call = call;
    const events = [];
    for (const number of this.numbers) {
      const item = inputs.get(number), part = { index: item[0], unreadable: false, outcome: null, error: null };
      inputs.delete(number);
      call.parts.push(part);
      try {
        events.push(readInput(item[1], item[2]));
      } catch (error) {
        part.unreadable = true;        // it fails alone; the handler does not get it
        part.error = describe(error, this.folders);
      }
    }
    this.numbers = null;
    if (events.length) this.invoke(call, events);
    else this.succeed(call, events);
  }

  /** Calls the handler, and waits if it returns a promise. */
  invoke(call, event) {
    let value, settled = true;
    try {
      call.before = hrtime();
      const handler = this.handler;    // called without the Child as its this
      value = handler(event);
      if (value !== null && (typeof value === 'object' || typeof value === 'function')) {
        const then = value.then;
        if (typeof then === 'function') {
          settled = false;
          this.wait(call);
          const promise = new PromiseOfNode((resolve, reject) => apply(then, value, [resolve, reject]));
          apply(promiseThen, promise, [(result) => this.succeed(call, result), (error) => this.fail(call, error)]);
        }
      }
    } catch (error) {
      this.fail(call, error);
      return;
    }
    if (settled && value === undefined && expectsCallback(this.handler)) this.fail(call, callbackError(this.handler));
    else if (settled) this.succeed(call, value);
  }

  // -- from the result to the outcome

  /** Encodes what the handler returned, and waits if that contains asynchronous iterators. */
  succeed(call, value) {
    if (call.outcome !== null || call.encoding) return;
    call.encoding = true;
    call.spent = hrtime(call.before);
    let waits;
    try {
      waits = call.parts === null ? this.encodeOne(call, value) : this.encodeEach(call, value);
    } catch (error) {
      this.fail(call, error);
      return;
    }
    if (waits === null) {
      this.settle(call);
      return;
    }
    this.wait(call);
    apply(promiseThen, waits, [() => {
      if (this.call !== call) return;
      call.spent = hrtime(call.before);
      this.settle(call);
    }, (error) => this.fail(call, error)]);
  }

  /** Notes that a promise settles the call: Node emits beforeExit when nothing can settle it any more. */
  wait(call) {
    call.waits = true;
    this.control.unref();
  }

  /** Returns null, or a promise if the outcome is not complete yet. */
  encodeOne(call, value) {
    const { fields, consumed, drain } = encode(value, this.channel.limit);
    const put = (text) => {
      if (call.outcome === null) call.outcome = '"status":"Succeeded",' + text;
    };
    if (drain !== null) return apply(promiseThen, drain(), [put]);
    put(fields);
    if (consumed) call.spent = hrtime(call.before);
    return null;
  }

  /** Takes the results of a call with several inputs. An Error in place of a result fails that input alone. */
  encodeEach(call, values) {
    const parts = call.parts.filter((part) => !part.unreadable);
    const put = (results) => {
      const drains = [];
      parts.forEach((part, i) => {
        try {
          const { fields, drain } = encode(resultOf(results[i]), this.channel.limit);
          if (drain === null) part.outcome = '"status":"Succeeded",' + fields;
          else drains.push({ part, drain });
        } catch (error) {
          part.error = describe(error, this.folders);
        }
      });
      if (drains.length) return this.drainEach(call, drains);
      if (call.outcome === null) call.outcome = '';
      return null;
    };
    const results = eventResults(values, parts.length);
    const waits = isPromise(results) ? apply(promiseThen, results, [put]) : put(results);
    if (waits === null) call.spent = hrtime(call.before);
    return waits;
  }

  async drainEach(call, drains) {
    for (const { part, drain } of drains) {
      try {
        part.outcome = '"status":"Succeeded",' + await drain();
      } catch (error) {
        part.error = describe(error, this.folders);
      }
    }
    if (call.outcome === null) call.outcome = '';
  }

  fail(call, error) {
    if (call.outcome !== null) return;
    call.spent = hrtime(call.before);
    call.outcome = '"status":"Failed",';
    call.error = describe(withSignature(error, this.handler), this.folders);
    this.settle(call);
  }

  /** Concludes the call one turn later, so that what the handler scheduled for this turn, and its rejections, belong to it. */
  settle(call) {
    if (call.waits) this.control.ref();
    immediately(() => {
      try {
        this.conclude(call);
      } catch (error) {
        this.channel.exit(error);
      }
    });
  }

  /** Reports the outcome and begins the next input. */
  conclude(call) {
    if (this.call !== call) return;
    this.call = null;
    const spent = Math.floor(call.spent[0] * 1e6 + call.spent[1] / 1e3);
    if (call.error !== null) {
      this.streams.showError(call.error);
      call.outcome = '"status":"Failed","error":' + errorJSON(call.error) + ',';
    }
    this.streams.restore();
    // The check costs as much as a trivial input. A handler that closes a descriptor takes longer, or its writes fail.
    const check = spent > 9 || this.streams.failed() || ++this.count % 16 === 0;
    const ended = this.state === 'ended' || check && this.streams.damaged();
    if (call.parts !== null) this.failEach(call);
    this.channel.markOutput();
    const line = call.parts === null ? this.line(call, call.index, call.outcome, spent) : this.reportBatch(call, spent);
    if (ended) {
      this.state = 'ended';            // the supervisor replaces this process
      this.channel.report('!' + line);
      this.channel.notify();
      return;
    }
    const more = this.claim();
    this.channel.report(more ? line + '*\n' : line);
    this.channel.unannounced++;
    if (!more || this.announced || this.channel.unannounced >= 64) this.channel.notify();
    this.state = 'idle';
    if (more) this.begin();
  }

  line(call, index, outcome, spent) {
    return '{"index":' + index + ',' + outcome + '"startTime":' + call.started * 1000 + ',"durationMicros":' + spent + '}\n';
  }

  /** Sets the outcomes of inputs that failed: all of the call if the call failed, else those with an error of their own. */
  failEach(call) {
    for (const part of call.parts) {
      if (call.error !== null && !part.unreadable) {
        part.outcome = call.outcome;
      } else if (part.error !== null) {
        this.streams.showError(part.error);
        part.outcome = '"status":"Failed","error":' + errorJSON(part.error) + ',';
      }
    }
  }

  /** Reports the outcomes of a call with several inputs except the last one, whose line it returns. */
  reportBatch(call, spent) {
    const each = Math.floor(spent / call.parts.length);
    let line = '';
    call.parts.forEach((part, i) => {
      if (i) this.channel.report(line);
      line = (i ? ',' : '') + this.line(call, part.index, part.outcome, each);
      part.outcome = null;             // it may be large
    });
    return line;
  }

  // -- errors outside the handler's call

  uncaught(name, error) {
    if (process.listenerCount(name) > 1) return;     // the user's module handles it
    if (this.state === 'loading') this.reportLoadError(describe(error, this.folders));
    const call = this.call;
    if (call !== null) {
      this.state = 'ended';
      call.error = describe(withSignature(error, this.handler), this.folders);
      if (call.outcome === null) this.fail(call, error);   // otherwise it is about to be concluded, with this error
    } else if (this.state !== 'ended') {
      this.state = 'ended';
      const described = describe(error, this.folders);
      this.streams.showError(described);
      this.channel.report('~' + quote(described.type + ': ' + described.message) + '\n');
      this.channel.notify();
    }
  }

  neverSettles() {
    const call = this.call;
    if (this.state === 'loading') this.reportLoadError(describe(neverSettled('what the module awaits while it is loaded'), this.folders));
    if (call === null || call.outcome !== null) return;
    this.fail(call, neverSettled('the promise that the handler returned' + (call.encoding ? ' in its result' : '')));
  }
}

module.exports = { Child };
