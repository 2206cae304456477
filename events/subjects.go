package events

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"

	"stoker.dev/stoker/functions"
)

// Streams and buckets. Names are fixed: a data directory written by one version is read by the next.
const (
	StreamResults = "STOKER_RESULTS"
	StreamDead    = "STOKER_DEAD"
	StreamEvents  = "STOKER_EVENTS"

	BucketFunctions = "STOKER_FUNCTIONS"
	BucketState     = "STOKER_STATE"
	BucketLedger    = "STOKER_LEDGER"
	BucketAttempts  = "STOKER_ATTEMPTS"
	BucketJobs      = "STOKER_JOBS"         // submitted training jobs
	BucketJobState  = "STOKER_JOB_STATE"    // their lives, as last told
	BucketLearned   = "STOKER_LEARNED"      // what jobs that ended have taught
	BucketCost      = "STOKER_COST"         // GPU time by the hour, and the meter
	BucketMinutes   = "STOKER_COST_MINUTES" // GPU time by the minute
)

// Shards is the number of WorkQueue streams the functions are spread over. Every ack walks
// all consumers of its stream, so about a hundred awake functions to a stream keep the
// path fast (measured: 49k/s with 1 consumer, 17k/s with 1,000).
const Shards = 16

// The first tokens of every subject.
const (
	root       = "stoker"
	kindFn     = "fn"
	kindWake   = "wake"
	kindResult = "result"
	kindDead   = "dead"
	kindInvoke = "invoke"
	kindBeat   = "hb"
	kindCtl    = "ctl"
	kindCancel = "cancel"
	kindEvent  = "event"
	kindShard  = "shard"
)

// Filters for subscriptions and streams.
const (
	AllRequests   = root + "." + kindFn + ".>"
	AllWakes      = root + "." + kindWake + ".>"
	AllResults    = root + "." + kindResult + ".*.*.*"
	AllDead       = root + "." + kindDead + ".*.*.*"
	AllInvokes    = root + "." + kindInvoke + ".*.*"
	AllHeartbeats = root + "." + kindBeat + ".*.*.*"
	AllCancels    = root + "." + kindCancel + ".*.*"
	AllEvents     = root + "." + kindEvent + ".>"
)

// RequestSubject is where a request of a class is published.
func RequestSubject(k functions.Key, c functions.Class) string {
	return join(kindFn, k.Namespace, k.Name, string(c))
}

// RequestSubjects are the exact subjects a function owns on its shard, most urgent first.
func RequestSubjects(k functions.Key) []string {
	var out []string
	for _, c := range functions.Classes() {
		out = append(out, RequestSubject(k, c))
	}
	return out
}

// RequestFilter matches the requests of one function, of every class.
func RequestFilter(k functions.Key) string { return join(kindFn, k.Namespace, k.Name, "*") }

// ParseRequest reads a request subject back.
func ParseRequest(subject string) (functions.Key, functions.Class, error) {
	return parseClassed(subject, kindFn)
}

// WakeSubject is where the broker republishes the headers of a stored request.
func WakeSubject(k functions.Key, c functions.Class) string {
	return join(kindWake, k.Namespace, k.Name, string(c))
}

// WakeFilter matches the wakes of one function.
func WakeFilter(k functions.Key) string { return join(kindWake, k.Namespace, k.Name, "*") }

// ParseWake reads a wake subject back.
func ParseWake(subject string) (functions.Key, functions.Class, error) {
	return parseClassed(subject, kindWake)
}

// ResultSubject is where the terminal record of a request lives. The id is encoded by
// [IDToken].
func ResultSubject(k functions.Key, id string) string {
	return join(kindResult, k.Namespace, k.Name, IDToken(id))
}

// ResultFilter matches every record of one function.
func ResultFilter(k functions.Key) string { return join(kindResult, k.Namespace, k.Name, "*") }

// ParseResult reads a result subject back; the id is the token as it stands.
func ParseResult(subject string) (functions.Key, string, error) {
	return parseKeyed(subject, kindResult)
}

// DeadSubject is where a request goes whose attempts are spent.
func DeadSubject(k functions.Key, c functions.Class) string {
	return join(kindDead, k.Namespace, k.Name, string(c))
}

// DeadFilter matches the dead letters of one function.
func DeadFilter(k functions.Key) string { return join(kindDead, k.Namespace, k.Name, "*") }

