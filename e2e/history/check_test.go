package history

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAGoodHistoryHasNoViolation(t *testing.T) {
	for _, v := range Check(good(), bounds) {
		t.Error(v)
	}
}

func TestAnyGoodHistoryHasNoViolation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, v := range Check(anyHistory(t), bounds) {
			t.Error(v)
		}
	})
}

// without drops what a test says did not happen.
func without(records []Record, drop func(Record) bool) []Record {
	return slices.DeleteFunc(records, drop)
}

// changed alters the records that match; it panics where none does, since the plant would prove nothing.
func changed(records []Record, match func(Record) bool, change func(*Record)) []Record {
	n := 0
	for i := range records {
		if match(records[i]) {
			change(&records[i])
			n++
		}
	}
	if n == 0 {
		panic("a planted violation changes nothing")
	}
	return records
}

func is(kind Kind, id string) func(Record) bool {
	return func(r Record) bool { return r.Kind == kind && (r.ID == id || r.Replica == id) }
}

// plant breaks a history once.
type plant struct {
	name    string
	want    Broken
	subject string
	plant   func([]Record) []Record
}

// planted breaks the good history, each in a way of its own.
var planted = []plant{
	{"an acknowledged request without a record", Lost, "acked", func(h []Record) []Record { return without(h, is(Stored, "acked")) }},
	{"an answered request without a record", Lost, "answered", func(h []Record) []Record { return without(h, is(Stored, "answered")) }},
	{"a repeated request, acknowledged once, without a record", Lost, "again", func(h []Record) []Record { return without(h, is(Stored, "again")) }},
	{"a second record", Twice, "acked", func(h []Record) []Record { return append(h, stored("acked", "f", statusOK, "r1", 1, 1_500)) }},
	{"a record of an unknown request, twice", Twice, "taken", func(h []Record) []Record { return append(h, stored("taken", "f", statusOK, "r1", 1, 1_500)) }},
	{"a record that was seen and is gone", RecordGone, "acked", func(h []Record) []Record {
		return append(h, Record{Kind: Vanished, ID: "acked", What: "record 7"})
	}},
	{"a record that nobody saw", RecordGone, "", func(h []Record) []Record { return append(h, Record{Kind: Vanished, What: "record 7"}) }},
	{"a record past the bound", Late, "acked", func(h []Record) []Record {
		return changed(h, is(Stored, "acked"), func(r *Record) { r.At = at(1_000 + 10_000 + 10_001) })
	}},
	{"a record past the bound, what was excused taken off", Late, "delayed", func(h []Record) []Record {
		return changed(h, is(Stored, "delayed"), func(r *Record) { r.At = at(30_500 + 2_500 + 10_001) })
	}},
	{"a record of what nobody sent", Unsent, "ghost", func(h []Record) []Record { return append(h, stored("ghost", "f", "expired", "", 0, 5_000)) }},
	{"a run of what nobody sent", Unsent, "ghost", func(h []Record) []Record { return append(h, run("ghost", "r1", 5_000)...) }},
	{"an answer to what nobody sent", Unsent, "ghost", func(h []Record) []Record { return append(h, word(Answered, "ghost", 5_000)) }},
	{"an answer with another status than the record", Contradicted, "answered", func(h []Record) []Record {
		return changed(h, is(Answered, "answered"), func(r *Record) { r.Status = "error" })
	}},
	{"an answer of another attempt than the record", Contradicted, "answered", func(h []Record) []Record {
		return changed(h, is(Answered, "answered"), func(r *Record) { r.Attempt = 2 })
	}},
	{"another request's answer", Contradicted, "answered", func(h []Record) []Record {
		return changed(h, is(Answered, "answered"), func(r *Record) { r.Nonce = "nonce of acked" })
	}},
	{"a result that nobody made", Unrun, "acked", func(h []Record) []Record { return without(h, is(Ended, "acked")) }},
	{"a result of another replica than ran it", Unrun, "acked", func(h []Record) []Record {
		return changed(h, func(r Record) bool { return r.Kind == Ended && r.ID == "acked" }, func(r *Record) { r.Replica = "r2" })
	}},
	{"a refused request that was run", RefusedButRun, "refused", func(h []Record) []Record { return append(h, run("refused", "r1", 5_000)...) }},
	{"a refused request with a record", RefusedButRun, "refused", func(h []Record) []Record {
		return append(h, stored("refused", "f", "expired", "", 0, 12_000))
	}},
	{"a lock that somebody else has", GPUShared, "gpu1", func(h []Record) []Record {
		return append(h, Record{Kind: Conflict, At: at(20_000), Replica: "r2", Devices: []string{"gpu1"}})
	}},
	{"a process that was alive when the next replica had its GPU", GPUShared, "gpu1", func(h []Record) []Record {
		h = changed(h, is(Replica, "r3"), func(r *Record) { r.Devices = nil }) // the provider's own times are another test
		h = append(h, life("r5", "f", causeDrained, 42_000, 43_000)...)
		h = changed(h, is(Holds, "r5"), func(r *Record) { r.Devices = []string{"gpu1"} })
		return without(h, func(r Record) bool { return r.Kind == Replica && (r.Replica == "r3" || r.Replica == "r5") })
	}},
	{"overlapping times of the provider", GPUShared, "gpu1", func(h []Record) []Record {
		return changed(h, is(Replica, "r2"), func(r *Record) { r.At = at(19_999) })
	}},
	{"a replica that never ended, in the provider's times, and its GPU given away", GPUShared, "gpu1", func(h []Record) []Record {
		return changed(h, is(Replica, "r3"), func(r *Record) { r.At, r.Until = at(20_500), time.Time{} })
	}},
	{"a lease that is given twice", GPUShared, "gpu0", func(h []Record) []Record {
		return append(h, Record{Kind: Look, At: at(96_000), Until: at(96_001), Leases: []Lease{
			{Replica: "s1", Devices: []string{"gpu0"}}, {Replica: "other", Devices: []string{"gpu0"}}}})
	}},
	{"a lease released before the tree is gone", LeaseEarly, "s1", func(h []Record) []Record {
		return append(h, Record{Kind: Look, At: at(50_000), Until: at(50_010)})
	}},
	{"other devices than the ledger says", BooksDiffer, "r1", func(h []Record) []Record {
		return append(h, Record{Kind: Look, At: at(15_000), Until: at(15_001), Leases: []Lease{
			{Replica: "s1", Devices: []string{"gpu0"}}, {Replica: "r1", Devices: []string{"gpu7", "gpu2"}}}})
	}},
	{"other devices than the provider says", BooksDiffer, "r4", func(h []Record) []Record {
		return changed(h, is(Replica, "r4"), func(r *Record) { r.Devices = []string{"gpu9"} })
	}},
	{"a replica the provider knows nothing of", BooksDiffer, "r2", func(h []Record) []Record { return without(h, is(Replica, "r2")) }},
	{"a start before the provider's", BooksDiffer, "r4", func(h []Record) []Record {
		return changed(h, is(Replica, "r4"), func(r *Record) { r.At = at(60_045) })
	}},
	{"a process after the provider said gone", BooksDiffer, "r4", func(h []Record) []Record {
		return changed(h, is(Process, "r4"), func(r *Record) { r.Until = at(80_001) })
	}},
	{"a healthy replica that ended", Restarted, "r2", func(h []Record) []Record {
		return changed(h, is(Replica, "r2"), func(r *Record) { r.Cause = "agent-lost" })
	}},
	{"a replica that ended before it was killed", Restarted, "r1", func(h []Record) []Record {
		return changed(h, is(Fault, "r1"), func(r *Record) { r.At = at(20_001) })
	}},
	{"a replica that was killed and heard well", Restarted, "r4", func(h []Record) []Record { return without(h, is(Fault, "r4")) }},
	{"a replica that ended without its poison", Restarted, "r3", func(h []Record) []Record { return without(h, is(Quit, "r3")) }},
	{"a steady replica that was asked to go while it was out of reach", Restarted, "s1", func(h []Record) []Record {
		return changed(h, func(r Record) bool { return r.Kind == Closing }, func(r *Record) { r.At = at(96_000) })
	}},
	{"a process that is left", Leftover, "4711", func(h []Record) []Record {
		return append(h, Record{Kind: Left, ID: "4711", What: "process"})
	}},
	{"a history that stops in the middle", Incomplete, "", func(h []Record) []Record {
		return without(h, func(r Record) bool { return r.Kind == Complete })
	}},
}

