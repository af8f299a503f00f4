// What franz-go sees of a broker: franz SERVERS SUFFIX. Two brokers that are alike make it print the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	servers, suffix = os.Args[1], os.Args[2]
	topic, group    = "franz-" + suffix, "group-" + suffix
	then            = time.Now().Truncate(1000 * time.Second)
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The name of a broker's error; no words, which may differ.
func named(err error) string {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return fmt.Sprint(err)
}

func client(options ...kgo.Opt) *kgo.Client {
	return must(kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(servers)}, options...)...))
}

func shown(record *kgo.Record) string {
	return fmt.Sprint(record.Partition, " ", record.Offset, " ", record.Timestamp.Sub(then), " ", record.Attrs.CompressionType(),
		" ", record.Attrs.TimestampType(), " ", string(record.Key), record.Key == nil, " ", string(record.Value), record.Value == nil, " ", record.Headers)
}

func read(ctx context.Context, from *kgo.Client, count int) {
	var lines []string
	for len(lines) < count {
		fetches := from.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) { lines = append(lines, shown(record)) })
	}
	sort.Strings(lines)
	fmt.Println("read", len(lines))
	fmt.Println(strings.Join(lines, "\n"))
}

func offsets(listed kadm.ListedOffsets) string {
	var lines []string
	listed.Each(func(o kadm.ListedOffset) {
		lines = append(lines, fmt.Sprint(o.Partition, ":", o.Offset, " ", named(o.Err)))
	})
	sort.Strings(lines)
	return strings.Join(lines, ", ")
}

func produce(ctx context.Context, name string, codec kgo.CompressionCodec) {
	producer := client(kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
	defer producer.Close()
	for n := 0; n < 300; n++ {
		record := &kgo.Record{Topic: topic, Partition: int32(n % 3), Timestamp: then.Add(time.Duration(n) * time.Millisecond)}
		if n%5 != 0 {
			record.Key = []byte(fmt.Sprint("key ", n))
		}
		if n%7 != 0 {
			record.Value = []byte(strings.Repeat(fmt.Sprint(name, " ", n, " "), 20))
		}
		record.Headers = []kgo.RecordHeader{{Key: "codec", Value: []byte(name)}, {Key: "nothing"}}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) { check(err) })
	}
	check(producer.Flush(ctx))
	fmt.Println("produced", name)
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	admin := kadm.NewClient(client())
	defer admin.Close()

	made := must(admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("86400000")}, topic))
	fmt.Println("made", made.NumPartitions, made.ReplicationFactor, len(made.Configs) > 0)
	_, err := admin.CreateTopic(ctx, 3, 1, nil, topic)
	fmt.Println("made again", named(err))
	_, err = admin.CreateTopic(ctx, 3, 1, nil, "a b")
	fmt.Println("made badly", named(err))
	for !must(admin.ListTopics(ctx)).Has(topic) {
	}
	for _, part := range must(admin.ListTopics(ctx, topic))[topic].Partitions.Sorted() {
		fmt.Println("partition", part.Partition, part.Leader, part.Replicas, part.ISR, named(part.Err))
	}

	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()}, {"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}} {
		produce(ctx, codec.name, codec.codec)
	}

	reader := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.CooperativeStickyBalancer()))
	read(ctx, reader, 1500)
	check(reader.CommitUncommittedOffsets(ctx))
	described := must(admin.DescribeGroups(ctx, group))[group]
	fmt.Println("group", described.State, described.Protocol, len(described.Members))
	_, err = admin.DeleteGroup(ctx, group)
	fmt.Println("a group with members", named(err))
	reader.Close()

	must(admin.FetchOffsets(ctx, group)).Each(func(o kadm.OffsetResponse) { fmt.Println("committed", o.Topic == topic, o.At >= 0, named(o.Err)) })
	fmt.Println("beginnings", offsets(must(admin.ListStartOffsets(ctx, topic))))
	fmt.Println("ends", offsets(must(admin.ListEndOffsets(ctx, topic))))
	fmt.Println("committed ends", offsets(must(admin.ListCommittedOffsets(ctx, topic))))
	for _, at := range []int64{0, 100, 299, 100_000} {
		fmt.Println("at", at, offsets(must(admin.ListOffsetsAfterMilli(ctx, then.UnixMilli()+at, topic))))
	}

	large := client(kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	fmt.Println("too large", named(large.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 2_000_000)}).FirstErr()))
	large.Close()

	_, err = admin.CreatePartitions(ctx, 2, topic)
	fmt.Println("grown", named(err), named(must(admin.UpdatePartitions(ctx, 2, topic))[topic].Err))
	value := "20000"
	altered := must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic))
	fmt.Println("configured", named(altered[0].Err))
	configs := must(admin.DescribeTopicConfigs(ctx, topic))[0].Configs
	// A broker hears of it a moment later.
	for !changed(configs, "max.message.bytes", value) {
		configs = must(admin.DescribeTopicConfigs(ctx, topic))[0].Configs
	}
	sort.Slice(configs, func(a, b int) bool { return configs[a].Key < configs[b].Key })
	for _, config := range configs {
		// Kafka has a value of its own for this one, which is the default's.
		if config.Key != "min.insync.replicas" {
			fmt.Println("config", config.Key, config.MaybeValue(), config.Source)
		}
	}
	cut := make(kadm.Offsets)
	cut.AddOffset(topic, 0, 100, -1)
	deleted, _ := must(admin.DeleteRecords(ctx, cut)).Lookup(topic, 0)
	fmt.Println("records deleted", deleted.LowWatermark, named(deleted.Err))
	rest := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	read(ctx, rest, 400)
	rest.Close()

	fmt.Println("groups", must(admin.ListGroups(ctx)).Groups()[0] != "")
	_, err = admin.DeleteGroup(ctx, group)
	fmt.Println("group deleted", named(err))
	_, err = admin.DeleteTopic(ctx, topic)
	fmt.Println("deleted", named(err))
	for must(admin.ListTopics(ctx)).Has(topic) {
	}
	_, err = admin.DeleteTopic(ctx, topic)
	fmt.Println("deleted again", named(err))
	fmt.Println("done")
}

func changed(configs []kadm.Config, key, value string) bool {
	for _, config := range configs {
		if config.Key == key {
			return config.MaybeValue() == value
		}
	}
	return false
}
