// TypeORM, Drizzle and Kysely as an application of its own would use them, next to tables that are there already.
const place = { host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE };

async function withTypeOrm() {
  const { DataSource, EntitySchema, Like, In, MoreThan, IsNull, Table, TableColumn, TableIndex, TableForeignKey } = require('typeorm');
  const Shelf = new EntitySchema({
    name: 'Shelf', tableName: 'shelf',
    columns: {
      id: { type: 'int', primary: true, generated: true }, title: { type: 'varchar', length: 80, unique: true },
      tags: { type: 'text', array: true, nullable: true }, about: { type: 'jsonb', nullable: true },
      made: { type: 'timestamptz', createDate: true }, changed: { type: 'timestamptz', updateDate: true }, gone: { type: 'timestamptz', deleteDate: true, nullable: true },
      version: { type: 'int', version: true },
    },
    relations: { books: { type: 'one-to-many', target: 'Book', inverseSide: 'shelf' } },
  });
  const Book = new EntitySchema({
    name: 'Book', tableName: 'book',
    columns: { id: { type: 'int', primary: true, generated: true }, title: { type: 'varchar' }, price: { type: 'numeric', precision: 8, scale: 2, default: 0 }, kind: { type: 'enum', enum: ['paper', 'sound'], default: 'paper' } },
    relations: { shelf: { type: 'many-to-one', target: 'Shelf', inverseSide: 'books', joinColumn: true, onDelete: 'CASCADE', nullable: true } },
    indices: [{ columns: ['title'] }],
  });
  const db = await new DataSource({ type: 'postgres', host: place.host, port: place.port, username: place.user, database: place.database, entities: [Shelf, Book], synchronize: false, installExtensions: false }).initialize();
  await db.synchronize();
  await db.synchronize();
  const shelves = db.getRepository('Shelf'), books = db.getRepository('Book');
  const shelf = await shelves.save({ title: 'first', tags: ['a', 'b'], about: { since: 1970 } });
  await shelves.save([{ title: 'second' }, { title: 'third' }]);
  await books.insert([{ title: 'x', price: 1.5, shelf }, { title: 'y', kind: 'sound' }]);
  await books.upsert([{ id: 1, title: 'z' }], ['id']);
  await shelves.findOne({ where: { title: 'first' }, relations: { books: true } });
  await shelves.findAndCount({ where: [{ title: Like('f%') }, { id: In([1, 2]) }, { id: MoreThan(1), about: IsNull() }], order: { title: 'DESC' }, take: 2, skip: 0 });
  await books.createQueryBuilder('b').leftJoinAndSelect('b.shelf', 's').where('b.price > :least', { least: 1 }).andWhere('s.title IN (:...titles)', { titles: ['first', 'second'] }).orderBy('b.id').take(5).getMany();
  await books.createQueryBuilder('b').select('b.kind', 'kind').addSelect('avg(b.price)', 'mean').groupBy('b.kind').having('count(*) > 0').orderBy('b.kind').getRawMany();
  await books.increment({ id: 1 }, 'price', 2); await books.sum('price'); await books.exists({ where: { id: 1 } });
  await shelves.softDelete({ title: 'third' }); await shelves.restore({ title: 'third' }); await shelves.update({ title: 'second' }, { tags: [] });
  await db.transaction('SERIALIZABLE', async (inner) => {
    await inner.getRepository('Book').findOne({ where: { id: 1 }, lock: { mode: 'pessimistic_write' } });
    await inner.transaction(async (deeper) => deeper.getRepository('Book').save({ title: 'deep' }));
  });
  await db.transaction(async (inner) => inner.getRepository('Shelf').insert({ title: 'first' })).catch(() => {});
  const runner = db.createQueryRunner();
  await runner.createTable(new Table({ name: 'crate', columns: [{ name: 'id', type: 'int', isPrimary: true, isGenerated: true }, { name: 'weight', type: 'float8', isNullable: true }] }), true);
  await runner.addColumn('crate', new TableColumn({ name: 'shelfId', type: 'int', isNullable: true }));
  await runner.createIndex('crate', new TableIndex({ columnNames: ['weight'] }));
  await runner.createForeignKey('crate', new TableForeignKey({ columnNames: ['shelfId'], referencedTableName: 'shelf', referencedColumnNames: ['id'] }));
  await runner.getTable('crate'); await runner.getTable('track'); await runner.getTables(['album', 'genre']); await runner.hasTable('playlist'); await runner.hasColumn('track', 'name');
  await runner.getDatabases(); await runner.getSchemas(); await runner.getCurrentDatabase(); await runner.getCurrentSchema();
  await runner.renameTable('crate', 'box'); await runner.dropTable('box');
  await runner.release();
  await db.query('SELECT count(*) FROM track WHERE milliseconds > $1', [100000]);
  await db.query('DROP TABLE book, shelf');
  await db.destroy();
}