// TestPlantedViolationsAreFound wants exactly the violation that was planted, of the right kind, about the right
// subject.
func TestPlantedViolationsAreFound(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			h := p.plant(good())
			if reflect.DeepEqual(h, good()) {
				t.Fatal("nothing was planted")
			}
			found := Check(h, bounds)
			right := 0
			for _, v := range found {
				if v.Kind == p.want && (p.subject == "" || slices.Contains(v.Subjects, p.subject)) {
					right++
				} else if v.Kind != BooksDiffer || p.want != GPUShared { // without the provider's record, it is missing too
					t.Errorf("also found: %s", v)
				}
			}
			if right != 1 {
				t.Errorf("%d violations of kind %s about %s, want 1: %v", right, p.want, p.subject, found)
			}
		})
	}
}

// TestEveryKindIsPlanted holds the table above and the list of kinds together.
func TestEveryKindIsPlanted(t *testing.T) {
	for _, kind := range []Broken{
		Lost, Twice, RecordGone, Late, Unsent, Contradicted, Unrun, RefusedButRun, GPUShared, LeaseEarly, BooksDiffer, Restarted, Leftover, Incomplete,
	} {
		if !slices.ContainsFunc(planted, func(p plant) bool { return p.want == kind }) {
			t.Errorf("no violation of kind %s is planted", kind)
		}
	}
}

