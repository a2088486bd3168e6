'use strict';
// Process 1 of the container: acts on what the state decides.

const { ChildHandle } = require('./childhandle');
const { ContainerStream } = require('./containerstream');
const { monotonic } = require('./descriptors');
const { errorObject } = require('./errors');
const { Exchange } = require('./exchange');
const { expand } = require('./indexes');
const { wellFormed } = require('./json');
const { Memory } = require('./memory');
const { parse, stringify } = require('./natives');
const { processes, zombies } = require('./processes');
const { sharedMemoryAdvice } = require('./sharedmemory');
const { Schedule, WorkerState } = require('./state');
const { Surroundings } = require('./surroundings');
const { WITHOUT_OUTCOME, activityOf, deathOf, termination } = require('./termination');

const MAX_LIVE = 64 << 10;       // bytes of each stream that one call reports of the input that executes
const MEMORY_SPEED = 2 ** 32;    // bytes a second: the fastest that a child is expected to allocate
const STOP_CHECK_INTERVAL = 0.25;   // seconds between two checks whether the child has stopped itself
const MAX_ZOMBIES = 1000;        // see main.js
const ZOMBIE_CHECK_INTERVAL = 30;   // seconds
const EXIT_TIMEOUT = 7;          // seconds for the end of the child and the rest of its output
const DISMISS_TIMEOUT = 1;       // seconds for the child's exit handlers
const CGROUPS = '/sys/fs/cgroup';
const IGNORED_SIGNALS = ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF', 'SIGTSTP',
  'SIGTTIN', 'SIGTTOU'];

class Supervisor {
  constructor(environment) {
    const now = monotonic();
    this.code = environment.SHAREDCLOUD_CODE;
    this.device = environment.NVIDIA_VISIBLE_DEVICES;
    this.containerStreams = [new ContainerStream(process.stdout), new ContainerStream(process.stderr)];
    this.state = new WorkerState(now);
    this.child = null;
    this.ending = false;               // the child is being killed
    this.terminated = false;           // SIGTERM arrived and is not dealt with yet
    this.timer = null;
    this.scheduled = this.over = false;
    this.outputPending = false;        // there is new output, and the loop runs for it anyway
    this.step = this.step.bind(this);
    this.changed = this.changed.bind(this);
    this.memory = new Memory(CGROUPS);
    this.surroundings = new Surroundings(environment, CGROUPS);
    this.memoryAt = this.stopCheckAt = now;
    this.zombieCheckAt = now + ZOMBIE_CHECK_INTERVAL;
    for (const name of IGNORED_SIGNALS) {
      if (name !== 'SIGPROF' || parseInt(process.versions.node, 10) > 8) process.on(name, () => {});   // Node 8 warns of it
    }
    process.on('SIGTERM', () => {
      this.terminated = true;
      this.changed();
    });
    this.spawn();
    this.exchange = new Exchange(environment.SHAREDCLOUD_EXCHANGE_URL, environment.SHAREDCLOUD_TOKEN_FILE,
      environment.SHAREDCLOUD_CA_FILE, (message) => this.log(message));
    this.changed();
  }

  log(message) {
    this.containerStreams[1].write(Buffer.from('sharedcloud: ' + message + '\n'));
  }

  // -- the loop

  /** Runs a step soon. */
  changed() {
    if (this.scheduled || this.over) return;
    this.scheduled = true;
    setImmediate(this.step);
  }

  step() {
    this.scheduled = false;
    if (this.over) return;
    const state = this.state, schedule = new Schedule(monotonic());
    this.outputPending = true;         // output that is read in this step schedules no other one
    this.collect(schedule.now);
    this.checkTermination(schedule);
    this.watchChild(schedule);
    if (state.handBackDue(this.child, schedule)) this.handBack();
    this.feed(schedule);
    this.callIfDue(schedule);
    state.decideExit(this.child);
    if (state.exitStatus !== null) {
      this.exit();
      return;
    }
    this.watchSockets(schedule.now);
    clearTimeout(this.timer);
    this.timer = setTimeout(this.changed, Math.max(1, Math.ceil((schedule.next - monotonic()) * 1000)));
  }