// ParseDead reads a dead-letter subject back.
func ParseDead(subject string) (functions.Key, functions.Class, error) {
	return parseClassed(subject, kindDead)
}

// InvokeSubject answers plain request-reply.
func InvokeSubject(k functions.Key) string { return join(kindInvoke, k.Namespace, k.Name) }

// ParseInvoke reads an invoke subject back.
func ParseInvoke(subject string) (functions.Key, error) {
	t, err := split(subject, kindInvoke, 4)
	if err != nil {
		return functions.Key{}, err
	}
	return functions.Key{Namespace: t[2], Name: t[3]}, nil
}

// HeartbeatSubject is where the agent of a replica says how it is.
func HeartbeatSubject(k functions.Key, replica string) string {
	return join(kindBeat, k.Namespace, k.Name, replica)
}

// ParseHeartbeat reads a heartbeat subject back.
func ParseHeartbeat(subject string) (functions.Key, string, error) {
	return parseKeyed(subject, kindBeat)
}

// ControlSubject is where an agent takes orders.
func ControlSubject(k functions.Key, replica string) string {
	return join(kindCtl, k.Namespace, k.Name, replica)
}

// ParseControl reads a control subject back.
func ParseControl(subject string) (functions.Key, string, error) {
	return parseKeyed(subject, kindCtl)
}

// CancelSubject carries the ids of requests whose callers went away.
func CancelSubject(k functions.Key) string { return join(kindCancel, k.Namespace, k.Name) }

// ParseCancel reads a cancel subject back.
func ParseCancel(subject string) (functions.Key, error) {
	t, err := split(subject, kindCancel, 4)
	if err != nil {
		return functions.Key{}, err
	}
	return functions.Key{Namespace: t[2], Name: t[3]}, nil
}

// EventSubject is where the platform says what happened to a function; what is one token
// such as "replica-ready".
func EventSubject(k functions.Key, kind, what string) string {
	return join(kindEvent, k.Namespace, kind, k.Name, what)
}

// orAny is a token of a filter: the one that is given, or any.
func orAny(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

// EventFilter matches every event of one function.
func EventFilter(k functions.Key, kind string) string {
	return join(kindEvent, k.Namespace, kind, k.Name, "*")
}

// ParseEvent reads an event subject back.
func ParseEvent(subject string) (k functions.Key, kind, what string, err error) {
	t, err := split(subject, kindEvent, 6)
	if err != nil {
		return functions.Key{}, "", "", err
	}
	return functions.Key{Namespace: t[2], Name: t[4]}, t[3], t[5], nil
}

// ShardStream names the WorkQueue stream of a shard, 0 ≤ shard < [Shards].
func ShardStream(shard int) string { return fmt.Sprintf("%s%02d", ReservedID, shard) }

// ReservedID begins the name of every shard's stream, and so the id of every bare payload.
const ReservedID = "STOKER_FN_"

// placeholder is what a shard's stream owns while it owns no function: a stream without
// subjects would own its own name.
func placeholder(shard int) string { return join(kindShard, fmt.Sprintf("%02d", shard)) }

// Consumer names the durable consumer of one class of a function. Names of functions have
// no underscore, so the three parts stay apart.
func Consumer(k functions.Key, c functions.Class) string {
	return k.Namespace + "_" + k.Name + "_" + string(c)
}

// StateKey is the key of a function in every per-function bucket.
func StateKey(k functions.Key) string { return k.Namespace + "." + k.Name }

// ParseStateKey reads a bucket key back.
func ParseStateKey(key string) (functions.Key, error) {
	ns, name, ok := strings.Cut(key, ".")
	if !ok || ns == "" || name == "" || strings.Contains(name, ".") {
		return functions.Key{}, fmt.Errorf("%w: key %q, want <namespace>.<name>", ErrSubject, key)
	}
	return functions.Key{Namespace: ns, Name: name}, nil
}

// AttemptKey is the key that counts failed attempts of one stored request.
func AttemptKey(k functions.Key, stream string, seq uint64) string {
	return fmt.Sprintf("%s.%s-%d", StateKey(k), stream, seq)
}

// BareID is the id of a request that came without one: where it is stored. Nobody else may choose
// an id that begins with [ReservedID].
func BareID(stream string, seq uint64) string { return fmt.Sprintf("%s-%d", stream, seq) }

// AgentInbox is the prefix under which an agent's own answers arrive.
func AgentInbox(replica string) string { return "_AGENT." + replica }

// UserInbox is the prefix under which a user's answers arrive; stock clients take it as their
// inbox prefix. No name of a user is a wildcard or has a dot.
func UserInbox(user string) string { return userInboxes + "." + user }

// OwnerInbox is a prefix, no other's, under which the answers to a holder of the platform's token
// arrive. It is no user's, whatever they are called, and does not cross to the guests.
func OwnerInbox() string { return "_R.owner." + rand.Text() }

// What crosses the border between the broker's accounts: answers to clients.
const (
	userInboxes     = "_R.user"
	AllUserInboxes  = userInboxes + ".>"
	AllPlainInboxes = "_INBOX.>"
)

// AllClasses matches what requests are published to.
const AllClasses = root + "." + kindFn + ".*.*.*"

// maxIDToken bounds an id that stands for itself in a subject; longer ones are hashed, so
// that a subject stays short whatever a publisher sends.
const maxIDToken = 128

// hashedID marks a token that stands for an id which cannot be a subject token itself.
const hashedID = "="

// IDToken turns a request id into one subject token: itself where it is made of letters,
// digits and "-_:+@~/", and otherwise "=" and a hash, which the record's own id field undoes.
func IDToken(id string) string {
	if id != "" && len(id) <= maxIDToken && strings.IndexFunc(id, notToken) < 0 {
		return id
	}
	if IsHashedID(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hashedID + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// hashedIDLen is "=" and 20 bytes in base32.
const hashedIDLen = 1 + 32

// IsHashedID tells whether a token stands for an id by its hash.
func IsHashedID(token string) bool {
	return len(token) == hashedIDLen && strings.HasPrefix(token, hashedID) &&
		strings.IndexFunc(token[1:], func(r rune) bool { return !('a' <= r && r <= 'v' || '0' <= r && r <= '9') }) < 0
}

func notToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	default:
		return !strings.ContainsRune("-_:+@~/", r)
	}
}

// SourceSuffix keeps apart two sources that use the same id: the second one's record is
// "<id>~<suffix>".
func SourceSuffix(source string) string {
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:4])
}

