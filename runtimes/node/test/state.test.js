'use strict';

const assert = require('assert');
const test = require('node:test');
const { Schedule, WorkerState } = require('../src/state');
const { termination } = require('../src/termination');

const NOTHING_PRINTED = [0, 0];
const item = (index) => [index, false, '[' + index + ']'];
const outcome = (index, size) => [index, Buffer.alloc(size || 10)];
const indexes = (pairs) => pairs.map((pair) => pair[0]);

function childWith(given, begun) {
  return { loading: false, started: 0, given: given.map(item), begun, ignored: new Set(), replaced: false, pid: 7 };
}

/** A state whose first call, at 0, was answered with settings. */
function working() {
  const state = new WorkerState(0);
  state.beginCall({ want: false, wait: 0 }, childWith([], 0), 0);
  answer(state, { leaseSeconds: 30, timeoutSeconds: 60, handBackMillis: 10000 }, 0);
  return state;
}

function answer(state, fields, now) {
  const whole = Object.assign({ action: 'work', inputs: [], limits: {} }, fields);
  state.applySettings(whole);
  return state.answered(whole, now);
}

function due(state, child, now, printed) {
  const schedule = new Schedule(now);
  return { call: state.callDue(child, false, schedule, printed || NOTHING_PRINTED), next: schedule.next };
}

test('a schedule keeps the earliest moment that has not come', () => {
  const schedule = new Schedule(10);
  assert.ok(schedule.reached(10));
  assert.ok(!schedule.reached(12));
  assert.ok(!schedule.reached(11));
  assert.strictEqual(schedule.next, 11);
});

test('an idle worker asks for inputs at once, and lets the exchange keep the call open', () => {
  assert.deepStrictEqual(due(working(), childWith([], 0), 1).call, { want: true, wait: 9 });
});

test('a worker without a loaded module calls for its heartbeat only', () => {
  const state = working(), child = Object.assign(childWith([], 0), { loading: true });
  assert.deepStrictEqual(due(state, child, 1), { call: null, next: 9 });
  assert.deepStrictEqual(due(state, child, 9).call, { want: false, wait: 0 });
});

test('a worker that executes an input of unknown length asks for no more while others wait', () => {
  const state = working();
  assert.strictEqual(due(state, childWith([1, 2], 1), 1).call, null);
  assert.deepStrictEqual(due(state, childWith([1], 1), 1).call, { want: true, wait: 0 });
});

test('after an empty answer a busy worker waits with the next request', () => {
  const state = working(), child = childWith([1], 1);
  state.beginCall(due(state, child, 1).call, child, 1);
  answer(state, {}, 1.1);
  assert.strictEqual(due(state, child, 2).call, null);
});

test('an exchange that does not keep calls open is called less and less often', () => {
  const state = working(), child = childWith([], 0), delays = [];
  for (let now = 1, i = 0; i < 8; i++) {
    state.beginCall({ want: true, wait: 9 }, child, now);
    answer(state, {}, now);
    const { call, next } = due(state, child, now);
    assert.strictEqual(call, null);
    delays.push(Math.round((next - now) * 100) / 100);
    now = next;
  }
  assert.deepStrictEqual(delays, [0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5, 0.5]);
});

test('an outcome waits for others while the worker is busy', () => {
  const state = working(), child = childWith([1, 2], 1);
  state.addOutcomes([outcome(0)], 5);
  assert.deepStrictEqual(due(state, child, 5.05), { call: null, next: 5.1 });
  assert.ok(due(state, child, 5.1).call);
  assert.ok(due(state, childWith([], 0), 5.05).call, 'an idle worker reports it at once');
});

test('the next call is not made before the answer', () => {
  const state = working(), child = childWith([], 0);
  state.beginCall({ want: true, wait: 9 }, child, 1);
  state.urgent = true;
  assert.strictEqual(due(state, child, 100).call, null);
});

test('new output is reported after the delay that the exchange asks for', () => {
  const state = working(), child = childWith([1], 1);
  state.lastCallEmpty = true;
  state.observe(child, new Schedule(1), 1000);
  assert.strictEqual(due(state, child, 2, [5, 0]).call, null, 'none is wanted');
  state.liveDelay = 0.3;
  assert.strictEqual(due(state, child, 1.1, [5, 0]).next, 1.3);
  assert.ok(due(state, child, 1.4, [5, 0]).call);
  const sent = state.liveSent();
  sent[0] = 5;
  assert.strictEqual(due(state, child, 1.4, [5, 0]).call, null, 'it was reported');
  assert.ok(due(state, child, 1.4, [5, 1]).call, 'there is more');
});

