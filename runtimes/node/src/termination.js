'use strict';
// Why a child ended, or is ended, and what that means for the input that it executed.

const os = require('os');
const { DESCRIPTORS_LOST } = require('./constants');

/** The status, error and crash of the outcome; without a status, the input has no outcome and goes back. */
function termination(status, type, message, crash) {
  return { status, type, message, crash: Boolean(crash) };
}

const WITHOUT_OUTCOME = termination(null, null, null);

function activityOf(loading) {
  return loading ? 'while it loaded the module' : 'while it ran this input';
}

/** The termination of a child that ended by itself. `exit` is {status, signal}, null if it is still there; `printed` is its last stderr. */
function deathOf(exit, printed, activity) {
  const death = (type, message) => termination('Failed', type, message, true);
  if (exit === null) return death('ProcessKilled', 'the process was killed ' + activity + ' and did not end');
  const { status, signal } = exit;
  if (signal) {
    // V8 prints this in all versions, and aborts.
    if (/JavaScript heap out of memory/.test(printed)) {
      return death('OutOfMemory', 'the JavaScript heap was full ' + activity +
        ': set NODE_OPTIONS=--max-old-space-size=<MiB> in the function\'s environment to make it larger');
    }
    return death('ProcessKilled', 'the process was ended by signal ' + os.constants.signals[signal] + ' (' + signal + ') ' + activity);
  }
  if (status === DESCRIPTORS_LOST) {
    return death('ProcessExited', 'the process closed the descriptors by which it reports (status ' + status + ') ' + activity +
      ': close only what the code has opened');
  }
  return death('ProcessExited', 'the process exited with status ' + status + ' ' + activity + ': handler(event) must return');
}

module.exports = { termination, WITHOUT_OUTCOME, activityOf, deathOf };
