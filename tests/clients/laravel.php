<?php
// What Laravel sends by phpredis: the scripts of its cache, its locks, its queues and its limiters. The scripts are written
// anew here, with the same commands, keys and results as Laravel's.
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
    check('the server was restarted', fgets(STDIN), "restarted\n");
}

/** Runs a script as Laravel's connection does. */
function script(string $text, array $keys, array $arguments): mixed
{
    global $redis;
    $result = $redis->eval($text, [...$keys, ...$arguments], count($keys));
    check('an error of a script', $redis->getLastError(), null);
    return $result;
}

const ADD = "return redis.call('exists', KEYS[1]) < 1 and redis.call('setex', KEYS[1], ARGV[2], ARGV[1])";
const RELEASE = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('del', KEYS[1])";
const PUSH = "redis.call('rpush', KEYS[1], ARGV[1]) redis.call('rpush', KEYS[2], 1)";
const SIZE = "return redis.call('llen', KEYS[1]) + redis.call('zcard', KEYS[2]) + redis.call('zcard', KEYS[3])";
const POP = <<<'LUA'
    local job, reserved = redis.call('lpop', KEYS[1]), false
    if job ~= false then
        reserved = cjson.decode(job)
        reserved['attempts'] = reserved['attempts'] + 1
        reserved = cjson.encode(reserved)
        redis.call('zadd', KEYS[2], ARGV[1], reserved)
        redis.call('lpop', KEYS[3])
    end
    return {job, reserved}
    LUA;
