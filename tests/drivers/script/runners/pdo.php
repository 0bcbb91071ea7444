<?php
// PHP's PDO with pgsql: see runner.py for what a runner does.
$job = json_decode(stream_get_contents(STDIN), true);
$login = $job['login'];
$place = "pgsql:host={$login['host']};port={$login['port']};dbname={$login['dbname']};application_name=drivers";
$db = new PDO($place, $login['user'], '', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);

function plain($value) {
    if (is_resource($value)) return 'bytes ' . substr(bin2hex(stream_get_contents($value)), 0, 4000);
    if (is_array($value)) return array_map('plain', $value);
    if (is_float($value)) return 'float ' . $value;
    if (is_string($value) && strlen($value) > 4000) return substr($value, 0, 2000) . '... of ' . strlen($value);
    return $value;
}

function read($statement) {
    $columns = [];
    for ($at = 0; $at < $statement->columnCount(); $at++) {
        $about = $statement->getColumnMeta($at);
        unset($about['pgsql:table_oid']);
        $columns[] = $about;
    }
    $rows = $columns ? array_map('plain', $statement->fetchAll(PDO::FETCH_NUM)) : [];
    $count = count($rows);
    if ($count > 60) $rows = array_merge(array_slice($rows, 0, 30), array_slice($rows, -30));
    return ['columns' => $columns, 'count' => $count, 'rows' => $rows, 'changed' => $statement->rowCount()];
}

function marked($sql) { return preg_replace('/\$\d+/', '?', $sql); }

// PDO looks for question marks itself; behind a dollar quote it gets lost, as with every server.
$do = [
    'query' => function ($step) use ($db) {
        $answers = [];
        foreach ($step['params'] ? [false, true] : [false] as $written) {
            if ($written && !str_starts_with($step['sql'], 'SELECT')) break;
            $statement = $db->prepare(marked($step['sql']), [PDO::ATTR_EMULATE_PREPARES => $written]);
            $statement->execute($step['params']);
            $answers[] = read($statement);
        }
        return $answers;
    },
    'simple' => function ($step) use ($db) { return $step['expect'] === 'rows' ? read($db->query($step['sql'])) : $db->exec($step['sql']); },
    'prepared' => function ($step) use ($db) {
        $statement = $db->prepare(marked($step['sql']));
        return array_map(function ($values) use ($statement) { $statement->execute($values); return read($statement); }, $step['runs']);
    },
    'batch' => function ($step) use ($db) {
        $statement = $db->prepare(marked($step['sql']));
        return array_map(function ($values) use ($statement) { $statement->execute($values); return $statement->rowCount(); }, $step['runs']);
    },
    'fetch' => function ($step) use ($db) {
        $statement = $db->prepare(marked($step['sql']), [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
        $db->beginTransaction();
        try {
            $statement->execute($step['params']);
            $rows = [];
            while ($row = $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_NEXT)) $rows[] = plain($row);
            return [count($rows), array_slice($rows, 0, 3), array_slice($rows, -3)];
        } finally { $db->rollBack(); }
    },
    'copy_out' => function ($step) use ($db) {
        if (!preg_match('/^COPY (\S+)(?: \((.*)\))? TO STDOUT$/', $step['sql'], $found) || $found[1][0] === '(') return ['unsupported' => 'COPY of a query, or with options'];
        return $db->pgsqlCopyToArray($found[1], "\t", '\\\\N', $found[2] ?? null);
    },
    'copy_in' => function ($step) use ($db) {
        if ($step['fail'] || str_contains($step['sql'], 'csv')) return ['unsupported' => 'giving up, or with options'];
        return $db->pgsqlCopyFromArray(explode(' ', $step['sql'])[1], explode("\n", rtrim($step['data'], "\n")), "\t", '\\\\N', str_contains($step['sql'], '(id') ? 'id, word' : null);
    },
    'listen' => function ($step) use ($db) {
        $channel = '"' . $step['channel'] . '"';
        $db->exec("LISTEN $channel");
        $db->prepare('SELECT pg_notify(?, ?)')->execute([$step['channel'], $step['payload']]);
        $got = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 5000);
        $db->exec("UNLISTEN $channel");
        $own = $got['pid'] === $db->pgsqlGetPid();
        return [$got['message'], $got['payload'] ?? null, $own];
    },
    'transaction' => function ($step) use ($db) {
        $db->beginTransaction();
        if ($step['level']) $db->exec("SET TRANSACTION ISOLATION LEVEL {$step['level']}");
        $answers = array_map(fn ($sql) => read($db->query($sql)), $step['statements']);
        $step['end'] === 'commit' ? $db->commit() : $db->rollBack();
        return $answers;
    },
    'meta' => function ($step) use ($db) {
        return [$db->getAttribute(PDO::ATTR_SERVER_VERSION), preg_replace('/PID: \d+/', 'PID: n', $db->getAttribute(PDO::ATTR_SERVER_INFO)), $db->getAttribute(PDO::ATTR_CONNECTION_STATUS)];
    },
];

foreach ($job['checks'] as $check) {
    $outcomes = [];
    foreach ($check['steps'] as $step) {
        if (!isset($do[$step['do']])) { $outcomes[] = ['unsupported' => $step['do']]; continue; }
        try {
            $got = $do[$step['do']]($step);
            $outcome = is_array($got) && isset($got['unsupported']) ? $got : ['got' => $got];
        } catch (PDOException $error) {
            $outcome = ['error' => ['code' => $error->errorInfo[0] ?? $error->getCode(), 'text' => $error->getMessage(), 'info' => $error->errorInfo]];
        } catch (ValueError $error) {
            $outcome = ['error' => ['text' => $error->getMessage()]];
        }
        $outcome['state'] = $db->inTransaction();
        $outcomes[] = $outcome;
    }
    echo json_encode(['name' => $check['name'], 'outcomes' => $outcomes], JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR), "\n";
}
