"""Tests of what the runner decides, section 7 of runner.py. The Go tests in runtimes/ run them, with Python 2.7 too."""
import collections
import json
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runner  # noqa: E402 (it is found by the path above)

Child = collections.namedtuple('Child', 'loading started given ignored')


def item(index):
    return index, 0, [index]


def outcome(index, size=10):
    return index, b'x' * size


def child_with(given, loading=False):
    return Child(loading, 0, collections.deque(item(index) for index in given), set())


def answer(state, now, **fields):
    state.apply_settings(fields)
    return state.answered(fields, now)


def working():
    """Returns a state whose first call, at 0, was answered with settings."""
    state = runner.WorkerState(0)
    state.begin_call(runner.Call(False, 0), child_with([]), 0)
    answer(state, 0, action='work', leaseSeconds=30, timeoutSeconds=60, handBackMillis=10000)
    return state


def due(state, child, now, waiting=0, printed=(0, 0)):
    """Returns the call that is due, and the moment of the next pass."""
    schedule = runner.Schedule(now)
    return state.call_due(child, waiting, schedule, printed), schedule.next


def executing(state, child, now, waiting=0):
    state.observe(child, waiting, runner.Schedule(now), 1000)
    return child


class Calls(unittest.TestCase):
    def test_a_schedule_keeps_the_earliest_moment_that_has_not_come(self):
        schedule = runner.Schedule(10)
        self.assertTrue(schedule.reached(10))
        self.assertFalse(schedule.reached(12))
        self.assertFalse(schedule.reached(11))
        self.assertEqual(schedule.next, 11)

    def test_an_idle_worker_asks_for_inputs_and_lets_the_exchange_keep_the_call_open(self):
        self.assertEqual(due(working(), child_with([]), 1)[0], runner.Call(True, 9))

    def test_a_worker_without_a_loaded_module_calls_for_its_heartbeat_only(self):
        state, child = working(), child_with([], loading=True)
        self.assertEqual(due(state, child, 1), (None, 9))
        self.assertEqual(due(state, child, 9)[0], runner.Call(False, 0))

    def test_a_worker_asks_for_no_more_while_an_input_of_unknown_length_waits(self):
        state = working()
        self.assertIsNone(due(state, child_with([1, 2]), 1, waiting=1)[0])
        self.assertEqual(due(state, child_with([1]), 1)[0], runner.Call(True, 0))

    def test_after_an_empty_answer_a_busy_worker_waits_with_the_next_request(self):
        state, child = working(), child_with([1])
        state.begin_call(due(state, child, 1)[0], child, 1)
        answer(state, 1.1, action='wait')
        self.assertIsNone(due(state, child, 2)[0])

    def test_an_exchange_that_does_not_keep_calls_open_is_called_less_and_less_often(self):
        state, child, now, delays = working(), child_with([]), 1, []
        for _ in range(6):
            state.begin_call(runner.Call(True, 9), child, now)
            answer(state, now, action='wait')
            call, later = due(state, child, now)
            self.assertIsNone(call)
            delays.append(round(later - now, 2))
            now = later
        self.assertEqual(delays, [0.04, 0.08, 0.16, 0.32, 0.5, 0.5])

    def test_an_outcome_waits_for_others_while_the_worker_is_busy(self):
        state, child = working(), child_with([1, 2])
        state.add_outcomes([outcome(0)], 5)
        self.assertEqual(due(state, child, 5.05, waiting=1), (None, 5.1))
        self.assertIsNotNone(due(state, child, 5.1, waiting=1)[0])
        self.assertIsNotNone(due(state, child_with([]), 5.05)[0])

    def test_the_next_call_is_not_made_before_the_answer(self):
        state, child = working(), child_with([])
        state.begin_call(runner.Call(True, 9), child, 1)
        state.urgent = True
        self.assertIsNone(due(state, child, 100)[0])

    def test_new_output_is_reported_after_the_delay_that_the_exchange_asks_for(self):
        state, child = working(), child_with([1])
        state.last_call_empty = True
        executing(state, child, 1)
        self.assertIsNone(due(state, child, 2, printed=(5, 0))[0])
        state.live_delay = 0.3
        self.assertEqual(due(state, child, 1.1, printed=(5, 0))[1], 1.3)
        self.assertIsNotNone(due(state, child, 1.4, printed=(5, 0))[0])
        self.assertEqual(state.live_reported((5, 0), 1.4), (0, 0))
        self.assertIsNone(due(state, child, 2, printed=(5, 0))[0])
        self.assertIsNotNone(due(state, child, 2, printed=(5, 1))[0])
        self.assertEqual(state.live_reported((5, 1), 2), (5, 0))

    def test_a_call_lists_what_is_held_and_what_executes(self):
        state, child = working(), child_with([1, 2, 3])
        state.queue.append(item(5))
        state.add_outcomes([outcome(0)], 1)
        executing(state, child, 1, waiting=2)
        child.ignored.add(2)
        self.assertEqual(state.begin_call(runner.Call(True, 0), child, 2), {
            'protocol': 1, 'sequence': 2, 'held': '1,3,5', 'want': True, 'waitSeconds': 0, 'leaving': False, 'executing': 1})
        self.assertEqual(state.reporting, [outcome(0)])
        child.ignored.add(1)
        self.assertNotIn('executing', state.begin_call(runner.Call(True, 0), child, 2))

    def test_outcomes_beyond_the_size_of_a_body_are_left_for_the_next_call_which_follows_at_once(self):
        state = working()
        state.body_limit = 100
        state.add_outcomes([outcome(0, 60), outcome(1, 60)], 1)
        self.assertEqual(state.begin_call(runner.Call(True, 9), None, 1)['waitSeconds'], 0)
        self.assertEqual((state.reporting, list(state.done), state.urgent), ([outcome(0, 60)], [outcome(1, 60)], True))

    def test_a_call_that_is_too_large_is_split_and_repeats_its_error_and_its_suspects(self):
        state = working()
        head = b'{"index":0,"result":"' + b'x' * 100000 + b'","startTime":5,"durationMicros":6,"stdout":"eA=="}'
        state.add_outcomes([(0, head), outcome(1, 100000)], 1)
        state.suspects, state.load_error = [3, 4], {'type': 'E'}
        fields = state.begin_call(runner.Call(False, 0), None, 1)
        state.add_reports(fields, None)
        self.assertEqual((fields['suspects'], state.suspects, state.load_error), ('3-4', [], None))
        state.too_large()
        self.assertEqual(list(state.done), [(0, head), outcome(1, 100000)])
        self.assertEqual((state.suspects, state.load_error), ([3, 4], {'type': 'E'}))
        state.begin_call(runner.Call(False, 0), None, 1)
        self.assertEqual(state.reporting, [(0, head)])
        state.too_large()
        replaced = json.loads(state.done[0][1].decode('ascii'))
        self.assertEqual([replaced['error']['type'], replaced['startTime'], replaced['durationMicros']],
                         ['ResultTooLarge', 5, 6])
        self.assertNotIn('stdout', replaced)

    def test_an_outcome_that_the_exchange_refuses_is_found_and_replaced(self):
        state, refused = working(), []
        poison = (b'{"index":5,"result":{"startTime":1,"durationMicros":2,"stdout":[]},"startTime":7,"durationMicros":8,'
                  b'"stdout":"eA=="}')
        state.add_outcomes([(index, poison if index == 5 else b'{}') for index in range(8)], 1)
        while state.done:
            state.begin_call(runner.Call(False, 0), None, 1)
            reported = [data for _, data in state.reporting]
            refused.append(poison in reported)
            if poison in reported:
                self.assertTrue(state.refused('no reason'))
                continue
            for index, data in state.reporting:
                if index == 5:
                    replaced = json.loads(data.decode('ascii'))
            answer(state, 2, action='work')
        self.assertEqual([replaced['error']['type'], replaced['startTime'], replaced['durationMicros'], replaced['stdout']],
                         ['ResultRefused', 7, 8, 'eA=='])
        self.assertLess(len(refused), 10)
        self.assertIsNone(state.report_limit)

    def test_a_call_that_is_refused_for_another_reason_ends_the_worker(self):
        state = working()
        state.begin_call(runner.Call(True, 0), None, 1)
        self.assertFalse(state.refused('no reason'))
        state = working()
        state.add_outcomes([(0, b'{"index":0,"startTime":7,"durationMicros":8}')], 1)
        for wanted in (True, False):
            state.begin_call(runner.Call(True, 0), None, 1)
            self.assertEqual(state.refused('no reason'), wanted)


