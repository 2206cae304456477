package e2e

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

// planted is a small tree for one rule: clean as it stands, and wrong with the bad files added.
type planted struct {
	rule string
	bad  map[string]string // path → source; replaces or adds to cleanTree
	want string            // part of the complaint
}

// cleanTree breaks no rule.
var cleanTree = map[string]string{
	"functions/doc.go":       "// Package functions is clean.\npackage functions\n\nimport _ \"go.yaml.in/yaml/v3\"\n",
	"scale/doc.go":           "// Package scale is clean.\npackage scale\n\nimport (\n\t\"time\"\n\n\t_ \"stoker.dev/stoker/functions\"\n)\n\n// Later is pure.\nfunc Later(now time.Time) time.Time { return now.Add(time.Second) }\n",
	"events/subjects.go":     "// Package events is clean.\npackage events\n\nimport (\n\t_ \"github.com/nats-io/nats.go/jetstream\"\n)\n\nconst (\n\tkindFn = \"fn\"\n\troot = \"stoker.fn.x\"\n)\n",
	"workflows/versions.go":  "// Package workflows is clean.\npackage workflows\n\nconst drainFirst = \"drain-first\"\n",
	"workflows/function.go":  "package workflows\n\nimport \"go.temporal.io/sdk/workflow\"\n\nfunc f(ctx workflow.Context) { workflow.GetVersion(ctx, drainFirst, workflow.DefaultVersion, 1) }\n",
	"cmd/stoker/main.go":     "// Command stoker is clean.\npackage main\n\nconst help = \"type: nats pub stoker.fn.default.x\"\n",
	"scale/testdata/bad.go":  "not Go at all",
	"tools/go.mod":           "module other\n",
	"tools/anything.go":      "package util\n\nfunc init() {}\n",
	"activities/doc_test.go": "package activities\n\nimport (\n\t\"testing\"\n\n\t_ \"stoker.dev/stoker/e2e/kubetest\"\n)\n\nfunc TestX(t *testing.T) { t.Skip(\"no GPU here\") }\n",
}

// body wraps statements into a file of package scale.
func body(imports, statements string) string {
	return "package scale\n\nimport (" + imports + ")\n\nfunc bad() {\n" + statements + "\n}\n"
}

