'use strict';
// What the supervisor decides: from values and the time, without processes, sockets or clocks.
//
// `child` is what is known of the child, null if there is none:
//   loading, started    its module is not loaded yet; when the process was started
//   given, begun        inputs that it has, in order; how many of them the current call of the handler has
//   ignored             indexes of them that were revoked
//   replaced, pid       it asks for another process in its place; null until there is a process

const { LIMITS, POD_ENDED } = require('./constants');
const { errorObject } = require('./errors');
const { compress, expand } = require('./indexes');
const { termination } = require('./termination');

const PROTOCOL = 1;
const MAX_MESSAGE_INPUTS = 128;  // inputs in one message to the child
const SHORT_INPUT = 0.005;       // seconds; inputs that take less are not announced one by one
const MAX_BODY = 8 << 20;        // bytes of a call before outcomes are left for the next one
const REPORT_DELAY = 0.1;        // seconds that an outcome waits for others to be reported with
const LOAD_TIMEOUT = 600;        // seconds that loading may take; or the time limit of an input, if that is longer
const LEAVE_TIMEOUT = 20;        // seconds that the current input has after SIGTERM when the pod is ending

/** The time of one pass of the loop, and when the next one is due. */
class Schedule {
  constructor(now) {
    this.now = now;
    this.next = now + 3600;
  }

  /** Whether the moment has come. If not, the next pass is due then. */
  reached(moment) {
    if (this.now >= moment) return true;
    this.next = Math.min(this.next, moment);
    return false;
  }
}

class WorkerState {
  constructor(now) {
    // Settings of the run, with the values that hold until the first answer.
    this.limits = Object.assign({}, LIMITS);
    this.lease = 15;
    this.timeout = this.handBackDelay = null;
    this.liveDelay = null;             // seconds between reports of new output; null: none are wanted
    this.batchSize = 1;                // inputs of one call of the handler

    this.queue = [];                   // [index, isLiteral, text]: not given to the child
    this.done = [];                    // [index, JSON]: not reported
    this.doneSince = now;
    this.suspects = [];                // indexes of one call of the handler whose process ended
    this.executing = null;             // the input that executes, the first one of several
    this.since = now;                  // when it was first seen, by the monotonic clock
    this.began = 0;                    // the same in milliseconds of the wall clock
    this.average = null;               // seconds that an input takes
    this.busySince = now;              // when the child got work, or when outcomes were last read

    this.loadError = null;
    this.loadOutput = null;            // what the module printed while it was loaded, not reported yet
    this.loadDelay = 0;
    this.spawnAt = now;

    this.live = { item: null, sent: [0, 0], at: now };   // output that was reported while its input executes
    this.sequence = 0;
    this.calling = null;               // {fields, at} of the call that is not answered yet
    this.reporting = [];               // its outcomes
    this.calledAt = null;
    this.bodyLimit = MAX_BODY;
    this.countLimit = Infinity;        // outcomes in one call, after the exchange has refused one
    this.roundTrip = 0.005;
    this.urgent = false;               // call at once
    this.lastCallEmpty = false;        // the last call that wanted inputs brought none
    this.idleUntil = now;
    this.idleDelay = 0.01;

    this.finished = false;             // nothing is left for this worker
    this.leaving = false;              // SIGTERM arrived
    this.podEnding = false;            // and the exchange has confirmed that Kubernetes ends the pod
    this.leaveBy = now;
    this.retiring = false;             // there are too many zombies: another pod takes over
    this.exitStatus = null;
  }

  // -- inputs and outcomes

  /** The indexes that the worker has not reported yet. */
  held(child) {
    const given = child === null ? [] : child.given.filter((item) => !child.ignored.has(item[0]));
    return this.queue.concat(this.done, given).map((item) => item[0]);
  }

  addOutcomes(done, now) {
    if (!done.length) return;
    if (!this.done.length) this.doneSince = now;
    this.done = this.done.concat(done);
    const each = (now - this.busySince) / done.length;
    this.average = this.average === null ? each : (this.average + each) / 2;
    this.busySince = now;
  }

  /** Whether inputs are so short that a notification for each of them would cost more than they do. */
  short() {
    return this.average !== null && this.average < SHORT_INPUT;
  }

