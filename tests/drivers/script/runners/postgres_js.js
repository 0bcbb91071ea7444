// postgres.js: statements are described before they are bound, pipelined by default; cursors by portals, COPY as streams.
const postgres = require('postgres');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { main, table, diagnosis, short, Unsupported } = require('./runner.js');

main(async (login) => {
  let notices = [];
  const sql = postgres({ host: login.host, port: login.port, user: login.user, database: login.dbname, max: 1, ssl: false, fetch_types: true,
    connection: { application_name: 'drivers' }, onnotice: (notice) => notices.push(diagnosis(notice)) });

  const one = (answer) => table((answer.columns ?? []).map((column) => [column.name, column.type, column.table > 0, column.number]), answer.map((row) => Object.values(row)),
    { tag: answer.command, changed: answer.count });
  const read = (answer) => (Array.isArray(answer[0]) || (Array.isArray(answer) && !answer.command && answer.length && answer[0]?.command) ? answer.map(one) : one(answer));

  return {
    aside() { const said = notices; notices = []; return { notices: said }; },
    failure(error) { return error.severity || error.code ? diagnosis(error) : error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError ? { message: error.message } : null; },
    async query(step) { return read(await sql.unsafe(step.sql, step.params)); },
    async simple(step) { return read(await sql.unsafe(step.sql)); },
    async prepared(step) {
      const answers = [];
      for (const values of step.runs) answers.push(read(await sql.unsafe(step.sql, values, { prepare: true })));
      return answers;
    },
    async batch(step) {
      const settled = await Promise.allSettled(step.runs.map((values) => sql.unsafe(step.sql, values, { prepare: true })));
      const failed = settled.find((each) => each.status === 'rejected');
      if (failed) throw failed.reason;
      return settled.map((each) => read(each.value));
    },
    async fetch(step) {
      const parts = [];
      await sql.unsafe(step.sql, step.params).cursor(step.size, (rows) => { parts.push(...rows.map((row) => Object.values(row))); });
      return table([], parts);
    },
    async copy_out(step) {
      if (step.expect !== 'rows') throw new Unsupported('its streams wait for ever after an error');
      const stream = await sql.unsafe(step.sql).readable();
      const parts = [];
      stream.on('data', (part) => parts.push(part));
      await new Promise((done, fail) => { stream.on('end', done); stream.on('error', fail); });
      const all = Buffer.concat(parts);
      return short(step.sql.includes('binary') ? all.toString('hex') : all.toString('utf8'));
    },
    async copy_in(step) {
      if (step.expect !== 'done') throw new Unsupported('its streams wait for ever after an error');
      const stream = await sql.unsafe(step.sql).writable();
      await pipeline(Readable.from([step.data]), stream);
      return 'done';
    },
    async cancel(step) {
      const query = sql.unsafe(step.sql);
      setTimeout(() => query.cancel(), 300);
      return read(await query);
    },
    async listen(step) {
      const heard = [];
      const listening = await sql.listen(step.channel, (payload) => heard.push(payload));
      await sql.notify(step.channel, step.payload);
      for (let waited = 0; waited < 50 && heard.length === 0; waited += 1) await new Promise((done) => { setTimeout(done, 100); });
      await listening.unlisten();
      return heard;
    },
    async transaction(step) {
      const answers = [];
      class Undone extends Error {}
      await sql.begin(step.level ? `ISOLATION LEVEL ${step.level}` : '', async (inner) => {
        for (const text of step.statements) answers.push(read(await inner.unsafe(text)));
        if (step.end === 'rollback') throw new Undone();
      }).catch((error) => { if (!(error instanceof Undone)) throw error; });
      return answers;
    },
    async close() { await sql.end({ timeout: 5 }); },
  };
});