const BACK = "redis.call('zrem', KEYS[2], ARGV[1]) redis.call('zadd', KEYS[1], ARGV[2], ARGV[1]) return true";
const MIGRATE = <<<'LUA'
    local due = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1], 'limit', 0, ARGV[2])
    if next(due) ~= nil then
        redis.call('zremrangebyrank', KEYS[1], 0, #due - 1)
        for first = 1, #due, 100 do
            local last = math.min(first + 99, #due)
            redis.call('rpush', KEYS[2], unpack(due, first, last))
            for _ = first, last do redis.call('rpush', KEYS[3], 1) end
        end
    end
    return due
    LUA;
const CLEAR = <<<'LUA'
    local size = redis.call('llen', KEYS[1]) + redis.call('zcard', KEYS[2]) + redis.call('zcard', KEYS[3])
    redis.call('del', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
    return size
    LUA;
const SLOT = <<<'LUA'
    for number, holder in pairs(redis.call('mget', unpack(KEYS))) do
        if not holder then
            redis.call('set', KEYS[number], ARGV[3], 'EX', ARGV[2])
            return ARGV[1] .. number
        end
    end
    LUA;
const WINDOW = <<<'LUA'
    local function open()
        redis.call('hmset', KEYS[1], 'start', ARGV[2], 'end', ARGV[2] + ARGV[3], 'count', 1)
        return redis.call('expire', KEYS[1], ARGV[3] * 2)
    end
    if redis.call('exists', KEYS[1]) == 0 then
        return {open(), ARGV[2] + ARGV[3], ARGV[4] - 1}
    end
    if ARGV[1] >= redis.call('hget', KEYS[1], 'start') and ARGV[1] <= redis.call('hget', KEYS[1], 'end') then
        local passes = tonumber(redis.call('hincrby', KEYS[1], 'count', 1)) <= tonumber(ARGV[4])
        return {passes, redis.call('hget', KEYS[1], 'end'), ARGV[4] - redis.call('hget', KEYS[1], 'count')}
    end
    return {open(), ARGV[2] + ARGV[3], ARGV[4] - 1}
    LUA;

fwrite(STDOUT, 'version on phpredis ' . phpversion('redis') . "\n");
$redis = connect();
$redis->flushDB();

// The cache's add, and counters of its rate limiter, which adds a timer and a count.
check('add', script(ADD, ['cache:k'], ['s:1:"v";', 60]), true);
check('add again', script(ADD, ['cache:k'], ['s:1:"w";', 60]), false);
check('its value', $redis->get('cache:k'), 's:1:"v";');
check('its deadline', $redis->ttl('cache:k') > 55, true);
script(ADD, ['cache:limit:timer'], ['1', 60]);
script(ADD, ['cache:limit'], ['0', 60]);
check('hits', [$redis->incrBy('cache:limit', 1), $redis->incrBy('cache:limit', 1)], [1, 2]);

// A lock: only its owner releases it.
check('lock', $redis->set('lock', 'me', ['nx', 'ex' => 10]), true);
check('lock of another', $redis->set('lock', 'other', ['nx', 'ex' => 10]), false);
check('release by another', script(RELEASE, ['lock'], ['other']), 0);
check('release', script(RELEASE, ['lock'], ['me']), 1);

// A queue: jobs wait in a list, run while they are in the set of reserved ones, and come back from the delayed ones.
$queue = 'queues:default';
[$notify, $delayed, $reserved] = ["$queue:notify", "$queue:delayed", "$queue:reserved"];
$job = fn(int $number) => json_encode(['id' => "j$number", 'job' => 'Work@call', 'data' => ['n' => $number, 'list' => []], 'attempts' => 0]);
for ($number = 0; $number < 3; $number++) {
    check('push', script(PUSH, [$queue, $notify], [$job($number)]), false);
}
$now = time();
for ($number = 3; $number < 253; $number++) {
    $redis->zAdd($delayed, $now - 1, $job($number));
}
$redis->zAdd($delayed, $now + 1000, $job(1000));
check('size', script(SIZE, [$queue, $delayed, $reserved], []), 254);
if (getenv('SERVER_WARM') === '1') {
    restart();
    $redis = connect();
    check('size after the restart', script(SIZE, [$queue, $delayed, $reserved], []), 254);
}
check('due ones', count(script(MIGRATE, [$delayed, $queue, $notify], [$now, 200])), 200);
check('the other due ones', count(script(MIGRATE, [$delayed, $queue, $notify], [$now, 200])), 50);
check('no more', script(MIGRATE, [$delayed, $queue, $notify], [$now, 200]), []);
check('one notice for each', $redis->lLen($notify), 253);
[$first, $held] = script(POP, [$queue, $reserved, $notify], [$now + 60]);
check('the first job', $first, $job(0));
check('an attempt more', json_decode($held, true)['attempts'], 1);
check('its data', json_decode($held, true)['data']['n'], 0);
check('reserved', $redis->zScore($reserved, $held), (float) ($now + 60));
check('back', script(BACK, [$delayed, $reserved], [$held, $now - 5]), 1);
check('it is delayed', [$redis->zCard($reserved), $redis->zCard($delayed)], [0, 2]);
check('it is due', script(MIGRATE, [$delayed, $queue, $notify], [$now, -1]), [$held]);
check('all of them', script(CLEAR, [$queue, $delayed, $reserved, $notify], []), 254);
check('of an empty queue', script(POP, [$queue, $reserved, $notify], [$now + 60]), [false, false]);

// Limiters: of how many at the same time, and of how many in a time.
$slots = ['funnel1', 'funnel2'];
$taken = array_map(fn(string $who) => script(SLOT, $slots, ['funnel', 10, $who]), ['a', 'b', 'c']);
check('slots', $taken, ['funnel1', 'funnel2', false]);
check('a slot is given back', script(RELEASE, ['funnel1'], ['a']), 1);
check('and taken again', script(SLOT, $slots, ['funnel', 10, 'd']), 'funnel1');
$passes = [];
for ($call = 0; $call < 4; $call++) {
    $passes[] = (bool) script(WINDOW, ['window'], [sprintf('%.6f', microtime(true)), $now, 60, 3])[0];
}
check('in a time', $passes, [true, true, true, false]);
