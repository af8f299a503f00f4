#!/usr/bin/env bash
# One would guess: a Kafka client that may not use a group gets "group authorization failed" when it asks for the group's committed
# offsets, as the Java client does.
# What happens: librdkafka's committed() waits until its time is up and raises _TIMED_OUT, which reads as a broker that is down or slow;
# a commit() ends in _WAIT_COORD. The broker did answer, with "group authorization failed": librdkafka keeps that as an error for the next
# poll(), and asks the broker again. Who only asks for offsets, as a lag monitor does, never polls and never sees it.
# Since: seen on confluent-kafka 2.16.1 with librdkafka 2.16.0, and Apache Kafka 4.3.1 (broker and Java client).
# Source: rd_kafka_committed in src/rdkafka.c and rd_kafka_cgrp_handle_FindCoordinator in src/rdkafka_cgrp.c of librdkafka.
# Needs a JDK and Maven beside Python.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet confluent-kafka==2.16.1
cat > pom.xml <<'XML'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>committed</artifactId>
  <version>0</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
XML
mvn --quiet --batch-mode -Dmaven.repo.local="$folder/maven" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=jars -DincludeScope=runtime
cat > Committed.java <<'JAVA'
import java.io.FileInputStream;
import java.util.Properties;
import java.util.Set;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Committed {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.load(new FileInputStream("reader.properties"));
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            System.out.println(consumer.committed(Set.of(new TopicPartition("calls", 0))));
        } catch (Exception error) {
            System.out.println(error.getClass().getSimpleName());
        }
    }
}
JAVA

venv/bin/python - <<'PYTHON' | tee found
import socket
import subprocess

from confluent_kafka import Consumer, KafkaException, TopicPartition, libversion, version
from confluent_kafka.admin import (
    AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic, ResourcePatternType, ResourceType,
)

JAVA = ["java", "-cp", "jars/*"]
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def write(path, properties):
    with open(path, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in properties.items())


def login(user):
    return {
        "bootstrap.servers": f"127.0.0.1:{port}", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": user, "sasl.password": user, "log_level": 0,
    }


def tell(name, way):
    try:
        print(f"{name}: {way()}")
    except KafkaException as error:
        print(f"{name}: {error.args[0].name()}")


port, controller = free_ports(2)
write("server.properties", {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    "controller.listener.names": "CONTROLLER",
    "listeners": f"SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
    "inter.broker.listener.name": "SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config":
        f'{LOGIN} username="admin" password="admin" user_admin="admin" user_reader="reader";',
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The controller's listener, on this machine alone, has no login.
    "super.users": "User:admin;User:ANONYMOUS",
    "log.dirs": "data",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
})
write("reader.properties", {
    "bootstrap.servers": f"127.0.0.1:{port}",
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.jaas.config": f'{LOGIN} username="reader" password="reader";',
    "group.id": "billing",
})
format_storage = ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", "server.properties"]
subprocess.run([*JAVA, *format_storage], check=True, stdout=subprocess.DEVNULL)
broker = subprocess.Popen([*JAVA, "kafka.Kafka", "server.properties"], stdout=subprocess.DEVNULL)
try:
    admin = AdminClient(login("admin"))
    admin.list_topics(timeout=120)
    admin.create_topics([NewTopic("calls", 1, 1)])["calls"].result()
    # The reader may read the topic; nobody gave it the group.
    topic = (ResourceType.TOPIC, "calls", ResourcePatternType.LITERAL)
    grant = AclBinding(*topic, "User:reader", "*", AclOperation.READ, AclPermissionType.ALLOW)
    admin.create_acls([grant])[grant].result()
    print("confluent-kafka", version(), "librdkafka", libversion()[0])
    consumer = Consumer({**login("reader"), "group.id": "billing", "enable.auto.commit": False})
    tell("committed", lambda: consumer.committed([TopicPartition("calls", 0)], timeout=10))
    tell("commit", lambda: consumer.commit(offsets=[TopicPartition("calls", 0, 1)], asynchronous=False))
    tell("poll", lambda: consumer.poll(10).error().name())
    java = subprocess.run([*JAVA, "Committed.java"], check=True, capture_output=True, text=True)
    print("Java client, committed:", java.stdout.strip())
finally:
    broker.terminate()
    broker.wait()
PYTHON
diff found - <<'EXPECTED'
confluent-kafka 2.16.1 librdkafka 2.16.0
committed: _TIMED_OUT
commit: _WAIT_COORD
poll: GROUP_AUTHORIZATION_FAILED
Java client, committed: GroupAuthorizationException
EXPECTED
echo "as described"
