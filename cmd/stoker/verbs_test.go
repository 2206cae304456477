package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestOrders runs the verbs that change something: what the controller is told, and what the user.
func TestOrders(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct{ args, told, out string }{
		{"scale tinylm 2", "pin 2 default/tinylm", "function default/tinylm is pinned to 2 replicas; `stoker scale default/tinylm --auto` undoes it\n"},
		{"scale tinylm --auto", "auto default/tinylm", "function default/tinylm scales by demand\n"},
		{"pause chat/qwen", "pause=true chat/qwen", "function chat/qwen is paused: requests wait, `stoker resume` lets them run\n"},
		{"resume qwen -n chat", "pause=false chat/qwen", "function chat/qwen is resumed\n"},
		{"delete tinylm chat/qwen", "delete default/tinylm; delete chat/qwen", "function default/tinylm is being deleted\nfunction chat/qwen is being deleted\n"},
		{"logs tinylm --tail 5", `logs "" tail=5 follow=false of default/tinylm`, "loading\nready\n"},
	} {
		got := w.run(strings.Fields(c.args)...)
		if told := w.control.said(); got.code != 0 || told != c.told || got.out != c.out {
			t.Errorf("%s: exit code %d, told %q, printed %q %q", c.args, got.code, told, got.out, got.err)
		}
	}
}

