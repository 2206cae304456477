package events

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// TestDocNamesEverySubject keeps the table of doc.go and the builders of subjects.go one list.
func TestDocNamesEverySubject(t *testing.T) {
	k := functions.Key{Namespace: "<ns>", Name: "<fn>"}
	want := []string{
		RequestSubject(k, "<class>"), WakeSubject(k, "<class>"), join(kindResult, k.Namespace, k.Name, "<id>"),
		DeadSubject(k, "<class>"), InvokeSubject(k), HeartbeatSubject(k, "<replica>"), ControlSubject(k, "<replica>"),
		CancelSubject(k), EventSubject(k, "<kind>", "<what>"), strings.Replace(placeholder(7), "07", "<nn>", 1),
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, line := range strings.Split(string(doc), "\n") {
		if row, ok := strings.CutPrefix(line, "//\t"+root+"."); ok {
			have = append(have, root+"."+strings.Fields(row)[0])
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("doc.go names\n  %s\nsubjects.go builds\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

// label draws a DNS-1123 label, which is what namespaces and functions are called.
func label() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?`)
}

func key() *rapid.Generator[functions.Key] {
	return rapid.Custom(func(t *rapid.T) functions.Key {
		return functions.Key{Namespace: label().Draw(t, "ns"), Name: label().Draw(t, "fn")}
	})
}

func TestParsingUndoesBuilding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := key().Draw(t, "key")
		c := rapid.SampledFrom(functions.Classes()).Draw(t, "class")
		word := label().Draw(t, "word")
		id := rapid.StringMatching(`[A-Za-z0-9_:+@~/-]{1,40}`).Draw(t, "id")

		classed := map[string]func(string) (functions.Key, functions.Class, error){
			RequestSubject(k, c): ParseRequest, WakeSubject(k, c): ParseWake, DeadSubject(k, c): ParseDead,
		}
		for subject, parse := range classed {
			if gotK, gotC, err := parse(subject); err != nil || gotK != k || gotC != c {
				t.Fatalf("%s: %v %v %v", subject, gotK, gotC, err)
			}
		}
		for subject, parse := range map[string]func(string) (functions.Key, error){InvokeSubject(k): ParseInvoke, CancelSubject(k): ParseCancel, StateKey(k): ParseStateKey} {
			if got, err := parse(subject); err != nil || got != k {
				t.Fatalf("%s: %v %v", subject, got, err)
			}
		}
		if got, token, err := ParseResult(ResultSubject(k, id)); err != nil || got != k || token != id {
			t.Fatalf("%s: %v %q %v", ResultSubject(k, id), got, token, err)
		}
		for subject, parse := range map[string]func(string) (functions.Key, string, error){HeartbeatSubject(k, word): ParseHeartbeat, ControlSubject(k, word): ParseControl} {
			if got, replica, err := parse(subject); err != nil || got != k || replica != word {
				t.Fatalf("%s: %v %q %v", subject, got, replica, err)
			}
		}
		if got, kind, what, err := ParseEvent(EventSubject(k, word, "ready")); err != nil || got != k || kind != word || what != "ready" {
			t.Fatalf("%v %q %q %v", got, kind, what, err)
		}
	})
}

// FuzzSubjects feeds every parser any text: what it accepts, the builder makes again.
func FuzzSubjects(f *testing.F) {
	k := functions.Key{Namespace: "default", Name: "tinylm"}
	for _, s := range []string{
		RequestSubject(k, functions.Batch), WakeSubject(k, functions.Standard), DeadSubject(k, functions.Interactive),
		ResultSubject(k, "a b"), InvokeSubject(k), HeartbeatSubject(k, "r"), ControlSubject(k, "r"), CancelSubject(k),
		EventSubject(k, "replica", "ready"), StateKey(k), "", ".", "stoker", "stoker.fn....", "stoker.fn.a.b.urgent",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same := func(what, again string, err error) {
			if err == nil && again != s {
				t.Errorf("%s accepts %q, which is built as %q", what, s, again)
			}
		}
		k, c, err := ParseRequest(s)
		same("ParseRequest", RequestSubject(k, c), err)
		k, c, err = ParseWake(s)
		same("ParseWake", WakeSubject(k, c), err)
		k, c, err = ParseDead(s)
		same("ParseDead", DeadSubject(k, c), err)
		k, err = ParseInvoke(s)
		same("ParseInvoke", InvokeSubject(k), err)
		k, err = ParseCancel(s)
		same("ParseCancel", CancelSubject(k), err)
		k, err = ParseStateKey(s)
		same("ParseStateKey", StateKey(k), err)
		k, word, err := ParseHeartbeat(s)
		same("ParseHeartbeat", HeartbeatSubject(k, word), err)
		k, word, err = ParseControl(s)
		same("ParseControl", ControlSubject(k, word), err)
		k, kind, what, err := ParseEvent(s)
		same("ParseEvent", EventSubject(k, kind, what), err)
		k, word, err = ParseResult(s)
		if err == nil && IDToken(word) == word {
			same("ParseResult", ResultSubject(k, word), nil)
		}
	})
}

func TestSubjectsOfDifferentThingsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := key().Draw(t, "a"), key().Draw(t, "b")
		if a == b {
			return
		}
		for _, c := range functions.Classes() {
			if Consumer(a, c) == Consumer(b, c) {
				t.Fatalf("%v and %v share consumer %s", a, b, Consumer(a, c))
			}
		}
		if StateKey(a) == StateKey(b) || InvokeSubject(a) == InvokeSubject(b) || AttemptKey(a, "S", 1) == AttemptKey(b, "S", 1) {
			t.Fatalf("%v and %v share a key", a, b)
		}
	})
}

func TestIDTokensAreTokensAndDiffer(t *testing.T) {
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9 .>*=_-]{0,200}`)).Draw(t, "id")
		token := IDToken(id)
		if token == "" || len(token) > maxIDToken || strings.ContainsAny(token, " .*>\t\r\n") {
			t.Fatalf("IDToken(%q) = %q is no subject token", id, token)
		}
		if IDToken(token) != token {
			t.Fatalf("IDToken(%q) = %q is not a fixed point", id, token)
		}
		// A token that looks like a hash is the only id that may share one.
		if other, ok := seen[token]; ok && other != id && !IsHashedID(other) && !IsHashedID(id) {
			t.Fatalf("%q and %q share %q", id, other, token)
		}
		seen[token] = id
	})
}