test('a call lists what is held, and what executes', () => {
  const state = working(), child = childWith([1, 2, 3], 1);
  state.queue = [item(5)];
  state.addOutcomes([outcome(0)], 1);
  state.observe(child, new Schedule(1), 1000);
  child.ignored.add(2);
  const fields = state.beginCall({ want: true, wait: 0 }, child, 2);
  assert.deepStrictEqual(fields, { protocol: 1, sequence: 2, held: '1,3,5', want: true, waitSeconds: 0, leaving: false, executing: 1 });
  assert.deepStrictEqual(indexes(state.reporting), [0]);
  child.ignored.add(1);
  state.calling = null;
  assert.ok(!('executing' in state.beginCall({ want: true, wait: 0 }, child, 2)), 'a revoked input is not reported as executing');
});

test('outcomes beyond the size of a body are left for the next call, which follows at once', () => {
  const state = working();
  state.bodyLimit = 100;
  state.addOutcomes([outcome(0, 60), outcome(1, 60)], 1);
  assert.strictEqual(state.beginCall({ want: true, wait: 9 }, null, 1).waitSeconds, 0);
  assert.deepStrictEqual([indexes(state.reporting), indexes(state.done), state.urgent], [[0], [1], true]);
});

test('a call that is too large is split, and reports its errors and suspects again', () => {
  const state = working();
  state.addOutcomes([outcome(0, 100000), outcome(1, 100000)], 1);
  state.suspects = [3, 4];
  state.loadError = { type: 'E' };
  const fields = state.beginCall({ want: false, wait: 0 }, null, 1);
  state.addReports(fields, undefined);
  assert.deepStrictEqual([fields.suspects, state.suspects, state.loadError], ['3-4', [], null]);
  state.tooLarge(() => assert.fail('no outcome is too large by itself'));
  assert.deepStrictEqual([indexes(state.done), state.suspects, state.loadError], [[0, 1], [3, 4], { type: 'E' }]);
  state.beginCall({ want: false, wait: 0 }, null, 1);
  assert.deepStrictEqual(indexes(state.reporting), [0]);
  state.tooLarge((index, data) => Buffer.from(index + ' had ' + data.length));
  assert.strictEqual(state.done[0][1].toString(), '0 had 100000');
});

test('inputs behind a slow one are handed back, and not reported as held', () => {
  const state = working(), child = childWith([1, 2], 1);
  state.observe(child, new Schedule(1), 1000);
  const early = new Schedule(10.5);
  assert.ok(!state.handBackDue(child, early));
  assert.strictEqual(early.next, 11);
  assert.ok(state.handBackDue(child, new Schedule(11)));
  state.handBack(child.given.splice(1));
  assert.deepStrictEqual([state.held(child), state.urgent], [[1], true]);
  assert.ok(!state.handBackDue(child, new Schedule(11)), 'nothing waits behind it');
});

test('revoked inputs are dropped wherever they are', () => {
  const state = working(), child = childWith([1, 2], 1);
  state.queue = [item(5), item(6)];
  state.addOutcomes([outcome(0), outcome(9)], 1);
  assert.ok(!state.revoke(new Set([0, 2, 5]), child), 'the child executes 1');
  assert.deepStrictEqual(state.held(child), [6, 9, 1]);
  assert.ok(state.revoke(new Set([1]), child), 'the call of the child has no other input');
});

test('time limits end a child', () => {
  const state = working(), child = childWith([1], 1);
  state.observe(child, new Schedule(1), 1000);
  assert.strictEqual(state.limitExceeded(child, new Schedule(60.9)), null);
  assert.strictEqual(state.limitExceeded(child, new Schedule(61)).type, 'TimeLimitExceeded');
  child.loading = true;
  assert.strictEqual(state.limitExceeded(child, new Schedule(599)), null);
  assert.strictEqual(state.limitExceeded(child, new Schedule(600)).type, 'LoadTimedOut');
  state.timeout = 900;
  assert.strictEqual(state.limitExceeded(child, new Schedule(600)), null, 'loading may take as long as an input');
});