  /** Notes which input executes. */
  observe(child, schedule, wall) {
    const executing = child.begun && child.given.length ? child.given[0] : null;
    if (executing !== this.executing) {
      this.executing = executing;
      this.since = schedule.now;
      this.began = wall;
    }
    // A child with short inputs announces few of them: look again soon.
    if (child.given.length && this.short()) schedule.reached(schedule.now + REPORT_DELAY / 2);
  }

  /** How to feed the child: {atOnce, announceBefore} for ChildHandle.feed. Null if it gets nothing now. */
  feeding(child, ending) {
    if (!this.queue.length || child === null || child.pid === null || child.loading || child.replaced || ending) return null;
    return {
      // Complete calls in one message, so that the message and its claims arrive together.
      atOnce: Math.max(Math.floor(MAX_MESSAGE_INPUTS / this.batchSize), 1) * this.batchSize,
      announceBefore: this.short() ? Math.floor(this.callAhead() / Math.max(this.average, 1e-6)) : null,
    };
  }

  /** Whether the child's output has to be read as it comes: otherwise it is read with the outcomes. */
  watchesOutput(child, now) {
    return !child.given.length || !this.short() || now - this.since > REPORT_DELAY / 2;
  }

  /** Whether the current input, or the loading of the module, takes so long that no other input may wait for it. */
  slow(child, schedule) {
    if (this.handBackDelay === null) return false;
    if (child === null || child.loading) {
      return schedule.reached((child === null ? this.spawnAt : child.started) + this.handBackDelay);
    }
    return this.executing !== null && schedule.reached(this.since + this.handBackDelay);
  }

  handBackDue(child, schedule) {
    const behind = this.queue.length || child !== null && child.given.length > 1;
    return Boolean(behind && (this.leaving || this.retiring || this.slow(child, schedule)));
  }

  /** Hands back all inputs that have not begun: the next call, made at once, does not list them in `held`. */
  handBack(recalled) {
    if (!this.queue.length && !recalled.length) return;
    this.queue = [];
    this.urgent = true;
  }

  /** Puts inputs that were taken back from the child before the others. */
  requeue(recalled) {
    this.queue = recalled.concat(this.queue);
  }

  /** Drops inputs that the exchange has given to other workers. Returns whether the child's call has no other input. */
  revoke(revoked, child) {
    const kept = (pair) => !revoked.has(pair[0]);
    this.done = this.done.filter(kept);
    this.queue = this.queue.filter(kept);
    if (child === null) return false;
    for (const item of child.given) if (revoked.has(item[0])) child.ignored.add(item[0]);
    const called = child.given.slice(0, Math.max(child.begun, 1));
    return called.length > 0 && called.every((item) => child.ignored.has(item[0]));
  }

  // -- the child

  spawnDue(schedule) {
    return Boolean(this.queue.length || !this.finished) && !this.retiring && schedule.reached(this.spawnAt);
  }

  loaded() {
    this.loadError = null;
    this.loadDelay = 0;
  }

  /** Notes that the module could not be loaded, and when to try again. */
  notLoaded(error, now) {
    this.loadError = error;
    this.loadDelay = Math.min(Math.max(1, this.loadDelay * 2), 10);
    this.spawnAt = now + this.loadDelay;
    this.urgent = true;
  }

  /** The termination of a child that has exceeded a time limit, or null. */
  limitExceeded(child, schedule) {
    if (child.loading) {
      const timeout = Math.max(LOAD_TIMEOUT, this.timeout || 0);
      if (!schedule.reached(child.started + timeout)) return null;
      return termination('TimedOut', 'LoadTimedOut', 'the module was not loaded within ' + timeout + ' s');
    }
    if (this.executing === null || !this.timeout || !schedule.reached(this.since + this.timeout)) return null;
    return termination('TimedOut', 'TimeLimitExceeded', 'the handler exceeded its time limit of ' + this.timeout + ' s');
  }