  /** Chooses the sockets that wake the loop. The child's control socket always does. */
  watchSockets(now) {
    const child = this.child;
    if (child === null || child.pid === null) return;
    child.result.watch(child.lines.length > 0);      // the rest of a long line
    const watch = this.state.watchesOutput(child, now);
    child.streams.forEach((output) => output.reader.watch(watch));
  }

  // -- the child

  spawn() {
    this.memory.killedSince();
    this.child = new ChildHandle(this.code, this.surroundings.prepare(), this.state.limits, this.containerStreams, this.changed, () => {
      if (this.state.liveDelay === null || this.outputPending) return;
      this.outputPending = true;
      this.changed();
    });
  }

  collect(now) {
    const child = this.child;
    if (child === null) return;
    const loading = child.loading, done = child.collect();
    if (loading && !child.loading) {
      this.state.loaded();
      this.state.loadOutput = child.loadOutput || this.state.loadOutput;
    }
    this.state.addOutcomes(done, now);
  }

  feed(schedule) {
    const state = this.state, child = this.child, feeding = state.feeding(child, this.ending);
    if (feeding === null) return;
    if (!child.given.length) state.busySince = schedule.now;
    if (!child.feed(state.queue, feeding.atOnce, feeding.announceBefore, state.batchSize)) schedule.reached(schedule.now + 0.01);
  }

  handBack() {
    this.state.handBack(this.child === null ? [] : this.child.recall());
  }

  watchChild(schedule) {
    const state = this.state, child = this.child;
    if (this.ending) return;
    if (child === null) {
      if (state.spawnDue(schedule)) this.spawn();
      return;
    }
    if (child.failure) {
      // Processes or descriptors are exhausted, which may be temporary.
      this.child = null;
      child.close();
      this.surroundings.clean();
      this.notLoaded(errorObject('ProcessNotStarted', 'no process could be started for the module: ' + child.failure.message),
        schedule.now);
      return;
    }
    if (child.status !== null) {
      this.endChild(null);
      return;
    }
    if (child.replaced) {
      if (child.uncaught) {
        this.log('an exception between two inputs was not caught (' + child.uncaught + '); a new process is started');
      }
      this.endChild(WITHOUT_OUTCOME);
      return;
    }
    if (!child.loading) state.observe(child, schedule, Date.now());
    const exceeded = state.limitExceeded(child, schedule) || this.memoryExceeded(schedule);
    if (exceeded !== null) this.endChild(exceeded);
    else this.watchProcesses(child, schedule);
  }

  watchProcesses(child, schedule) {
    if ((child.loading || this.state.executing !== null) && child.pid !== null && schedule.reached(this.stopCheckAt)) {
      child.continueIfStopped();
      this.stopCheckAt = schedule.now + STOP_CHECK_INTERVAL;
      schedule.reached(this.stopCheckAt);
    }
    if (process.pid === 1 && schedule.reached(this.zombieCheckAt)) {
      this.checkZombies(zombies(processes()));
      this.zombieCheckAt = schedule.now + ZOMBIE_CHECK_INTERVAL;
      schedule.reached(this.zombieCheckAt);
    }
  }

  /** The termination of a child that has used up the container's memory, or null. */
  memoryExceeded(schedule) {
    if (!this.memory.limit || !this.memory.unified || !schedule.reached(this.memoryAt)) return null;
    const headroom = this.memory.headroom();
    if (headroom <= 0) {
      return termination('Failed', 'OutOfMemory', this.memory.message() +
        ': the process was ended before the kernel ends the whole container', true);
    }
    this.memoryAt = schedule.now + Math.min(Math.max(headroom / MEMORY_SPEED, 0.01), 0.5);
    schedule.reached(this.memoryAt);
    return null;
  }