test('the only input of a call whose process ended has an outcome, several become suspects', () => {
  const state = working(), child = childWith([1, 2, 3], 3), reason = termination('Failed', 'ProcessExited', 'it exited', true);
  state.observe(child, new Schedule(1), 1000);
  const one = state.ended([child.given[0]], child, reason, 3.5, 9000);
  assert.deepStrictEqual([one.index, one.status, one.crash, one.startTime, one.durationMicros], [1, 'Failed', true, 1e6, 2.5e6]);
  child.ignored.add(2);
  assert.strictEqual(state.ended(child.given, child, reason, 4, 9000), null);
  assert.deepStrictEqual([state.suspects, state.urgent], [[1, 3], true]);
});

test('a module that cannot be loaded is tried again after growing delays', () => {
  const state = working(), delays = [];
  for (let i = 0; i < 6; i++) {
    state.notLoaded({ type: 'E' }, 0);
    delays.push(state.spawnAt);
  }
  assert.deepStrictEqual(delays, [1, 2, 4, 8, 10, 10]);
  state.loaded();
  state.notLoaded({ type: 'E' }, 0);
  assert.strictEqual(state.spawnAt, 1);
});

test('short inputs are announced only before the next call is due', () => {
  const state = working(), child = childWith([], 0);
  state.queue = [item(1)];
  assert.deepStrictEqual(state.feeding(child, false), { atOnce: 128, announceBefore: null });
  state.average = 0.001;
  state.roundTrip = 0.01;
  state.batchSize = 50;
  assert.deepStrictEqual(state.feeding(child, false), { atOnce: 100, announceBefore: 21 });
  assert.strictEqual(state.feeding(Object.assign(child, { replaced: true }), false), null);
});

test('SIGTERM asks the exchange whether the pod is ending', () => {
  const state = working(), child = childWith([1], 1);
  assert.ok(state.leave(5));
  assert.ok(!state.leave(6), 'it is leaving already');
  const fields = state.beginCall(due(state, child, 6).call, child, 6);
  assert.deepStrictEqual([fields.leaving, fields.want], [true, false]);
  answer(state, { action: 'finished' }, 6);
  assert.ok(!state.leaveTimeoutReached(child, false, new Schedule(24)));
  assert.ok(state.leaveTimeoutReached(child, false, new Schedule(25)));
  state.decideExit(child);
  assert.strictEqual(state.exitStatus, null, 'it executes an input');
  state.decideExit(childWith([], 0));
  assert.strictEqual(state.exitStatus, 143);
});

test('a SIGTERM that is not the end of the pod is ignored', () => {
  const state = working(), child = childWith([1], 1);
  state.leave(5);
  state.beginCall({ want: false, wait: 0 }, child, 5);
  answer(state, { action: 'work' }, 5);
  assert.deepStrictEqual([state.leaving, state.podEnding], [false, false]);
});

test('a worker exits when nothing is left for it and everything is reported', () => {
  const state = working(), child = childWith([], 0);
  state.beginCall({ want: true, wait: 9 }, child, 1);
  answer(state, { action: 'finished' }, 1);
  state.addOutcomes([outcome(0)], 1);
  state.decideExit(child);
  assert.strictEqual(state.exitStatus, null, 'an outcome is not reported');
  state.beginCall({ want: false, wait: 0 }, child, 1);
  state.decideExit(child);
  assert.strictEqual(state.exitStatus, null, 'the call is not answered');
  answer(state, { action: 'finished' }, 1);
  state.decideExit(child);
  assert.strictEqual(state.exitStatus, 0);
});

test('a worker with too many zombies exits with 1, and starts no other process', () => {
  const state = working();
  state.retiring = true;
  assert.ok(!state.spawnDue(new Schedule(1)));
  assert.ok(!state.wantsInputs(childWith([], 0), false, new Schedule(1)));
  state.decideExit(null);
  assert.strictEqual(state.exitStatus, 1);
});

test('stop ends a worker with 0, or with 143 if it is leaving', () => {
  for (const leaving of [false, true]) {
    const state = working();
    if (leaving) state.leave(1);
    state.beginCall({ want: false, wait: 0 }, null, 1);
    answer(state, { action: 'stop' }, 1);
    assert.strictEqual(state.exitStatus, leaving ? 143 : 0);
  }
});