class Inputs(unittest.TestCase):
    def test_inputs_behind_a_slow_one_are_handed_back_and_not_reported_as_held(self):
        state, child, early = working(), child_with([1, 2]), runner.Schedule(10.5)
        executing(state, child, 1, waiting=1)
        self.assertFalse(state.hand_back_due(child, early))
        self.assertEqual(early.next, 11)
        self.assertTrue(state.hand_back_due(child, runner.Schedule(11)))
        state.hand_back([child.given.pop()])
        self.assertEqual((state.held(child), state.urgent), ([1], True))
        self.assertFalse(state.hand_back_due(child, runner.Schedule(11)))

    def test_revoked_inputs_are_dropped_wherever_they_are(self):
        state, child = working(), child_with([1, 2])
        state.queue.extend([item(5), item(6)])
        state.add_outcomes([outcome(0), outcome(9)], 1)
        self.assertEqual(state.revoke(set([0, 2, 5]), child), (set([2]), False))
        self.assertEqual(state.held(None), [6, 9])
        self.assertEqual(state.revoke(set([1, 2]), child), (set(), True))

    def test_inputs_that_were_taken_back_come_before_the_others_in_order(self):
        state = working()
        state.queue.append(item(5))
        state.requeue([item(2), item(3)])
        self.assertEqual(state.held(None), [2, 3, 5])

    def test_short_inputs_are_announced_only_before_the_next_call_is_due(self):
        state, child = working(), child_with([])
        self.assertIsNone(state.feeding(child))
        state.queue.append(item(1))
        self.assertEqual(state.feeding(child), runner.Feeding(128, None, 1))
        state.average, state.round_trip, state.batch_size = 0.001, 0.01, 50
        self.assertEqual(state.feeding(child), runner.Feeding(100, 21, 50))
        self.assertIsNone(state.feeding(child_with([], loading=True)))


