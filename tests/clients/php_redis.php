<?php
// phpredis: its loops over keys and collections. This client keeps a cursor as a signed 64-bit integer.
declare(strict_types=1);

const ELEMENTS = 5000;
// A walk of more pages is taken for endless.
const PAGES_MAX = 2 * ELEMENTS;
const PAGE = 100;

set_error_handler(function (int $level, string $text, string $file, int $line) {
    throw new ErrorException($text, 0, $level, $file, $line);
});

function check(bool $holds, string $what): void
{
    if (!$holds) {
        throw new Exception($what);
    }
}

function connect(): Redis
{
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) getenv('SERVER_PORT'), 10.0);
    return $redis;
}

/** Has the server killed by signal 9 and started again on the same port and data. */
function restart(): void
{
    fwrite(STDOUT, "restart\n");
    check(fgets(STDIN) === "restarted\n", 'the server was not restarted');
}

/**
 * Meets each element exactly once. $page gets the connection and the iterator and returns names, or false; with
 * $killed the server is killed after the tenth page.
 */
function meets(string $what, callable $page, array $names, bool $killed): void
{
    $redis = connect();
    // An empty page comes as one, so that each page counts.
    $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_NORETRY);
    $met = [];
    $iterator = null;
    $pages = 0;
    do {
        $found = $page($redis, $iterator);
        array_push($met, ...array_map('strval', $found ?: []));
        check(++$pages < PAGES_MAX, "$what does not end, it stands at $iterator");
        if ($killed && $pages === 10) {
            restart();
            $redis = connect();
            $redis->setOption(Redis::OPT_SCAN, Redis::SCAN_NORETRY);
        }
    } while ($iterator !== 0);
    sort($met, SORT_STRING);
    check($met === $names, "$what met " . count($met) . ' elements, ' . count(array_unique($met)) . ' different');
}

fwrite(STDOUT, 'version ' . phpversion('redis') . "\n");
$names = array_map(fn(int $i) => "e:$i", range(0, ELEMENTS - 1));
sort($names, SORT_STRING);
$values = array_combine($names, array_map('strval', range(0, ELEMENTS - 1)));

$redis = connect();
$redis->flushDB();
check($redis->mSet($values), 'MSET');
check($redis->hMSet('hash', $values), 'HMSET');
check($redis->sAdd('set', ...$names) === ELEMENTS, 'SADD');
foreach ($values as $name => $score) {
    check($redis->zAdd('zset', (float) $score, $name) === 1, 'ZADD');
}

$hash = function (Redis $redis, ?int &$iterator) use ($values): array {
    $page = $redis->hScan('hash', $iterator, null, PAGE) ?: [];
    check(array_diff_assoc($page, $values) === [], 'HSCAN met a wrong value');
    return array_keys($page);
};
$sorted = function (Redis $redis, ?int &$iterator) use ($values): array {
    $page = $redis->zScan('zset', $iterator, null, PAGE) ?: [];
    check(array_diff_assoc(array_map('strval', $page), $values) === [], 'ZSCAN met a wrong score');
    return array_keys($page);
};
$walks = [
    'SCAN' => fn(Redis $redis, ?int &$iterator) => $redis->scan($iterator, 'e:*', PAGE),
    'HSCAN' => $hash,
    'SSCAN' => fn(Redis $redis, ?int &$iterator) => $redis->sScan('set', $iterator, null, PAGE),
    'ZSCAN' => $sorted,
];
foreach (getenv('SERVER_WARM') === '1' ? [false, true] : [false] as $killed) {
    foreach ($walks as $what => $page) {
        meets($what, $page, $names, $killed);
    }
}

// The loop of the manual, which skips empty pages.
$redis = connect();
$redis->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
$iterator = null;
$met = [];
while ($page = $redis->scan($iterator, 'e:1*')) {
    array_push($met, ...$page);
    check(count($met) < PAGES_MAX, 'the loop of the manual does not end');
}
sort($met, SORT_STRING);
$wanted = array_values(array_filter($names, fn(string $name) => str_starts_with($name, 'e:1')));
check($met === $wanted, 'the loop of the manual met ' . count($met) . ' keys');
