package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// Limits of the streams.
const (
	// QueueCeiling is how many requests of one class of one function the broker keeps,
	// waiting and in flight. A manifest's queue.depth is at most this; the ceiling is the
	// platform's, for publishers that write into the void.
	QueueCeiling = 10_000
	// MaxShardConsumers is set because a stream of NATS 2.15 has at most 1,000 otherwise:
	// 1,000 awake functions to a shard, three classes each. That is far past the hundred
	// or so for which a shard is quick; it must be slow there, not refuse.
	MaxShardConsumers = 3_000
	// DuplicateWindow is how long a shard remembers a Nats-Msg-Id. It only has to outlive a
	// publisher's own retries; after it, the create-only terminal record deduplicates.
	DuplicateWindow = 2 * time.Minute
	// MaxRecords and MaxRecordBytes bound the terminal records: the broker keeps about a
	// third of a kilobyte of memory for each, so this is some 170 MB, and a gigabyte of disk.
	MaxRecords     = 500_000
	MaxRecordBytes = 1 << 30
	// DeadRetention and MaxDeadBytes bound the dead letters: a week spans a weekend and the
	// days in which somebody comes to look.
	DeadRetention = 7 * 24 * time.Hour
	MaxDeadBytes  = 256 << 20
	// EventRetention and MaxEventBytes bound what the platform says about itself: yesterday's
	// events are still there this morning. The oldest go first.
	EventRetention = 24 * time.Hour
	MaxEventBytes  = 256 << 20
)

// StreamOptions are what an operator decides about the streams.
type StreamOptions struct {
	Replicas int   // copies in a NATS cluster: 1 (0 means 1), 3 or 5
	Records  int64 // 0: MaxRecords
	Bytes    int64 // of terminal records; 0: MaxRecordBytes
}

func (o StreamOptions) withDefaults() StreamOptions {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Records == 0 {
		o.Records = MaxRecords
	}
	if o.Bytes == 0 {
		o.Bytes = MaxRecordBytes
	}
	return o
}

// MaxWatchers of records at one time. The broker's own limit is 1,000; one costs some 50 kB.
const MaxWatchers = 10_000

// ResultsConfig is the stream of terminal records. One message per subject, and new ones
// refused: that makes a record create-only. Each carries its own time to live.
func ResultsConfig(o StreamOptions) jetstream.StreamConfig {
	o = o.withDefaults()
	return jetstream.StreamConfig{
		Name: StreamResults, Description: "stoker: terminal records of requests, readable by id",
		Subjects: []string{AllResults}, Storage: jetstream.FileStorage, Replicas: o.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxMsgsPerSubject: 1, MaxMsgs: o.Records, MaxBytes: o.Bytes,
		AllowMsgTTL: true, AllowDirect: true, MaxConsumers: MaxWatchers,
		// Records are told apart by their subject. The shortest window is 100 ms.
		Duplicates: 100 * time.Millisecond,
	}
}

// DeadConfig is the stream of dead letters.
func DeadConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: StreamDead, Description: "stoker: requests whose attempts are spent",
		Subjects: []string{AllDead}, Storage: jetstream.FileStorage, Replicas: o.withDefaults().Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: DeadRetention, MaxBytes: MaxDeadBytes, MaxMsgs: -1, MaxMsgsPerSubject: -1,
		Duplicates: DuplicateWindow,
	}
}

// EventsConfig is the stream of what the platform says about itself.
func EventsConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: StreamEvents, Description: "stoker: what happened to functions and replicas",
		Subjects: []string{AllEvents}, Storage: jetstream.FileStorage, Replicas: o.withDefaults().Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: EventRetention, MaxBytes: MaxEventBytes, MaxMsgs: -1, MaxMsgsPerSubject: -1,
		Duplicates: DuplicateWindow,
	}
}

// OwnStream tells whether a stream is the platform's, which deletes none of them. Others may lie
// beside them: who may administer the broker may make and delete streams.
func OwnStream(name string) bool {
	fixed := []string{StreamResults, StreamDead, StreamEvents, StreamSubmissions}
	for _, bucket := range []string{BucketFunctions, BucketState, BucketLedger, BucketAttempts, BucketJobs, BucketJobState, BucketLearned, BucketCost, BucketMinutes} {
		fixed = append(fixed, bucketStream(bucket))
	}
	return slices.Contains(fixed, name) || isShard(name)
}

// ShardConfig is the WorkQueue stream of a shard that owns the given subjects.
func ShardConfig(shard, replicas int, subjects []string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: ShardStream(shard), Description: "stoker: requests that wait or are in flight",
		Subjects: subjects, Storage: jetstream.FileStorage, Replicas: max(replicas, 1),
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxMsgsPerSubject: QueueCeiling, MaxMsgs: -1, MaxBytes: -1,
		MaxConsumers: MaxShardConsumers, Duplicates: DuplicateWindow,
		RePublish: &jetstream.RePublish{Source: AllRequests, Destination: AllWakes, HeadersOnly: true},
	}
}

// Ensure makes the streams and buckets the platform lives on, or brings them up to date.
// Shards are made as functions are deployed.
func (b *Bus) Ensure(ctx context.Context, o StreamOptions) error {
	for _, c := range []jetstream.StreamConfig{ResultsConfig(o), DeadConfig(o), EventsConfig(o), SubmissionsConfig(o)} {
		if _, err := b.js.CreateOrUpdateStream(ctx, c); err != nil {
			return wrap("stream "+c.Name, err)
		}
	}
	for _, c := range bucketConfigs(o) {
		if _, err := b.js.CreateOrUpdateKeyValue(ctx, c); err != nil {
			return wrap("bucket "+c.Bucket, err)
		}
	}
	return nil
}

