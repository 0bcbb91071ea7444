// node-postgres: reads {dsn, binary, statements} as JSON on stdin, prints {results} as JSON.
// Cells are the server's own bytes: text as it is, binary as hexadecimal digits behind "\x".
const { Client } = require('pg');

function cell(value) {
  if (value === null) return null;
  return Buffer.isBuffer(value) ? '\\x' + value.toString('hex') : String(value);
}

async function main() {
  const job = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const client = new Client(job.dsn);
  client.on('error', () => {});
  await client.connect();
  const results = [];
  for (const statement of job.statements) {
    const binary = statement.format === 'binary';
    const query = {
      text: statement.sql,
      rowMode: 'array',
      binary,
      types: { getTypeParser: () => (value) => value },
    };
    if (statement.mode !== 'simple') query.values = statement.params;
    if (statement.mode === 'extended' && statement.params.length === 0) query.queryMode = 'extended';
    if (statement.mode === 'prepared') query.name = statement.name;
    try {
      for (let run = 0; run < statement.runs; run += 1) {
        const answer = await client.query(query);
        const last = Array.isArray(answer) ? answer[answer.length - 1] : answer;
        results.push({ columns: last.fields.map((field) => field.name), rows: last.rows.map((row) => row.map(cell)) });
      }
    } catch (error) {
      results.push({ error: { code: error.code ?? null, message: String(error.message), hint: error.hint ?? null } });
    }
  }
  await client.end();
  process.stdout.write(JSON.stringify({ results }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
