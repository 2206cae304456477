package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
)

func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		everyCommand(sub, visit)
	}
}

func tree() *cobra.Command {
	return newRoot(&streams{strings.NewReader(""), io.Discard, io.Discard, time.Now})
}

// plain are commands that need no example: nothing can be given to them, or cobra wrote their help.
var plain = []string{"stoker version", "stoker help", "stoker queue", "stoker bench"}

func TestEveryCommandExplainsItself(t *testing.T) {
	everyCommand(tree(), func(c *cobra.Command) {
		path := c.CommandPath()
		if strings.HasPrefix(path, "stoker completion") {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") && c.HasParent() || len(c.Short) > 100 {
			t.Errorf("%s: short help %q: want one line of at most 100 characters without a full stop", path, c.Short)
		}
		if c.Args == nil && c.Name() != "help" {
			t.Errorf("%s takes any arguments without a word", path)
		}
		if c.Example == "" && !slices.Contains(plain, path) {
			t.Errorf("%s has no example", path)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if line != "" && !strings.Contains(line, path) && !strings.Contains(line, "stoker ") {
				t.Errorf("%s: the example %q runs something else", path, line)
			}
		}
		if c.Parent() == c.Root() && c.GroupID == "" {
			t.Errorf("%s is in no group of the help", path)
		}
		if !c.Runnable() {
			t.Errorf("%s does nothing, not even help", path)
		}
	})
}