func manifest(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestApply(t *testing.T) {
	w := newWorld(t, nil)
	old, fresh := manifest(t, "old.yaml", manifestText), manifest(t, "new.yaml", strings.ReplaceAll(manifestText, "tinylm}", "other}"))
	got := w.run("apply", "-f", old, "-f", fresh)
	want := "function default/tinylm configured, revision bbbbbbbbbb, new revision takes over\nfunction default/other created, revision aaaaaaaaaa\n"
	if got.code != 0 || got.out != want {
		t.Errorf("apply: %+v", got)
	}
	const twice = "apply default/tinylm dry=true; apply default/other dry=true; apply default/tinylm dry=false; apply default/other dry=false"
	if told := w.control.said(); told != twice {
		t.Errorf("two files are not tried before the first is deployed: %s", told)
	}
	got = w.run("apply", "--dry-run", "-f", filepath.Dir(fresh))
	if told := w.control.said(); got.out != "function default/other created, revision aaaaaaaaaa (dry run)\n" || told != "apply default/other dry=true" {
		t.Errorf("a directory: %+v, told %s", got, told)
	}
	piped := stoker(t, manifestText, "--data-dir", w.data, "apply", "-f", "-", "-o", "json")
	var applied []api.Applied
	if err := json.Unmarshal([]byte(piped.out), &applied); err != nil || len(applied) != 1 || applied[0].Action != "configured" {
		t.Errorf("standard input: %+v, %v", piped, err)
	}
	w.control.said()
	if got = w.run("delete", "-f", old); got.code != 0 || w.control.said() != "delete default/tinylm" {
		t.Errorf("delete -f: %+v", got)
	}
}

func TestApplyDeploysNothingWhereAnythingIsWrong(t *testing.T) {
	w := newWorld(t, nil)
	good, same := manifest(t, "good.yaml", manifestText), manifest(t, "same.yaml", "# the same\n"+manifestText)
	bad := manifest(t, "bad.yaml", strings.ReplaceAll(manifestText, "slots: 8", "slots: none"))
	pool := manifest(t, "pool.yaml", strings.ReplaceAll(manifestText, "tinylm}", "x}")+"  placement: {pool: elsewhere}\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"bad manifest":    {[]string{"-f", good, "-f", bad}, 1, []string{"nothing is deployed", "\n" + bad + ":7: spec.scaling.slots", "allowed:"}},
		"the same twice":  {[]string{"-f", good, "-f", same}, 1, []string{"function default/tinylm is in " + good + " and in " + same}},
		"no such pool":    {[]string{"-f", good, "-f", pool}, 1, []string{pool + ": default/x: ", "no such pool"}},
		"no such file":    {[]string{"-f", "/nowhere/x.yaml"}, 1, []string{"/nowhere/x.yaml: no such file"}},
		"empty directory": {[]string{"-f", t.TempDir()}, 1, []string{"no .yaml"}},
		"no file":         {nil, 2, []string{"-f FILE"}},
	} {
		got := w.run(append([]string{"apply"}, c.args...)...)
		if got.code != c.code || got.out != "" || strings.Contains(w.control.said(), "dry=false") {
			t.Errorf("%s: %+v", name, got)
		}
		wants(t, name, got.err, c.want...)
	}
}

// bury makes a dead letter the way an agent does.
func (w *world) bury(id string) {
	w.t.Helper()
	k := functions.Key{Namespace: "default", Name: "tinylm"}
	must(w.t, w.bus.Bury(w.t.Context(), events.Request{
		Key: k, Class: functions.Standard, Stream: events.ShardStream(0), Seq: 1, Stored: noon,
		Event: events.Event{ID: id, Source: "test", Type: "t", Time: noon, DataContentType: "application/json", Data: []byte(`{"prompt":"` + id + `"}`)},
	}, events.Attempts{Failures: 3, Cause: "crashed", Message: "out of memory"}))
}

func TestDeadLetters(t *testing.T) {
	w := newWorld(t, nil)
	k := functions.Key{Namespace: "default", Name: "tinylm"}
	must(t, w.bus.Deploy(t.Context(), k, 0))
	if got := w.run("queue", "dead", "tinylm"); got.code != 0 || got.out != "" || got.err != "no dead letters\n" {
		t.Errorf("none: %+v", got)
	}
	for i := range 5 {
		w.bury(fmt.Sprintf("r%d", i))
	}
	w.golden("dead", w.run("queue", "dead", "tinylm"))
	w.golden("dead-one", w.run("queue", "dead", "tinylm", "--seq", "2"))
	w.golden("dead-redrive", w.run("queue", "redrive", "tinylm", "1", "2"))
	if n := w.pending(k); n != 2 {
		t.Errorf("%d requests wait after redriving two", n)
	}
	if got := w.run("queue", "purge", "tinylm", "3"); got.out != "1 dead letter: purge done\n" {
		t.Errorf("purge one: %+v", got)
	}
	if got := w.run("queue", "purge", "tinylm", "--all"); got.code != 0 {
		t.Errorf("purge all: %+v", got)
	}
	if n, err := w.bus.CountDead(t.Context(), k); n != 0 || err != nil {
		t.Errorf("%d dead letters are left, %v", n, err)
	}
	for args, code := range map[string]int{"dead tinylm --seq 99": 3, "redrive tinylm": 2, "redrive tinylm 1 --all": 2, "purge tinylm x": 2} {
		if got := w.run(append([]string{"queue"}, strings.Fields(args)...)...); got.code != code {
			t.Errorf("queue %s: %+v, want exit code %d", args, got, code)
		}
	}
}

func (w *world) pending(k functions.Key) int {
	w.t.Helper()
	all, err := w.bus.Pending(w.t.Context(), 0)
	must(w.t, err)
	n := 0
	for _, c := range all[k] {
		n += int(c)
	}
	return n
}

func TestEvents(t *testing.T) {
	w := newWorld(t, nil)
	must(t, w.bus.Emit(t.Context(), functions.Key{Namespace: "default", Name: "tinylm"}, "function", "decided", map[string]any{"target": 2, "reason": "backlog", "inputs": map[string]any{}}))
	must(t, w.bus.Emit(t.Context(), functions.Key{Namespace: "chat", Name: "qwen"}, "function", "applied", nil))
	got := w.run("events")
	wants(t, "events", got.out, "default/tinylm", "decided", "target=2 reason=backlog\n")
	if got.code != 0 || strings.Contains(got.out, "qwen") {
		t.Errorf("another namespace is shown: %+v", got)
	}
	var e api.Event
	if err := json.Unmarshal([]byte(w.run("events", "chat/qwen", "-o", "json").out), &e); err != nil || e.What != "applied" {
		t.Errorf("as JSON: %+v, %v", e, err)
	}
	wants(t, "as YAML", w.run("events", "tinylm", "-o", "yaml").out, "---\n", "what: decided\n")
}

// model answers as the gateway does once a model has answered.
func model(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := rw.Header()
	h.Set("Stoker-Id", "id-1")
	switch {
	case strings.HasPrefix(r.URL.Path, "/results/"):
		h.Set("Stoker-Status", "expired")
		h.Set("Stoker-Cause", "deadline")
	case string(body) == "overload":
		h.Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(rw, `{"error":{"code":429,"cause":"queue-full","message":"300 of 300 wait","hint":"try again in 2s"}}`)
	case r.Header.Get("Accept") == "text/event-stream":
		fmt.Fprint(rw, "data: {\"choices\":[{\"text\":\"The \"}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"stoker\"}}]}\n\n")
		if string(body) == "dies" {
			fmt.Fprint(rw, "event: restart\ndata: {\"attempt\":2}\n\nevent: error\ndata: {\"error\":{\"code\":502,\"message\":\"the replica was lost\"}}\n\n")
			return
		}
		fmt.Fprint(rw, "data: [DONE]\n\n")
	case r.URL.Query().Get("async") == "1":
		rw.Header().Set("Stoker-Id", "id-9")
		rw.WriteHeader(http.StatusAccepted)
		fmt.Fprint(rw, `{"id":"id-9"}`)
	default:
		fmt.Fprintf(rw, "%s %s class=%s id=%s timeout=%s %s", r.URL.Path, r.URL.RawQuery, r.Header.Get("Stoker-Class"), r.Header.Get("Stoker-Id"), r.Header.Get("Stoker-Timeout"), body)
	}
}

func TestInvoke(t *testing.T) {
	w := newWorld(t, model)
	file := manifest(t, "request.json", "from a file")
	for _, c := range []struct {
		args string
		want said
	}{
		{"invoke tinylm -d hi", said{out: "/functions/default/tinylm  class= id= timeout= hi\n"}},
		{"invoke chat/qwen --path v1/x --class batch --id 7 --timeout 90s -d @" + file, said{out: "/functions/chat/qwen/v1/x  class=batch id=7 timeout=1m30s from a file\n"}},
		{"invoke tinylm --async -d hi", said{out: "id-9\n"}},
		{"invoke tinylm --stream", said{out: "The stoker\n"}},
		{"invoke tinylm --stream -d dies", said{"The stoker\n[the replica was lost; the answer starts again]\n", "stoker: the replica was lost\n", 5}},
		{"invoke tinylm -d overload", said{"", "stoker: 300 of 300 wait\ntry again in 2s\n", 5}},
		{"invoke tinylm --class urgent", said{"", "stoker: --class \"urgent\": allowed: interactive, standard, batch\n", 2}},
		{"result tinylm id-1", said{"", "id: id-1\nstatus: expired\ncause: deadline\nstoker: the request ended as \"expired\", cause \"deadline\"\n", 5}},
	} {
		if got := w.run(strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s:\n%+v\nwant\n%+v", c.args, got, c.want)
		}
	}
	if got := stoker(t, "piped", "--data-dir", w.data, "invoke", "tinylm", "--data", "-"); !strings.HasSuffix(got.out, " piped\n") {
		t.Errorf("standard input: %+v", got)
	}
}

// TestStreamIsPrintedAsItComes wants the first piece before the server sends the second.
func TestStreamIsPrintedAsItComes(t *testing.T) {
	printed := make(chan struct{})
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "data: first\n\n")
		must(t, http.NewResponseController(rw).Flush())
		select {
		case <-printed:
			fmt.Fprint(rw, "data: second\n\n")
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
			t.Error("the first piece was not printed before the second came")
		}
	})
	r, pipe := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- execute(t.Context(), []string{"--data-dir", w.data, "invoke", "tinylm", "--stream"}, &streams{strings.NewReader(""), pipe, io.Discard, time.Now})
		pipe.Close()
	}()
	first := make([]byte, 6)
	if _, err := io.ReadFull(r, first); err != nil || string(first) != "first\n" {
		t.Errorf("%q, %v", first, err)
	}
	close(printed)
	rest, err := io.ReadAll(r)
	if string(rest) != "second\n" || err != nil || <-ended != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestWhatOthersWroteIsShownAndDoesNothing lets a model server die with words that would clear the screen, forge a line
// and turn the direction of writing.
func TestWhatOthersWroteIsShownAndDoesNothing(t *testing.T) {
	const hostile = "\x1b[2J\x1b]0;owned\x07dead\rstoker: all is well\u202e\u009b2J"
	w := newWorld(t, nil)
	f := failing()
	f.Failure.Message, f.Failure.Cause, f.Blocked, f.Replicas = hostile, hostile, hostile, []api.Replica{replica("broken-1", hostile, 0, 0)}
	w.control.fns[f.Key] = f
	w.control.explain.Lines = []scale.Line{{Text: hostile}}
	w.bury("r1")
	for _, args := range []string{"explain broken", "describe broken", "get", "get broken", "queue list", "queue dead tinylm", "get " + "nobody"} {
		got := w.run(strings.Fields(args)...)
		if text := got.out + got.err; strings.ContainsAny(text, "\x1b\x07\r\u202e\u009b") {
			t.Errorf("%s: %q", args, text)
		}
	}
	wants(t, "explain", w.run("explain", "broken").out, `\x1b[2J\x1b]0;owned\x07dead`, `\u202e\u009b2J`)
}
