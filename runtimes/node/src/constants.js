'use strict';
// What the supervisor and the child agree on.

const POD_ENDED = 143;           // exit status; with 0 the Job counts the index as completed and starts no other pod
const DESCRIPTORS_LOST = 197;    // exit status: the handler closed the child's own descriptors
const LIMITS = { resultBytes: 16 << 20, outputBytes: 256 << 10 };
const MAX_CLAIMS = 4096;         // inputs that are given to the child at a time
const CLAIM = 8;                 // bytes of a claim: the input's number, and whether the child announces its start
const MARK = 24;                 // bytes that end the output of an input
const RUNNER = __filename;      // in the joined file, the file itself

module.exports = { POD_ENDED, DESCRIPTORS_LOST, LIMITS, MAX_CLAIMS, CLAIM, MARK, RUNNER };
