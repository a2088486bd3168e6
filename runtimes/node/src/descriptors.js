'use strict';
// Reads and writes descriptors; the monotonic clock.

const { hrtime, readSync, writeSync } = require('./natives');

function monotonic() {
  const time = hrtime();
  return time[0] + time[1] / 1e9;
}

let sleeper = null;

/** Blocks the process. */
function pause(milliseconds) {
  sleeper = sleeper || new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(sleeper, 0, 0, milliseconds);
}

function writeAll(fd, data) {
  let at = 0;
  while (at < data.length) {
    try {
      at += writeSync(fd, data, at, data.length - at);
    } catch (error) {
      // Another process with the same open file, usually another Node, has made it non-blocking.
      if (error.code !== 'EAGAIN') throw error;
      pause(1);
    }
  }
}

/** Returns how many bytes were read: -1 if there are none yet, 0 at the end. */
function readSome(fd, buffer) {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (error) {
    if (error.code === 'EAGAIN') return -1;
    throw error;
  }
}

module.exports = { monotonic, writeAll, readSome };