async function withDrizzle() {
  const { Pool } = require('pg');
  const { drizzle } = require('drizzle-orm/node-postgres');
  const { pgTable, serial, text, integer, jsonb, timestamp } = require('drizzle-orm/pg-core');
  const { eq, desc, sql, and, ilike, inArray, count, relations } = require('drizzle-orm');
  const pool = new Pool(place);
  const mark = pgTable('mark', { id: serial('id').primaryKey(), title: text('title').notNull(), extra: jsonb('extra'), made: timestamp('made', { withTimezone: true }).defaultNow() });
  const album = pgTable('album', { albumId: integer('album_id').primaryKey(), title: text('title'), artistId: integer('artist_id') });
  const artist = pgTable('artist', { artistId: integer('artist_id').primaryKey(), name: text('name') });
  const albums = relations(album, ({ one }) => ({ artist: one(artist, { fields: [album.artistId], references: [artist.artistId] }) }));
  const artists = relations(artist, ({ many }) => ({ albums: many(album) }));
  const db = drizzle(pool, { schema: { mark, album, artist, albums, artists } });
  await db.execute(sql`CREATE TABLE mark (id serial PRIMARY KEY, title text NOT NULL UNIQUE, extra jsonb, made timestamptz DEFAULT now())`);
  await db.insert(mark).values([{ title: 'one' }, { title: 'two', extra: { a: 1 } }]).returning();
  await db.insert(mark).values({ title: 'one' }).onConflictDoUpdate({ target: mark.title, set: { extra: sql`excluded.extra` } });
  await db.update(mark).set({ title: 'three' }).where(eq(mark.title, 'two')).returning({ id: mark.id });
  await db.select().from(mark).where(and(ilike(mark.title, 'o%'), inArray(mark.id, [1, 2]))).orderBy(desc(mark.id)).limit(5);
  await db.query.artist.findMany({ with: { albums: { columns: { title: true } } }, limit: 3, orderBy: (table, { asc }) => asc(table.name) });
  await db.query.album.findFirst({ with: { artist: true } });
  const most = db.$with('most').as(db.select({ id: album.artistId, n: count().as('n') }).from(album).groupBy(album.artistId));
  await db.with(most).select().from(most).innerJoin(artist, eq(artist.artistId, most.id)).orderBy(desc(most.n), artist.name).limit(3);
  await db.transaction(async (inner) => { await inner.select().from(mark).for('update'); await inner.transaction(async (deeper) => deeper.delete(mark).where(eq(mark.id, 1))); }, { isolationLevel: 'repeatable read' });
  await db.select({ title: mark.title }).from(mark).prepare('marks').execute();
  await db.execute(sql`DROP TABLE mark`);
  await pool.end();
}

async function withKysely() {
  const { Kysely, PostgresDialect, sql } = require('kysely');
  const { Pool } = require('pg');
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new Pool(place) }) });
  await db.introspection.getSchemas(); await db.introspection.getTables();
  await db.schema.createTable('stamp').ifNotExists().addColumn('id', 'serial', (column) => column.primaryKey()).addColumn('title', 'varchar(40)', (column) => column.notNull()).addColumn('extra', 'jsonb').execute();
  await db.insertInto('stamp').values([{ title: 'one' }, { title: 'two' }]).returningAll().execute();
  await db.selectFrom('track').innerJoin('album', 'album.album_id', 'track.album_id').select(({ fn }) => ['album.title', fn.countAll().as('n')]).groupBy('album.title').orderBy('n', 'desc').orderBy('album.title').limit(5).execute();
  await db.with('long', (inner) => inner.selectFrom('track').where('milliseconds', '>', 300000).select(['track_id'])).selectFrom('long').selectAll().orderBy('track_id').limit(3).execute();
  await db.updateTable('stamp').set({ extra: sql`'{"a": 1}'::jsonb` }).where('title', '=', 'one').executeTakeFirst();
  await db.transaction().setIsolationLevel('serializable').execute(async (inner) => { await inner.deleteFrom('stamp').where('id', 'in', [1]).execute(); });
  await db.schema.alterTable('stamp').addColumn('more', 'text').execute(); await db.schema.createIndex('stamp_title').on('stamp').column('title').execute(); await db.schema.dropTable('stamp').execute();
  await db.destroy();
}

(async () => { await withTypeOrm(); await withDrizzle(); await withKysely(); })().catch((error) => { console.error(error); process.exit(1); });
