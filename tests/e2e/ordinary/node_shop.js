// knex and Sequelize as an application of its own would use them: migrations, the query builder, models, and what they ask the catalog.
const place = { host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE };

async function withKnex() {
  const knex = require('knex')({ client: 'pg', connection: place });
  await knex.schema.createTable('label', (table) => {
    table.increments(); table.string('title').unique(); table.jsonb('extra'); table.timestamps(true, true);
  });
  console.assert(await knex.schema.hasTable('label') && await knex.schema.hasColumn('label', 'title'));
  await knex('label').columnInfo(); await knex('customer').columnInfo();
  await knex('label').insert([{ title: 'one' }, { title: 'two', extra: { a: 1 } }]).returning('*');
  await knex('label').insert({ title: 'one' }).onConflict('title').merge({ extra: '{}' });
  await knex('label').where('title', 'like', 'o%').orWhereIn('id', [1, 2]).orderBy('id', 'desc').limit(5).offset(0);
  await knex('track').join('album', 'track.album_id', 'album.album_id').count('* as n').groupBy('album.title').orderBy([{ column: 'n', order: 'desc' }, 'album.title']).select('album.title').limit(5);
  await knex.transaction(async (inner) => {
    await inner('label').forUpdate().first();
    await inner('label').update({ title: 'three' }).where({ title: 'two' });
  });
  await knex.transaction(async (inner) => { await inner('label').insert({ title: 'one' }); }).catch(() => {});
  await knex.with('w', knex('genre').select('genre_id')).select('*').from('w').orderBy('genre_id');
  await knex.raw('SELECT ?::int AS n, current_schema()', [5]);
  await knex.schema.alterTable('label', (table) => { table.text('more').defaultTo('x'); table.index(['more']); });
  await knex.schema.dropTable('label');
  await knex.destroy();
}

async function withSequelize() {
  const { Sequelize, DataTypes, Op } = require('sequelize');
  const db = new Sequelize(place.database, place.user, '', { host: place.host, port: place.port, dialect: 'postgres', logging: false });
  await db.authenticate();
  const Band = db.define('band', { name: { type: DataTypes.STRING, unique: true }, kind: DataTypes.ENUM('duo', 'trio'), tags: DataTypes.ARRAY(DataTypes.TEXT), about: DataTypes.JSONB });
  const Song = db.define('song', { title: DataTypes.STRING, price: DataTypes.DECIMAL(8, 2) });
  Band.hasMany(Song); Song.belongsTo(Band);
  await db.sync();
  await db.sync({ alter: true });
  await db.getQueryInterface().showAllTables(); await db.getQueryInterface().describeTable('customer'); await db.getQueryInterface().describeTable('track');
  await db.getQueryInterface().showIndex('album'); await db.getQueryInterface().getForeignKeyReferencesForTable('album');
  const band = await Band.create({ name: 'first', kind: 'duo', tags: ['a'], about: { since: 1970 } });
  await Band.bulkCreate([{ name: 'second' }, { name: 'third' }]);
  await Song.create({ title: 'x', price: 1.5, bandId: band.id });
  await Band.findAll({ include: Song, where: { [Op.or]: [{ name: { [Op.iLike]: '%i%' } }, { tags: { [Op.contains]: ['a'] } }] }, order: [['id', 'ASC']], limit: 3 });
  await Band.findAndCountAll({ where: { 'about.since': { [Op.gt]: 1960 } }, limit: 2 });
  await Band.upsert({ id: 1, name: 'first', kind: 'trio' });
  await band.increment('id', { by: 0 }); await Song.sum('price'); await Band.update({ kind: 'trio' }, { where: { id: 2 }, returning: true });
  await db.transaction(async (transaction) => { await Band.findOne({ where: { id: 1 }, lock: true, transaction }); await Song.destroy({ where: { title: 'x' }, transaction }); });
  await Band.create({ name: 'first' }).catch(() => {});
  await db.query('SELECT name FROM genre WHERE genre_id = $1', { bind: [1] });
  await Band.findOrCreate({ where: { name: 'fourth' } });
  await db.drop({});
  await db.close();
}

withKnex().then(withSequelize).catch((trouble) => { console.error(trouble); process.exit(1); });
