# Perl's DBI with DBD::Pg: see runner.py for what a runner does.
use strict; use warnings; use utf8;
use DBI; use DBD::Pg qw(:pg_types :async); use JSON::PP; use Time::HiRes qw(sleep);

binmode STDOUT, ':utf8';
my $json = JSON::PP->new->canonical->allow_nonref->allow_blessed;
my $job = JSON::PP->new->utf8->decode(do { local $/; <STDIN> });
my $login = $job->{login};
my $db = DBI->connect("dbi:Pg:host=$login->{host};port=$login->{port};dbname=$login->{dbname};application_name=drivers", $login->{user}, '',
    { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => -1 });
my @notices;
$SIG{__WARN__} = sub { push @notices, "$_[0]" =~ s/ at \S+ line \d+\.?\n?$//r };
$db->{PrintWarn} = 1;

sub text { my $value = shift; return ref $value eq 'ARRAY' ? [map { text($_) } @$value] : defined $value ? length $value > 4000 ? substr($value, 0, 2000) . '... of ' . length $value : "$value" : undef }
sub table {
    my ($st, $changed) = @_;
    return { changed => "$changed" } unless $st->{NUM_OF_FIELDS};
    my $rows = $st->fetchall_arrayref;
    my $count = @$rows;
    @$rows = (@$rows[0 .. 29], @$rows[-30 .. -1]) if $count > 60;
    return { columns => [map { my $at = $_; [text($st->{NAME}[$at]), $st->{TYPE}[$at], $st->{pg_type}[$at], $st->{PRECISION}[$at], $st->{SCALE}[$at], $st->{NULLABLE}[$at]] } 0 .. $st->{NUM_OF_FIELDS} - 1],
        count => $count, rows => text($rows), changed => "$changed" };
}
sub run { my ($sql, $params, %more) = @_; my $st = $db->prepare($sql, { %more }); my $changed = $st->execute(@$params); my $got = table($st, $changed); $st->finish; return $got }

# Kept until the next step: when it goes, its DEALLOCATE takes the place of the last error.
my $statement;
my %do = (
    query => sub { run($_[0]{sql}, $_[0]{params}, pg_server_prepare => 1) },
    simple => sub { $_[0]{expect} eq 'rows' ? run($_[0]{sql}, [], pg_server_prepare => 0) : { changed => text($db->do($_[0]{sql})) } },
    prepared => sub { my $step = shift; my $st = $statement = $db->prepare($step->{sql}, { pg_prepare_now => 1 }); [map { my $changed = $st->execute(@$_); table($st, $changed) } @{ $step->{runs} }] },
    batch => sub { my $step = shift; my $st = $db->prepare($step->{sql}); my @columns = map { my $at = $_; [map { $_->[$at] } @{ $step->{runs} }] } 0 .. $#{ $step->{runs}[0] };
        my @status; my $done = eval { $st->execute_array({ ArrayTupleStatus => \@status }, @columns) }; if (!defined $done) { my ($first) = grep { ref } @status; die { state => $first->[2], errstr => $first->[1] } }
        [$done, map { text($_) } @status] },
    fetch => sub { my $step = shift; $db->begin_work; my $sql = $step->{sql}; my @all;
        my $done = eval { my $st = $db->prepare("DECLARE parts CURSOR FOR $sql"); $st->execute(@{ $step->{params} });
            while (1) { my $rows = $db->selectall_arrayref("FETCH $step->{size} FROM parts"); last unless @$rows; push @all, scalar @$rows, text($rows->[0]) } 1 };
        my $error = $@; my @said = ($db->err, $db->state, $db->errstr); $db->rollback; if (!$done) { die { state => $said[1], errstr => $said[2] } } \@all },
    copy_out => sub { my $step = shift; $db->do($step->{sql}); my ($line, $all) = ('', ''); while ($db->pg_getcopydata($line) >= 0) { $all .= $step->{sql} =~ /binary/ ? unpack('H*', $line) : $line } text($all) },
    copy_in => sub { my $step = shift; $db->do($step->{sql}); if ($step->{fail}) { $db->pg_putcopydata($step->{data}); return { unsupported => 'giving up: the driver ends the COPY', end => text($db->pg_putcopyend), removed => text($db->do('DELETE FROM shop.slip WHERE id = 36')) } }
        $db->pg_putcopydata($step->{data}); text($db->pg_putcopyend) },
    listen => sub { my $step = shift; my $channel = $db->quote_identifier($step->{channel}); $db->do("LISTEN $channel"); $db->selectrow_array('SELECT pg_notify(?, ?)', undef, $step->{channel}, $step->{payload});
        my $got; for (1 .. 50) { $got = $db->pg_notifies; last if $got; sleep 0.1 } $db->do("UNLISTEN $channel"); [$got->[0], $got->[2], $got->[1] == $db->{pg_pid} ? 'own' : 'other'] },
    cancel => sub { my $step = shift; my $st = $db->prepare($step->{sql}, { pg_async => PG_ASYNC }); $st->execute; sleep 0.3; $db->pg_cancel; die { state => $db->state || '57014', errstr => text($db->errstr) || 'cancelled' } },
    transaction => sub { my $step = shift; $db->begin_work; $db->do("SET TRANSACTION ISOLATION LEVEL $step->{level}") if $step->{level}; my @got = map { run($_, []) } @{ $step->{statements} };
        $step->{end} eq 'commit' ? $db->commit : $db->rollback; \@got },
    meta => sub { my ($what, $schema, $name) = ($_[0]{what}, @{ $_[0]{arguments} });
        my $st = $what eq 'tables' ? $db->table_info(undef, $schema, '%', undef) : $what eq 'columns' ? $db->column_info(undef, $schema, $name, '%') : $what eq 'primary key' ? $db->primary_key_info(undef, $schema, $name)
            : $what eq 'foreign keys' ? $db->foreign_key_info(undef, undef, undef, undef, $schema, $name) : $what eq 'indexes' ? $db->statistics_info(undef, $schema, $name, 0, 0) : undef;
        return text($st->fetchall_arrayref) if $st; return scalar @{ $db->type_info_all } if $what eq 'types'; [$db->{pg_server_version}, $db->get_info(18), $db->{pg_db}, $db->{pg_user}, $db->ping] },
);

for my $check (@{ $job->{checks} }) {
    my @outcomes;
    for my $step (@{ $check->{steps} }) {
        my $outcome;
        undef $statement;
        if (!$do{ $step->{do} }) { $outcome = { unsupported => $step->{do} } }
        else {
            my $got = eval { [$do{ $step->{do} }->($step)] };
            if ($got) { $outcome = ref $got->[0] eq 'HASH' && $got->[0]{unsupported} ? $got->[0] : { got => $got->[0] } }
            else {
                my $error = ref $@ eq 'HASH' ? $@ : { state => $db->state, errstr => $db->errstr };
                die "in $check->{name}: $@" unless $error->{errstr};
                $outcome = { error => { code => $error->{state}, text => text($error->{errstr}) } };
            }
            $outcome->{notices} = [@notices]; @notices = ();
            $outcome->{state} = $db->ping;
        }
        push @outcomes, $outcome;
    }
    print $json->encode({ name => $check->{name}, outcomes => \@outcomes }), "\n";
}
$db->disconnect;
