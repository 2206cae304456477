package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

const observed = `{"pending": {"standard": 9}, "inFlight": 1, "freeGPUs": 8, "ended": 0, "serviceSec": 0,
 "replicas": [{"id": "r1", "revision": "old", "phase": "ready", "since": "2026-11-24T11:00:00Z", "inFlight": 1}]}`

// TestDecideAnswersWhatThePlatformWouldDo asks about an observation with a manifest, about a whole question, and about
// an explanation, with nothing running anywhere.
func TestDecideAnswersWhatThePlatformWouldDo(t *testing.T) {
	fns, err := functions.Parse("m", []byte(manifestText))
	must(t, err)
	var obs scale.Observation
	must(t, json.Unmarshal([]byte(observed), &obs))
	q := scale.Question{Spec: scale.SpecOf(fns[0], functions.Revision(fns[0].Spec)), Observation: obs, Now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	want := q.Answer()
	whole, err := json.Marshal(q)
	must(t, err)
	explained, err := json.Marshal(map[string]any{"function": map[string]string{"phase": "Zero"}, "asked": q})
	must(t, err)
	file, m := manifest(t, "o.json", observed), manifest(t, "m.yaml", manifestText)
	for name, args := range map[string][]string{
		"an observation":                 {"-f", file, "--manifest", m, "--at", "2026-11-24T12:00:00Z"},
		"a question":                     {"-f", manifest(t, "q.json", string(whole))},
		"an explanation":                 {"-f", manifest(t, "e.json", string(explained))},
		"a question, another's manifest": {"-f", manifest(t, "q.json", string(whole)), "--manifest", m},
	} {
		got := stoker(t, "", append([]string{"--data-dir", t.TempDir(), "decide", "-o", "json"}, args...)...)
		var answer scale.Answer
		if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.code != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		if answer.Decision.Target != want.Decision.Target || answer.Decision.Reason != want.Decision.Reason || !reflect.DeepEqual(answer.Lines, want.Lines) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, answer, want)
		}
	}
	next, err := json.Marshal(want.State)
	must(t, err)
	got := stoker(t, observed, "decide", "-f", "-", "--manifest", m, "--state", manifest(t, "s.json", string(next)), "--at", "2026-11-24T12:00:01Z")
	if got.code != 0 {
		t.Errorf("with a state: %+v", got)
	}
	wants(t, "text", got.out, "target ", "now: ", "not bigger: ", "not smaller: ")
}

// TestDecideRefusesWhatMakesNoSense names file, path, value and what is allowed.
func TestDecideRefusesWhatMakesNoSense(t *testing.T) {
	m := manifest(t, "m.yaml", manifestText)
	for text, want := range map[string][]string{
		`[]`:                             {"not a JSON object"},
		`{"pending": {`:                  {"not a JSON object"},
		`{"pendign": 3}`:                 {`unknown field "pendign"`},
		`{"inFlight": 1, "inFlight": 2}`: {`duplicate field "inFlight"`},
		`{"inFlight": "1"}`:              {"inFlight", "string", "allowed: int"},
		`{"inFlight": -1}`:               {"observation.inFlight: -1: allowed: "},
		`{"pending": {"urgent": 1}}`:     {`observation.pending: "urgent": allowed: interactive`},
		`{"freeGPUs": -7}`:               {"observation.freeGPUs: -7"},
		`{"budget": -1}`:                 {"observation.budget: -1"},
		`{"replicas": [{"id": "a", "phase": "dead"}]}`:                                 {`observation.replicas[0].phase: "dead": allowed: starting`},
		`{"replicas": [{"id": "", "phase": "ready"}]}`:                                 {`observation.replicas[0].id: ""`},
		`{"replicas": [{"id": "a", "phase": "ready"}, {"id": "a", "phase": "ready"}]}`: {`observation.replicas[1].id: "a"`},
		`{"observation": {"replicas": [{"x": 1}]}}`:                                    {`unknown field "observation.replicas[0].x"`},
		`{"observation": {}, "state": {"version": "new"}}`:                             {"state.version", "allowed"},
	} {
		file := manifest(t, "o.json", text)
		got := stoker(t, "", "decide", "-f", file, "--manifest", m)
		if got.code != 1 || got.out != "" {
			t.Errorf("%s: %+v", text, got)
		}
		wants(t, text, got.err, append(want, file)...)
	}
	good := manifest(t, "o.json", observed)
	for args, want := range map[string]string{
		"decide":            "give -f FILE",
		"decide -f " + good: "give --manifest FILE",
		"decide -f " + good + " --manifest " + m + " --at noon": "--at \"noon\": allowed",
	} {
		if got := stoker(t, "", strings.Fields(args)...); got.code != 2 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	newer := manifest(t, "s.json", `{"version": 99}`)
	if got := stoker(t, "", "decide", "-f", good, "--manifest", m, "--state", newer); got.code != 1 || !strings.Contains(got.err, "version 99") {
		t.Errorf("a newer state: %+v", got)
	}
	if got := stoker(t, "", "decide", "-f", good+".gone", "--manifest", m); got.code != 1 || !strings.Contains(got.err, "no such file") {
		t.Errorf("no file: %+v", got)
	}
	if _, err := os.Stat(good); err != nil {
		t.Error(err)
	}
}

// TestRecordedDecisionsAreMadeAgain: those that follow from what was recorded, and one that does not.
func TestRecordedDecisionsAreMadeAgain(t *testing.T) {
	fns, err := functions.Parse("m", []byte(manifestText))
	must(t, err)
	q := scale.Question{Spec: scale.SpecOf(fns[0], functions.Revision(fns[0].Spec)), Now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	must(t, json.Unmarshal([]byte(observed), &q.Observation))
	var lines []string
	record := func(change func(*scale.Recorded)) {
		r := scale.Recorded{Function: "default/chat", Question: q}
		q.State, r.Decision = scale.Decide(q.Spec, q.State, q.Observation, q.Now)
		change(&r)
		line, err := json.Marshal(r)
		must(t, err)
		lines = append(lines, string(line))
		q.Now = q.Now.Add(time.Second)
	}
	for range 3 {
		record(func(*scale.Recorded) {})
	}
	good := strings.Join(lines, "\n") + "\n"
	got := stoker(t, good, "decide", "--replay", "-")
	if got.code != 0 {
		t.Errorf("%+v", got)
	}
	wants(t, "the same", got.out, "3 decisions of 1 functions made again: 3 the same, 0 different")
	record(func(r *scale.Recorded) { r.Decision.Target += 7 })
	got = stoker(t, "", "decide", "--replay", manifest(t, "d.jsonl", strings.Join(lines, "\n")))
	if got.code != 1 {
		t.Errorf("a decision that does not follow: %+v", got)
	}
	wants(t, "different", got.out+got.err, "line 4, default/chat", "1 different", "1 of 4 decisions come out differently")
	for text, want := range map[string]string{
		"":              "no decision in it",
		good + `{"spec`: ":4: not a recorded decision",
	} {
		got := stoker(t, text, "decide", "--replay", "-")
		if got.code == 0 {
			t.Errorf("%q was taken", text)
		}
		wants(t, text, got.err, want, "allowed: ")
	}
	got = stoker(t, good, "decide", "--replay", "-", "--at", "2026-11-24T12:00:00Z")
	wants(t, "with --at", got.err, "leave out --manifest, --state and --at")
}