// PickShard chooses the shard for a new function: the one with the fewest functions, the
// first of those. The choice is kept in the function's record, and never made again.
func PickShard(counts []int) int {
	best := 0
	for i, n := range counts {
		if n < counts[best] {
			best = i
		}
	}
	return best
}

// shardLocks serialise changes of a shard's subjects in this process: the broker takes a
// whole new configuration, so two writers that read the same one lose one's subjects.
var shardLocks [Shards]sync.Mutex

// deployTries bounds how often a change is made again after another process undid it.
const deployTries = 5

// Deploy lets a function's requests in: its three subjects become part of the shard's
// stream, which is made where it is missing. Doing it again changes nothing.
func (b *Bus) Deploy(ctx context.Context, k functions.Key, shard int) error {
	return b.DeployAll(ctx, []functions.Key{k}, shard)
}

// DeployAll deploys several functions of one shard with one change of its stream. A change
// costs a write to disk, and the broker compares every subject with every other.
func (b *Bus) DeployAll(ctx context.Context, keys []functions.Key, shard int) error {
	var want []string
	for _, k := range keys {
		want = append(want, RequestSubjects(k)...)
	}
	return b.changeShard(ctx, shard, func(now []string) []string {
		return union(without(now, []string{placeholder(shard)}), want)
	})
}

// Retire refuses further requests of a function and tells how many are still stored.
// Consumers that exist go on delivering them.
func (b *Bus) Retire(ctx context.Context, k functions.Key, shard int) (int, error) {
	gone := RequestSubjects(k)
	err := b.changeShard(ctx, shard, func(now []string) []string {
		if now == nil {
			return nil
		}
		rest := without(now, gone)
		if len(rest) == 0 {
			rest = []string{placeholder(shard)} // a stream without subjects would own its own name
		}
		return rest
	})
	if err != nil {
		return 0, err
	}
	counts, err := b.PendingOf(ctx, k, shard)
	return total(counts), err
}

// Undeploy refuses further requests of a function and purges those that are stored. Whoever
// calls it has given them their records before ([Bus.Retire], [Bus.Peek]). The shard's stream
// stays, empty, when the last function goes: one made anew would count its messages from 1, and
// a bare payload's id, and the failures counted of it, go by that number. They would be taken
// for those of an older request whose record is still there.
func (b *Bus) Undeploy(ctx context.Context, k functions.Key, shard int) error {
	if _, err := b.Retire(ctx, k, shard); err != nil {
		return err
	}
	s, err := b.js.Stream(ctx, ShardStream(shard))
	if noStream(err) {
		return nil
	}
	if err != nil {
		return wrap("undeploy "+k.String(), err)
	}
	if err := b.deleteConsumers(ctx, k, shard); err != nil {
		return err
	}
	for _, subject := range RequestSubjects(k) {
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return wrap("purge "+subject, err)
		}
	}
	return nil
}

// changeShard applies change to the subjects of a shard's stream (nil: there is no stream)
// and reads them back: another process may have written an older list meanwhile. The stream's
// room becomes what [Bus.Hold] says.
func (b *Bus) changeShard(ctx context.Context, shard int, change func([]string) []string) error {
	if shard < 0 || shard >= Shards {
		return fmt.Errorf("%w: shard %d, allowed: 0 to %d", ErrSubject, shard, Shards-1)
	}
	shardLocks[shard].Lock()
	defer shardLocks[shard].Unlock()
	var err error
	for range deployTries {
		var done bool
		if done, err = b.tryChangeShard(ctx, shard, change); done || !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}

func (b *Bus) tryChangeShard(ctx context.Context, shard int, change func([]string) []string) (done bool, err error) {
	name := ShardStream(shard)
	have, err := b.shardConfig(ctx, name)
	if err != nil {
		return false, err
	}
	next := ShardConfig(shard, have.Replicas, change(have.Subjects))
	next.MaxBytes = b.shardRoom()
	switch {
	case slices.Equal(have.Subjects, next.Subjects) && (have.Subjects == nil || have.MaxBytes == next.MaxBytes):
		return true, nil
	case have.Subjects == nil:
		next.Replicas = b.replicas(ctx)
		_, err = b.js.CreateStream(ctx, next)
	default:
		_, err = b.js.UpdateStream(ctx, next)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || noStream(err) {
		return false, fmt.Errorf("%w: stream %s", ErrConflict, name)
	}
	if err != nil {
		return false, wrap("subjects of "+name, err)
	}
	now, err := b.shardConfig(ctx, name)
	if err == nil && !slices.Equal(now.Subjects, change(now.Subjects)) {
		return false, fmt.Errorf("%w: subjects of %s", ErrConflict, name)
	}
	return err == nil, err
}

// shardConfig reads what a shard's stream is (without subjects: there is none).
func (b *Bus) shardConfig(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	s, err := b.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return jetstream.StreamConfig{}, nil
	}
	if err != nil {
		return jetstream.StreamConfig{}, wrap("stream "+name, err)
	}
	return s.CachedInfo().Config, nil
}

// replicas of a new shard: as many as the terminal records have, whose loss would be the same.
func (b *Bus) replicas(ctx context.Context) int {
	s, err := b.js.Stream(ctx, StreamResults)
	if err != nil {
		return 1
	}
	return s.CachedInfo().Config.Replicas
}

func union(a, b []string) []string {
	out := slices.Concat(a, without(b, a))
	slices.Sort(out)
	return out
}

// without keeps a's order.
func without(a, b []string) []string {
	drop := make(map[string]bool, len(b))
	for _, s := range b {
		drop[s] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return drop[s] })
}

func total(counts map[functions.Class]uint64) int {
	n := 0
	for _, c := range counts {
		n += int(c)
	}
	return n
}
