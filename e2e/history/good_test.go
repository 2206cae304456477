package history

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var bounds = Bounds{Late: 10 * time.Second}

// at is so many milliseconds after the epoch.
func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// good is a small history of a platform that keeps its promises: one steady replica that is stopped for a while, one
// that is killed, one that is drained, one that a poison request ended, one that never ran; requests that were acknowledged, refused,
// unknown (stored and not), sent twice, answered, run twice, and one whose record came late while the platform was
// down.
func good() []Record {
	all := []Record{
		{Kind: Declared, At: at(0), Function: "steady", Steady: true},
		{Kind: Declared, At: at(0), Function: "f"},
		{Kind: Closing, At: at(90_000)},
		{Kind: Complete, At: at(99_000)},
	}
	all = append(all, life("s1", "steady", "drained", 100, 95_000, "gpu0")...)
	all = append(all, life("r1", "f", "agent-lost", 200, 20_000, "gpu1", "gpu2")...)
	all = append(all, life("r2", "f", "drained", 21_000, 40_000, "gpu1")...)
	all = append(all, life("r3", "f", "crashed", 41_000, 50_000, "gpu1")...)
	all = append(all, life("r4", "f", "killed", 60_000, 80_000, "gpu2")...)
	all = append(all, life("r0", "f", "agent-lost", 85_000, 86_000, "gpu2")[0]) // a start that a kill interrupted
	return append(all, slices.Concat(faults(), looks(), traffic())...)
}

// life is one replica from start to end.
func life(id, function, cause string, from, to int, devices ...string) []Record {
	return []Record{
		{Kind: Replica, At: at(from), Until: at(to), Replica: id, Function: function, Devices: devices, Cause: cause},
		{Kind: Process, At: at(from + 10), Until: at(to - 10), Replica: id, Program: Agent, PID: from},
		{Kind: Process, At: at(from + 50), Until: at(to - 100), Replica: id, Program: Server, PID: from + 1},
		{Kind: Holds, At: at(from + 40), Replica: id, Function: function, PID: from + 1, Devices: devices},
	}
}

func faults() []Record {
	return []Record{
		{Kind: Fault, At: at(2_000), What: Stop, Program: Agent, Replica: "s1", PID: 100},
		{Kind: Fault, At: at(5_000), What: Cont, Program: Agent, Replica: "s1", PID: 100},
		{Kind: Fault, At: at(19_900), What: Kill, Program: Agent, Replica: "r1", PID: 200},
		{Kind: Fault, At: at(30_000), What: Kill, Program: Platform},
		{Kind: Fault, At: at(30_100), What: Start, Program: Platform},
		{Kind: Fault, At: at(33_000), What: Ready, Program: Platform},
		{Kind: Quit, At: at(49_000), Replica: "r3", ID: "poison"},
		{Kind: Fault, At: at(70_000), What: Stop, Program: Agent, Replica: "r4", PID: 60_000},
		{Kind: Fault, At: at(80_500), What: Cont, Program: Agent, Replica: "r4", PID: 60_000},
	}
}

func looks() []Record {
	s1 := Lease{Replica: "s1", Devices: []string{"gpu0"}, State: "bound"}
	return []Record{
		{Kind: Look, At: at(10_000), Until: at(10_010), Leases: []Lease{s1, {Replica: "r1", Devices: []string{"gpu1", "gpu2"}, State: "bound"}}},
		{Kind: Look, At: at(20_500), Until: at(20_510), Leases: []Lease{s1}},
		{Kind: Look, At: at(25_000), Until: at(25_010), Leases: []Lease{s1, {Replica: "r2", Devices: []string{"gpu1"}, State: "bound"}}},
		{Kind: Look, At: at(99_000), Until: at(99_010)},
	}
}

// sent is one try of a request with a deadline ten seconds away.
func sent(id, function string, ms int) Record {
	return Record{Kind: Sent, At: at(ms), ID: id, Function: function, Class: "batch", Via: "nats", Deadline: at(ms + 10_000), Nonce: "nonce of " + id}
}

func word(kind Kind, id string, ms int) Record { return Record{Kind: kind, At: at(ms), ID: id} }

