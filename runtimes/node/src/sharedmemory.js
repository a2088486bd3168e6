'use strict';
// The container's shared memory: /dev/shm and the segments of System V.

const childProcess = require('child_process');
const fs = require('fs');

const SHARED_MEMORY = '/dev/shm';
const OWNER = 'SHAREDCLOUD_SHARED_MEMORY_OWNER';   // worker: it belongs to this container alone; user: a volume of the Function

/** Whether nothing but the child uses /dev/shm, so that what it left can be removed: never on a developer's machine. */
function ownsSharedMemory(environment) {
  if (environment[OWNER] !== 'worker') return false;
  const mounts = contentOf('/proc/self/mountinfo').split('\n').map((line) => line.split(' ')).filter((words) => words[4] === SHARED_MEMORY);
  const last = mounts[mounts.length - 1];
  return last !== undefined && last[last.indexOf('-') + 1] === 'tmpfs';
}

function contentOf(file) {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch (error) {
    return '';
  }
}

/** Bytes of a file system and the free ones of them; null if that is unknown. */
function sizeOf(folder) {
  try {
    if (fs.statfsSync) {
      const stat = fs.statfsSync(folder);
      return { size: stat.blocks * stat.bsize, free: stat.bavail * stat.bsize };
    }
    const words = childProcess.execFileSync('df', ['-kP', folder], { timeout: 2000, stdio: ['ignore', 'pipe', 'ignore'] }).toString()
      .trim().split('\n').pop().split(/\s+/);
    return { size: words[1] * 1024, free: words[3] * 1024 };
  } catch (error) {
    return null;
  }
}

/** What to add to an error whose reason may be that /dev/shm is full. */
function sharedMemoryAdvice(environment) {
  const space = sizeOf(SHARED_MEMORY);
  if (space === null || !space.size) return '';
  return (space.free * 50 < space.size ? ': shared memory is full, ' : ': if it needs more shared memory than there is in ') +
    SHARED_MEMORY + ' (' + Math.floor(space.size / (1 << 20)) + ' MiB): to get more, ' + (environment[OWNER] === 'user' ?
    'enlarge the volume that the Function mounts there' : 'set spec.pod.sharedMemory of the Function, such as 1Gi');
}

/** Segments, semaphores and queues that this user has created, as "shm 7". */
function systemV() {
  const found = new Set();
  for (const kind of ['shm', 'sem', 'msg']) {
    const lines = contentOf('/proc/sysvipc/' + kind).trim().split('\n').map((line) => line.trim().split(/\s+/));
    const creator = lines[0].indexOf('cuid');
    for (const words of lines.slice(1)) if (Number(words[creator]) === process.geteuid()) found.add(kind + ' ' + words[1]);
  }
  return found;
}

/** Removes what is new. Node cannot do that by itself: it needs the program ipcrm in the image. */
function removeSystemV(before) {
  for (const one of systemV()) {
    if (before.has(one)) continue;
    const [kind, id] = one.split(' ');
    try {
      childProcess.execFileSync('ipcrm', [{ shm: '-m', sem: '-s', msg: '-q' }[kind], id], { timeout: 2000, stdio: 'ignore' });
    } catch (error) {
      return;                          // the image does not have it
    }
  }
}

module.exports = { SHARED_MEMORY, contentOf, ownsSharedMemory, removeSystemV, sharedMemoryAdvice, systemV };
