"""What kafka-python sees of a broker: kafka_python.py SERVERS SUFFIX. Two brokers that are alike make it print the same."""

import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

SERVERS, SUFFIX = sys.argv[1:]
TOPIC, GROUP = f"kafka-python-{SUFFIX}", f"group-{SUFFIX}"
THEN = int(time.time()) // 1000 * 1000 * 1000
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
PARTITIONS = [TopicPartition(TOPIC, p) for p in range(3)]

admin = KafkaAdminClient(bootstrap_servers=SERVERS)


def outcome(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except KafkaError as error:
        return type(error).__name__


def consumer(**config):
    return KafkaConsumer(
        bootstrap_servers=SERVERS, auto_offset_reset="earliest", enable_auto_commit=False, consumer_timeout_ms=60_000, **config
    )


def read(reader, count):
    messages = [next(reader) for _ in range(count)]
    return sorted(
        (m.partition, m.offset, m.timestamp_type, m.timestamp - THEN, str(m.key), str(m.value), m.headers) for m in messages
    )


print("made", outcome(admin.create_topics, {TOPIC: {"num_partitions": 3, "replication_factor": 1}}, wait_for_metadata=True) is None)
print("made again", outcome(admin.create_topics, {TOPIC: {"num_partitions": 3, "replication_factor": 1}}))
print("made badly", outcome(admin.create_topics, {f"{TOPIC}-2": {"num_partitions": 3, "replication_factor": 4}}))
described = admin.describe_topics([TOPIC])[0]
print("partitions", sorted((p["partition_index"], p["leader_id"], p["isr_nodes"]) for p in described["partitions"]))

for codec in CODECS:
    producer = KafkaProducer(bootstrap_servers=SERVERS, compression_type=codec, enable_idempotence=True, linger_ms=20)
    sent = [
        producer.send(
            TOPIC,
            key=None if n % 5 == 0 else f"key {n}".encode(),
            value=None if n % 7 == 1 and n % 5 else f"{codec} {n} ".encode() * 20,
            partition=n % 3,
            timestamp_ms=THEN + n,
            headers=[("codec", str(codec).encode())],
        )
        for n in range(300)
    ]
    producer.flush()
    told = [future.get(60) for future in sent]
    print("produced", codec, [(m.partition, m.offset, m.timestamp - THEN) for m in told[-3:]])
    producer.close()

first = consumer(group_id=GROUP)
first.subscribe([TOPIC])
for message in read(first, 300 * len(CODECS)):
    print("read", message)
first.commit()
print("committed", sorted((p.partition, first.committed(p)) for p in PARTITIONS))
print("ends", sorted((p.partition, at) for p, at in first.end_offsets(PARTITIONS).items()))
print("beginnings", sorted((p.partition, at) for p, at in first.beginning_offsets(PARTITIONS).items()))
for at in (0, 100, 299, 100_000):
    found = first.offsets_for_times({p: THEN + at for p in PARTITIONS})
    print("at", at, sorted((p.partition, o and (o.offset, o.timestamp - THEN)) for p, o in found.items()))
group = admin.describe_groups([GROUP])[GROUP]
print("group", group["group_state"], group["protocol_data"], len(group["members"]))
print("a group with members", admin.delete_groups([GROUP]))
first.close()

found = admin.list_group_offsets({GROUP: None})[GROUP]
print("offsets", sorted((p.partition, o.offset) for p, o in found.items()))
print("moved", outcome(admin.alter_group_offsets, GROUP, {PARTITIONS[0]: OffsetAndMetadata(7, "", -1)}))
print("offset deleted", outcome(admin.delete_group_offsets, GROUP, [PARTITIONS[1]]))
found = admin.list_group_offsets({GROUP: None})[GROUP]
print("offsets", sorted((p.partition, o.offset) for p, o in found.items()))
latest = admin.list_partition_offsets({PARTITIONS[0]: OffsetSpec.MAX_TIMESTAMP})
print("latest", [(p.partition, o.offset, o.timestamp - THEN) for p, o in latest.items()])

producer = KafkaProducer(bootstrap_servers=SERVERS, max_request_size=10_000_000)
print("too large", outcome(producer.send(TOPIC, b"x" * 2_000_000).get, 60))
producer.close()

print("grown", outcome(admin.create_partitions, {TOPIC: 5}) is not None)
print("shrunk", outcome(admin.create_partitions, {TOPIC: 2}))
change = ConfigResource(ConfigResourceType.TOPIC, TOPIC, {"max.message.bytes": "20000"})
for incremental in (True, False):
    print("configured", incremental, admin.alter_configs([change], incremental=incremental)["topic"][TOPIC])
wanted = ConfigResource(ConfigResourceType.TOPIC, TOPIC, {"max.message.bytes": None, "segment.bytes": None})
told = {}
# A broker hears of it a moment later.
while told.get("max.message.bytes", {}).get("value") != "20000":
    told = admin.describe_configs([wanted], config_filter="all")["topic"][TOPIC]
print("configs", sorted((name, config["value"]) for name, config in told.items()))
print("records deleted", [d["low_watermark"] for d in admin.delete_records({PARTITIONS[0]: 100}).values()])
rest = consumer()
rest.assign([PARTITIONS[0]])
rest.seek(PARTITIONS[0], 0)
print("first that is left", read(rest, 1))
rest.close()

print("groups", [g["group_id"] for g in admin.list_groups() if SUFFIX in g["group_id"]])
print("group deleted", admin.delete_groups([GROUP]))
print("deleted", outcome(admin.delete_topics, [TOPIC]) is not None)
print("deleted of no topic", outcome(admin.delete_topics, [f"{TOPIC}-none"]))
print("done")
