# Sidekiq: a worker runs jobs, tries failing ones again, and takes scheduled ones by its Lua script.
#
# The worker is another process, which loads this file too.
require "sidekiq"
require "sidekiq/api"

URL = "redis://127.0.0.1:#{ENV.fetch('SERVER_PORT')}/0"
WARM = ENV.fetch("SERVER_WARM") == "1"

Sidekiq.configure_client { |config| config.redis = { url: URL } }
Sidekiq.configure_server do |config|
  config.redis = { url: URL }
  # How often scheduled jobs are looked for, seconds; the default is seconds for each worker.
  config.options[:poll_interval_average] = 0.3
end

class Note
  include Sidekiq::Worker

  def perform(name, number)
    Sidekiq.redis { |redis| redis.rpush(name, number) }
  end
end

class FailsTwice
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 1 }

  def perform(name)
    count = Sidekiq.redis { |redis| redis.rpush(name, 1) }
    raise "as it should" if count < 3
  end
end

class FailsAlways
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform
    raise "as it should"
  end
end

def check(what, found, wanted)
  abort "#{what}: #{found.inspect}, not #{wanted.inspect}" if found != wanted
end

def wait_until(what, seconds = 40)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  until yield
    abort "#{what}: not within #{seconds} s" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    sleep 0.05
  end
end

def noted(name)
  Sidekiq.redis { |redis| redis.lrange(name, 0, -1) }.map(&:to_i)
end

# Has the server killed by signal 9 and started again on the same port and data.
def restart
  $stdout.puts "restart"
  $stdout.flush
  abort "the server was not restarted" if $stdin.gets != "restarted\n"
end

def start_worker(log)
  command = ["sidekiq", "--require", __FILE__, "--concurrency", "2", "--timeout", "2"]
  Process.spawn({ "RUBYOPT" => "-W0" }, *command, in: File::NULL, out: log, err: log)
end

def main
  $stdout.puts "version #{Sidekiq::VERSION} with redis-rb #{Redis::VERSION}"
  $stdout.flush
  log = File.join(ENV.fetch("CLIENT_FOLDER"), "sidekiq.log")
  3.times { |number| Note.perform_async("now", number) }
  Sidekiq::Client.push_bulk("class" => Note, "args" => [["bulk", 1], ["bulk", 2]])
  Note.perform_in(1, "later", 1)
  Note.perform_in(3600, "far", 1)
  removed = Note.perform_in(3600, "far", 2)
  FailsTwice.perform_async("tries")
  FailsAlways.perform_async
  check "queued", Sidekiq::Queue.new.size, 7
  check "scheduled", Sidekiq::ScheduledSet.new.size, 3
  check "removed", Sidekiq::ScheduledSet.new.find_job(removed).delete, true
  if WARM
    restart
    check "after the restart", [Sidekiq::Queue.new.size, Sidekiq::ScheduledSet.new.size], [7, 2]
  end
  worker = start_worker(log)
  begin
    wait_until("jobs run") { noted("now").sort == [0, 1, 2] && noted("bulk").sort == [1, 2] }
    wait_until("a scheduled job runs") { noted("later") == [1] }
    wait_until("a failing job is tried again") { noted("tries") == [1, 1, 1] }
    wait_until("the worker shows") { Sidekiq::ProcessSet.new.size == 1 }
    check "the far one waits", [noted("far"), Sidekiq::ScheduledSet.new.size], [[], 1]
    wait_until("nothing is left") { Sidekiq::RetrySet.new.size.zero? && Sidekiq::Queue.new.size.zero? }
  rescue SystemExit
    warn File.read(log)
    raise
  ensure
    Process.kill("TERM", worker)
    Process.wait(worker)
  end
  wait_until("its counts") { Sidekiq::Stats.new.failed == 3 && Sidekiq::Stats.new.processed == 10 }
end

main if $PROGRAM_NAME == __FILE__
