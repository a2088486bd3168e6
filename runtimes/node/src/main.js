'use strict';
/*
The worker's program for Node 8 and later: a supervisor, and the child that calls the user's handler.

The modules in src/ are joined into one file, runner.js, which is mounted into the container. It needs Node and nothing else.
`node runner.js` is the supervisor, process 1 of the container. It runs itself again, with --child, as the process that loads
the user's module once and calls handler(event) for one input after the other.

Between the two processes are pairs of connected sockets:

  claim    8 bytes for each input. The process that reads a record owns the input: the child to execute it, or the supervisor,
           which keeps the same end, to take it back. So an input that was handed back is never executed, even if a handler
           that does not return keeps the child from reading messages.
  result   A line for each outcome, written before the next input begins, and a line when one begins. So the outcomes of a
           child that ends are not lost, and the input that had begun is the one that ended it.
             *      an input begins; *4: four begin, in one call
             {…}    the outcome of the first input that has none; ,{…} has no output of its own; !… is the last one of this process
             >  <   the module is loaded, or is not, and why
             ~      an exception between two inputs was not caught
  control  To the child: inputs in batches. From the child: single bytes, on which the supervisor reads the other sockets.
           Short inputs have no such byte each, so that they do not wake the supervisor one by one.
  out, err What the child and the processes that it starts print. At the end of each input the child writes a mark, random
           bytes that cannot be guessed, into both, through descriptors of its own. Output between two marks is of one input.

With a batchSize above 1, a call of the handler gets an array of inputs: the first one that is claimed and those that can be
claimed with it. Their output is reported with the first one. When the process ends during such a call, it is not known which
input is the reason: all are reported as suspects, which the exchange hands out one at a time.

Effects beyond one input: an exception or a rejection that is not caught fails the input that executes, and the child is
replaced, because its state is unknown. An input whose promise nothing can settle any more fails at once. Timers and
promises that a handler leaves behind continue during the next inputs, and their output is reported with those.

Process 1 inherits orphans, and Node waits for no process that it did not start. Orphans are killed with the child, and their
entries in the process table (zombies) stay until the container ends. With more than MAX_ZOMBIES of them the worker finishes
its current input, hands back the others and exits with 1: its index gets a new pod before the process table is full.
*/

const { Child } = require('./child');
const { Supervisor } = require('./supervisor');

const REQUIRED = ['SHAREDCLOUD_EXCHANGE_URL', 'SHAREDCLOUD_TOKEN_FILE', 'SHAREDCLOUD_CODE'];

function main() {
  if (process.argv[2] === '--child') {
    new Child(process.argv[3]).run();
    return;
  }
  const missing = REQUIRED.filter((name) => !process.env[name]);
  if (missing.length) {
    process.stderr.write('sharedcloud: this program is started by the operator, with ' + missing.join(', ') + ' in its environment\n');
    process.exitCode = 1;
    return;
  }
  new Supervisor(process.env);
}

module.exports = { main };