func run(id, replica string, ms int) []Record {
	return []Record{{Kind: Began, At: at(ms), ID: id, Replica: replica}, {Kind: Ended, At: at(ms + 100), ID: id, Replica: replica}}
}

func stored(id, function, status, replica string, attempt, ms int) Record {
	return Record{Kind: Stored, At: at(ms), ID: id, Function: function, Status: status, Replica: replica, Attempt: attempt}
}

func traffic() []Record {
	answer := Record{Kind: Answered, At: at(6_300), ID: "answered", Status: statusOK, Attempt: 1, Nonce: "nonce of answered"}
	return slices.Concat(
		[]Record{sent("acked", "f", 1_000), word(Acked, "acked", 1_010), stored("acked", "f", statusOK, "r1", 1, 1_300)}, run("acked", "r1", 1_100),
		[]Record{sent("answered", "steady", 6_000), answer, stored("answered", "steady", statusOK, "s1", 1, 6_290)}, run("answered", "s1", 6_100),
		[]Record{sent("unknown", "f", 1_000), word(Unknown, "unknown", 3_000)},
		[]Record{sent("taken", "f", 1_000), word(Unknown, "taken", 3_000), stored("taken", "f", statusOK, "r1", 1, 1_400)}, run("taken", "r1", 1_200),
		[]Record{sent("refused", "f", 1_000), word(Refused, "refused", 1_001)},
		[]Record{sent("again", "f", 21_000), word(Unknown, "again", 22_000), sent("again", "f", 22_500), word(Acked, "again", 22_600),
			stored("again", "f", statusOK, "r2", 2, 35_000)}, run("again", "r2", 22_800), run("again", "r2", 34_000),
		[]Record{sent("delayed", "f", 20_500), word(Acked, "delayed", 20_510), stored("delayed", "f", "expired", "", 0, 43_000)},
		[]Record{sent("poison", "f", 48_000), word(Acked, "poison", 48_010), {Kind: Began, At: at(48_900), ID: "poison", Replica: "r3"},
			stored("poison", "f", "error", "r3", 3, 49_500)},
	)
}

// anyHistory draws a right history of any size: replicas that take turns on their devices and end in any allowed
// way, and requests of every outcome.
func anyHistory(t *rapid.T) []Record {
	out := []Record{{Kind: Declared, Function: "f"}, {Kind: Complete, At: at(1_000_000)}}
	for d := range rapid.IntRange(1, 4).Draw(t, "devices") {
		from := rapid.IntRange(0, 5_000).Draw(t, "from")
		for n := range rapid.IntRange(0, 5).Draw(t, "replicas") {
			to := from + rapid.IntRange(1_000, 30_000).Draw(t, "life")
			id := fmt.Sprintf("r%d-%d", d, n)
			cause := rapid.SampledFrom([]string{causeDrained, "agent-lost", "crashed"}).Draw(t, "cause")
			out = append(out, life(id, "f", cause, from, to, fmt.Sprintf("gpu%d", d))...)
			if cause != causeDrained {
				program := rapid.SampledFrom([]string{Agent, Server}).Draw(t, "hit")
				out = append(out, Record{Kind: Fault, At: at(to - 100), What: Kill, Program: program, Replica: id})
			}
			for q := range rapid.IntRange(0, 4).Draw(t, "requests") {
				out = append(out, anyRequest(t, fmt.Sprintf("%s-%d", id, q), id, rapid.IntRange(from+100, to-500).Draw(t, "sent"))...)
			}
			from = to + rapid.IntRange(0, 1_000).Draw(t, "pause")
		}
	}
	return rapid.Permutation(out).Draw(t, "order")
}

func anyRequest(t *rapid.T, id, replica string, ms int) []Record {
	out := []Record{sent(id, "f", ms)}
	outcome := rapid.SampledFrom([]Kind{Acked, Refused, Unknown, Answered}).Draw(t, "outcome")
	told := word(outcome, id, ms+200)
	taken := outcome == Acked || outcome == Answered || outcome == Unknown && rapid.Bool().Draw(t, "taken")
	if outcome == Answered {
		told.Status, told.Attempt = statusOK, 1
	}
	out = append(out, told)
	if taken {
		out = append(out, run(id, replica, ms+10)...)
		out = append(out, stored(id, "f", statusOK, replica, 1, ms+150))
	}
	return out
}