func TestOrdinaryIDsStandForThemselves(t *testing.T) {
	for _, id := range []string{"1", "a-b_c", "550e8400-e29b-41d4-a716-446655440000", "STOKER_FN_03-17", "x~r1", "order:7+2@shop"} {
		if got := IDToken(id); got != id {
			t.Errorf("IDToken(%q) = %q", id, got)
		}
	}
	for _, id := range []string{"", "a b", "a.b", "a>b", "ü", strings.Repeat("x", maxIDToken+1)} {
		if got := IDToken(id); !IsHashedID(got) {
			t.Errorf("IDToken(%q) = %q, want a hash", id, got)
		}
	}
}

func TestRepliesGoToInboxesOnly(t *testing.T) {
	for subject, want := range map[string]bool{
		"_INBOX.abc": true, "_INBOX.abc.def": true, "_R.gw.x": true,
		"": false, "_INBOX": false, "_INBOX.": false, "_INBOX.>": false, "_INBOX.*": false, "_INBOX.a b": false, "_INBOX.a..b": false,
		"_INBOX.a\r\nPUB x": false, "_inbox.a": false, "_R.": false, "_AGENT.r.x": false,
		"stoker.fn.default.x.batch": false, "$JS.API.STREAM.DELETE.STOKER_RESULTS": false, "$SYS.REQ.x": false,
		"_R": false, "_R_.abc": false, "_INBOX.\x00": false, "_INBOX.a\x7f": false, "_INBOX.a\tb": false, "_INBOX.a\r\nPUB x 0": false,
		"_INBOX..a": false, "_INBOX.a.": false, "_R.*.x": false, "_R.stoker.>": false,
		"_INBOX." + strings.Repeat("x", maxReplySubject): false, " _INBOX.a": false, UserInbox("alice") + ".1": true,
	} {
		if got := ReplyAllowed(subject); got != want {
			t.Errorf("ReplyAllowed(%q) = %v", subject, got)
		}
	}
}