// TestAnyPlantedLossIsFound drops one record of an accepted request from any right history.
func TestAnyPlantedLossIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		var accepted []string
		for _, r := range h {
			if r.Kind == Acked || r.Kind == Answered {
				accepted = append(accepted, r.ID)
			}
		}
		if len(accepted) == 0 {
			t.Skip("nothing was accepted")
		}
		id := rapid.SampledFrom(accepted).Draw(t, "lost")
		found := Check(without(h, is(Stored, id)), bounds)
		if len(found) != 1 || found[0].Kind != Lost || found[0].Subjects[0] != id {
			t.Fatalf("%v, want that %s is lost", found, id)
		}
	})
}

// TestAnyPlantedOverlapIsFound starts one replica of any right history before the one before it has ended.
func TestAnyPlantedOverlapIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory(t)
		var victims []Record
		for _, r := range h {
			if r.Kind == Replica {
				victims = append(victims, r)
			}
		}
		if len(victims) == 0 {
			t.Skip("nothing ran")
		}
		v := rapid.SampledFrom(victims).Draw(t, "overlapped")
		ms := int(v.At.Sub(epoch)/time.Millisecond) + rapid.IntRange(1, int(v.Until.Sub(v.At)/time.Millisecond)-1).Draw(t, "into it")
		h = append(h, life("thief", "f", causeDrained, ms, ms+300, v.Devices...)...)
		shared := slices.ContainsFunc(Check(h, bounds), func(b Violation) bool { return b.Kind == GPUShared && b.Subjects[0] == v.Devices[0] })
		if !shared {
			t.Fatalf("nobody noticed that %s was shared", v.Devices[0])
		}
	})
}

func TestHistoriesRoundTrip(t *testing.T) {
	var file bytes.Buffer
	for _, r := range good() {
		line, err := r.Line()
		if err != nil {
			t.Fatal(err)
		}
		file.Write(line)
	}
	back, err := Read(&file)
	if err != nil || !reflect.DeepEqual(back, good()) {
		t.Errorf("%v: read back %d records of %d, or others", err, len(back), len(good()))
	}
	if _, err := Read(strings.NewReader("{}\n{half")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("half a line: %v, want an error that names it", err)
	}
}

func TestSummaryCounts(t *testing.T) {
	s := Summarise(good())
	if s.Acked != 4 || s.Unknown != 2 || s.Refused != 1 || s.Tries != 9 || s.RunAgain != 1 || s.Records[statusOK] != 4 ||
		s.Faults["kill agent"] != 1 || s.Replicas[causeDrained] != 2 || s.Latest != 10*time.Second {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"8 batch in 9 tries", "1 requests were run more than once", "1 kill platform"} {
		if !strings.Contains(s.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, s)
		}
	}
}