  /**
   * Takes the inputs of a call whose process ended. A single one has an outcome: returns it without its output. Which of
   * several ended the process is not known: they become suspects, which the exchange hands out one at a time.
   */
  ended(items, child, reason, now, wall) {
    if (items.length > 1) {
      this.suspects = this.suspects.concat(items.map((one) => one[0]).filter((index) => !child.ignored.has(index)));
      this.urgent = true;
      return null;
    }
    const item = items[0], seen = item === this.executing;
    if (!this.done.length) this.doneSince = now;
    return { index: item[0], status: reason.status, crash: reason.crash, error: errorObject(reason.type, reason.message),
      startTime: (seen ? this.began : wall) * 1000, durationMicros: seen ? Math.floor((now - this.since) * 1e6) : 0 };
  }

  // -- calls: when

  /** How many seconds of work are left in the queue when the next call should be made. */
  callAhead() {
    return 2 * this.roundTrip + 0.001;
  }

  wantsInputs(child, ending, schedule) {
    if (child === null || child.loading || child.replaced || ending || this.leaving || this.retiring || this.finished) return false;
    const waiting = this.queue.length + child.given.length - child.begun;
    if (waiting && (this.average === null || waiting * this.average > this.callAhead())) return false;
    return !this.slow(child, schedule);
  }

  /** Whether the input that executes has printed something that was not reported. `printed` is [stdout, stderr] in bytes. */
  unreportedOutput(child, printed) {
    if (this.liveDelay === null || this.executing === null || child === null || child.given[0] !== this.executing) return false;
    const sent = this.live.item === this.executing ? this.live.sent : [0, 0];
    return printed.some((total, i) => total > sent[i]);
  }

  liveAt() {
    return Math.max(this.live.at, this.since) + this.liveDelay;
  }

  heartbeatAt(child, now) {
    if (this.calledAt === null) return child !== null ? child.started + 1 : now;
    return this.calledAt + this.lease * 0.3;
  }

  /** Seconds that the exchange may keep a call open. Bounded, because a worker reacts to SIGTERM with its next call. */
  maxWait() {
    return Math.max(1, Math.floor(Math.min(10, this.lease * 0.3)));
  }

  /** The call that is due: {want, wait}. Null if none is. */
  callDue(child, ending, schedule, printed) {
    if (this.calling !== null) return null;
    const busy = Boolean(this.queue.length || child !== null && child.given.length);
    const want = this.wantsInputs(child, ending, schedule);
    let due = this.urgent || schedule.reached(this.heartbeatAt(child, schedule.now));
    if (this.unreportedOutput(child, printed)) due = due || schedule.reached(this.liveAt());
    if (this.done.length) due = due || !busy || schedule.reached(this.doneSince + REPORT_DELAY);
    if (want) due = due || (busy ? !this.lastCallEmpty : schedule.reached(this.idleUntil));
    return due ? { want, wait: busy || !want ? 0 : this.maxWait() } : null;
  }

  // -- calls: what

  /** Begins a call: returns its fields except the outcomes, which are in `reporting`. */
  beginCall(call, child, now) {
    let size = 0, count = 0;
    while (count < Math.min(this.done.length, this.countLimit) && (!count || size + this.done[count][1].length <= this.bodyLimit)) {
      size += this.done[count++][1].length;
    }
    this.reporting = this.done.splice(0, count);
    const wait = this.done.length ? 0 : call.wait;       // with outcomes left, the next call follows at once
    const fields = { protocol: PROTOCOL, sequence: this.sequence + 1, held: compress(this.held(child)), want: call.want,
      waitSeconds: wait, leaving: this.leaving };
    const item = this.executing;
    if (item !== null && child.given[0] === item && !child.ignored.has(item[0])) fields.executing = item[0];
    this.calling = { fields, at: now };
    this.calledAt = now;
    this.urgent = this.done.length > 0;
    return fields;
  }

  /** Adds what is reported once, and the device. */
  addReports(fields, device) {
    if (this.loadError !== null) {
      fields.loadError = this.loadError;
      this.loadError = null;
    }
    if (this.loadOutput !== null) {
      fields.loadOutput = this.loadOutput;
      this.loadOutput = null;
    }
    if (device !== undefined) fields.device = device;
    if (this.suspects.length) {
      fields.suspects = compress(this.suspects);
      this.suspects = [];
    }
  }

  /** Output of the executing input that was reported so far, in bytes of stdout and stderr. */
  liveSent() {
    if (this.live.item !== this.executing) this.live = { item: this.executing, sent: [0, 0], at: this.live.at };
    return this.live.sent;
  }