  checkZombies(count) {
    if (count <= MAX_ZOMBIES || this.state.retiring) return;
    this.state.retiring = this.state.urgent = true;
    this.log('the code left ' + count + ' zombie processes, which stay until the container ends: ' +
      'this worker ends, and a new pod takes its place');
    this.handBack();
  }

  /** Kills the child. With no reason, it has ended by itself. */
  endChild(reason) {
    this.ending = true;
    this.child.kill(() => {
      this.ending = false;
      if (this.over) return;
      this.childEnded(reason, monotonic());
      this.changed();
    });
  }

  /** Takes what a child left: outcomes, inputs that it did not begin, and those of the call that ended it. */
  childEnded(reason, now) {
    const state = this.state, child = this.child;
    this.collect(now);                 // it may have finished just before it was ended
    state.requeue(child.recall());
    child.streams.forEach((output) => output.drain());
    if (reason === null) reason = this.deathOf(child);
    // In a call of several inputs all claimed ones have begun. A child with one input a call may have claimed the next.
    const ended = child.begun ? child.given.splice(0, state.batchSize > 1 ? child.given.length : 1) : [];
    if (child.loading) {
      state.loadOutput = child.printedWhileLoading() || state.loadOutput;
      this.notLoaded(child.loadError || errorObject(reason.type, reason.message), now);
    } else if (ended.length) {
      if (reason === WITHOUT_OUTCOME) state.urgent = true;       // the input goes back
      else this.conclude(child, ended, reason, now);
    } else if (reason !== WITHOUT_OUTCOME) {
      this.log('the process ended between two inputs (' + reason.message + '); a new one is started');
    }
    state.requeue(child.given.filter((item) => !child.ignored.has(item[0])));    // claimed and not begun
    child.close();
    this.surroundings.clean();
    this.child = state.executing = null;
    this.checkZombies(child.zombies);
  }

  deathOf(child) {
    const activity = activityOf(child.loading);
    if (child.status && child.status.signal === 'SIGKILL' && this.memory.killedSince()) {
      return termination('Failed', 'OutOfMemory', this.memory.message() + ': the kernel ended the process ' + activity, true);
    }
    if (child.status && child.status.signal === 'SIGBUS') {
      const death = deathOf(child.status, '', activity);
      return Object.assign(death, { message: death.message + sharedMemoryAdvice(process.env) });
    }
    return deathOf(child.status, child.streams[1].tail.data(64 << 10).toString('latin1'), activity);
  }

  conclude(child, items, reason, now) {
    const state = this.state, outcome = state.ended(items, child, reason, now, Date.now());
    if (outcome === null) {
      this.log(reason.message + '; the call had ' + items.length + ' inputs, which are now executed one at a time');
      return;
    }
    // A program that reads only stderr must find the reason there.
    child.streams[1].add(Buffer.from('sharedcloud: ' + reason.message + '\n'));
    state.done.push([outcome.index, Buffer.from(stringify(outcome).slice(0, -1) +
      child.streams.map((output) => output.tail.fields(output.name, state.limits.outputBytes)).join('') + '}')]);
  }

  notLoaded(error, now) {
    this.state.notLoaded(error, now);
    this.log('the module could not be loaded (' + error.type + ': ' + error.message + '); the next attempt is in ' +
      this.state.loadDelay + ' s');
    this.handBack();                   // another worker may be able to
  }

  // -- calls

  callIfDue(schedule) {
    const state = this.state, child = this.child;
    if (state.calling !== null) return;
    const printed = child === null ? [] : child.streams.map((output) => output.current().total);
    const call = state.callDue(child, this.ending, schedule, printed);
    this.outputPending = state.unreportedOutput(child, printed);
    if (call !== null) this.call(call, schedule.now, printed);
  }

