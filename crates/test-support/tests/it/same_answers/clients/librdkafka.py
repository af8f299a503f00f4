"""What the newest librdkafka sees of a broker: librdkafka.py SERVERS SUFFIX. Two brokers that are alike make it print the same."""

import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

SERVERS, SUFFIX = sys.argv[1:]
TOPIC, GROUP = f"librdkafka-{SUFFIX}", f"group-{SUFFIX}"
THEN = int(time.time()) // 1000 * 1000 * 1000
PATIENCE = 60
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

admin = AdminClient({"bootstrap.servers": SERVERS})


def outcome(futures):
    for future in futures.values():
        try:
            return future.result(PATIENCE)
        except KafkaException as error:
            return error.args[0].name()


def shown(message):
    kind, timestamp = message.timestamp()
    return (message.partition(), message.offset(), kind, timestamp - THEN, message.key(), message.value(), message.headers())


def consumer(**config):
    return Consumer({
        "bootstrap.servers": SERVERS,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        **config,
    })


def read(reader, partitions):
    """To the end of so many partitions."""
    messages, ends = [], set()
    while len(ends) < partitions:
        message = reader.poll(PATIENCE)
        if message is None:
            raise TimeoutError("no message in time")
        if message.error():
            assert message.error().name() == "_PARTITION_EOF", message.error()
            ends.add(message.partition())
        else:
            messages.append(message)
    return sorted(map(shown, messages))


def produce(codec, count):
    refused = []
    told = lambda error, _: refused.append(error.name()) if error else None
    producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True, "compression.type": codec, "linger.ms": 20})
    for n in range(count):
        producer.produce(
            TOPIC,
            key=None if n % 5 == 0 else f"key {n}",
            value=None if n % 7 == 0 else f"{codec} {n} ".encode() * 20,
            partition=n % 3,
            timestamp=THEN + n,
            headers=[("codec", codec.encode()), ("nothing", None)],
            on_delivery=told,
        )
    producer.flush(PATIENCE)
    return refused


print("made", outcome(admin.create_topics([NewTopic(TOPIC, 3, 1, config={"retention.ms": "86400000"})])))
print("made again", outcome(admin.create_topics([NewTopic(TOPIC, 3, 1)])))
print("made badly", outcome(admin.create_topics([NewTopic("a b", 3, 1)])))
while TOPIC not in admin.list_topics(timeout=PATIENCE).topics:
    pass
topic = admin.list_topics(TOPIC, timeout=PATIENCE).topics[TOPIC]
print("partitions", sorted((p.id, p.leader, p.replicas, p.isrs) for p in topic.partitions.values()))

for codec in CODECS:
    print("produced", codec, produce(codec, 300))

first = consumer()
first.subscribe([TOPIC])
for message in read(first, 3):
    print("read", message)
print("committed", sorted((p.partition, p.offset) for p in first.commit(asynchronous=False)))
print("produced", produce("lz4", 30))
first.close()

second = consumer()
second.subscribe([TOPIC])
print("read by the next member", read(second, 3))
second.commit(asynchronous=False)
print("marks", [second.get_watermark_offsets(TopicPartition(TOPIC, p), PATIENCE) for p in range(3)])
times = [TopicPartition(TOPIC, p, THEN + at) for p in range(3) for at in (0, 100, 299, 100000)]
for time_asked in times:
    found = second.offsets_for_times([time_asked], PATIENCE)[0]
    print("at", time_asked.partition, time_asked.offset - THEN, found.offset)
described = outcome(admin.describe_consumer_groups([GROUP], request_timeout=PATIENCE))
print("group", described.state, described.partition_assignor, len(described.members), [
    sorted((p.topic == TOPIC, p.partition) for p in member.assignment.topic_partitions) for member in described.members
])
print("a group with members", outcome(admin.delete_consumer_groups([GROUP], request_timeout=PATIENCE)))
second.close()

specs = {TopicPartition(TOPIC, 0): spec for spec in [OffsetSpec.max_timestamp()]}
print("latest", outcome(admin.list_offsets(specs, request_timeout=PATIENCE)).offset)
offsets = outcome(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]))
print("offsets", sorted((p.partition, p.offset) for p in offsets.topic_partitions))
moved = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, 0, 7)])
print("moved", sorted((p.partition, p.offset) for p in outcome(admin.alter_consumer_group_offsets([moved])).topic_partitions))
print("group", outcome(admin.describe_consumer_groups([GROUP], request_timeout=PATIENCE)).state)

wide = Producer({"bootstrap.servers": SERVERS, "message.max.bytes": 10_000_000})
errors = []
wide.produce(TOPIC, b"x" * 2_000_000, on_delivery=lambda error, _: errors.append(error.name()))
wide.flush(PATIENCE)
print("too large", errors)

print("grown", outcome(admin.create_partitions([NewPartitions(TOPIC, 5)])))
print("shrunk", outcome(admin.create_partitions([NewPartitions(TOPIC, 2)])))
resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC, incremental_configs=[
    ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET),
    ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
])
print("configured", outcome(admin.incremental_alter_configs([resource])))
configs = {}
# A broker hears of it a moment later.
while not configs or configs["max.message.bytes"].value != "20000":
    configs = outcome(admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, TOPIC)]))
print("configs", [(name, configs[name].value, configs[name].source) for name in ("max.message.bytes", "retention.ms")])
deleted = admin.delete_records([TopicPartition(TOPIC, 0, 100)], request_timeout=PATIENCE)
print("records deleted", outcome(deleted).low_watermark)
rest = consumer(**{"group.id": f"{GROUP}-rest"})
rest.assign([TopicPartition(TOPIC, 0, 0)])
print("first that is left", read(rest, 1)[0])
rest.close()

print("groups", sorted(g.group_id for g in admin.list_consumer_groups(request_timeout=PATIENCE).result().valid if SUFFIX in g.group_id))
print("group deleted", outcome(admin.delete_consumer_groups([GROUP], request_timeout=PATIENCE)))
print("deleted", outcome(admin.delete_topics([TOPIC])))
while TOPIC in admin.list_topics(timeout=PATIENCE).topics:
    pass
print("deleted again", outcome(admin.delete_topics([TOPIC])))
print("done")