  // -- answers

  /** Takes the settings of the run from an answer. */
  applySettings(answer) {
    this.lease = answer.leaseSeconds || this.lease;
    this.timeout = answer.timeoutSeconds || this.timeout;
    this.batchSize = answer.batchSize || 1;
    if (answer.liveMillis) this.liveDelay = answer.liveMillis / 1000;
    if (answer.handBackMillis) this.handBackDelay = answer.handBackMillis / 1000;
    Object.assign(this.limits, answer.limits);
  }

  /** Takes the rest of an answer. Returns whether the pod is ending: its SIGTERM came before there was a handler for it. */
  answered(answer, now) {
    const { fields, at } = this.calling, took = now - at, inputs = answer.inputs;
    this.sequence++;
    this.countLimit *= 2;
    this.reporting = [];
    this.calling = null;
    this.queue = this.queue.concat(inputs);
    if (inputs.length || !fields.waitSeconds) this.roundTrip += (Math.min(took, 1) - this.roundTrip) / 4;
    if (fields.want) this.lastCallEmpty = !inputs.length;
    if (inputs.length || took > 0.05) {
      this.idleDelay = 0.01;
    } else {
      // The exchange did not keep the call open: call less and less often.
      this.idleDelay = Math.min(this.idleDelay * 2, 0.5);
      this.idleUntil = now + this.idleDelay;
    }
    if (fields.leaving) {
      // A worker that holds something gets `finished` only if its pod is ending.
      if (answer.action === 'finished' && fields.held) this.podEnding = true;
      else if (answer.action !== 'finished' && answer.action !== 'stop') this.leaving = this.podEnding = false;
    }
    this.finished = answer.action === 'finished';
    if (answer.action === 'stop') this.exitStatus = fields.leaving ? POD_ENDED : 0;
    return Boolean(answer.podEnding);
  }

  /** Takes a 413: the outcomes go in several calls. One that is too large alone is replaced, by `replace(index, data)`. */
  tooLarge(replace) {
    if (this.reporting.length === 1) this.replaceOutcome(replace);
    this.bodyLimit = Math.max(1 << 16, this.reporting.reduce((sum, pair) => sum + pair[1].length, 0) >> 1);
    this.reportAgain();
  }

  /**
   * Takes a 400: the outcomes go in several calls, until the one that the exchange refuses is alone. It is replaced, by
   * `replace(index, data)`, once. Returns false if the reason is not an outcome.
   */
  refused(replace) {
    if (!this.reporting.length) return false;
    if (this.reporting.length === 1) {
      if (this.reporting[0][2]) return false;
      this.replaceOutcome(replace);
    }
    this.countLimit = Math.max(1, this.reporting.length >> 1);
    this.reportAgain();
    return true;
  }

  replaceOutcome(replace) {
    const [index, data] = this.reporting[0];
    this.reporting[0] = [index, replace(index, data), true];
  }

  /** Puts back what a refused call reported. */
  reportAgain() {
    const { fields } = this.calling;
    this.done = this.reporting.concat(this.done);
    this.loadError = this.loadError || fields.loadError || null;
    this.loadOutput = this.loadOutput || fields.loadOutput || null;
    this.suspects = Array.from(expand(fields.suspects)).concat(this.suspects);
    this.reporting = [];
    this.calling = null;
    this.urgent = true;
  }

  // -- the end

  /** Begins to leave after a SIGTERM. Returns false if the worker is leaving already. */
  leave(now) {
    if (this.leaving) return false;
    this.leaving = this.urgent = true;
    this.podEnding = false;
    this.leaveBy = now + LEAVE_TIMEOUT;
    return true;
  }

  /** Whether the current input has to be ended, because the pod is. */
  leaveTimeoutReached(child, ending, schedule) {
    return this.podEnding && !ending && child !== null && child.given.length > 0 && schedule.reached(this.leaveBy);
  }

  decideExit(child) {
    if (this.calling !== null || this.exitStatus !== null || this.urgent || this.held(child).length) return;
    if (this.finished) this.exitStatus = this.podEnding ? POD_ENDED : 0;
    else if (this.retiring) this.exitStatus = 1;
  }
}

module.exports = { Schedule, WorkerState };
