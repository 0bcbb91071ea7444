// What the runners in JavaScript share: see runner.py.
function plain(value) {
  if (value === undefined) return 'undefined';
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') {
    return typeof value === 'number' && !Number.isFinite(value) ? `number ${value}` : value;
  }
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex').slice(0, 4000)}`;
  if (value instanceof Date) return `Date ${Number.isNaN(value.getTime()) ? 'none' : value.toISOString()}`;
  if (typeof value === 'bigint') return `bigint ${value}`;
  if (Array.isArray(value)) return value.map(plain);
  return { [value.constructor?.name ?? 'object']: Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)])) };
}

/** The driver has no way to do it. */
class Unsupported extends Error {}

function short(text) {
  return text.length <= 4000 ? text : `${text.slice(0, 2000)}...${text.slice(-2000)} of ${text.length}`;
}

function table(columns, rows, more) {
  const read = rows.map((row) => plain(row));
  return { columns, count: read.length, rows: read.length <= 60 ? read : [...read.slice(0, 30), ...read.slice(-30)], ...more };
}

async function main(open) {
  const job = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const driver = await open(job.login);
  const lines = [];
  for (const check of job.checks) {
    const outcomes = [];
    for (const step of check.steps) {
      if (!driver[step.do]) { outcomes.push({ unsupported: step.do }); continue; }
      let outcome;
      try {
        outcome = { got: await driver[step.do](step) };
      } catch (error) {
        if (error instanceof Unsupported) { outcomes.push({ unsupported: error.message }); continue; }
        const said = driver.failure(error);
        if (!said) throw new Error(`in ${check.name}: ${error.stack}`);
        outcome = { error: said };
      }
      outcomes.push({ ...outcome, ...driver.aside() });
    }
    lines.push(JSON.stringify({ name: check.name, outcomes }));
  }
  await driver.close();
  await new Promise((done) => { process.stdout.write(`${lines.join('\n')}\n`, done); });
  process.exit(0);
}

const FIELDS = ['severity', 'code', 'message', 'detail', 'hint', 'position', 'where', 'schema', 'table', 'column', 'dataType', 'constraint',
  'schema_name', 'table_name', 'column_name', 'constraint_name'];

function diagnosis(error) {
  return Object.fromEntries(FIELDS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]));
}

module.exports = { plain, short, table, main, diagnosis, Unsupported };