// TestExamplesAreCommandLines parses every example: its verb and its flags exist.
func TestExamplesAreCommandLines(t *testing.T) {
	root := tree()
	everyCommand(root, func(c *cobra.Command) {
		for _, line := range strings.Split(c.Example, "\n") {
			_, line, found := strings.Cut(line, "stoker ")
			if !found || strings.HasPrefix(c.CommandPath(), "stoker completion") {
				continue
			}
			line, _, _ = strings.Cut(line, " > ")
			args := words(line)
			cmd, rest, err := tree().Find(args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
}

// words splits as a shell does, as far as the examples need it.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func TestEveryVerbOfTheHouseIsThere(t *testing.T) {
	var got []string
	for _, c := range tree().Commands() {
		got = append(got, c.Name())
	}
	for _, want := range strings.Fields("up demo backup restore apply delete get describe explain logs events invoke result queue scale pause resume schema config bench version status completion help") {
		if !slices.Contains(got, want) {
			t.Errorf("no verb %s", want)
		}
	}
}

func TestHelp(t *testing.T) {
	bare, help := stoker(t, ""), stoker(t, "", "help")
	if bare != help || bare.code != 0 || bare.err != "" {
		t.Errorf("without arguments: %+v\nhelp: %+v", bare, help)
	}
	wants(t, "help", help.out, exitCodes, "The platform:", "Functions:", "Requests:", "describe")
	if got := stoker(t, "", "queue"); got.code != 0 || !strings.Contains(got.out, "redrive") {
		t.Errorf("queue: %+v", got)
	}
}

func TestUsageErrorsExit2AndSayWhatIsWanted(t *testing.T) {
	w := newWorld(t, nil)
	for args, want := range map[string]string{
		"gett":                        `"gett" is no command of stoker; did you mean get?`,
		"descrbe tinylm":              "did you mean describe?",
		"frobnicate":                  "`stoker --help` lists all",
		"queue ded tinylm":            "did you mean dead?",
		"get a b":                     "2 argument(s) given, want the NAME of one function, or none; see `stoker get --help`",
		"scale tinylm 1 2":            "a number of replicas or --auto",
		"scale tinylm":                "either a number of replicas or --auto",
		"scale tinylm 1 --auto":       "either a number of replicas or --auto",
		"scale tinylm many":           `"many" is no number of replicas`,
		"describe":                    "want the NAME of one function",
		"queue redrive":               "want the NAME of one function, then sequence numbers or --all",
		"delete":                      "which function?",
		"get --output xml":            `invalid argument "xml" for "-o, --output" flag: allowed: json, yaml; see ` + "`stoker get --help`",
		"get --wrong":                 "unknown flag: --wrong; see `stoker get --help`",
		"describe Tiny_LM":            `"Tiny_LM" names no function`,
		"invoke tinylm --timeout 30":  "--timeout",
		"completion bash zsh":         "see `stoker completion bash --help`",
		"up --gpus two":               "--gpus",
		"bench zero --wakes 0":        "1 or more",
		"bench path --callers 0":      "1 or more",
		"bench part nothing here":     "backend, worker or trainer",
		"version now":                 "want none",
		"logs tinylm --tail -f extra": "--tail",
	} {
		got := w.run(strings.Fields(args)...)
		if got.code != exitUsage || got.out != "" || !strings.HasPrefix(got.err, "stoker: ") {
			t.Errorf("%s: %+v, want exit code %d and one error", args, got, exitUsage)
		}
		wants(t, args, got.err, want)
	}
}

func TestExitCodesTellKindsOfFailureApart(t *testing.T) {
	w := newWorld(t, nil)
	gone := dataDir(t, datadir.Server{PID: os.Getpid(), HTTP: "http://127.0.0.1:1"})
	stranger := dataDir(t, datadir.Server{PID: os.Getpid(), HTTP: serverOf(t, w), AdminToken: "wrong"})
	for name, c := range map[string]struct {
		dir  string
		args string
		code int
		want string
	}{
		"not deployed":     {w.data, "get nobody", exitNotFound, "`stoker get` lists what is"},
		"never started":    {filepath.Join(t.TempDir(), "none"), "get", exitNotRunning, "stoker up --data-dir"},
		"does not answer":  {gone, "get", exitNotRunning, "`stoker up` starts one"},
		"not allowed":      {stranger, "get", exitFailed, "same --data"},
		"no such request":  {w.data, "result tinylm nothing", exitNotFound, ""},
		"no such function": {w.data, "invoke nobody", exitNotFound, ""},
	} {
		got := stoker(t, "", append([]string{"--data-dir", c.dir}, strings.Fields(c.args)...)...)
		if got.code != c.code || got.out != "" {
			t.Errorf("%s: %+v, want exit code %d", name, got, c.code)
		}
		wants(t, name, got.err, "stoker: ", c.want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := execute(ctx, []string{"--data-dir", w.data, "get"}, &streams{strings.NewReader(""), io.Discard, io.Discard, time.Now}); code != exitInterrupted {
		t.Errorf("interrupted: exit code %d", code)
	}
}

func serverOf(t *testing.T, w *world) string {
	t.Helper()
	s, err := datadir.ReadServer(w.data)
	must(t, err)
	return s.HTTP
}

// TestServerFlagOverridesTheDataDirectory reaches the platform at another address.
func TestServerFlagOverridesTheDataDirectory(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.run("--server", "http://127.0.0.1:1", "status"); got.code != exitNotRunning || !strings.Contains(got.err, "127.0.0.1:1") {
		t.Errorf("got %+v", got)
	}
}

// TestProgramsGetWhatPeopleSee reads -o json back into the types of the API.
func TestProgramsGetWhatPeopleSee(t *testing.T) {
	w := newWorld(t, nil)
	var fns []api.Function
	if err := json.Unmarshal([]byte(w.run("queue", "list", "-o", "json").out), &fns); err != nil || len(fns) != 2 || fns[1].Served != serving().Served {
		t.Errorf("queue list: %+v, %v", fns, err)
	}
	var e api.Explanation
	if err := json.Unmarshal([]byte(w.run("explain", "tinylm", "--last", "1", "-o", "json").out), &e); err != nil || len(e.Decisions) != 1 || e.Capacity != 4 {
		t.Errorf("explain: %+v, %v", e, err)
	}
	var v map[string]string
	if err := json.Unmarshal([]byte(stoker(t, "", "version", "-o", "json").out), &v); err != nil || v["stoker"] == "" {
		t.Errorf("version: %v, %v", v, err)
	}
	if out := stoker(t, "", "schema").out; !json.Valid([]byte(out)) || !strings.Contains(out, "waitSLO") {
		t.Errorf("schema: %.80s", out)
	}
}

func TestConfigSaysWhereSettingsComeFrom(t *testing.T) {
	t.Setenv("STOKER_GPUS", "3")
	t.Setenv("STOKER_NATS_URL", "nats://me:secret@nats.example:4222")
	t.Setenv("STOKER_GPU", "3")
	got := stoker(t, "", "config", "--listen", "127.0.0.1:9999")
	line := func(parts ...string) {
		t.Helper()
		for _, l := range strings.Split(got.out, "\n") {
			if slices.Equal(strings.Fields(l), parts) {
				return
			}
		}
		t.Errorf("no line %v in:\n%s", parts, got.out)
	}
	line("STOKER_GPUS", "--gpus", "3", "environment")
	line("STOKER_LISTEN", "--listen", "127.0.0.1:9999", "flag")
	line("STOKER_PROVIDER", "--provider", "local", "default")
	line("STOKER_NATS_URL", "--nats-url", "nats://***@nats.example:4222", "environment")
	wants(t, "warning", got.err, "STOKER_GPU is no setting", "STOKER_GPUS?")
	if got.code != 0 || strings.Contains(got.out+got.err, "secret") {
		t.Errorf("exit code %d:\n%s%s", got.code, got.out, got.err)
	}
	if over := stoker(t, "", "config", "--gpus", "5", "-o", "json"); !strings.Contains(over.out, `"value": "5",`) {
		t.Errorf("a flag does not override the environment: %s", over.out)
	}
	if bad := stoker(t, "", "config", "--listen", "0.0.0.0:80"); bad.code != exitFailed || !strings.Contains(bad.err, "--tls-cert") {
		t.Errorf("off loopback: %+v", bad)
	}
	t.Setenv("STOKER_GPUS", "three")
	if bad := stoker(t, "", "config"); bad.code != exitFailed || !strings.Contains(bad.err, `STOKER_GPUS="three"`) {
		t.Errorf("a bad variable: %+v", bad)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := stoker(t, "", "completion", shell); got.code != 0 || !strings.Contains(got.out, "__complete") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
	w := newWorld(t, nil)
	for args, want := range map[string][]string{
		"describe ":       {"broken", "tinylm"},
		"invoke -n chat ": {"qwen"},
		"queue ":          {"dead", "list", "purge", "redrive"},
		"get -o ":         {"json", "yaml"},
	} {
		got := w.run(append([]string{"__completeNoDesc"}, strings.Split(args, " ")...)...)
		for _, name := range want {
			if !slices.Contains(strings.Split(got.out, "\n"), name) {
				t.Errorf("%q completes to %q, want %q in it", args, got.out, name)
			}
		}
	}
}
