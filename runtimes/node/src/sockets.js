'use strict';
// Pairs of connected sockets.

const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');

/**
 * Makes pairs of connected sockets and calls done(error, [[ours, theirs], …]).
 *
 * Node has no socketpair(): the process listens in a folder of its own, connects to itself, and removes the folder.
 */
function socketPairs(count, done) {
  const made = [];
  let folder = null, failure = null;
  for (const base of ['/dev/shm', os.tmpdir()]) {
    try {
      folder = fs.mkdtempSync(path.join(base, 'sharedcloud-'));   // accessible to this user only
      break;
    } catch (error) {
      failure = error;
    }
  }
  if (folder === null) {
    done(failure, made);
    return;
  }
  const address = path.join(folder, 's');
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const remove = () => {
    for (const step of [() => fs.unlinkSync(address), () => fs.rmdirSync(folder)]) {
      try {
        step();
      } catch (error) {
        // server.close() has removed the socket.
      }
    }
  };
  process.once('exit', remove);        // the process may exit before the pairs are made
  const end = (error) => {
    if (folder === null) return;
    server.close();
    remove();
    process.removeListener('exit', remove);
    folder = null;
    if (error) made.forEach((pair) => pair.forEach((socket) => socket.destroy()));
    done(error, made);
  };
  const next = () => {
    if (made.length === count) {
      end(null);
      return;
    }
    let theirs = null, connected = false;
    const ours = new net.Socket({ allowHalfOpen: true });
    const both = () => {
      if (!theirs || !connected) return;
      made.push([ours, theirs]);
      next();
    };
    server.once('connection', (socket) => {
      theirs = socket;
      both();
    });
    ours.pause();
    ours.once('error', end);
    ours.connect({ path: address }, () => {
      connected = true;
      both();
    });
  };
  server.on('error', end);
  server.listen(address, next);
}

module.exports = { socketPairs };