  call(call, now, printed) {
    const state = this.state, fields = state.beginCall(call, this.child, now);
    if (fields.executing !== undefined && state.unreportedOutput(this.child, printed) && now >= state.liveAt()) {
      fields.live = this.liveOutput(now);
    }
    state.addReports(fields, this.device);
    const parts = [Buffer.from(wellFormed(stringify(fields)).slice(0, -1) + ',"outcomes":[')];
    state.reporting.forEach((pair, i) => {
      if (i) parts.push(Buffer.from(','));
      parts.push(pair[1]);
    });
    parts.push(Buffer.from(']}'));
    this.exchange.call(Buffer.concat(parts), fields.waitSeconds, (status, answer) => {
      if (this.over) return;
      this.answered(status, answer, monotonic());
      this.changed();
    });
  }

  /** The field `live` of a call. */
  liveOutput(now) {
    const state = this.state, fields = { index: state.executing[0], startTime: state.began * 1000 }, sent = state.liveSent();
    this.child.streams.forEach((output, i) => {
      const [from, data] = output.current().since(sent[i], MAX_LIVE);
      if (!data.length) return;
      fields[output.name] = data.toString('base64');
      fields[output.name + 'From'] = from;
      sent[i] = from + data.length;
    });
    state.live.at = now;
    return fields;
  }

  answered(status, answer, now) {
    const state = this.state;
    if (status === 200) {
      state.applySettings(answer);
      this.collect(now);               // a revoked input may have finished
      if (answer.revoked) this.revoke(expand(answer.revoked));
      if (state.answered(answer, now)) this.terminated = true;
    } else if (status === 404) {
      state.exitStatus = 0;
    } else if (status === 413) {
      state.tooLarge(outcomeTooLarge);
    } else if (status === 400 && state.refused((index, data) => outcomeRefused(index, data, answer))) {
      this.log('the exchange refuses a report, which is split: ' + answer);
    } else {
      this.log('the exchange refuses this worker (' + status + '): ' + answer);
      state.exitStatus = 1;
    }
  }

  revoke(revoked) {
    if (this.child !== null) this.state.requeue(this.child.recall());
    if (this.state.revoke(revoked, this.child) && !this.ending) this.endChild(WITHOUT_OUTCOME);
  }

  // -- the end

  checkTermination(schedule) {
    if (this.terminated) {
      this.terminated = false;
      if (this.state.leave(schedule.now)) this.handBack();
    }
    if (this.state.leaveTimeoutReached(this.child, this.ending, schedule)) this.endChild(WITHOUT_OUTCOME);
  }

  exit() {
    this.over = true;
    clearTimeout(this.timer);
    const child = this.child, status = this.state.exitStatus;
    const leave = () => {
      if (child !== null) child.close();
      this.surroundings.close();
      const deadline = monotonic() + 1;
      const look = () => {
        if (this.containerStreams.every((output) => !output.pending) || monotonic() > deadline) process.exit(status);
        setTimeout(look, 5);
      };
      look();
    };
    setTimeout(() => process.exit(status), EXIT_TIMEOUT * 1000);
    if (child === null) leave();
    else if (this.state.finished && status === 0 && !child.loading) child.dismiss(DISMISS_TIMEOUT, leave);
    else child.kill(leave);
  }
}

/** The outcome in place of one that the exchange does not accept. */
function replacedOutcome(index, data, type, message) {
  const { startTime, durationMicros } = parse(data.toString());
  return Buffer.from(stringify({ index, status: 'Failed', error: errorObject(type, message), startTime, durationMicros }));
}

function outcomeTooLarge(index, data) {
  return replacedOutcome(index, data, 'ResultTooLarge', 'the exchange does not accept an outcome of ' + data.length +
    ' bytes: return less, or store the data elsewhere and return a reference to it');
}

function outcomeRefused(index, data, answer) {
  return replacedOutcome(index, data, 'ResultRefused', 'the exchange does not accept the outcome of this input (' +
    String(answer).slice(0, 1000) + '): return a simpler value, such as a text that contains it');
}

module.exports = { Supervisor };
