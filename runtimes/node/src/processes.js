'use strict';
// The processes of the container, from /proc.

const fs = require('fs');

/** Returns {parent, session, state} of every visible process, by pid. */
function processes() {
  const found = new Map();
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let text;
    try {
      text = fs.readFileSync('/proc/' + name + '/stat', 'latin1');
    } catch (error) {
      continue;                  // it has ended
    }
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    found.set(Number(name), { parent: Number(fields[1]), session: Number(fields[3]), state: fields[0] });
  }
  return found;
}

/**
 * Returns the pids of the living processes that the child `root` started, and its own.
 *
 * Process 1 inherits orphans. If that is the supervisor, all its descendants belong to the child; a process of
 * `kubectl exec` is not one of them. Outside a container only
 * sessions are compared, which a process can leave.
 */
function tree(table, root) {
  const belongs = (pid) => {
    while (table.has(pid) && pid !== process.pid) {
      if (pid === root) return true;
      pid = table.get(pid).parent;
    }
    return pid === process.pid && process.pid === 1;
  };
  return Array.from(table.keys()).filter((pid) => pid !== process.pid && table.get(pid).state !== 'Z' &&
    (table.get(pid).session === root || belongs(pid)));
}

/** Counts the zombies that process 1 has inherited: Node cannot wait for a process that it did not start. */
function zombies(table) {
  let count = 0;
  table.forEach((one) => { count += one.state === 'Z' && one.parent === process.pid ? 1 : 0; });
  return process.pid === 1 ? count : 0;
}

function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended.
  }
}

module.exports = { processes, tree, zombies, send };
