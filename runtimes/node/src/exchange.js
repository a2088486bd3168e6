'use strict';
// The connection to the exchange.

const fs = require('fs');
const { parseAnswer } = require('./answer');

const ANSWER_MARGIN = 15;                // seconds that an answer may take beyond waitSeconds

/** Makes calls, one at a time. Each is repeated until it is answered. */
class Exchange {
  constructor(url, tokenFile, caFile, log) {
    this.address = new (require('url').URL)(url);
    this.client = require(this.address.protocol === 'https:' ? 'https' : 'http');
    this.tokenFile = tokenFile;
    this.caFile = caFile;
    this.log = log;
    this.agent = this.token = null;
    this.used = false;
    this.known = new WeakSet();
  }

  /** Calls done(status, answer) with the first answer of the exchange; a parsed one if the status is 200. */
  call(body, wait, done) {
    let delay = 0.1, reported = false;
    const again = (error) => {
      if (delay > 1 && !reported) {
        reported = true;
        this.log('the exchange does not accept a call (' + error.message + '); the worker repeats it until it does');
      }
      setTimeout(attempt, delay * (0.5 + Math.random()) * 1000);
      delay = Math.min(delay * 2, 5);
    };
    const attempt = () => {
      const used = this.used;
      this.attempt(body, wait, (error, status, text) => {
        if (error) {
          this.close();
          if (used) attempt();         // the server has closed an idle connection: no need to wait
          else again(error);
          return;
        }
        if (status === 200) {
          try {
            text = parseAnswer(text);
          } catch (unreadable) {
            this.close();
            again(unreadable);
            return;
          }
          if (reported) this.log('the exchange answers again');
        } else if (status !== 400 && status !== 404 && status !== 409 && status !== 413) {
          if (status === 401 || status === 403) this.close();   // the next connection reads the token again
          again(new Error('it answers with status ' + status));
          return;
        }
        done(status, text);
      });
    };
    attempt();
  }

  /** Makes a new connection: the one socket of an agent. The token and the CA file are read for each. */
  connect() {
    this.token = fs.readFileSync(this.tokenFile, 'utf8').trim();
    const options = { keepAlive: true, maxSockets: 1, rejectUnauthorized: true };
    if (this.caFile) options.ca = fs.readFileSync(this.caFile);
    this.agent = new this.client.Agent(options);
  }

  attempt(body, wait, done) {
    let ended = false;
    const end = (error, status, text) => {
      if (ended) return;
      ended = true;
      done(error, status, text);
    };
    try {
      if (this.agent === null) this.connect();
    } catch (error) {
      end(error);
      return;
    }
    const agent = this.agent;
    const request = this.client.request({
      agent, method: 'POST', protocol: this.address.protocol, hostname: this.address.hostname.replace(/^\[|\]$/g, ''),
      port: this.address.port || undefined, path: this.address.pathname + this.address.search, rejectUnauthorized: true,
      headers: { Authorization: 'Bearer ' + this.token, 'Content-Type': 'application/json', 'Content-Length': body.length },
    }, (response) => {
      const parts = [];
      response.on('data', (data) => parts.push(data));
      response.on('aborted', () => end(new Error('the connection was closed within an answer')));
      response.on('error', end);
      response.on('end', () => {
        this.used = this.agent === agent;
        end(null, response.statusCode, Buffer.concat(parts).toString('utf8'));
      });
    });
    request.on('socket', (socket) => {
      if (this.known.has(socket)) return;
      this.known.add(socket);
      socket.setNoDelay(true);
      // A request after this one needs a new connection.
      socket.once('close', () => {
        if (this.agent === agent) this.close();
      });
    });
    request.setTimeout((wait + ANSWER_MARGIN) * 1000, () => {
      end(new Error('no answer within ' + (wait + ANSWER_MARGIN) + ' s'));
      request.abort();
    });
    request.on('error', end);
    request.end(body);
  }

  close() {
    if (this.agent !== null) this.agent.destroy();
    this.agent = null;
    this.used = false;
  }
}

module.exports = { Exchange };
