# Perl's DBI with DBD::Pg: statements, prepared by the server and not, COPY, and what its catalog methods ask.
use strict;
use warnings;
use DBI;
my $db = DBI->connect("dbi:Pg:dbname=$ENV{PGDATABASE};host=$ENV{PGHOST};port=$ENV{PGPORT};sslmode=disable", $ENV{PGUSER}, '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
$db->do('CREATE TABLE slip (id serial PRIMARY KEY, title text UNIQUE, made date DEFAULT current_date, data bytea)');
my $add = $db->prepare('INSERT INTO slip (title, data) VALUES (?, ?) RETURNING id');
$add->bind_param(2, undef, { pg_type => DBD::Pg::PG_BYTEA() });
$add->execute("slip $_", "\0\1$_") for 1 .. 5;
$db->last_insert_id(undef, undef, 'slip', undef);
$db->selectall_arrayref('SELECT id, title FROM slip WHERE title LIKE ? ORDER BY id', undef, 'slip%');
$db->selectrow_hashref('SELECT count(*) AS n, min(made) FROM slip');
$db->selectcol_arrayref('SELECT name FROM genre WHERE genre_id = ANY (?) ORDER BY 1', undef, [1, 2, 3]);
{ local $db->{pg_server_prepare} = 0; $db->selectall_arrayref('SELECT title FROM album WHERE album_id < ? ORDER BY 1', undef, 5); }
{ local $db->{pg_placeholder_dollaronly} = 1; $db->selectall_arrayref('SELECT $1::jsonb ? $2', undef, '{"a": 1}', 'a'); }
$db->begin_work; $db->do('UPDATE slip SET title = upper(title) WHERE id = 1'); $db->pg_savepoint('a'); $db->do('DELETE FROM slip'); $db->pg_rollback_to('a'); $db->pg_release('a'); $db->commit;
eval { $db->do('INSERT INTO slip (id) VALUES (1)') };
$db->do('COPY slip (title) FROM STDIN'); $db->pg_putcopydata("copied $_\n") for 1 .. 3; $db->pg_putcopyend;
$db->do('COPY genre TO STDOUT'); my $line; 1 while $db->pg_getcopydata($line) >= 0;
$db->begin_work; $db->do('DECLARE c CURSOR FOR SELECT track_id, name FROM track ORDER BY 1'); $db->selectall_arrayref('FETCH 10 FROM c'); $db->do('CLOSE c'); $db->rollback;
$db->table_info(undef, '%', '%', 'TABLE')->fetchall_arrayref; $db->table_info('', '%', '', '')->fetchall_arrayref; $db->table_info('', '', '', '%')->fetchall_arrayref;
$db->column_info(undef, 'public', $_, '%')->fetchall_arrayref for qw(track album slip customer);
$db->primary_key_info(undef, 'public', 'playlist_track')->fetchall_arrayref; $db->primary_key(undef, 'public', 'album');
$db->foreign_key_info(undef, 'public', 'artist', undef, 'public', 'album')->fetchall_arrayref; $db->statistics_info(undef, 'public', 'track', 0, 0)->fetchall_arrayref;
$db->tables('', 'public', '', 'TABLE'); $db->type_info_all; $db->ping; $db->get_info(18); $db->state;
$db->do('LISTEN slips'); $db->do('NOTIFY slips'); $db->pg_notifies; $db->do('UNLISTEN slips'); $db->do('DROP TABLE slip');
$db->disconnect;