class Ends(unittest.TestCase):
    def test_time_limits_end_a_child(self):
        state, child, loading = working(), child_with([1]), child_with([], loading=True)
        executing(state, child, 1)
        self.assertIsNone(state.limit_exceeded(child, runner.Schedule(60.9)))
        self.assertEqual(state.limit_exceeded(child, runner.Schedule(61)).kind, 'TimeLimitExceeded')
        self.assertIsNone(state.limit_exceeded(loading, runner.Schedule(599)))
        self.assertEqual(state.limit_exceeded(loading, runner.Schedule(600)).kind, 'LoadTimedOut')
        state.timeout = 900
        self.assertIsNone(state.limit_exceeded(loading, runner.Schedule(600)))

    def test_the_only_input_of_a_call_has_an_outcome_and_several_become_suspects(self):
        state, child = working(), child_with([1, 2, 3])
        reason = runner.Termination('Failed', 'ProcessExited', 'it exited', True)
        executing(state, child, 1)
        one = state.ended([child.given[0]], child.ignored, reason, 3.5, 9000)
        self.assertEqual([one[key] for key in ('index', 'status', 'crash', 'startTime', 'durationMicros')],
                         [1, 'Failed', True, 1000 * 10 ** 6, 2500000])
        self.assertIsNone(state.ended(child.given, set([2]), reason, 4, 9000))
        self.assertEqual((state.suspects, state.urgent), ([1, 3], True))

    def test_what_the_module_printed_is_reported_once_and_again_after_a_413(self):
        state, child, output = working(), child_with([]), {'stdout': 'loading'}
        state.loaded(output)
        fields = {}
        state.add_reports(fields, None)
        self.assertEqual(fields, {'loadOutput': output})
        state.begin_call(runner.Call(False, 0), child, 1)
        state.calling = fields, 1
        state.too_large()
        again, then = {}, {}
        state.add_reports(again, None)
        state.add_reports(then, None)
        self.assertEqual((again, then), ({'loadOutput': output}, {}))

    def test_a_module_that_cannot_be_loaded_is_tried_again_after_growing_delays(self):
        state, delays = working(), []
        for _ in range(6):
            state.not_loaded({'type': 'E'}, 0)
            delays.append(state.spawn_at)
        self.assertEqual(delays, [1, 2, 4, 8, 10, 10])
        state.loaded()
        state.not_loaded({'type': 'E'}, 0)
        self.assertEqual(state.spawn_at, 1)

    def test_sigterm_asks_the_exchange_whether_the_pod_is_ending(self):
        state, child = working(), child_with([1])
        self.assertTrue(state.leave(5))
        self.assertFalse(state.leave(6))
        fields = state.begin_call(due(state, child, 6)[0], child, 6)
        self.assertEqual((fields['leaving'], fields['want']), (True, False))
        answer(state, 6, action='finished')
        self.assertFalse(state.leave_timeout_reached(child, runner.Schedule(24)))
        self.assertTrue(state.leave_timeout_reached(child, runner.Schedule(25)))
        state.decide_exit(child)
        self.assertIsNone(state.exit_status)
        state.decide_exit(child_with([]))
        self.assertEqual(state.exit_status, 143)

    def test_a_sigterm_that_is_not_the_end_of_the_pod_is_ignored(self):
        state = working()
        state.leave(5)
        state.begin_call(runner.Call(False, 0), child_with([1]), 5)
        answer(state, 5, action='work')
        self.assertEqual((state.leaving, state.pod_ending), (False, False))

    def test_an_answer_may_say_that_the_pod_is_ending(self):
        state = working()
        state.begin_call(runner.Call(True, 9), None, 1)
        self.assertTrue(answer(state, 1, action='work', podEnding=True))

    def test_a_worker_exits_when_nothing_is_left_for_it_and_everything_is_reported(self):
        state, child = working(), child_with([])
        state.begin_call(runner.Call(True, 9), child, 1)
        answer(state, 1, action='finished')
        state.add_outcomes([outcome(0)], 1)
        state.decide_exit(child)
        self.assertIsNone(state.exit_status)
        state.begin_call(runner.Call(False, 0), child, 1)
        state.decide_exit(child)
        self.assertIsNone(state.exit_status)
        answer(state, 1, action='finished')
        state.decide_exit(child)
        self.assertEqual(state.exit_status, 0)

    def test_stop_ends_a_worker_with_0_or_with_143_if_it_is_leaving(self):
        for leaving, status in ((False, 0), (True, 143)):
            state = working()
            if leaving:
                state.leave(1)
            state.begin_call(runner.Call(False, 0), None, 1)
            answer(state, 1, action='stop')
            self.assertEqual(state.exit_status, status)

    def test_the_reason_of_a_death_follows_from_its_status(self):
        activity = runner.activity_of(False)
        for status, kind, message in (
                (None, 'ProcessKilled', 'the process was killed while it ran this input and did not end'),
                (3 << 8, 'ProcessExited', 'exited with status 3 while it ran this input: handler(event) must return'),
                (runner.DESCRIPTORS_LOST << 8, 'ProcessExited', 'closed the descriptors by which it reports'),
                (11, 'ProcessKilled', 'ended by signal 11 (SIGSEGV)')):
            reason = runner.death_of(status, activity)
            self.assertEqual((reason.status, reason.crash, reason.kind), ('Failed', True, kind))
            self.assertIn(message, reason.message)
        self.assertIn('while it loaded the module', runner.death_of(0, runner.activity_of(True)).message)


if __name__ == '__main__':
    unittest.main()
