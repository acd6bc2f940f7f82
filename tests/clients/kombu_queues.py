"""kombu by itself: direct, topic and fanout exchanges, priorities, messages that come back, queues that expire."""

import socket

import kombu
import redis

from common import HOST, PORT, URL, WARM, check, check_within, restart, version, wait_until


def get(queue, ack=True):
    message = queue.get(block=True, timeout=5)
    if ack:
        message.ack()
    return message.payload


def main():
    version(kombu.__version__)
    raw = redis.Redis(host=HOST, port=PORT)
    options = {"visibility_timeout": 1, "unacked_restore_limit": None}
    connection = kombu.Connection(URL, transport_options=options)
    queue = connection.SimpleQueue("simple")
    for number in range(5):
        queue.put({"n": number}, expiration=600)
    check("their number", queue.qsize(), 5)
    check("the first one", get(queue), {"n": 0})
    message = queue.get(block=True, timeout=5)
    check("not acknowledged", raw.hlen("unacked"), 1)
    message.requeue()
    check("requeued", [raw.hlen("unacked"), queue.qsize()], [0, 4])
    message = queue.get(block=True, timeout=5)
    message.reject()
    check("rejected", [raw.hlen("unacked"), queue.qsize()], [0, 3])
    queue.close()

    with connection.channel() as channel:
        short = kombu.Queue("short", kombu.Exchange("short"), routing_key="short", expires=30)
        short(channel).declare()
        producer = kombu.Producer(channel)
        producer.publish("x", exchange=short.exchange, routing_key="short")
        check("a queue that expires", short(channel).get(no_ack=True).payload, "x")
        topic = kombu.Exchange("topic", type="topic")
        for name, pattern in (("all", "log.#"), ("errors", "log.*.error")):
            kombu.Queue(name, topic, routing_key=pattern)(channel).declare()
        for key in ("log.a.error", "log.b.info"):
            producer.publish(key, exchange=topic, routing_key=key)
        names = [kombu.Queue(name)(channel).get for name in ("all", "all", "errors")]
        check("topics", [take(no_ack=True).payload for take in names], ["log.a.error", "log.b.info", "log.a.error"])
        for priority in (9, 0):
            producer.publish(priority, routing_key="prio", priority=priority, declare=[kombu.Queue("prio", routing_key="prio")])
        check_within("priorities", len(raw.keys("prio*")), 1, 2)

    fanout = kombu.Exchange("fanout", type="fanout")
    heard = []

    def hear(body, message):
        heard.append(body)
        message.ack()

    with connection.Consumer([kombu.Queue("ear", fanout, exclusive=True)], callbacks=[hear]):
        with kombu.Connection(URL) as other:
            def tell():
                kombu.Producer(other).publish("hello", exchange=fanout, declare=[fanout])
                try:
                    connection.drain_events(timeout=0.3)
                except socket.timeout:
                    pass
                return heard
            wait_until("fanout", tell)

    # A consumer that dies keeps what it has not acknowledged for the visibility timeout; redis-py's lock guards the list.
    simple = kombu.Queue("simple", kombu.Exchange("simple"), routing_key="simple")
    with kombu.Connection(URL, transport_options=options) as lost:
        kept = [simple(lost.default_channel).get().payload["n"] for _ in range(3)]
        # Without this it would give them back in order.
        lost.default_channel.qos.restore_at_shutdown = False
    if WARM:
        restart()
    check("they are kept", raw.hlen("unacked"), 3)
    fresh = kombu.Connection(URL, transport_options=options)
    channel = fresh.default_channel

    def restored():
        channel.qos.restore_visible(start=0, num=10)
        return raw.hlen("unacked") == 0

    wait_until("they come back", restored)
    back = [simple(channel).get(no_ack=True).payload["n"] for _ in range(3)]
    check("all of them", sorted(back), sorted(kept))
    fresh.release()


main()
