<?php
// PHP's sessions in phpredis, with locks: releasing one is a Lua script. Without it what a session writes is lost.
declare(strict_types=1);

set_error_handler(function (int $level, string $text, string $file, int $line) {
    throw new ErrorException($text, 0, $level, $file, $line);
});

function check(string $what, mixed $found, mixed $wanted): void
{
    if ($found !== $wanted) {
        throw new Exception("$what: " . json_encode($found) . ', not ' . json_encode($wanted));
    }
}

$port = (int) getenv('SERVER_PORT');
if (($argv[1] ?? '') === 'count') {
    // Another request of the same session.
    configure($port);
    session_id('shared');
    session_start();
    $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1;
    usleep(20_000);
    session_write_close();
    exit(0);
}

function configure(int $port): void
{
    foreach ([
        'session.save_handler' => 'redis',
        'session.save_path' => "tcp://127.0.0.1:$port",
        'session.use_cookies' => '0',
        'session.cache_limiter' => '',
        'redis.session.locking_enabled' => '1',
        'redis.session.lock_expire' => '30',
        'redis.session.lock_retries' => '2000',
        'redis.session.lock_wait_time' => '10000',
    ] as $name => $value) {
        ini_set($name, $value);
    }
}

fwrite(STDOUT, 'version of phpredis ' . phpversion('redis') . "\n");
configure($port);
$redis = new Redis();
$redis->connect('127.0.0.1', $port, 10.0);
session_id('mine');
session_start();
$_SESSION['user'] = ['id' => 7];
check('the lock is held', $redis->exists('PHPREDIS_SESSION:mine_LOCK'), 1);
session_write_close();
check('the lock is released', $redis->exists('PHPREDIS_SESSION:mine_LOCK'), 0);
if (getenv('SERVER_WARM') === '1') {
    fwrite(STDOUT, "restart\n");
    check('the server was restarted', fgets(STDIN), "restarted\n");
}
$_SESSION = [];
session_id('mine');
session_start();
check('the session', $_SESSION, ['user' => ['id' => 7]]);
session_write_close();

// Requests of one session at the same time: none loses what another one writes.
$requests = [];
for ($n = 0; $n < 6; $n++) {
    $requests[] = proc_open([PHP_BINARY, __FILE__, 'count'], [['file', '/dev/null', 'r'], STDERR, STDERR], $pipes);
}
foreach ($requests as $request) {
    check('a request', proc_close($request), 0);
}
session_id('shared');
session_start();
check('all of them', $_SESSION['count'] ?? 0, 6);
session_write_close();