// maxReplySubject bounds a reply subject, in bytes. Those of the client libraries have some 40;
// the broker's own limit for a whole line is 4 KiB, and one reply is kept for each request.
const maxReplySubject = 256

// ReplyAllowed tells whether an agent may answer on a subject: only inboxes, so that an
// agent is nobody's deputy.
func ReplyAllowed(subject string) bool {
	if len(subject) > maxReplySubject || strings.IndexFunc(subject, notInSubject) >= 0 {
		return false
	}
	if strings.HasSuffix(subject, ".") || strings.Contains(subject, "..") {
		return false
	}
	return strings.HasPrefix(subject, "_INBOX.") || strings.HasPrefix(subject, "_R.")
}

// notInSubject finds what ends a subject on the wire, or makes it match more than one.
func notInSubject(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '>' }

func parseKeyed(subject, kind string) (functions.Key, string, error) {
	t, err := split(subject, kind, 5)
	if err != nil {
		return functions.Key{}, "", err
	}
	return functions.Key{Namespace: t[2], Name: t[3]}, t[4], nil
}

func parseClassed(subject, kind string) (functions.Key, functions.Class, error) {
	k, last, err := parseKeyed(subject, kind)
	if err != nil {
		return k, "", err
	}
	c, err := parseClass(last)
	return k, c, err
}

func parseClass(s string) (functions.Class, error) {
	for _, c := range functions.Classes() {
		if string(c) == s {
			return c, nil
		}
	}
	return "", fmt.Errorf("%w: class %q, allowed: interactive, standard, batch", ErrSubject, s)
}

func join(tokens ...string) string { return root + "." + strings.Join(tokens, ".") }

func split(subject, kind string, n int) ([]string, error) {
	t := strings.Split(subject, ".")
	if len(t) != n || t[0] != root || t[1] != kind {
		return nil, fmt.Errorf("%w: %q, want %d tokens starting %s.%s", ErrSubject, subject, n, root, kind)
	}
	for _, s := range t[2:] {
		if s == "" {
			return nil, fmt.Errorf("%w: %q has an empty token", ErrSubject, subject)
		}
	}
	return t, nil
}

// NextSubject is the broker's own subject on which a consumer is pulled from.
func NextSubject(stream, consumer string) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer
}
