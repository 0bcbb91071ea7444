// node-postgres: text and binary, named statements, its own queue of statements, cancel by another connection.
const { Client } = require('pg');
const { main, table, diagnosis, Unsupported } = require('./runner.js');

main(async (login) => {
  const client = new Client({ host: login.host, port: login.port, user: login.user, database: login.dbname, application_name: 'drivers' });
  let notices = [], heard = [], names = 0;
  client.on('notice', (notice) => notices.push(diagnosis(notice)));
  client.on('notification', (one) => heard.push([one.channel, one.payload, one.processId === client.processID]));
  await client.connect();

  const read = (answer) => (Array.isArray(answer) ? answer.map(read) : table(
    answer.fields.map((one) => [one.name, one.dataTypeID, one.dataTypeSize, one.dataTypeModifier, one.columnID, one.format]), answer.rows,
    { tag: answer.command, changed: answer.rowCount, oid: answer.oid }));
  const run = async (text, values, more) => read(await client.query({ text, values, rowMode: 'array', ...more }));

  return {
    aside() { const said = notices; notices = []; return { notices: said }; },
    failure(error) { return error.severity || error.code ? diagnosis(error) : /bind message|string/.test(error.message) ? { message: error.message } : null; },
    async query(step) {
      const answers = [await run(step.sql, step.params, { queryMode: 'extended' })];
      if (step.sql.startsWith('SELECT')) answers.push(await run(step.sql, step.params, { binary: true, queryMode: 'extended', types: { getTypeParser: () => (value) => value } }));
      return answers;
    },
    async simple(step) { return run(step.sql); },
    async prepared(step) {
      names += 1;
      const answers = [];
      for (const values of step.runs) answers.push(await run(step.sql, values, { name: `named ${names}` }));
      return answers;
    },
    async batch(step) {
      const settled = await Promise.allSettled(step.runs.map((values) => run(step.sql, values)));
      const failed = settled.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
      return settled.map((one) => one.value);
    },
    // Rows of a portal as they come.
    async fetch(step) {
      if (step.expect !== 'rows') throw new Unsupported('after an error it waits for ever: it has sent Flush, and no Sync');
      return run(step.sql, step.params, { rows: step.size, queryMode: 'extended' });
    },
    async listen(step) {
      const channel = client.escapeIdentifier(step.channel);
      await client.query(`LISTEN ${channel}`);
      await client.query('SELECT pg_notify($1::text, $2::text)', [step.channel, step.payload]);
      await client.query(`UNLISTEN ${channel}`);
      const got = heard; heard = [];
      return got;
    },
    async cancel(step) {
      const query = new (require('pg').Query)(step.sql);
      const ended = new Promise((resolve, reject) => { query.on('error', reject); query.on('end', resolve); });
      client.query(query);
      setTimeout(() => {
        const other = new Client({ host: login.host, port: login.port, user: login.user, database: login.dbname });
        other.connection.on('error', () => {});
        other.cancel(client, query);
      }, 300);
      await ended;
      return 'not cancelled';
    },
    async transaction(step) {
      await client.query(`BEGIN${step.level ? ` ISOLATION LEVEL ${step.level}` : ''}`);
      const answers = [];
      for (const sql of step.statements) answers.push(await run(sql, []));
      answers.push(await run(step.end));
      return answers;
    },
    async close() { await client.end(); },
  };
});