var plantedTrees = []planted{
	{"imports go one way", map[string]string{"events/x.go": "package events\n\nimport _ \"stoker.dev/stoker/scale\"\n"}, "events/ must not import scale/"},
	{"imports go one way", map[string]string{"workflows/x.go": "package workflows\n\nimport _ \"stoker.dev/stoker/events\"\n"}, "workflows/ must not import events/"},
	{"imports go one way", map[string]string{"cmd/stoker/x.go": "package main\n\nimport _ \"stoker.dev/stoker/deploy\"\n"}, "cmd/ must not import deploy/"},
	{"imports go one way", map[string]string{"functions/x_test.go": "package functions\n\nimport _ \"stoker.dev/stoker/cmd/stoker\"\n"}, "functions/ must not import cmd/"},
	{"imports go one way", map[string]string{"extras/x.go": "package extras\n"}, "not in the design"},
	{"imports go one way", map[string]string{"x.go": "package stoker\n"}, "the root holds no Go package"},
	{"imports go one way", map[string]string{"functions/x.go": "package functions\n\nimport _ \"stoker.dev/stoker/e2e/kubetest\"\n"}, "functions/ must not import e2e/"},
	{"testbeds know nothing of the product", map[string]string{"e2e/kubetest/x.go": "// Package kubetest is.\npackage kubetest\n\nimport _ \"stoker.dev/stoker/functions\"\n"}, "imports none"},
	{"outside libraries have one home", map[string]string{"cmd/stoker/x.go": "package main\n\nimport _ \"github.com/nats-io/nats.go\"\n"}, "only place that knows NATS"},
	{"outside libraries have one home", map[string]string{"cmd/stoker/x.go": "package main\n\nimport _ \"k8s.io/client-go/rest\"\n"}, "a Pod is one provider's idea"},
	{"what serves tests stays in tests", map[string]string{"cmd/stoker/x.go": "package main\n\nimport _ \"stoker.dev/stoker/events/eventstest\"\n"}, "serves tests"},
	{"pure packages import no outside world", map[string]string{"scale/x.go": body(`_ "os/exec"`, "")}, "no os/exec"},
	{"pure packages import no outside world", map[string]string{"functions/x.go": "package functions\n\nimport _ \"math/rand/v2\"\n"}, "no math/rand/v2"},
	{"pure packages import no outside world", map[string]string{"scale/x.go": body(`_ "github.com/google/uuid"`, "")}, "not among the libraries"},
	{"pure packages import no outside world", map[string]string{"scale/x.go": body(`. "time"`, "")}, "dot import"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body(`clock "time"`, "_ = clock.Now()")}, "time.Now"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body(`"time"`, "f := time.Since; _ = f")}, "time.Since"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body(`"fmt"`, "fmt.Println()")}, "fmt.Println"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body("", "go bad()")}, "a goroutine"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body("", "var c chan int; _ = c")}, "a channel"},
	{"pure packages use no clock, goroutine, channel or output", map[string]string{"scale/x.go": body("", "println()")}, "builtin println"},
	{"one package doc per package", map[string]string{"scale/x.go": "// Package scale has a second doc.\npackage scale\n"}, "2 package docs"},
	{"one package doc per package", map[string]string{"activities/x.go": "package activities\n"}, "0 package docs"},
	{"one package doc per package", map[string]string{"activities/x.go": "// package activities.\npackage activities\n"}, `must begin "Package activities "`},
	{"one package doc per package", map[string]string{"cmd/stoker/main.go": "// Package main is.\npackage main\n"}, `must begin "Command stoker "`},
	{"subjects are built in events/subjects.go alone", map[string]string{"cmd/stoker/x.go": "package main\n\nvar s = `stoker.fn.` + \"x\"\n"}, "built by hand"},
	{"subjects are built in events/subjects.go alone", map[string]string{"events/subjects.go": "// Package events has none.\npackage events\n"}, "no kind… constants"},
	{"nobody sleeps to wait", map[string]string{"events/x_test.go": "package events\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n"}, "time.Sleep"},
	{"nothing registers itself in init", map[string]string{"events/x.go": "package events\n\nfunc init() {}\n"}, "func init"},
	{"a skipped test says why", map[string]string{"events/x_test.go": "package events\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Skip() }\n"}, "without a reason"},
	{"a skipped test says why", map[string]string{"events/x_test.go": "package events\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.SkipNow() }\n"}, "without a reason"},
	{"workflow versions are named in workflows/versions.go", map[string]string{"workflows/function.go": "package workflows\n\nimport \"go.temporal.io/sdk/workflow\"\n\nfunc f(ctx workflow.Context) { workflow.GetVersion(ctx, \"drain-first\", 0, 1) }\n"}, "constant of workflows/versions.go"},
	{"workflow versions are named in workflows/versions.go", map[string]string{"workflows/function.go": "package workflows\n\nimport \"go.temporal.io/sdk/workflow\"\n\nconst other = \"other\"\n\nfunc f(ctx workflow.Context) { workflow.GetVersion(ctx, other, 0, 1) }\n"}, "constant of workflows/versions.go"},
	{"packages are named after what they hold", map[string]string{"events/util/x.go": "// Package util is.\npackage util\n"}, "says nothing"},
}

// TestArchitectureRulesBite plants one violation at a time: each rule is silent on a clean tree and names the
// planted one, so no rule passes because it looks at nothing.
func TestArchitectureRulesBite(t *testing.T) {
	bitten := map[string]bool{}
	for _, p := range plantedTrees {
		bitten[p.rule] = true
		t.Run(p.rule+"/"+p.want, func(t *testing.T) {
			check := ruleNamed(t, p.rule)
			if found := check(plant(t, nil)); len(found) != 0 {
				t.Fatalf("the clean tree is said to be wrong: %q", found)
			}
			found := check(plant(t, p.bad))
			if len(found) != 1 || !strings.Contains(found[0], p.want) {
				t.Errorf("got %q, want one complaint with %q", found, p.want)
			}
		})
	}
	for _, r := range rules {
		if !bitten[r.name] {
			t.Errorf("rule %q has no planted violation", r.name)
		}
	}
}

func ruleNamed(t *testing.T, name string) func(tree) []string {
	t.Helper()
	for _, r := range rules {
		if r.name == name {
			return r.check
		}
	}
	t.Fatalf("no rule %q", name)
	return nil
}

// plant parses the clean tree with the given files put over it.
func plant(t *testing.T, bad map[string]string) tree {
	t.Helper()
	files := maps.Clone(cleanTree)
	maps.Copy(files, bad)
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	parsed, err := loadTree(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
