# Rails' ActiveRecord as an application of its own would use it: migrations, models, and what it asks the catalog.
require 'active_record'
ActiveRecord::Base.establish_connection(adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'], database: ENV['PGDATABASE'], sslmode: 'disable', gssencmode: 'disable')

class MakeBands < ActiveRecord::Migration[6.1]
  def change
    create_table :bands do |t|
      t.string :name, null: false, index: { unique: true }
      t.jsonb :about, default: {}
      t.text :tags, array: true, default: []
      t.decimal :fee, precision: 8, scale: 2
      t.timestamps
    end
    create_table(:songs) { |t| t.references :band, foreign_key: true; t.string :title; t.integer :length }
    add_column :songs, :written_on, :date
    add_index :songs, [:band_id, :title], where: 'title IS NOT NULL'
    add_check_constraint :songs, 'length > 0', name: 'some_length'
  end
end

class Band < ActiveRecord::Base
  has_many :songs, dependent: :destroy
  validates :name, uniqueness: true
end

class Song < ActiveRecord::Base
  belongs_to :band
end

class Album < ActiveRecord::Base
  self.table_name = 'album'
  self.primary_key = 'album_id'
  has_many :tracks, foreign_key: 'album_id'
end

class Track < ActiveRecord::Base
  self.table_name = 'track'
  self.primary_key = 'track_id'
  belongs_to :album, foreign_key: 'album_id'
end

ActiveRecord::Migration.verbose = false
base = ActiveRecord::Base.connection
base.schema_migration.create_table
ActiveRecord::InternalMetadata.create_table
MakeBands.migrate(:up)
band = Band.create!(name: 'first', about: { since: 1970 }, tags: %w[a b], fee: 12.5)
Band.create!([{ name: 'second' }, { name: 'third' }])
Band.create(name: 'first')
band.songs.create!(title: 'x', length: 5, written_on: Date.new(2020, 2, 29))
band.songs.create!(title: 'y', length: 7)
Song.insert_all([{ band_id: band.id, title: 'z', length: 1 }])
Band.upsert_all([{ id: band.id, name: 'first', created_at: Time.now, updated_at: Time.now }])
Band.where('name LIKE ?', 'f%').or(Band.where(id: [1, 2])).order(name: :desc).limit(5).offset(0).to_a
Band.where("about ->> 'since' = ?", '1970').where.not(fee: nil).pluck(:id, :name)
Band.includes(:songs).references(:songs).where(songs: { title: %w[x y] }).to_a
Band.joins(:songs).group('bands.id').having('count(*) > 1').count
Band.left_joins(:songs).distinct.select(:id, :name).to_a
Song.average(:length); Song.sum(:length); Song.maximum(:written_on); Song.exists?(title: 'x')
Song.find_each(batch_size: 2) { |song| song.touch rescue song.update!(length: song.length + 1) }
Song.in_batches(of: 2).update_all('length = length + 1')
Band.transaction { Band.lock.find(band.id); Band.transaction(requires_new: true) { Band.create!(name: 'deep'); raise ActiveRecord::Rollback } }
Band.transaction(isolation: :serializable) { Band.count }
band.with_lock { band.update!(tags: %w[c]) }
Band.find_by(name: 'third')&.destroy
Album.includes(:tracks).order(:album_id).limit(3).map { |album| album.tracks.size }
Track.joins(:album).where(milliseconds: 200_000..300_000).order(:track_id).limit(5).pluck(:name, 'album.title')
Track.unscoped.explain
base.tables; base.views; base.data_sources; base.schema_names; base.extensions; base.foreign_keys('songs'); base.indexes('songs'); base.check_constraints('songs')
base.columns('track'); base.primary_keys('playlist_track'); base.table_comment('album'); base.enum_types rescue nil
base.current_database; base.encoding; base.collation; base.ctype; base.client_min_messages; base.schema_search_path; base.supports_ddl_transactions?
base.select_all('SELECT genre_id, name FROM genre ORDER BY genre_id LIMIT 3').to_a
base.exec_query('SELECT $1::int AS n', 'SQL', [ActiveRecord::Relation::QueryAttribute.new('n', 5, ActiveRecord::Type::Integer.new)])
base.get_advisory_lock(42); base.release_advisory_lock(42)
MakeBands.migrate(:down)
